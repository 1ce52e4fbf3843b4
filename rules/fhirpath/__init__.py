"""FHIRPath, as much of it as search parameters need, compiled to Python functions.

https://hl7.org/fhirpath/N1/, https://hl7.org/fhir/R4/fhirpath.html. Paths, choice elements, `as` and ofType,
`is`, `|`, where, exists, first, extension, indexers, `=`, `!=`, `and`, `or`, literals, and `resolve() is T`.
Everything else is a CompileError that names the place. An element that has only extensions counts as absent.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rules.fhirpath.emit import Emitter, Item, load
from rules.fhirpath.lexer import CompileError
from rules.fhirpath.model import Element, Model
from rules.fhirpath.nodes import Binary, Call, Index, Member, Node, OfType
from rules.fhirpath.parser import parse
from rules.fhirpath.runtime import EvaluationError, distinct

__all__ = ["Branch", "CompileError", "EvaluationError", "Model", "branches", "compile"]


@dataclass(frozen=True, slots=True)
class Branch:
    """One way through an expression, with everything that is known of its values beforehand.

    It starts at the JSON property `root` of the resource (None: it looks at the whole resource), and all its
    items are of the FHIR type `type`. `targets`: the resource types a reference can point to (empty = any).
    `element`: the definition of the last step. `many`: whether there can be more than one item. `path`: the
    JSON properties passed on the way.
    """

    root: str | None
    type: str
    targets: tuple[str, ...]
    element: Element | None
    many: bool
    path: tuple[str, ...]
    text: str
    function: ast.FunctionDef

    @property
    def source(self) -> str:
        """The Python that runs. Branches with the same source and root give the same items."""
        return ast.unparse(ast.fix_missing_locations(self.function))

    def load(self) -> Callable[[Any], list[Any]]:
        """The function from what the resource has under `root`, or from the resource, to the items."""
        return load(self.function, self.text)


def compile(text: str, *, type: str, model: Model) -> Callable[[dict[str, Any]], list[Any]]:
    """The expression as a function from a resource of that type to the list of its items, as JSON has them.

    CompileError says what is not supported or not in the model, and where. The function raises
    EvaluationError where the specification has an error.
    """
    tree = parse(text)
    _refuse_inner_unions(tree, text)
    evaluate = load(Emitter(text, type, model).function(tree), text)
    if not isinstance(tree, Binary) or tree.op != "|":
        return evaluate
    return lambda resource: distinct(evaluate(resource))


def branches(text: str, *, type: str, model: Model) -> tuple[Branch, ...]:
    """The expression taken apart, so that a resource costs only the properties that it has.

    The branches of one expression together give the items of `compile`, save that items which two
    alternatives of a `|` have in common come twice.
    """
    tree = parse(text)
    _refuse_inner_unions(tree, text)
    found: list[Branch] = []
    for alternative in _alternatives(tree):
        found += _branches(alternative, text, type, model)
    return tuple(found)


def _branches(node: Node, text: str, type: str, model: Model) -> Iterator[Branch]:
    whole = Emitter(text, type, model)
    items = whole.items(node)
    roots: list[str | None] = ([*whole.roots] if _is_path(node) else []) or [None]
    for root in roots:
        if root:
            items = Emitter(text, type, model, root).items(node)
        for kind in dict.fromkeys(map(_kind, items)):
            like = [item for item in items if _kind(item) == kind]
            function = Emitter(text, type, model, root).function(node, _is_like(like[0]))
            many = like[0].many or len(like) > 1
            yield Branch(
                root,
                like[0].type,
                like[0].targets,
                like[0].element,
                many,
                like[0].path,
                text,
                function,
            )


def _kind(item: Item) -> tuple[Any, ...]:
    return item.type, item.targets, item.path, id(item.element)


def _is_like(wanted: Item) -> Callable[[Item], bool]:
    return lambda item: _kind(item) == _kind(wanted)


def _alternatives(node: Node) -> list[Node]:
    if isinstance(node, Binary) and node.op == "|":
        return _alternatives(node.left) + _alternatives(node.right)
    return [node]


def _is_path(node: Node) -> bool:
    """Whether the expression is nothing where its first element is absent (`exists()` is not)."""
    match node:
        case Member(None):
            return True
        case Member(child) | Index(child) | OfType(child):
            return child is not None and _is_path(child)
        case Call(child, "where" | "first" | "extension"):
            return child is not None and _is_path(child)
    return False


def _refuse_inner_unions(tree: Node, text: str) -> None:
    """A `|` inside a path would have to drop repeats in the middle; no search parameter does that."""
    for alternative in _alternatives(tree):
        for node in _inside(alternative):
            if isinstance(node, Binary) and node.op == "|":
                raise CompileError("a union inside an expression is not supported here", text, node.at)


def _inside(node: Node) -> Iterator[Node]:
    yield node
    for name in node.__slots__:
        child = getattr(node, name)
        for part in child if isinstance(child, tuple) else (child,):
            if isinstance(part, Node):
                yield from _inside(part)
