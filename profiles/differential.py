"""A profile as a tree of what it asks beyond its type: differentials merged over the chain of profiles.

https://hl7.org/fhir/R4/profiling.html, https://hl7.org/fhir/R4/elementdefinition.html. What the type itself
asks is judged by the type's own check, so the tree holds only the elements that some differential names.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

from profiles.definitions import Definitions, Element
from profiles.tree import (
    HL7,
    Node,
    Profile,
    ProfileError,
    Resource,
    UnknownBaseError,
    additional_of,
    code,
    value_of,
    widest_of,
)

Resolve = Callable[[str], Resource | None]  # canonical -> StructureDefinition
DEEPEST_CHAIN = 50
MOST_ELEMENTS = 5_000
DEEPEST_PATH = 60  # elements, and slices of slices
_STRENGTHS = ("example", "preferred", "extensible", "required")


def read_profile(definition: Resource, resolve: Resolve, definitions: Definitions) -> Profile:
    """The tree of a StructureDefinition with derivation constraint; ProfileError with all reasons."""
    return _read(definition, resolve, definitions, ())


def _read(
    definition: Resource, resolve: Resolve, definitions: Definitions, below: tuple[str, ...]
) -> Profile:
    url, type_, base = (definition.get(key) for key in ("url", "type", "baseDefinition"))
    if not isinstance(type_, str) or type_ not in definitions.types:
        raise ProfileError([("type is not the name of an R4 type", "")])
    if url in below or len(below) > DEEPEST_CHAIN:
        raise ProfileError([("The profile derives from itself", "")])
    if not isinstance(base, str):
        raise ProfileError([("A profile needs a baseDefinition", "")])
    name = base.partition("|")[0].removeprefix(HL7)
    if name in definitions.types and resolve(base) is None:
        parent = None
        if name not in definitions.bases(type_):
            raise ProfileError([(f"{type_} is not a kind of {name}", "")])
    else:
        found = resolve(base)
        if found is None:
            raise UnknownBaseError([(f"The base definition {base} is not known here", "")])
        parent = _read(found, resolve, definitions, (*below, str(url)))
        if parent.type != type_:
            raise ProfileError([(f"The profile is of {type_} and its base of {parent.type}", "")])
    root = copy.deepcopy(parent.root) if parent else Node(type_, type_, None, {"type": [{"code": type_}]})
    merge = _Merge(root, str(url), resolve, definitions, below)
    elements = definition.get("differential", {}).get("element") or _from_snapshot(definition)
    merge.elements(elements)
    if merge.problems:
        raise ProfileError(merge.problems)
    if sum(1 for _ in root.walk()) > MOST_ELEMENTS:
        said = f"A profile and those it derives from may have {MOST_ELEMENTS} elements together"
        raise ProfileError([(said, "")])
    lineage = (str(url), *(parent.lineage if parent else ()))
    return Profile(str(url), definition.get("version"), type_, lineage, root, definition)


def _from_snapshot(definition: Resource) -> list[Resource]:
    """A profile without a differential: its snapshot says the same, and more."""
    elements: list[Resource] = definition.get("snapshot", {}).get("element", [])
    return elements


class _Merge:
    """Applies the elements of one differential to the tree of the base, collecting what does not fit."""

    def __init__(
        self, root: Node, url: str, resolve: Resolve, definitions: Definitions, below: tuple[str, ...]
    ) -> None:
        self.root = root
        self.url = url
        self.below = (*below, url)
        self.resolve = resolve
        self.definitions = definitions
        self.problems: list[tuple[str, str]] = []
        self.slices: dict[str, str] = {}  # path -> the slice last named at it, for elements without ids

    def elements(self, elements: list[Resource]) -> None:
        if len(elements) > MOST_ELEMENTS:
            raise ProfileError([(f"A profile may have {MOST_ELEMENTS} elements", "")])
        for element in elements:
            path, id_ = element.get("path", ""), element.get("id", "")
            try:
                node = self.find(element)
            except LookupError as error:
                self.problems.append((str(error.args[0]), id_ or path))
                continue
            self.merge(node, element, id_ or path)
        for node in self.root.walk():
            self.check_slices(node)

    # Which node an element is about.

    def find(self, element: Resource) -> Node:
        names = self.steps(element)
        if len(names) > DEEPEST_PATH or any(slice_.count("/") > DEEPEST_PATH for _, slice_ in names):
            raise LookupError(f"A path may have {DEEPEST_PATH} steps")
        if names[0][0] != self.root.name:
            raise LookupError(f"The path must start with {self.root.name}")
        node = self.root
        for name, slice_ in names[1:]:
            parent, node = node, self.child(node, name)
            if slice_ and self.is_sliced(node, element):
                is_new = slice_ not in node.slices
                node = self.slice(node, slice_)
                if is_new:
                    self.inherit(parent, node, slice_)
        return node

    def inherit(self, parent: Node, new: Node, name: str) -> None:
        """A slice of what follows a profile of its own is the slice of that name there, if there is one."""
        for url in [url for type_ in parent.types for url in type_.get("profile", ())]:
            definition = self.resolve(url)
            if definition is None:
                continue
            with suppress(ProfileError):  # what is wrong with it is told where it is compiled
                there = _read(definition, self.resolve, self.definitions, self.below).root
                known = there.children[new.name].slices.get(name) if new.name in there.children else None
                if known is not None:
                    new.facts = copy.deepcopy(known.facts)
                    new.children = copy.deepcopy(known.children)

    @staticmethod
    def is_sliced(node: Node, element: Resource) -> bool:
        """Old profiles give names to elements that occur once and are not sliced at all."""
        single = node.element is not None and node.element.max == 1 and not node.element.choice
        return not single or "slicing" in node.facts or bool(node.slices)

    def steps(self, element: Resource) -> list[tuple[str, str]]:
        """(name, slice or "") of each step, from the id where it goes with the path, else from the order."""
        path: str = element.get("path", "")
        names = path.split(".")
        ids = [part.partition(":") for part in str(element.get("id", "")).split(".")]
        own: str = element.get("sliceName", "")
        if len(ids) == len(names) and all(_same(i[0], n) for i, n in zip(ids, names, strict=True)):
            steps = [(n, i[2]) for i, n in zip(ids, names, strict=True)]
            if own and not steps[-1][1]:
                steps[-1] = (steps[-1][0], own)
            return steps
        for known in [p for p in self.slices if p == path or p.startswith(path + ".")]:
            del self.slices[known]
        if own:
            self.slices[path] = own
        paths = [".".join(names[: n + 1]) for n in range(len(names))]
        return [(name, self.slices.get(at, "")) for name, at in zip(names, paths, strict=True)]

    def child(self, node: Node, name: str) -> Node:
        short = name.removesuffix("[x]")
        if short in node.children:
            return node.children[short]
        element, property_ = self.element(node, short)
        if element is None:
            raise LookupError(f"{short} is not an element of {node.id}")
        found = node.children.get(element.name)
        if found is None:
            shown = element.name + "[x]" * element.choice
            found = node.children[element.name] = Node(f"{node.id}.{shown}", element.name, element)
            if node.sliced is not None and element.name in node.sliced.children:
                # A profile may have said of all items what holds in this slice as well.
                found.facts = copy.deepcopy(
                    {k: v for k, v in node.sliced.children[element.name].facts.items() if k == "slicing"}
                )
        return self.slice(found, property_) if property_ else found

    def element(self, node: Node, name: str) -> tuple[Element | None, str]:
        """The base definition of a child, and "valueQuantity" where the name is one type of a choice."""
        for type_ in node.codes:
            if type_ not in self.definitions.types:
                continue
            elements = self.definitions.types[type_].elements
            if name in elements:
                return elements[name], ""
            for element in elements.values():
                if element.choice and name in element.properties:
                    return element, name
        return None, ""

    def slice(self, node: Node, name: str) -> Node:
        """The slice of an element, made if it is new; "a/b" is the slice b of a slice a, if there is one."""
        owner = self._known(node, name.rpartition("/")[0])
        return self._known(node, name) or self._slice(owner or node, name)

    def _known(self, node: Node, name: str) -> Node | None:
        if not name or name in node.slices:
            return node.slices.get(name)
        owner = self._known(node, name.rpartition("/")[0])
        return owner.slices.get(name) if owner else None

    def _slice(self, node: Node, name: str) -> Node:
        found = node.slices.get(name)
        if found is None:
            base_id = node.id.rpartition(":")[0] if node.sliced else node.id
            found = node.slices[name] = Node(f"{base_id}:{name}", node.name, node.element, sliced=node)
            found.facts["min"] = 0
            if node.element and node.element.choice and name in node.element.properties:
                type_ = node.element.properties[name]
                found.facts["type"] = [given for given in node.types if code(given) == type_.code] or [
                    {"code": type_.code}
                ]
        return found

    # What an element says.

    def merge(self, node: Node, element: Resource, where: str) -> None:
        for name, value in element.items():
            if name in ("min", "max", "type", "binding", "constraint", "slicing", "maxLength"):
                said = getattr(self, name)(node, value)
            elif name.startswith(("fixed", "pattern")):
                said = self.value(node, name, value)
            elif name == "short" or name.startswith(("minValue", "maxValue")):
                node.facts[name] = value
                continue
            else:
                continue
            if said:
                self.problems.append((said, where))

    def min(self, node: Node, value: int) -> str:
        base = 0 if node.sliced else (node.element.min if node.element else 0)
        known = max(base, node.facts.get("min", 0))
        node.facts["min"] = max(value, known)
        if value < known and node.element is not None:
            return f"min {value} is less than the {known} of the base"
        return ""

    def max(self, node: Node, value: str) -> str:
        base = node.element.max if node.element else None
        known = node.facts.get("max", base)
        wanted = None if value == "*" else int(value) if value.isdigit() else -1
        if wanted == -1:
            return "max is neither a number nor *"
        if known is not None and (wanted is None or wanted > known):
            node.facts["max"] = known
            return "" if node.element is None else f"max {value} is more than the {known} of the base"
        node.facts["max"] = wanted
        return ""

    def type(self, node: Node, value: list[Resource]) -> str:
        if node.element is None:
            return ""
        allowed = node.codes
        if elsewhere := list(_elsewhere(value)):
            node.facts["elsewhere"] = elsewhere
        for type_ in value:
            name = code(type_)
            if name not in allowed and not self.is_kind(name, allowed) and not self.is_backbone(node, name):
                return f"The type {name} is none of the base: {', '.join(allowed[:20])}"
        if self.is_backbone(node, code(value[0])) if value else True:
            return ""
        known = {code(t): t for t in node.types}
        node.facts["type"] = [_narrowed(t, known.get(code(t))) for t in value]
        return ""

    def is_kind(self, name: str, allowed: list[str]) -> bool:
        if name not in self.definitions.types:
            return False
        return not set(self.definitions.bases(name)).isdisjoint(allowed)

    def is_backbone(self, node: Node, name: str) -> bool:
        """Profiles repeat BackboneElement for what the table calls Observation.component."""
        return name in ("BackboneElement", "Element") and any("." in known for known in node.codes)

    def value(self, node: Node, name: str, value: Any) -> str:
        known = value_of(node.facts, "fixed")
        if name.startswith("fixed") and known is not None and known != value:
            return "The fixed value differs from that of the base"
        if name.startswith("pattern") and (before := value_of(node.facts, "pattern")) is not None:
            node.facts.setdefault("patterns", []).append(before)
            node.facts = {k: v for k, v in node.facts.items() if not _is_value(k, "pattern")}
        node.facts[name] = value
        return ""

    def binding(self, node: Node, value: Resource) -> str:
        known = node.facts.get("binding", {}).get("strength")
        if known is None and node.element and node.element.binding:
            known = node.element.binding.strength
        strength = value.get("strength", "example")
        if strength not in _STRENGTHS:
            return "The strength of the binding is none of required, extensible, preferred, example"
        if known in _STRENGTHS and _STRENGTHS.index(strength) < _STRENGTHS.index(known):
            return f"The binding is {strength}, and {known} in the base"
        if value.get("valueSet") or strength == "required" or widest_of(value):
            before = node.facts.get("binding", {})
            kept = {"extension": before["extension"]} if widest_of(before) and not widest_of(value) else {}
            node.facts["binding"] = {**kept, **value}
        node.facts["additional"] = [*node.facts.get("additional", ()), *additional_of(value)]
        return ""

    def constraint(self, node: Node, value: list[Resource]) -> str:
        known = {item["key"]: item for item in node.facts.get("constraint", [])}
        for item in value:
            if item.get("expression") and item.get("source", self.url) in (self.url, None):
                known[item["key"]] = {**item, "profile": self.url}
        node.facts["constraint"] = list(known.values())
        return ""

    def slicing(self, node: Node, value: Resource) -> str:
        known = node.facts.get("slicing")
        merged = {**(known or {}), **value}
        if known and not value.get("discriminator"):
            merged["discriminator"] = known.get("discriminator", [])
        node.facts["slicing"] = merged
        if known and known.get("rules") == "closed" and value.get("rules") in ("open", "openAtEnd"):
            merged["rules"] = "closed"
            return "The slicing is closed in the base and cannot be opened"
        return ""

    def maxLength(self, node: Node, value: int) -> str:
        known = node.facts.get("maxLength")
        node.facts["maxLength"] = value if known is None else min(known, value)
        return f"maxLength {value} is more than the {known} of the base" if known and value > known else ""

    def check_slices(self, node: Node) -> None:
        limit = node.facts.get("max", node.element.max if node.element else None)
        needed = sum(slice_.facts.get("min", 0) for slice_ in node.slices.values())
        if limit is not None and needed > limit and not node.sliced:
            self.problems.append((f"The slices need {needed} together, and max is {limit}", node.id))
        lowest, highest = node.facts.get("min", 0), node.facts.get("max", limit)
        if highest is not None and lowest > highest:
            self.problems.append((f"min {lowest} is more than max {highest}", node.id))


def _elsewhere(types: list[Resource]) -> Iterator[tuple[str, str]]:
    """(profile, id of an element in it) that a backbone element is asked to be like.

    https://hl7.org/fhir/R4/extension-elementdefinition-profile-element.html
    """
    for type_ in types:
        urls, beside = type_.get("profile", []), type_.get("_profile", [])
        for url, more in zip(urls, beside, strict=False):
            for extension in (more or {}).get("extension", ()):
                if extension.get("url") == HL7 + "elementdefinition-profile-element":
                    yield url, str(extension.get("valueString"))


def _same(of_id: str, of_path: str) -> bool:
    return of_id == of_path or of_id.removesuffix("[x]") == of_path.removesuffix("[x]")


def _is_value(name: str, kind: str) -> bool:
    return name.startswith(kind) and name[len(kind) :][:1].isupper()


def _narrowed(type_: Resource, known: Resource | None) -> Resource:
    """The type of a differential with what the base says where it says nothing itself."""
    kept = {
        k: v
        for k, v in type_.items()
        if k in ("code", "profile", "targetProfile", "aggregation", "versioning")
    }
    if known:
        for name in ("profile", "targetProfile", "aggregation", "versioning"):
            if name in known and name not in kept:
                kept[name] = known[name]
    return kept
