"""Resources as XML: the same tree that JSON gives, and back (https://hl7.org/fhir/R4/xml.html)."""

from __future__ import annotations

from fhir_server.resource_xml.read import decode
from fhir_server.resource_xml.write import encode

__all__ = ["decode", "encode"]
