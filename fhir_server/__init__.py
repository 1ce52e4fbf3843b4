"""The FHIR R4 server: HTTP, interactions, search, the write path and the stores."""
