"""The Message operator (https://cql.hl7.org/09-b-cqlreference.html#message)."""

from __future__ import annotations

from typing import Any

from rules.runtime.context import Message, current
from rules.runtime.errors import EvaluationError


def message(
    source: Any, condition: bool | None, code: str | None, severity: str | None, text: str | None
) -> Any:
    """`source`; where the condition holds, the message goes to the evaluation.

    Raises EvaluationError where the severity is Error.
    """
    if condition is True:
        level = severity or "Message"
        if level == "Error":
            raise EvaluationError(f"{code or ''}: {text or ''}")
        receive = current().message
        if receive is not None:
            receive(Message(code, level, text, source))
    return source
