"""SMART on FHIR: the authorization server, its clients and users, and the providers it trusts."""
