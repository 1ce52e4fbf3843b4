"""FHIR search: from query string to query tree to Bundle (https://hl7.org/fhir/R4/search.html)."""
