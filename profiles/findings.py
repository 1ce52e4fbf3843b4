"""What a check of a profile found wrong, said so that a person can mend it.

https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/valueset-issue-type.html
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from profiles.problems import Place, Problem, Problems, inside, path


class Findings(Problems):
    """Collects findings of the types' checks and of those of profiles."""

    __slots__ = ()

    def fixed(self, wanted: Any, value: Any, at: Place) -> None:
        self.add("value", f"{at[2]} must be {_told(wanted)}", at)

    def pattern(self, wanted: Any, at: Place) -> None:
        self.add("value", f"{at[2]} must have at least {_told(wanted)}", at)

    def too_long(self, most: int, at: Place) -> None:
        self.add("too-long", f"{at[2]} may have {most} characters", at)

    def beyond(self, limit: Any, lower: bool, at: Place) -> None:
        bound = "at least" if lower else "at most"
        self.add("invalid", f"{at[2]} must be {bound} {_told(limit.value)}", at)

    def wrong_resource(self, types: Collection[str], at: Place) -> None:
        self.add("structure", f"{at[2]} must be a resource of type {_list(types)}", at)

    def wrong_type(self, type_: str, types: Collection[str], at: Place) -> None:
        self.add("structure", f"{at[2]}: the type must be {_list(types)}", at)

    def too_few(self, name: str, least: int, found: int, at: Place) -> None:
        if least == 1:
            self.missing(name, at)
        else:
            self.add("structure", f"{name} must occur at least {least} times, not {found}", inside(at, name))

    def too_many(self, name: str, most: int, found: int, at: Place) -> None:
        self.add("structure", f"{name} may occur at most {most} times, not {found}", inside(at, name))

    def forbidden(self, name: str, at: Place) -> None:
        self.add("structure", f"{name} may not be given", inside(at, name))

    def unsliced(self, at: Place) -> None:
        self.add("structure", f"{at[2]} is of none of the slices, and there may be no others", at)

    def unordered(self, at: Place) -> None:
        self.add("structure", f"{at[2]} stands behind an item of a slice that must come after it", at)

    def slice_few(self, name: str, slice_: str, least: int, found: int, at: Place) -> None:
        times = "once" if least == 1 else f"{least} times"
        self.add("structure", f"{name}: the slice {slice_} must occur at least {times}, not {found}", at)

    def slice_many(self, name: str, slice_: str, most: int, found: int, at: Place) -> None:
        times = "not" if most == 0 else "at most once" if most == 1 else f"at most {most} times"
        self.add("structure", f"{name}: the slice {slice_} may occur {times}, found {found}", at)


class Refusals(Findings):
    """Collects errors only: what decides whether a resource is as a profile says."""

    __slots__ = ()

    def add(
        self, code: str, diagnostics: str, at: Place, severity: str = "error", rule: str | None = None
    ) -> None:
        if severity == "error":
            super().add(code, diagnostics, at, severity, rule)


def too_long(at: Place) -> Problem:
    """What is said where a check was given up."""
    said = "This takes too long to judge: only a part of it was looked at"
    return Problem("error", "too-costly", said, path(at))


def _list(names: Collection[str]) -> str:
    return " or ".join(sorted(names)[:20])


def _told(value: Any) -> str:
    """A profile's own value: it is public, but may be long."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_told(item)}" for name, item in list(value.items())[:8]) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_told(item) for item in value[:4]) + "]"
    return (
        f"'{value[:200]}'"
        if isinstance(value, str)
        else str(value).lower()
        if value in (True, False)
        else str(value)
    )
