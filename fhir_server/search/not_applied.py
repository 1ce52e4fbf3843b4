"""What a search leaves out and says so, https://hl7.org/fhir/R4/search.html#errors"""

from __future__ import annotations


class NotApplied(Exception):
    """A filter that is not supported, and why: left out, or an error with strict handling."""
