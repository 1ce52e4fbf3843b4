"""The part of XPath that selects one node of an XML document for a patch.

https://www.rfc-editor.org/rfc/rfc5261#section-4.1: a path of child steps, each with a position or comparisons
in brackets, that ends in an element, an attribute or a text or comment node.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

from fhir_server.errors import FhirError
from fhir_server.patch.xml_tree import is_comment
from fhir_server.resource_xml.elements import FHIR, XHTML

_PREFIXES = {"": FHIR, "f": FHIR, "fhir": FHIR, "h": XHTML, "xhtml": XHTML}
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<literal>"[^"]*"|'[^']*')
      | (?P<number>[0-9]{1,9})
      | (?P<kind>(?:text|comment|node|last|position)\s*\(\s*\))
      | (?P<namespace>namespace::[A-Za-z_][\w.\-]*)
      | (?P<name>@?(?:[A-Za-z_][\w.\-]*:)?(?:[A-Za-z_][\w.\-]*|\*))
      | (?P<mark>//|::|\.\.|[/\[\]=.])
    )""",
    re.VERBOSE,
)
_MOST_STEPS = 100


@dataclass(frozen=True, slots=True)
class Comparison:
    """`[path='value']`: the relative path ends in an attribute or an element; empty is the node itself."""

    path: tuple[str, ...]
    value: str


@dataclass(frozen=True, slots=True)
class Step:
    """`test` is a {namespace}name, *, text(), comment() or @name; `tests` hold one after the other."""

    test: str
    tests: tuple[int | Comparison, ...] = ()


@dataclass(frozen=True, slots=True)
class Selected:
    """The node found: `element` or one of its attributes; or the text or comment `index` of `element`.

    `parent` is None for the root. A text node 0 is the element's text, n the tail of its n-th child.
    """

    element: ET.Element
    parent: ET.Element | None
    attribute: str | None = None
    text: int | None = None
    namespace: str | None = None


def read(sel: str, prefixes: Mapping[str, str]) -> tuple[Step, ...]:
    """The steps of a selector; FhirError("malformed") for what this subset has no room for."""
    return _Parser(sel, {**_PREFIXES, **prefixes}).path()


def select(root: ET.Element, steps: tuple[Step, ...]) -> list[Selected]:
    """Every node that the path leads to; a patch needs exactly one."""
    document = ET.Element("")
    document.append(root)
    found = [Selected(document, None)]
    for step in steps:
        found = [child for node in found for child in _step(node, step)]
    return [
        Selected(n.element, None, n.attribute, n.text, n.namespace) if n.parent is document else n
        for n in found
        if n.element is not document
    ]


def _step(node: Selected, step: Step) -> list[Selected]:
    element = node.element
    if node.attribute or node.text is not None or is_comment(element):
        return []
    if step.test.startswith("namespace::"):
        return [Selected(element, node.parent, namespace=step.test[11:])]
    if step.test.startswith("@"):
        name = step.test[1:]
        found = [Selected(element, node.parent, attribute=name)] if name in element.attrib else []
    elif step.test == "text()":
        texts = [element.text, *(child.tail for child in element)]
        found = [Selected(element, node.parent, text=i) for i, text in enumerate(texts) if text]
    else:
        found = [Selected(child, element) for child in element if _is_named(child, step.test)]
    for test in step.tests:
        if isinstance(test, int):
            found = found[test - 1 : test] if test else found[-1:]
        else:
            found = [one for one in found if _holds(one, test)]
    return found


def _is_named(element: ET.Element, test: str) -> bool:
    if is_comment(element):
        return test in ("comment()", "node()")
    return test in ("*", "node()") or element.tag == test


def _holds(node: Selected, comparison: Comparison) -> bool:
    nodes = [node]
    for name in comparison.path:
        nodes = [child for one in nodes for child in _step(one, Step(name))]
    return any(value_of(one) == comparison.value for one in nodes)


def value_of(node: Selected) -> str:
    """The string value of a node."""
    if node.attribute:
        return node.element.attrib[node.attribute]
    if node.text is not None:
        return (node.element.text if not node.text else node.element[node.text - 1].tail) or ""
    return "".join(node.element.itertext())


class _Parser:
    def __init__(self, text: str, prefixes: Mapping[str, str]) -> None:
        self._prefixes = prefixes
        self._tokens: list[tuple[str, str]] = []
        at = 0
        text = text.strip()
        while at < len(text):
            match = _TOKEN.match(text, at)
            if not match or not match.lastgroup:
                raise self._bad("has a part that is not understood")
            self._tokens.append((match.lastgroup, match[match.lastgroup]))
            at = match.end()
        self._at = 0

    def path(self) -> tuple[Step, ...]:
        if self._is("/"):
            self._at += 1
        steps = [self._step()]
        while self._is("/"):
            self._at += 1
            steps.append(self._step())
            if len(steps) > _MOST_STEPS:
                raise self._bad("has too many steps")
        if self._at < len(self._tokens):
            raise self._bad("is not a path of child steps")
        return tuple(steps)

    def _step(self) -> Step:
        kind, text = self._next()
        if kind == "kind" and _bare(text) in ("text()", "comment()", "node()"):
            test = _bare(text)
        elif kind == "namespace":
            test = text
        elif kind == "name":
            test = self._name(text)
        else:
            raise self._bad("has a step that is not understood")
        tests = []
        while self._is("["):
            self._at += 1
            tests += self._predicate()
        return Step(test, tuple(tests))

    def _predicate(self) -> list[int | Comparison]:
        kind, text = self._next()
        found: list[int | Comparison]
        if kind == "number":
            found = [int(text)]
            if not int(text):
                raise self._bad("counts from 1")
        elif kind == "kind" and _bare(text) == "last()":
            found = [0]
        else:
            self._at -= 1
            found = [self._comparison()]
            while self._peek() == ("name", "and"):
                self._at += 1
                found.append(self._comparison())
        if self._next() != ("mark", "]"):
            raise self._bad("has a condition that is not understood")
        return found

    def _comparison(self) -> Comparison:
        path: list[str] = []
        kind, text = self._next()
        if (kind, text) != ("mark", "."):
            while True:
                if kind == "kind" and _bare(text) == "text()":
                    path.append("text()")
                elif kind == "name":
                    path.append(self._name(text))
                else:
                    raise self._bad("has a condition that is not understood")
                if not self._is("/"):
                    break
                self._at += 1
                kind, text = self._next()
        if self._next() != ("mark", "="):
            raise self._bad("has a condition that is not understood")
        kind, text = self._next()
        if kind not in ("literal", "number"):
            raise self._bad("compares with something else than a text")
        return Comparison(tuple(path), text[1:-1] if kind == "literal" else text)

    def _name(self, text: str) -> str:
        mark = "@" if text.startswith("@") else ""
        prefix, colon, local = text.removeprefix("@").rpartition(":")
        if local == "*" and not mark:
            return "*"
        if mark and not colon:  # an attribute without prefix is in no namespace
            return mark + local
        if prefix not in self._prefixes:
            raise self._bad("has a prefix that is not declared")
        return f"{mark}{{{self._prefixes[prefix]}}}{local}"

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "")

    def _is(self, mark: str) -> bool:
        return self._peek() == ("mark", mark)

    def _next(self) -> tuple[str, str]:
        token = self._peek()
        self._at += 1
        return token

    def _bad(self, what: str) -> FhirError:
        return FhirError("malformed", f"The selector {what}")


def _bare(text: str) -> str:
    return "".join(text.split())
