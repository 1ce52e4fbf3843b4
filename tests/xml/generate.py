"""Random resources of any type, straight from the definitions: what the schema allows, sense or not."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

from fhir_server.resource_json import decode
from profiles.definitions import Element, TypeRef, load
from profiles.primitives import PRIMITIVES

_TEXTS = ["x", "a b", " lead and trail ", "<&>\"'", "line\nbreak\tand\rreturn", "æøå €", "𝄞", "&#160;", "]]>"]
_NUMBERS = [b"0", b"1", b"91.50", b"-0.0", b"1e2", b"1E+2", b"0.00000001", b"12345678901234567890", b"100"]
_DIVS = [
    '<div xmlns="http://www.w3.org/1999/xhtml">text</div>',
    '<div xmlns="http://www.w3.org/1999/xhtml"/>',
    '<div xmlns="http://www.w3.org/1999/xhtml" class="a &gt; b"><p>one<br/>two &#160; &lt;</p>\n<!-- c --></div>',
]
_DEPTH = 6


def resource(random: Random, type_: str, depth: int = 0) -> dict[str, Any]:
    """A resource whose every element has the form of its type."""
    return {"resourceType": type_, **_properties(random, type_, depth)}


def _properties(random: Random, type_: str, depth: int) -> dict[str, Any]:
    out: dict[str, Any] = {}
    elements = list(load().types[type_].elements.values())
    few = [e for e in elements if e.min] + random.sample(elements, min(len(elements), 1 + (depth == 0) * 6))
    for element in {e.name: e for e in few}.values():
        name, ref = random.choice(list(element.properties.items()))
        if depth < _DEPTH or ref.code in PRIMITIVES:
            _put(random, out, name, ref, element, depth)
    return out


def _put(random: Random, out: dict[str, Any], name: str, ref: TypeRef, element: Element, depth: int) -> None:
    many = element.max != 1
    count = random.randint(1, 3) if many else 1
    if ref.code not in PRIMITIVES:
        made = [_complex(random, ref.code, depth + 1) for _ in range(count)]
        values = [value for value in made if value]
        if values:
            out[name] = values if many else values[0]
        return
    plain = name in ("id", "url") or ref.code == "xhtml" or depth >= _DEPTH
    items: list[Any] = [_primitive(random, ref.code) for _ in range(count)]
    extras = [None if plain or random.random() < 0.6 else _extras(random) for _ in range(count)]
    items = [
        None if extra and random.random() < 0.5 else item for item, extra in zip(items, extras, strict=True)
    ]
    if any(item is not None for item in items):
        out[name] = items if many else items[0]
    if any(extras):
        out[f"_{name}"] = extras if many else extras[0]


def _complex(random: Random, code: str, depth: int) -> dict[str, Any]:
    if code == "Resource":
        return resource(random, random.choice(["Patient", "Binary", "Parameters", "Basic"]), depth)
    return _properties(random, code, depth)


def _extras(random: Random) -> dict[str, Any]:
    extension = {"url": "http://example.org/x", "valueString": random.choice(_TEXTS)}
    return random.choice(
        [{"id": "a1"}, {"extension": [extension]}, {"id": "b", "extension": [extension] * 2}]
    )


def _primitive(random: Random, code: str) -> Any:
    match code:
        case "boolean":
            return random.random() < 0.5
        case "decimal":
            number: int | Decimal = decode(b'{"n":%b}' % random.choice(_NUMBERS))["n"]
            return number
        case "integer" | "positiveInt" | "unsignedInt":
            return random.randint(1, 2**31 - 1)
        case "xhtml":
            return random.choice(_DIVS)
    return random.choice(_TEXTS)
