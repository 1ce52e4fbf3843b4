"""What a data model says of its types; the System model is here, others are given as tables.

https://cql.hl7.org/09-b-cqlreference.html#types-2
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from rules.typed.types import (
    ANY,
    BOOLEAN,
    CODE,
    CODESYSTEM,
    DECIMAL,
    QUANTITY,
    STRING,
    VOCABULARY,
    IntervalOf,
    ListOf,
    Named,
    TupleOf,
    Type,
)


@dataclass(frozen=True, slots=True)
class Class:
    """A type of a model. `code_path` is where a retrieve looks for codes if it names no path; `choices` are
    the elements whose name in the data says their type (valueQuantity)."""

    base: Named | None
    elements: Mapping[str, Type] = field(default_factory=dict)
    retrievable: bool = False
    code_path: str | None = None
    choices: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Conversion:
    """How a type of a model becomes a System type: the function of the model's helper library."""

    name: str
    type: Type


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """`patient` is the class that the Patient context is about; `helpers` the library of the conversions;
    `contexts` are the classes that a context can be about."""

    name: str
    version: str | None
    url: str
    classes: Mapping[str, Class]
    patient: str | None = None
    conversions: Mapping[str, Conversion] = field(default_factory=dict)
    helpers: str | None = None
    contexts: frozenset[str] = frozenset()


@lru_cache(maxsize=1024)
def descendants(model: Model, name: str) -> tuple[str, ...]:
    """The names of a type and of all that are derived from it."""
    found = {name}
    for other in model.classes:
        chain: list[str] = []
        at: str | None = other
        while at is not None and at not in found:
            chain.append(at)
            base = model.classes[at].base
            at = base.name if base is not None and base.model == model.name else None
        if at is not None:
            found.update(chain)
    return tuple(sorted(found))


_VOCABULARY: Final = {"id": STRING, "version": STRING, "name": STRING}

SYSTEM: Final = Model(
    "System",
    "1.0.0",
    "urn:hl7-org:elm-types:r1",
    {
        "Any": Class(None),
        **{name: Class(ANY) for name in ("Boolean", "Integer", "Long", "Decimal", "String")},
        **{name: Class(ANY) for name in ("Date", "DateTime", "Time")},
        "Quantity": Class(ANY, {"value": DECIMAL, "unit": STRING}),
        "Ratio": Class(ANY, {"numerator": QUANTITY, "denominator": QUANTITY}),
        "Code": Class(ANY, {"code": STRING, "system": STRING, "version": STRING, "display": STRING}),
        "Concept": Class(ANY, {"codes": ListOf(CODE), "display": STRING}),
        "Vocabulary": Class(ANY, _VOCABULARY),
        "CodeSystem": Class(VOCABULARY, _VOCABULARY),
        "ValueSet": Class(VOCABULARY, {**_VOCABULARY, "codesystems": ListOf(CODESYSTEM)}),
    },
)


def _type_of(model: Model, parts: tuple[str, ...]) -> Named | None:
    """A type by its name; parts of it may be written as types are, `Observation.Component`."""
    first, *rest = parts
    for name in (".".join(parts), ".".join([first, *(part[:1].lower() + part[1:] for part in rest)])):
        if name in model.classes:
            return Named(model.name, name)
    return None


@dataclass(slots=True)
class Models:
    """The models that a library uses, System always among them."""

    by_name: dict[str, Model] = field(default_factory=lambda: {"System": SYSTEM})

    def find(self, parts: tuple[str, ...]) -> Named | None:
        """The type of a name as written, qualified by its model or not; System comes last."""
        if parts[0] in self.by_name and len(parts) > 1:
            return _type_of(self.by_name[parts[0]], parts[1:])
        found = (_type_of(model, parts) for model in reversed(self.by_name.values()))
        return next((type_ for type_ in found if type_ is not None), None)

    def ancestors(self, type_: Named) -> Iterator[Named]:
        """The type, its base, and so on up to Any."""
        at: Named | None = type_
        while at is not None:
            yield at
            model = self.by_name.get(at.model)
            known = model.classes.get(at.name) if model else None
            at = known.base if known else (None if at == ANY else ANY)

    def conversion(self, type_: Type) -> tuple[Named, Conversion] | None:
        """The conversion of a model's type to System, and the ancestor that defines it."""
        if isinstance(type_, Named) and type_.model != "System":
            for at in self.ancestors(type_):
                model = self.by_name.get(at.model)
                if model is not None and at.name in model.conversions:
                    return at, model.conversions[at.name]
        return None

    def is_primitive(self, type_: Type) -> bool:
        """Whether a type of a model is a System value under another name, its element `value`."""
        found = self.conversion(type_)
        return found is not None and self.element(type_, "value") == found[1].type

    def owner(self, type_: Named, name: str) -> Class | None:
        """The class that defines an element, the type itself or an ancestor."""
        for at in self.ancestors(type_):
            model = self.by_name.get(at.model)
            known = model.classes.get(at.name) if model else None
            if known is not None and name in known.elements:
                return known
        return None

    def element(self, type_: Type, name: str) -> Type | None:
        """The type of an element of a class, tuple or interval."""
        if isinstance(type_, TupleOf):
            return dict(type_.elements).get(name)
        if isinstance(type_, IntervalOf):
            return {"low": type_.point, "high": type_.point, "lowClosed": BOOLEAN, "highClosed": BOOLEAN}.get(
                name
            )
        owner = self.owner(type_, name) if isinstance(type_, Named) else None
        return owner.elements[name] if owner is not None else None

    def is_subtype(self, type_: Type, of: Type) -> bool:
        if type_ == of or of == ANY:
            return True
        if isinstance(type_, Named) and isinstance(of, Named):
            return of in self.ancestors(type_)
        if isinstance(type_, ListOf) and isinstance(of, ListOf):
            return self.is_subtype(type_.element, of.element)
        if isinstance(type_, IntervalOf) and isinstance(of, IntervalOf):
            return self.is_subtype(type_.point, of.point)
        if isinstance(type_, TupleOf) and isinstance(of, TupleOf):
            mine, theirs = dict(type_.elements), dict(of.elements)
            return mine.keys() == theirs.keys() and all(self.is_subtype(mine[k], theirs[k]) for k in mine)
        return False
