"""From a Goal.target to a threshold: what it bounds, how, and what is wrong with it.

https://hl7.org/fhir/R4/goal.html and profiles/published/StructureDefinition-dho-threshold.json
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from rules.plans.text import Text
from rules.plans.window import Window, read_window

THRESHOLD_URL = "https://varde.dev/fhir/StructureDefinition/dho-threshold"
UCUM = "http://unitsofmeasure.org"

Coding = tuple[str, str]
ZONES = ("red", "yellow")  # most severe first
KINDS = ("absolute", "relative", "change", "persistence")
BASELINES = ("goal", "min", "max", "median", "mean", "first", "previous")
PARTS = {
    "ruleId": str,
    "zone": str,
    "kind": str,
    "lowInclusive": bool,
    "highInclusive": bool,
    "component": dict,
    "baseline": str,
    "baselineValue": dict,
    "percent": bool,
    "window": dict,
    "n": int,
    "m": int,
    "autoResolve": int,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """What of a plan cannot be judged: where (FHIRPath), why, and for which measure (None: for any)."""

    expression: str
    text: Text
    measure: frozenset[Coding] | None = None


@dataclass(frozen=True, slots=True)
class Bound:
    """A limit of what is normal; `inclusive`: the limit itself still is."""

    value: Decimal
    unit: str
    inclusive: bool = True


@dataclass(frozen=True, slots=True)
class Threshold:
    """One zone of one rule. `codes` are what a reading's code (or component's) must be one of."""

    rule_id: str
    zone: str
    kind: str
    codes: frozenset[Coding]
    label: str
    low: Bound | None
    high: Bound | None
    baseline: str | None = None
    baseline_value: Bound | None = None
    percent: bool = False
    window: Window | None = None
    n: int = 0
    m: int = 0
    auto_resolve: int = 3
    expression: str = ""

    @property
    def unit(self) -> str:
        """The unit of the measured value; "" when only percentages are given."""
        bound = self.baseline_value or (None if self.percent else self.low or self.high)
        return bound.unit if bound else ""


class Malformed(ValueError):
    """A threshold that makes no sense; `text` says why."""

    def __init__(self, nb: str, en: str) -> None:
        self.text = Text(nb, en)
        super().__init__(en)


def read_goal(
    goal: dict[str, Any],
    expression: str = "Goal",
    same_measure: Callable[[Coding], frozenset[Coding]] = lambda coding: frozenset((coding,)),
) -> tuple[list[Threshold], list[Problem]]:
    """The thresholds of a Goal and what is wrong with the rest. Never raises, whatever the content."""
    thresholds, problems = [], []
    targets = goal.get("target")
    for position, target in enumerate(targets if isinstance(targets, list) else ()):
        where = f"{expression}.target[{position}]"
        codes: frozenset[Coding] | None = None
        try:
            if not isinstance(target, dict) or not is_threshold(target):
                continue
            codes = _expand(codings(target.get("measure")), same_measure)
            rule_id = f"{goal.get('id', 'goal')}.{position}"
            thresholds.append(_read_target(target, codes, rule_id, where, same_measure))
        except Malformed as error:
            problems.append(Problem(where, error.text, codes or None))
    return thresholds, problems


def is_threshold(target: dict[str, Any]) -> bool:
    """A target with a measure and a range or quantity is a threshold, and so is one that claims to be."""
    has_detail = "detailRange" in target or "detailQuantity" in target
    return (has_detail and "measure" in target) or any(True for _ in _claims(target))


def _claims(target: dict[str, Any]) -> Iterator[dict[str, Any]]:
    extensions = target.get("extension")
    for extension in extensions if isinstance(extensions, list) else ():
        if isinstance(extension, dict) and extension.get("url") == THRESHOLD_URL:
            yield extension


def _read_target(
    target: dict[str, Any],
    codes: frozenset[Coding],
    rule_id: str,
    expression: str,
    same_measure: Callable[[Coding], frozenset[Coding]],
) -> Threshold:
    if not codes:
        raise Malformed(
            "terskelen har ingen kodet måling (measure)", "the threshold has no coded measure to apply to"
        )
    parts = _read_parts(target)
    label = concept_label(target.get("measure"))
    if "component" in parts:
        codes = _expand(codings(parts["component"]), same_measure)
        label = concept_label(parts["component"])
        if not codes:
            raise Malformed("component mangler kode", "component has no code")
    kind = _choice(parts, "kind", KINDS, "absolute")
    low, high = _read_bounds(target, parts, kind)
    baseline_value = (
        _read_quantity(parts["baselineValue"], "baselineValue") if "baselineValue" in parts else None
    )
    threshold = Threshold(
        rule_id=parts.get("ruleId", rule_id),
        zone=_choice(parts, "zone", ZONES, "yellow"),
        kind=kind,
        codes=codes,
        label=label,
        low=low,
        high=high,
        baseline=_choice(parts, "baseline", BASELINES, "goal" if baseline_value else None),
        baseline_value=baseline_value,
        percent=parts.get("percent", False),
        window=_read_window_part(parts),
        n=parts.get("n", parts.get("m", 0)),
        m=parts.get("m", parts.get("n", 0)),
        auto_resolve=parts.get("autoResolve", 3),
        expression=expression,
    )
    _check(threshold)
    return threshold


def _read_parts(target: dict[str, Any]) -> dict[str, Any]:
    claims = list(_claims(target))
    if len(claims) > 1:
        raise Malformed("mer enn én dho-threshold på samme mål", "more than one dho-threshold on the target")
    parts: dict[str, Any] = {}
    nested = claims[0].get("extension") if claims else None
    for part in nested if isinstance(nested, list) else ():
        name = part.get("url") if isinstance(part, dict) else None
        if not isinstance(name, str) or name not in PARTS:
            raise Malformed("ukjent del i dho-threshold", "dho-threshold has a part that is not known")
        if name in parts:
            raise Malformed(f"{name} er oppgitt to ganger", f"{name} is given twice")
        values = [value for key, value in part.items() if key.startswith("value")]
        expected = PARTS[name]
        if len(values) != 1 or not isinstance(values[0], expected) or (expected is int and values[0] is True):
            raise Malformed(f"{name} har feil type", f"{name} has a value of the wrong type")
        parts[name] = values[0]
    return parts


def _choice(parts: dict[str, Any], name: str, allowed: tuple[str, ...], default: str | None) -> Any:
    value = parts.get(name, default)
    if value is not None and value not in allowed:
        listed = ", ".join(allowed)
        raise Malformed(f"{name} må være en av: {listed}", f"{name} must be one of: {listed}")
    return value


def _read_bounds(
    target: dict[str, Any], parts: dict[str, Any], kind: str
) -> tuple[Bound | None, Bound | None]:
    low_inclusive, high_inclusive = parts.get("lowInclusive", True), parts.get("highInclusive", True)
    if isinstance(detail := target.get("detailRange"), dict):
        low = _read_quantity(detail["low"], "detailRange.low", low_inclusive) if "low" in detail else None
        high = (
            _read_quantity(detail["high"], "detailRange.high", high_inclusive) if "high" in detail else None
        )
        return low, high
    if not isinstance(detail := target.get("detailQuantity"), dict):
        raise Malformed(
            "terskelen har verken detailRange eller detailQuantity",
            "the threshold has neither a detailRange nor a detailQuantity",
        )
    comparator = detail.get("comparator")
    low = _read_quantity(detail, "detailQuantity", low_inclusive and comparator != ">")
    high = _read_quantity(detail, "detailQuantity", high_inclusive and comparator != "<")
    if comparator in (">", ">=") or (comparator is None and _is_fall(low, kind)):
        return low, None
    if comparator in ("<", "<=") or (comparator is None and kind in ("relative", "change")):
        return None, high
    return low, high


def _is_fall(bound: Bound, kind: str) -> bool:
    """`-2 kg` as the detailQuantity of a change bounds a fall, `2 kg` a rise."""
    return kind in ("relative", "change") and bound.value < 0


def _read_quantity(quantity: Any, name: str, inclusive: bool = True) -> Bound:
    value = quantity.get("value") if isinstance(quantity, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Malformed(f"{name} mangler tallverdi", f"{name} has no numeric value")
    return Bound(Decimal(value), unit_of(quantity), inclusive)


def _read_window_part(parts: dict[str, Any]) -> Window | None:
    if "window" not in parts:
        return None
    quantity = parts["window"]
    window = read_window(_read_quantity(quantity, "window").value, unit_of(quantity))
    if window is None:
        raise Malformed(
            "window må være en positiv varighet i s, min, h, d, wk, mo eller a",
            "window must be a positive duration in s, min, h, d, wk, mo or a",
        )
    return window


def _check(t: Threshold) -> None:
    """What must hold between the parts, by kind. Raises Malformed."""
    if t.low is None and t.high is None:
        raise Malformed("terskelen har ingen grense", "the threshold has no bound")
    differences = t.kind in ("relative", "change")
    if t.low and t.high and t.low.unit == t.high.unit and t.low.value > t.high.value:
        raise Malformed("nedre grense er over øvre grense", "the low bound is above the high bound")
    if differences and ((t.low and t.low.value > 0) or (t.high and t.high.value < 0)):
        raise Malformed(
            "grensene for relative og change er avvik: nedre må være 0 eller mindre, øvre 0 eller mer",
            "bounds of relative and change are differences: low must be 0 or less, high 0 or more",
        )
    if t.baseline == "goal" and t.baseline_value is None:
        raise Malformed("baseline goal mangler baselineValue", "baseline goal needs a baselineValue")
    if t.kind == "relative" and t.baseline is None:
        raise Malformed("relative mangler baseline", "relative needs a baseline")
    if differences and t.window is None and t.baseline not in ("goal", "previous"):
        raise Malformed(f"{t.kind} mangler window", f"{t.kind} needs a window")
    if t.percent and not differences:
        raise Malformed("percent gjelder bare relative og change", "percent is for relative and change only")
    if t.kind == "persistence" and not 1 <= t.n <= t.m:
        raise Malformed("persistence trenger n og m, 1 ≤ n ≤ m", "persistence needs n and m with 1 <= n <= m")
    if t.auto_resolve < 0 or t.m > 1000:
        raise Malformed(
            "n, m eller autoResolve er utenfor gyldig område", "n, m or autoResolve is out of range"
        )


def unit_of(quantity: dict[str, Any]) -> str:
    """The UCUM code of a Quantity; its unit text when it carries no code; "" when it carries neither."""
    code, unit = quantity.get("code"), quantity.get("unit")
    if isinstance(code, str) and quantity.get("system", UCUM) == UCUM:
        return code
    return unit if isinstance(unit, str) and "system" not in quantity else ""


def codings(concept: Any) -> frozenset[Coding]:
    """The (system, code) pairs of a CodeableConcept; codings without a code are left out."""
    listed = concept.get("coding") if isinstance(concept, dict) else None
    return frozenset(
        (str(coding.get("system", "")), coding["code"])
        for coding in (listed if isinstance(listed, list) else ())
        if isinstance(coding, dict) and isinstance(coding.get("code"), str)
    )


def concept_label(concept: Any) -> str:
    """What a person calls it: the text, else the first display, else the first code."""
    if not isinstance(concept, dict):
        return ""
    if isinstance(concept.get("text"), str):
        return str(concept["text"])
    listed = [c for c in concept.get("coding") or () if isinstance(c, dict)]
    for key in ("display", "code"):
        for coding in listed:
            if isinstance(coding.get(key), str):
                return str(coding[key])
    return ""


def _expand(
    found: frozenset[Coding], same_measure: Callable[[Coding], frozenset[Coding]]
) -> frozenset[Coding]:
    return frozenset(other for coding in found for other in same_measure(coding))
