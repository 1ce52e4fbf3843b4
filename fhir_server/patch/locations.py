"""Where a FHIRPath leads to in a resource: places that a patch can change, not values.

https://hl7.org/fhir/R4/fhirpatch.html. The paths are FHIRPath's, parsed by rules.fhirpath; of its functions
those that choose among elements have a place. A condition inside where() may say anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from typing import Any

from fhir_server.errors import FhirError
from fhir_server.resource_xml.elements import Child, kind_of
from profiles.definitions import load
from rules import fhirpath
from rules.fhirpath.syntax import parse
from rules.language import nodes as n
from rules.language.lexer import tokens

LONGEST = 2000


@dataclass(frozen=True, slots=True)
class Place:
    """An element: what `owner` has under `key`, at `index` where the element repeats.

    `owner` None is the resource itself. `inside` is the place that the owner is.
    """

    owner: dict[str, Any] | None
    key: str
    index: int | None
    code: str
    primitive: bool
    root: dict[str, Any]
    inside: Place | None = None

    @property
    def value(self) -> Any:
        """Its JSON value, None for a primitive with extensions only."""
        return self.root if self.owner is None else _at(self.owner.get(self.key), self.index)

    @property
    def extras(self) -> Any:
        """What stands beside a primitive, or None."""
        return None if self.owner is None else _at(self.owner.get(f"_{self.key}"), self.index)

    @property
    def node(self) -> dict[str, Any]:
        """The object that its children are in; a primitive's is made where it has none yet."""
        if not self.primitive:
            value: dict[str, Any] = self.value
            return value
        return self.extras or {}


def _at(value: Any, index: int | None) -> Any:
    if index is None or value is None:
        return value
    return value[index] if index < len(value) else None


class Path:
    """A parsed path; FhirError("malformed") for what is no FHIRPath, or has no place."""

    def __init__(self, text: str) -> None:
        if len(text) > LONGEST:
            raise FhirError("malformed", f"a path may have {LONGEST} characters")
        self._text = " ".join(text.splitlines())
        try:
            self.tree = parse(self._text)
        except fhirpath.CompileError as error:
            raise FhirError("malformed", f"the path is no FHIRPath: {error.diagnostics[0].message}") from None

    def find(self, root: dict[str, Any]) -> list[Place]:
        """Every place that the path leads to."""
        return self._places(self.tree, root)

    def find_list(self, root: dict[str, Any]) -> tuple[Place, str]:
        """The one place whose repeating element the path names, and that name."""
        if isinstance(self.tree, n.Name):
            owners, name = [_whole(root)], self.tree.name
        elif isinstance(self.tree, n.Member):
            owners, name = self._places(self.tree.source, root), self.tree.name
        else:
            raise FhirError("malformed", "the path must name a repeating element")
        if len(owners) != 1:
            raise FhirError("unprocessable", "the path leads to no list, or to more than one")
        return owners[0], name

    def _places(self, node: n.Expression, root: dict[str, Any]) -> list[Place]:
        match node:
            case n.Parenthesised(expression=inner):
                return self._places(inner, root)
            case n.Name(name=name):
                if name in ("Resource", "DomainResource", root["resourceType"], "$this", "%resource"):
                    return [_whole(root)]
                if name[:1] in "$%":
                    raise FhirError("malformed", "the path names a variable that is no place in a resource")
                return _children(_whole(root), name)
            case n.Member(source=source, name=name):
                return [child for place in self._places(source, root) for child in _children(place, name)]
            case n.Operation(name="Indexer", operands=(source, n.Literal(kind="number", value=number))):
                return self._places(source, root)[int(number) :][:1] if number.isdecimal() else []
            case n.TypeOperation(name="As", operand=source, type=n.NamedType(parts=parts)):
                return _of_type(self._places(source, root), parts)
            case n.Call(source=source) if source is not None:
                return self._called(node, self._places(source, root), root)
        raise FhirError("malformed", "the path has a part that is no place in a resource")

    def _called(self, call: n.Call, places: list[Place], root: dict[str, Any]) -> list[Place]:
        match call.name, call.arguments:
            case "first", ():
                return places[:1]
            case "last", ():
                return places[-1:]
            case "tail", ():
                return places[1:]
            case "single", ():
                if len(places) > 1:
                    raise FhirError("unprocessable", "single() finds more than one element")
                return places
            case "skip", (n.Literal(kind="number", value=number),) if number.isdecimal():
                return places[int(number) :]
            case "take", (n.Literal(kind="number", value=number),) if number.isdecimal():
                return places[: int(number)]
            case (("ofType" | "as"), (n.Name() | n.Member() as type_,)):
                return _of_type(places, _parts(type_))
            case "extension", (n.Literal(kind="string", value=url),):
                found = [child for place in places for child in _children(place, "extension")]
                return [child for child in found if child.value.get("url") == url]
            case "where", (_,):
                condition = self._argument(call)
                return [place for place in places if _holds(condition, place, root)]
        raise FhirError("malformed", "the path calls a function that leads to no place in a resource")

    def _argument(self, call: n.Call) -> str:
        """The text between the parentheses of a call."""
        found = tokens(self._text)
        start = next(i for i, t in enumerate(found) if (t.line, t.column) == (call.at.line, call.at.column))
        depth = 0
        for token in found[start + 1 :]:
            depth += (token.text == "(") - (token.text == ")") if token.kind == "mark" else 0
            if not depth:
                return self._text[found[start + 1].column : token.column - 1]
        raise FhirError("malformed", "the path is no FHIRPath")


def _whole(root: dict[str, Any]) -> Place:
    return Place(None, "", None, root["resourceType"], False, root)


def _children(place: Place, name: str) -> list[Place]:
    """What a place has under the name of an element, by whichever of its types."""
    found = []
    node, code = place.node, "Element" if place.primitive else place.code
    for child in properties(code, name):
        values, extras = node.get(child.name), node.get(f"_{child.name}") if child.primitive else None
        if child.many:
            count = len(list(zip_longest(values or (), extras or ())))
            indexes: Sequence[int | None] = range(count)
        else:
            indexes = [None] if values is not None or extras is not None else []
        for index in indexes:
            value = _at(values, index)
            type_ = value["resourceType"] if child.code == "Resource" else child.code
            found.append(Place(node, child.name, index, type_, child.primitive, place.root, place))
    return found


def properties(code: str, name: str) -> list[Child]:
    """The JSON properties of an element; FhirError("unprocessable") where the type has no such element."""
    kind = kind_of(code)
    definition = load().types[code].elements.get(name)
    if definition is None:
        raise FhirError("unprocessable", f"{code} has no element of that name")
    if name in kind.attributes:
        return [Child(name, 0, definition.types[0].code, False, True)]
    return [kind.children[key] for key in definition.properties]


def _of_type(places: list[Place], parts: tuple[str, ...]) -> list[Place]:
    return [place for place in places if place.code == parts[-1]]


def _parts(node: n.Expression) -> tuple[str, ...]:
    if isinstance(node, n.Member):
        return (*_parts(node.source), node.name)
    return (node.name,) if isinstance(node, n.Name) else ("",)


@lru_cache(maxsize=256)
def _condition(text: str, code: str) -> fhirpath.Expression:
    return fhirpath.compile(text, code)


def _holds(text: str, place: Place, root: dict[str, Any]) -> bool:
    try:
        focus = fhirpath.Element(place.value, place.code, place.extras) if place.primitive else place.value
        if place.primitive and place.extras is None:
            focus = place.value
        return _condition(text, place.code).holds(focus, resource=root) is True
    except fhirpath.CompileError as error:
        raise FhirError("malformed", f"the condition of where(): {error.diagnostics[0].message}") from None
    except fhirpath.EvaluationError:
        raise FhirError("unprocessable", "the condition of where() cannot be evaluated here") from None
