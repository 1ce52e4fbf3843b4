"""A slow, plain reading of StructureDefinitions, to hold the compiled checks against.

https://hl7.org/fhir/R4/elementdefinition.html. Element by element of the differentials, each time from the
root of the resource; nothing is merged, nothing is compiled. It knows min, max, fixed and pattern, maxLength,
required bindings, the types of a choice, targets of references, profiles of types; slicing by value, pattern,
exists, type, profile and position, open, closed, openAtEnd, ordered, and slices of slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Element = Mapping[str, Any]
HL7 = "http://hl7.org/fhir/StructureDefinition/"
CHOICES = {"deceased": ("Boolean", "DateTime"), "value": ("String", "Integer")}


@dataclass(frozen=True)
class Chosen:
    """The value of a choice element, with its type as the property names it."""

    type: str
    value: Any


@dataclass(frozen=True)
class World:
    """The profiles by their URL, the codes of value sets, and what references lead to."""

    definitions: Mapping[str, Mapping[str, Any]]
    codes: Mapping[str, frozenset[str]]
    targets: Mapping[str, Mapping[str, Any]]

    def keeps(self, value: Any, url: str) -> bool:
        """Whether a value is as a profile and those that it derives from say."""
        elements = list(self.elements(url))
        return all(self.element(value, element, elements) for element in elements)

    def elements(self, url: str) -> Iterator[Element]:
        """Those of all differentials of the chain, the base's first."""
        if url in self.definitions:
            yield from self.elements(self.definitions[url]["baseDefinition"])
            yield from self.definitions[url]["differential"]["element"]

    def element(self, root: Any, element: Element, elements: list[Element]) -> bool:
        *above, last = element["id"].split(".")
        if not above:
            return True
        return all(self.in_parent(p, above, last, element, elements) for p in self.at(root, above, elements))

    def in_parent(
        self, parent: Any, above: list[str], last: str, element: Element, elements: list[Element]
    ) -> bool:
        name, _, slice_ = last.partition(":")
        way = ".".join([*above, name])
        items = children(parent, name)
        sorted_ = [(item, self.slice_of(item, n, way, elements)) for n, item in enumerate(items)]
        if slice_:
            items = [item for item, found in sorted_ if is_in(found, slice_)]
        most = element.get("max", "*")
        if len(items) < element.get("min", 0) or (most != "*" and len(items) > int(most)):
            return False
        if not all(self.value(item, element) for item in items):
            return False
        return "slicing" not in element or self.sliced(element, sorted_, slice_, way, elements)

    def at(self, root: Any, steps: list[str], elements: list[Element]) -> list[Any]:
        """Every object at a path, of the slices that it names."""
        found = [root]
        for n, step in enumerate(steps[1:], 1):
            name, _, slice_ = step.partition(":")
            way = ".".join([*steps[:n], name])
            found = [
                item
                for parent in found
                for place, item in enumerate(children(parent, name))
                if not slice_ or is_in(self.slice_of(item, place, way, elements), slice_)
            ]
        return [plain(item) for item in found]

    # What an element says of each of its values.

    def value(self, item: Any, element: Element) -> bool:
        value, types = plain(item), element.get("type", ())
        if isinstance(item, Chosen) and types and item.type not in [capital(t["code"]) for t in types]:
            return False
        for name, wanted in element.items():
            if name.startswith("fixed") and value != wanted:
                return False
            if name.startswith("pattern") and not has(value, wanted):
                return False
            if name == "maxLength" and len(value) > wanted:
                return False
        binding = element.get("binding", {})
        if binding.get("strength") == "required" and not self.is_bound(value, binding["valueSet"]):
            return False
        return all(self.type(value, type_) for type_ in types if len(types) == 1)

    def is_bound(self, value: Any, value_set: str) -> bool:
        if isinstance(value, str):
            return value in self.codes[value_set]
        return any(coding.get("code") in self.codes[value_set] for coding in value.get("coding", ()))

    def type(self, value: Any, type_: Mapping[str, Any]) -> bool:
        """The profiles of the one type that an element may have, and the targets of a Reference."""
        profiles, targets = type_.get("profile", ()), type_.get("targetProfile", ())
        if profiles and not any(self.keeps(value, url) for url in profiles):
            return False
        if not targets or "reference" not in value:
            return True
        target = self.targets.get(value["reference"])
        return target is None or any(self.is_of(target, url) and self.keeps(target, url) for url in targets)

    def is_of(self, resource: Mapping[str, Any], url: str) -> bool:
        definition = self.definitions.get(url)
        return resource["resourceType"] == (definition["type"] if definition else url.removeprefix(HL7))

    # Slices

    def slicing(self, way: str, elements: list[Element]) -> dict[str, Any]:
        """What the elements say of how the items at a place are sliced; extensions always are, by their url."""
        said: dict[str, Any] = {}
        for element in elements:
            if element["id"] == way:
                said |= element.get("slicing", {})
        by_url = {"discriminator": [{"type": "value", "path": "url"}]}
        return said or (by_url if way.endswith("extension") else {})

    def names(self, way: str, elements: list[Element]) -> list[str]:
        """The slices directly at a place, in their order: home, and home/mail at telecom:home."""
        above, _, inner = way.rpartition(":") if ":" in way.rpartition(".")[2] else (way, "", "")
        start = f"{above}:{inner}/" if inner else f"{above}:"
        found = [e["id"].removeprefix(start) for e in elements if e["id"].startswith(start)]
        return list(dict.fromkeys(inner + "/" + n if inner else n for n in found if not set(n) & {".", "/"}))

    def slice_of(self, item: Any, place: int, way: str, elements: list[Element]) -> str | None:
        """The first slice that the item is of, or the one inside that; None for none."""
        above = way.rpartition(":")[0] if ":" in way.rpartition(".")[2] else way
        by = self.slicing(way, elements).get("discriminator", [])
        for n, name in enumerate(self.names(way, elements)):
            if by and all(self.tells(item, place, n, f"{above}:{name}", d, elements) for d in by):
                return self.slice_of(item, place, f"{above}:{name}", elements) or name
        return None

    def tells(
        self, item: Any, place: int, n: int, slice_: str, by: Mapping[str, str], elements: list[Element]
    ) -> bool:
        """Whether a discriminator says that the item is of the slice, the n-th."""
        if by["type"] == "position":
            return place == n
        path, value = by["path"], plain(item)
        own = [e for e in elements if e["id"] == slice_]
        there = (
            own if path in ("$this", "resolve()") else [e for e in elements if e["id"] == f"{slice_}.{path}"]
        )
        match by["type"]:
            case "exists":
                wanted = not any(e.get("max") == "0" for e in there)
                return (path in value) is wanted
            case "type" if path == "$this":
                return item.type in [capital(t["code"]) for e in own for t in e.get("type", ())]
            case "type" | "profile":
                urls = [url for e in own for t in e.get("type", ()) for url in t["targetProfile"]]
                target = self.targets.get(value.get("reference"))
                is_kept = by["type"] == "profile"
                return target is not None and any(
                    self.is_of(target, url) and (not is_kept or self.keeps(target, url)) for url in urls
                )
        if path == "url":
            return value["url"] in [url for e in own for t in e.get("type", ()) for url in t["profile"]]
        found = value if path == "$this" else value.get(path)
        return (
            found is not None
            and all(self.value(found, e) for e in there if tells(e))
            and any(map(tells, there))
        )

    def sliced(
        self,
        element: Element,
        items: list[tuple[Any, str | None]],
        within: str,
        way: str,
        elements: list[Element],
    ) -> bool:
        """The rules of a slicing: which items may be of no slice, and in which order they stand."""
        names = self.names(f"{way}:{within}" if within else way, elements)
        found = [slice_ for _, slice_ in items if not within or is_in(slice_, within)]
        places = [next((n for n, name in enumerate(names) if is_in(one, name)), None) for one in found]
        known = [n for n in places if n is not None]
        slicing = element["slicing"]
        if slicing.get("rules") == "closed" and None in places:
            return False
        if slicing.get("rules") == "openAtEnd" and None in places[: len(known)]:
            return False
        return not slicing.get("ordered") or known == sorted(known)


def tells(element: Element) -> bool:
    """Whether an element says a value by which a slice can be told."""
    return any(name.startswith(("fixed", "pattern")) or name == "binding" for name in element)


def is_in(slice_: str | None, name: str) -> bool:
    return slice_ is not None and (slice_ == name or slice_.startswith(name + "/"))


def children(parent: Any, name: str) -> list[Any]:
    parent = plain(parent)
    if not isinstance(parent, Mapping):
        return []
    if name.endswith("[x]"):
        short = name.removesuffix("[x]")
        return [Chosen(type_, parent[short + type_]) for type_ in CHOICES[short] if short + type_ in parent]
    value = parent.get(name, [])
    return value if isinstance(value, list) else [value]


def plain(item: Any) -> Any:
    return item.value if isinstance(item, Chosen) else item


def capital(code: str) -> str:
    return code[0].upper() + code[1:]


def has(item: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(item, dict) and all(k in item and has(item[k], v) for k, v in wanted.items())
    if isinstance(wanted, list):
        return isinstance(item, list) and all(any(has(i, w) for i in item) for w in wanted)
    return bool(item == wanted)
