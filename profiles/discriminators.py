"""How an item of a sliced list is told to be of a slice.

https://hl7.org/fhir/R4/profiling.html#discriminator. A discriminator's path is walked twice: over the
profile, to find what the slice asks there, and over an instance, to find the values that must be so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from profiles.context import Context
from profiles.definitions import Definitions
from profiles.problems import Place, Problems, inside
from profiles.tree import Node, Profile, ProfileError, code, value_of

Step = tuple[str, str]  # (name | extension | resolve | ofType, its argument)
_STEP = re.compile(
    r"""\$this|(?P<call>extension|ofType|resolve)\(\s*['"]?(?P<of>[^'")]*)['"]?\s*\)"""
    r"|(?P<name>[A-Za-z][A-Za-z0-9]*(\[x\])?)"
)
_MOST_STEPS = 60
_MOST_DISCRIMINATORS = 30
_KINDS = frozenset({"value", "pattern", "exists", "type", "profile", "position"})


@dataclass(frozen=True, slots=True)
class Test:
    """What an item must be at the end of the steps: kind is equal | fits | member | exists | type | profile |
    passes | place, and `wanted` the value, pattern, value set, whether, types, canonicals, Node or index."""

    kind: str
    steps: tuple[Step, ...]
    wanted: Any


def steps(path: str) -> tuple[Step, ...]:
    """A discriminator's path; ValueError for what such a path may not hold."""
    found: list[Step] = []
    at = 0
    while at < len(path):
        match = _STEP.match(path, at)
        if match is None:
            raise ValueError(f"'{path[:80]}' is not a path that a discriminator may have")
        if match["call"]:
            found.append((match["call"], match["of"]))
        elif match["name"]:
            found.append(("name", match["name"].removesuffix("[x]")))
        at = match.end()
        if at < len(path):
            if path[at] != ".":
                raise ValueError(f"'{path[:80]}' is not a path that a discriminator may have")
            at += 1
    if len(found) > _MOST_STEPS:
        raise ValueError(f"The path of a discriminator may have {_MOST_STEPS} steps")
    return tuple(found)


class Discriminators:
    """Finds the tests of slices; `profile` reads the profile of a canonical, None where it is not known."""

    def __init__(self, definitions: Definitions, profile: Callable[[str], Profile | None]) -> None:
        self.definitions = definitions
        self.profile = profile

    def tests(self, node: Node, slice_: Node, place: int) -> tuple[Test, ...]:
        """The tests of one slice of `node`; ProfileError where nothing can tell it."""
        slicing = node.facts.get("slicing") or self.usual(node)
        found: list[Test] = []
        discriminators = slicing.get("discriminator", ())
        if len(discriminators) > _MOST_DISCRIMINATORS:
            raise ProfileError([(f"A slicing may have {_MOST_DISCRIMINATORS} discriminators", node.id)])
        for discriminator in discriminators:
            kind = discriminator.get("type")
            if kind not in _KINDS:
                raise ProfileError([(f"There is no discriminator of type {str(kind)[:40]}", node.id)])
            try:
                way = steps(str(discriminator.get("path", "")))
            except ValueError as error:
                raise ProfileError([(str(error), node.id)]) from None
            test = Test("place", (), place) if kind == "position" else self.test(kind, way, slice_)
            if test:
                found.append(test)
        if not found:
            raise ProfileError([("No discriminator tells what is in this slice", slice_.id)])
        return tuple(found)

    @staticmethod
    def usual(node: Node) -> dict[str, Any]:
        """Extensions are sliced by their url and choices by their type where nobody says how."""
        if node.name in ("extension", "modifierExtension"):
            return {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}
        if node.element and node.element.choice:
            return {"discriminator": [{"type": "type", "path": "$this"}], "rules": "open"}
        return {}

    def test(self, kind: str, way: tuple[Step, ...], slice_: Node) -> Test | None:
        nodes = [slice_]
        for step in way:
            if step == ("name", "url"):
                urls = [
                    p for n in nodes for t in n.types if code(t) == "Extension" for p in t.get("profile", ())
                ]
                if urls:
                    return Test("equal", way, urls[0].partition("|")[0])
            # each once: a profile that asks for itself inside itself gives the same ones again and again
            further = (after for node in nodes for after in self.after(node, step))
            nodes = list({id(node): node for node in further}.values())
        return self.wanted(kind, way, nodes) or _of_whole(kind, way, slice_)

    def after(self, node: Node, step: Step) -> Iterator[Node]:
        """The nodes of a profile that say something of what is a step further."""
        kind, of = step
        if kind == "name":
            for root in self.same(node):
                child = root.children.get(of)
                if child is not None:
                    yield child
                    yield from (s for s in child.slices.values() if s.facts.get("min"))
                elif (choice := self.choice(root, of)) is not None:
                    yield choice
        elif kind == "extension":
            for root in self.same(node):
                for child in root.children.values():
                    yield from (s for s in child.slices.values() if _is_extension(s, of))
        elif kind == "ofType":
            yield node
            yield from (s for s in node.slices.values() if of in s.codes)
        elif kind == "resolve":
            for type_ in node.types:
                for url in type_.get("targetProfile", ()):
                    found = self.profile(url)
                    name = found.type if found else url.rpartition("/")[2]
                    as_type = {"code": name, "profile": [url]} if found else {"code": name}
                    yield Node(name, name, None, {"type": [as_type]})

    @staticmethod
    def choice(node: Node, name: str) -> Node | None:
        for child in node.children.values():
            if child.element and child.element.choice and name in child.element.properties:
                return child.slices.get(name)
        return None

    def same(self, node: Node) -> Iterator[Node]:
        """The node and the roots of the profiles that its type is asked to follow."""
        yield node
        for type_ in node.types:
            for url in type_.get("profile", ()):
                if found := self.profile(url):
                    yield found.root
        yield from self.elsewhere(node)

    def elsewhere(self, node: Node) -> Iterator[Node]:
        """The elements of other profiles that a backbone element is asked to be like."""
        for url, id_ in node.facts.get("elsewhere", ()):
            found = self.profile(url)
            yield from (other for other in (found.root.walk() if found else ()) if other.id == id_)

    def wanted(self, kind: str, way: tuple[Step, ...], nodes: list[Node]) -> Test | None:
        if kind == "exists":
            for node in nodes:
                if node.facts.get("max") == 0:
                    return Test("exists", way, False)
                if node.facts.get("min", 0) > 0:
                    return Test("exists", way, True)
            return None
        if kind == "type":
            codes = frozenset(name for node in nodes for name in node.codes)
            return Test("type", way, codes) if codes else None
        if kind == "profile":
            urls = tuple(u for n in nodes for t in n.types for u in t.get("profile", ()))
            urls = urls or tuple(n.id for n in nodes if n.element is None)
            return Test("profile", way, urls) if urls else None
        return self.value(way, nodes)

    def value(self, way: tuple[Step, ...], nodes: list[Node]) -> Test | None:
        for node in [same for start in nodes for same in self.same(start)]:
            for kind, word in (("equal", "fixed"), ("fits", "pattern")):
                wanted = value_of(node.facts, word)
                if wanted is not None:
                    return Test(kind, way, wanted)
            binding = node.facts.get("binding", {})
            if binding.get("strength") == "required" and binding.get("valueSet"):
                return Test("member", way, binding["valueSet"].partition("|")[0])
            asked = [
                child.facts.keys() - {"slicing", "short"} or child.children
                for child in node.children.values()
            ]
            if any(asked):
                return Test("passes", way, node)
        return None


def _of_whole(kind: str, way: tuple[Step, ...], slice_: Node) -> Test | None:
    """What the fixed value or the pattern of the slice as a whole says at the end of the path."""
    for test, word in (("equal", "fixed"), ("fits", "pattern")):
        value = value_of(slice_.facts, word)
        for name, of in way:
            value = value[0] if isinstance(value, list) and value else value
            value = value.get(of) if isinstance(value, dict) and name == "name" else None
        if value is not None and kind in ("value", "pattern"):
            return Test(test, way, value)
    return None


def _is_extension(node: Node, url: str) -> bool:
    urls = [u.partition("|")[0] for t in node.types for u in t.get("profile", ())]
    own = node.children.get("url")
    return url in urls or (own is not None and value_of(own.facts, "fixed") == url)


# Over an instance: a value, the type that its property says (of a choice), and its place.
Reached = tuple[Any, str | None, Place]


def reach(value: Any, type_: str | None, way: tuple[Step, ...], at: Place, out: Problems) -> list[Reached]:
    """The values at the end of a discriminator's path."""
    if out.context is not None:
        out.context.spend()
    found: list[Reached] = [(value, type_, at)]
    for step in way:
        found = [after for item in found for after in _after(item, step, out.context)]
    return found


def _after(item: Reached, step: Step, context: Context) -> Iterator[Reached]:
    value, type_, at = item
    kind, of = step
    if kind == "ofType":
        if type_ == of or (isinstance(value, dict) and value.get("resourceType") == of):
            yield item
        return
    if not isinstance(value, dict):
        return
    if kind == "resolve":
        reference = value.get("reference")
        target = context.target(reference, at) if isinstance(reference, str) and context else None
        if target is not None:
            yield target, None, at
    elif kind == "extension":
        for index, extension in enumerate(_list(value.get("extension"))):
            if isinstance(extension, dict) and extension.get("url") == of:
                yield extension, "Extension", inside(at, "extension", index)
    elif of in value:
        child = value[of]
        if isinstance(child, list):
            for index, one in enumerate(child):
                yield one, None, inside(at, of, index)
        else:
            yield child, None, inside(at, of)
    else:
        for name, child in value.items():
            if name.startswith(of) and name[len(of) :][:1].isupper():
                rest = name[len(of) :]
                lower = rest[0].lower() + rest[1:]
                yield child, rest if isinstance(child, dict) else lower, inside(at, f"{of}.ofType({rest})")


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
