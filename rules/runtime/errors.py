"""The one way an evaluation fails (https://cql.hl7.org/09-b-cqlreference.html#errors-and-messaging)."""

from __future__ import annotations


class EvaluationError(Exception):
    """A defined run-time error of CQL: the evaluation stops, and the text says why.

    The text names types, limits and units, never values of a patient.
    """
