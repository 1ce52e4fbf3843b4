"""Pages that say why a request goes no further, where there is nowhere safe to send the person.

https://www.rfc-editor.org/rfc/rfc6749#section-4.1.2.1
"""

from __future__ import annotations

from fhir_server.smart.pages.layout import page
from fhir_server.smart.pages.visit import Answer, Visit

STATUS = {
    "refused.gone": 410,
    "refused.other-user": 403,
    "refused.forged": 403,
    "refused.role": 403,
    "refused.too-large": 413,
    "refused.not-found": 404,
    "refused.bug": 500,
    "refused.unavailable": 503,
    "refused.busy": 429,
}


def refused(visit: Visit, reason: str, wait: float = 0) -> Answer:
    """A page with that text, and its status (400 where nothing else fits)."""
    words = visit.words
    problem = words.plain(reason, time=words.minutes(wait))
    content = page(visit, words("refused.title"), problem=problem)
    return Answer(STATUS.get(reason, 400), content, wait=int(wait))
