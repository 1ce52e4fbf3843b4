"""Patches: each module reads one kind of document, and changes a resource as it says.

https://hl7.org/fhir/R4/http.html#patch. Pure: the write itself is write.commit's, as for every change.
"""
