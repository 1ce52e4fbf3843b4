"""What a validator found wrong, said so that a person can mend it.

https://hl7.org/fhir/R4/operationoutcome.html, https://hl7.org/fhir/R4/valueset-issue-type.html. A value is
never repeated, as it may say who somebody is; names of elements and short codes are.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from profiles.primitives import PRIMITIVES

MOST = 100

# Where a check stands: (depth, the place of its parent or None, name[, index]). Made for every object on the
# way, so it is a tuple; only a problem turns it into text.
Place = tuple[Any, ...]

_NAME = re.compile("_?[A-Za-z][A-Za-z0-9]{0,63}").fullmatch
_TELLABLE_CODE = re.compile(r"(?!.*[0-9]{6})[A-Za-z0-9._\-]{1,40}").fullmatch  # no room for a person's number
_MOST_CODES = 14
_MOST_HINTS = 10  # looking for similar names is slow

# A value of the JSON decoder -> what a person calls it.
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "true or false", type(None): "null"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding: severity and code of OperationOutcome.issue, `expression` the FHIRPath of the element.

    `rule` says what it came from where that is not the type's own structure: the canonical of a profile, the
    key of an invariant, or both as `canonical#key`.
    """

    severity: str
    code: str
    diagnostics: str
    expression: str
    rule: str = ""


class TooMany(Exception):
    """MOST problems have been found; looking for more helps nobody."""


class TooLong(TooMany):
    """What there is to check does not end: what was found is not all."""


def path(at: Place) -> str:
    """`Patient.name[0].family` for a place."""
    names = []
    place: Place | None = at
    while place is not None:
        names.append(place[2] if len(place) == 3 else f"{place[2]}[{place[3]}]")
        place = place[1]
    return ".".join(reversed(names))


def inside(at: Place, name: str, index: int | None = None) -> Place:
    """The place of a child."""
    return (at[0] + 1, at, name) if index is None else (at[0] + 1, at, name, index)


def kind(value: Any) -> str:
    """What a JSON value is, in words."""
    return _KINDS.get(type(value), "a number")


class Problems:
    """Collects findings; the compiled checks call it, always with the place of the element concerned.

    `rule` is the canonical of the profile whose check is running. `context` is what a check may ask beyond
    the value before it (profiles.context); None where only the types' structure is judged. `resource` is the
    one that is being judged, `root` the one that contains it, or itself. `inside` is a root and the ids of
    what it contains, once they were asked for.
    """

    __slots__ = ("context", "found", "inside", "resource", "root", "rule")

    def __init__(self, context: Any = None) -> None:
        self.found: list[Problem] = []
        self.rule = ""
        self.context = context
        self.resource: Any = None
        self.root: Any = None
        self.inside: tuple[Any, frozenset[str]] | None = None

    def add(
        self, code: str, diagnostics: str, at: Place, severity: str = "error", rule: str | None = None
    ) -> None:
        if len(self.found) == MOST:
            raise TooMany
        self.found.append(Problem(severity, code, diagnostics, path(at), self.rule if rule is None else rule))

    @property
    def failed(self) -> bool:
        return any(problem.severity == "error" for problem in self.found)

    def not_object(self, value: Any, at: Place) -> None:
        if type(value) is list and _is_single(at):
            self.add("structure", f"{at[2]} occurs at most once: an object is expected, not an array", at)
        else:
            self.add("structure", f"{at[2]} must be an object, not {kind(value)}", at)

    def empty_object(self, at: Place) -> None:
        self.add("invalid", f"{at[2]} is an empty object: leave out what has no content", at)

    def not_list(self, value: Any, at: Place) -> None:
        if type(value) is list:
            self.add("invalid", f"{at[2]} is an empty array: leave out what has no content", at)
        else:
            self.add("structure", f"{at[2]} may repeat: an array is expected, not {kind(value)}", at)

    def null(self, at: Place) -> None:
        self.add("invalid", f"{at[2]} is null: leave out what has no content", at)

    def too_deep(self, at: Place) -> None:
        self.add("too-long", f"{at[2]} is nested too deep", at)

    def primitive(self, type_: str, value: Any, at: Place) -> None:
        """A value that is no `type_`."""
        if type(value) is list and _is_single(at):
            self.add("structure", f"{at[2]} occurs at most once: a {type_} is expected, not an array", at)
        elif type(value) in (dict, list):
            self.add("structure", f"{at[2]} must be a {type_}, not {kind(value)}", at)
        elif value is None:
            self.null(at)
        elif value == "":
            self.add("invalid", f"{at[2]} is an empty string: leave out what has no content", at)
        else:
            expected = PRIMITIVES[type_].expected
            self.add("invalid", f"{at[2]} is not a valid {type_}: expected {expected}", at)

    def code(self, codes: Collection[str], value: Any, at: Place) -> None:
        """A value that is not one of a required binding's codes."""
        if type(value) is not str or not value:
            self.primitive("code", value, at)
            return
        shown = f"'{value}'" if _TELLABLE_CODE(value) else "The code"
        self.add("code-invalid", f"{shown} is not a code that {at[2]} may have{_listed(codes)}", at)

    def concept(self, codes: Collection[str], at: Place) -> None:
        """A CodeableConcept without a coding from its required binding."""
        self.add("code-invalid", f"{at[2]} has no coding of its required value set{_listed(codes)}", at)

    def missing(self, name: str, at: Place, suffix: str = "") -> None:
        self.add("required", f"{name}{suffix} is required and missing", inside(at, name))

    def second_choice(self, name: str, at: Place) -> None:
        self.add("structure", f"{name}[x] has more than one type: only one of them may be given", at)

    def target(self, type_: str, targets: Collection[str], at: Place) -> None:
        self.add("structure", f"{at[2]} may not refer to {type_}, only to {', '.join(sorted(targets))}", at)

    def unknown(
        self, name: Any, choices: Mapping[str, Collection[str]], known: Collection[str], at: Place
    ) -> None:
        """A property that the type at this place does not have; choices: value -> (valueQuantity, ...)."""
        if type(name) is not str or not _NAME(name):
            self.add("structure", f"{at[2]} has a property whose name is not that of any element", at)
            return
        hint = ""
        for choice, names in choices.items():
            if name.startswith(choice) and name[len(choice) :][:1].isupper():
                hint = f"; {choice}[x] may be {', '.join(names)}"
        if not hint and len(self.found) < _MOST_HINTS and (close := get_close_matches(name, known, 1, 0.8)):
            hint = f"; did you mean {close[0]}?"
        self.add("structure", f"{name} is not an element of {at[2]}{hint}", inside(at, name))


def _is_single(at: Place) -> bool:
    """Whether the place is an element that cannot repeat: neither an item of a list nor the root."""
    return len(at) == 3 and at[1] is not None


def _listed(codes: Collection[str]) -> str:
    return f": {', '.join(sorted(codes))}" if len(codes) <= _MOST_CODES else ""
