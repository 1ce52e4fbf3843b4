"""An expression taken apart for search parameters, so that a resource costs only the properties that it has.

https://hl7.org/fhir/R4/searchparameter-definitions.html#SearchParameter.expression. An element that has only
extensions counts as absent, `resolve() is T` goes by what a reference says, and nothing else is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from rules.emit.source import Function
from rules.fhirpath.emitter import Emitter
from rules.fhirpath.environment import NOTHING, State
from rules.fhirpath.loading import load, source_of
from rules.fhirpath.syntax import parse, stripped
from rules.fhirpath.writer import Item
from rules.language import nodes as n
from rules.language.errors import CompileError, Diagnostic

_STATE = re.compile(r"\bc\b")
_PATH_CALLS = frozenset(("where", "first", "last", "tail", "extension", "ofType", "as", "single"))


@dataclass(frozen=True, slots=True)
class Branch:
    """One way through an expression, with everything that is known of its values beforehand.

    It starts at the JSON property `root` of the resource (None: it looks at the whole resource), and all its
    items are of the FHIR type `type`, the element `name` of the type `owner`. `targets`: the resource types
    that the expression lets a reference point to (empty = those that its element allows). `many`: whether
    there can be more than one item. `path`: the JSON properties passed on the way.
    """

    root: str | None
    type: str
    targets: tuple[str, ...]
    owner: str
    name: str
    many: bool
    path: tuple[str, ...]
    text: str
    emitter: Emitter

    @property
    def source(self) -> str:
        """The Python that runs. Branches with the same source and root give the same items."""
        return _source(self.emitter)

    def load(self) -> Callable[[Any], list[Any]]:
        """The function from what the resource has under `root`, or from the resource, to the items."""
        evaluate: Callable[[Any], list[Any]] = load(self.emitter, self.text)["evaluate"]
        return evaluate


@lru_cache(maxsize=4096)
def _source(emitter: Emitter) -> str:
    return source_of(emitter)


def branches(text: str, type: str) -> tuple[Branch, ...]:
    """The branches of an expression for a type of resource.

    Together they give what the expression gives, save that items which two alternatives of a `|` have in
    common come twice. Raises CompileError.
    """
    try:
        tree = parse(text)
        return tuple(branch for part in _alternatives(tree) for branch in _branches(part, text, type))
    except RecursionError:
        raise CompileError([Diagnostic(1, 1, "unsupported", "nested too deeply")]) from None


def _alternatives(node: n.Expression) -> list[n.Expression]:
    node = stripped(node)
    if isinstance(node, n.Operation) and node.name == "Union":
        return [part for operand in node.operands for part in _alternatives(operand)]
    return [node]


def _branches(node: n.Expression, text: str, type: str) -> Iterator[Branch]:
    whole, items = _seen(node, type, None)
    roots: list[str | None] = [*whole.roots] if _is_path(node) and whole.roots else [None]
    for root in roots:
        if root is not None:
            items = _seen(node, type, root)[1]
        for kind in dict.fromkeys(map(_kind, items)):
            like = [item for item in items if _kind(item) == kind]
            first = like[0]
            yield Branch(
                root,
                _fhir(first.type),
                first.targets,
                first.owner,
                first.name,
                first.many or len(like) > 1,
                first.path,
                text,
                _emitted(node, type, root, kind),
            )


def _fhir(type: str) -> str:
    """A System type by the name of FHIR's primitive."""
    name = type.removeprefix("System.")
    return type if name == type else name[0].lower() + name[1:]


def _kind(item: Item) -> tuple[Any, ...]:
    return item.type, item.targets, item.path, item.owner, item.name


def _seen(node: n.Expression, type: str, root: str | None) -> tuple[Emitter, list[Item]]:
    """What the expression can give, an Item for each way to get there."""
    emitter = Emitter(type, strict=True, published=True, plain=True, root=root)
    found: list[Item] = []

    def note(item: Item) -> None:
        found.append(item)
        emitter.add("pass")

    emitter.walk(node, emitter.scope(), note)
    if emitter.problems:
        raise CompileError(emitter.problems)
    return emitter, found


def _emitted(node: n.Expression, type: str, root: str | None, kind: tuple[Any, ...]) -> Emitter:
    """`def evaluate(v0)` that returns the list of the items of that kind."""
    emitter = Emitter(type, strict=True, published=True, plain=True, root=root)
    function = emitter.out = Function(emitter.module, "evaluate(v0)", 1)

    def keep(item: Item) -> None:
        if _kind(item) == kind:
            emitter.add(f"out.append({emitter.public(item)})")

    emitter.add("out = []")
    emitter.walk(node, emitter.scope(), keep)
    emitter.add("return out")
    emitter.functions.append(function)
    if any(_STATE.search(text) for text, _ in function.lines):
        function.lines.insert(1, (f"    c = {emitter.bind(_fresh_state)}()", 1))
    return emitter


def _fresh_state() -> State:
    return State({}, NOTHING, {})


def _is_path(node: n.Expression) -> bool:
    """Whether the expression is nothing where its first element is absent (`exists()` is not)."""
    node = stripped(node)
    match node:
        case n.Name():
            return not node.name.startswith(("$", "%"))
        case n.Member():
            return _is_path(node.source)
        case n.TypeOperation(name="As"):
            return _is_path(node.operand)
        case n.Operation(name="Indexer"):
            return _is_path(node.operands[0])
        case n.Call() if node.name in _PATH_CALLS and node.source is not None:
            return _is_path(node.source)
    return False
