"""Elements and types: properties, `is`, `as`, conversions of whole lists and intervals, a model's values."""

from __future__ import annotations

from collections.abc import Sequence

from rules.emit import checks
from rules.emit.expressions import CLASSES, Expressions
from rules.emit.operators import type_name
from rules.model import values as fhir
from rules.runtime import values
from rules.typed.model import descendants
from rules.typed.tree import Typed
from rules.typed.types import (
    ANY,
    VOCABULARY,
    ChoiceOf,
    IntervalOf,
    ListOf,
    Named,
    TupleOf,
    Type,
    is_of_model,
    options_of,
)


class Elements(Expressions):
    """Property, Is, As and the conversions."""

    # Elements

    def _property(self, node: Typed) -> str:
        (source,) = node.operands
        path = node.fields["path"]
        if is_of_model(source.type):
            return self._model_property(node, source, path)
        held = self.held(source)
        if isinstance(source.type, TupleOf):
            return self.guarded(held, f"{held}[{path!r}]")
        if (
            isinstance(source.type, Named)
            and source.type.model == "System"
            and not isinstance(node.type, ListOf)
        ):
            return self.guarded(held, f"{held}.{path}")
        return f"{self.module.bind(checks.element_of)}({held}, {path!r})"

    def _model_property(self, node: Typed, source: Typed, path: str, *, bare: bool = False) -> str:
        """An element of a resource or complex type; of a primitive its value, or what stands beside it."""
        assert isinstance(source.type, Named)
        owner = self.library.models.owner(source.type, path)
        conversion = self.library.models.conversion(source.type)
        if path == "value" and conversion is not None and conversion[1].type == node.type:
            return self._converted(source, conversion[0].name)
        if self._is_primitive(source.type):
            return self._beside(node, source, path)
        held = self.held(source)
        if owner is not None and path in owner.choices:
            if isinstance(node.type, ChoiceOf):
                keys = self.module.constant(repr(self._keys_beside(path, node.type)))
                return f"{self.module.bind(fhir.chosen)}({held}, {keys})"
            path = self._keys(path, node.type)[0][0]
        return self._read(held, path, node.type, bare=bare)

    def _keys_beside(self, path: str, type_: Type) -> tuple[tuple[str, str, str | None], ...]:
        """The properties of a choice element, each with the one beside it if it is of a primitive."""
        keys = self._keys(path, type_)
        return tuple((k, t, f"_{k}" if self._is_primitive(Named("FHIR", t)) else None) for k, t in keys)

    def _read(self, held: str, key: str, type_: Type, *, bare: bool = False) -> str:
        """A property of data; a primitive, or a list of them, with what is in the property beside it."""
        element = type_.element if isinstance(type_, ListOf) else type_
        if bare or not self._is_primitive(element):
            return self.guarded(held, f"{held}.get({key!r})")
        whole = fhir.primitives if isinstance(type_, ListOf) else fhir.primitive
        found = f"{self.module.bind(whole)}({held}, {key!r})"
        return self.guarded(held, f"({found} if {f'_{key}'!r} in {held} else {held}.get({key!r}))")

    def _bare(self, node: Typed) -> str:
        """The expression of a primitive where only its value counts, not what stands beside it."""
        if node.op == "Property" and is_of_model(node.operands[0].type):
            return self._model_property(node, node.operands[0], node.fields["path"], bare=True)
        if node.op == "As" and not node.fields["strict"]:
            direct = self._direct(node.operands[0], node.type, bare=True)
            if direct is not None:
                return direct
        return self.expression(node)

    def _is_primitive(self, type_: Type) -> bool:
        return self.library.models.is_primitive(type_)

    def _beside(self, node: Typed, source: Typed, path: str) -> str:
        """The id and extensions of a primitive are in a property of their own, `_birthDate`."""
        owner = source.operands[0].type if source.op == "Property" else ANY
        if not is_of_model(owner) or self._is_primitive(owner) or isinstance(source.type, ListOf):
            return f"{self.module.bind(fhir.beside)}({self.expression(source)}, {path!r})"
        held = self.held(source.operands[0])
        beside = f"_{source.fields['path']}"
        return self.guarded(held, f"{held}.get({beside!r}, {{}}).get({path!r})")

    def _keys(self, path: str, type_: Type) -> tuple[tuple[str, str], ...]:
        """The properties in the data that a choice element may be in, with the type of each."""
        options = type_.options if isinstance(type_, ChoiceOf) else (type_,)
        names = [option.name for option in options if isinstance(option, Named)]
        return tuple((f"{path}{name[0].upper()}{name[1:]}", name) for name in names)

    def _modelconversion(self, node: Typed) -> str:
        if node.fields["from"] is None:
            return f"{self.module.bind(fhir.to_value)}({self.expression(node.operands[0])})"
        return self._converted(node.operands[0], node.fields["from"].name)

    def _converted(self, source: Typed, type_: str) -> str:
        """The conversion of a value; of an element of a loop's item it is done once, if it cannot fail."""
        before = len(self.out.lines)
        inner = self._bare(source)
        text = f"{self.module.bind(fhir.converter(type_))}({inner})"
        if type_ in fhir.CAN_FAIL or len(self.out.lines) > before:
            return text
        return self.out.once_an_item(self._root(source), text) or text

    def cannot_fail(self, node: Typed) -> bool:
        converted = node.op == "ModelConversion" and node.fields["from"] is not None
        return converted and node.fields["from"].name not in fhir.CAN_FAIL

    def _root(self, node: Typed) -> str:
        """The name of the alias whose element, perhaps cast, the node is."""
        while node.op in ("Property", "As") and len(node.operands) == 1:
            node = node.operands[0]
        return self.locals.get(node.fields["name"], "") if node.op == "AliasRef" else ""

    def _names(self, type_: Named) -> str:
        """The type and its descendants, as a constant."""
        names = list(descendants(self.library.models.by_name[type_.model], type_.name))
        return self.module.constant(f"frozenset({names!r})")

    def _direct(self, operand: Typed, type_: Type, *, bare: bool = False) -> str | None:
        """A choice element taken as one of its types is read from that type's own property."""
        place = self._place(operand, type_)
        return None if place is None else self._read(*place, type_, bare=bare)

    def _place(self, operand: Typed, type_: Type) -> tuple[str, str] | None:
        """The name that holds the data, and the property in which a choice element is of the type."""
        options = operand.type.options if isinstance(operand.type, ChoiceOf) else ()
        if operand.op != "Property" or type_ not in options or not is_of_model(operand.operands[0].type):
            return None
        ((key, _),) = self._keys(operand.fields["path"], type_)
        return self.held(operand.operands[0]), key

    def _present(self, operand: Typed, type_: Type) -> str | None:
        """Whether a choice element is of the type, asked of the data; a primitive may be all extensions."""
        place = self._place(operand, type_)
        if place is None:
            return None
        held, key = place
        if not self._is_primitive(type_):
            return f"({self.guarded(held, f'{held}.get({key!r})')} is not None)"
        either = f"({key!r} in {held} or {f'_{key}'!r} in {held})"
        return either if held in self.never_null else f"({held} is not None and {either})"

    def _propertyofeach(self, node: Typed) -> str:
        (source,) = node.operands
        assert isinstance(source.type, ListOf)
        held, item, result = self.held(source), self.out.fresh("x"), self.out.fresh("r")
        inner = Typed("Local", source.type.element, [], {"text": item})
        element = Typed("Property", node.fields["elementType"], [inner], {"path": node.fields["path"]})
        self.out.add(f"{result} = None if {held} is None else []")
        with self.out.block(f"for {item} in {held} or ():"):
            value = self.held(element)
            with self.out.block(f"if isinstance({value}, list):"):
                self.out.add(f"{result}.extend({value})")
            with self.out.block(f"elif {value} is not None:"):
                self.out.add(f"{result}.append({value})")
        return result

    # Types

    def form(self, type_: Type) -> str:
        """What rules.emit.checks looks for, as Python text."""
        if self.needs_tag(type_):
            return f"('tagged', {self._tags(type_, ())})"
        if isinstance(type_, ListOf):
            return f"('list', {self.form(type_.element)})"
        if isinstance(type_, IntervalOf):
            name = type_name(type_.point)
            return f"('interval', {None if name == 'Any' else name!r})"
        if isinstance(type_, ChoiceOf):
            return f"('choice', ({''.join(f'{self.form(option)}, ' for option in type_.options)}))"
        if isinstance(type_, TupleOf):
            elements = ", ".join(f"{name!r}: {self.form(element)}" for name, element in type_.elements)
            return f"('tuple', {{{elements}}})"
        assert isinstance(type_, Named)
        if type_ == VOCABULARY:
            both = f"{self.module.bind(values.CodeSystem)}, {self.module.bind(values.ValueSet)}"
            return f"('choice', ({both}))"
        if type_.model != "System":
            return f"('resource', {self._tags(type_, ())})"
        return self.module.bind(CLASSES[type_.name])

    def needs_tag(self, type_: Type) -> bool:
        """Whether a value does not tell its type itself, so that in a choice it is Chosen with the type."""
        if isinstance(type_, ListOf):
            return self.needs_tag(type_.element)
        if isinstance(type_, TupleOf):
            return any(self.needs_tag(element) for _, element in type_.elements)
        return is_of_model(type_) and not self._is_resource(type_)

    def _tags(self, type_: Type, among: Sequence[Type]) -> str:
        """What a Chosen or a resource of the type, or of a subtype, says of itself; as a constant."""
        if isinstance(type_, Named):
            return self._names(type_)
        subtypes = {str(option) for option in among if self.library.models.is_subtype(option, type_)}
        return self.module.constant(f"frozenset({sorted({str(type_)} | subtypes)!r})")

    def _is(self, node: Typed) -> str:
        type_, (operand,) = node.fields["isType"], node.operands
        if isinstance(type_, Named) and is_of_model(type_):
            if present := self._present(operand, type_):
                return present
            if operand.type != ANY and self.library.models.is_subtype(operand.type, type_):
                return f"({self.held(operand)} is not None)"
        if is_of_model(type_) or self.needs_tag(type_):
            tags = self._tags(type_, options_of(operand.type))
            return f"{self.module.bind(fhir.has_type)}({self.expression(operand)}, {tags})"
        form = self.module.constant(self.form(type_))
        return f"{self.module.bind(checks.is_of)}({self.expression(operand)}, {form})"

    def _as(self, node: Typed) -> str:
        (operand,) = node.operands
        type_ = node.fields["asType"]
        if operand.op == "Null":
            return "None"
        if isinstance(type_, ChoiceOf):
            return self._as_choice(node, operand, type_)
        if type_ == ANY or self.library.models.is_subtype(operand.type, type_):
            return self.expression(operand)
        if is_of_model(type_) or self.needs_tag(type_):
            return self._as_tagged(node, operand, type_)
        function = checks.cast if node.fields["strict"] else checks.as_of
        form = self.module.constant(self.form(type_))
        return f"{self.module.bind(function)}({self.expression(operand)}, {form})"

    def _as_choice(self, node: Typed, operand: Typed, type_: ChoiceOf) -> str:
        """Into a choice a value is tagged; of another choice, what is not among the options is null."""
        if self.needs_tag(operand.type):
            tag = operand.type.name if isinstance(operand.type, Named) else str(operand.type)
            return f"{self.module.bind(fhir.wrapped)}({self.expression(operand)}, {tag!r})"
        known = all(
            any(self.library.models.is_subtype(option, target) for target in type_.options)
            for option in options_of(operand.type)
        )
        if known or operand.type == ANY:
            return self.expression(operand)
        function = checks.cast if node.fields["strict"] else checks.among
        form = self.module.constant(self.form(type_))
        return f"{self.module.bind(function)}({self.expression(operand)}, {form})"

    def _as_tagged(self, node: Typed, operand: Typed, type_: Type) -> str:
        strict = node.fields["strict"]
        direct = None if strict else self._direct(operand, type_)
        if direct is not None:
            return direct
        function = fhir.cast if strict else fhir.unwrapped
        tags = self._tags(type_, options_of(operand.type))
        return f"{self.module.bind(function)}({self.expression(operand)}, {tags})"

    def _is_resource(self, type_: Type) -> bool:
        return isinstance(type_, Named) and self.library.models.is_subtype(
            type_, Named(type_.model, "Resource")
        )

    def _convertlist(self, node: Typed) -> str:
        """Each element converted; null stays null."""
        held, item, result = self.held(node.operands[0]), self.out.fresh("x"), self.out.fresh("r")
        if self._changes_nothing(node.fields["by"]):
            return held
        self.out.add(f"{result} = None if {held} is None else []")
        with self.out.block(f"for {item} in {held} or ():"):
            self.out.add(f"{result}.append({self._by(node, item)})")
        return result

    def _changes_nothing(self, by: Typed) -> bool:
        """Whether a conversion is only one of the static type: System values and resources know their own."""
        if by.op != "As" or by.operands[0].op != "ElementRef" or not isinstance(by.type, ChoiceOf):
            return by.op == "ElementRef"
        return not self.needs_tag(by.operands[0].type)

    def _by(self, node: Typed, item: str) -> str:
        outer = self.locals.get("")
        self.locals[""] = item
        text = self.expression(node.fields["by"])
        if outer is not None:
            self.locals[""] = outer
        return text

    def _convertinterval(self, node: Typed) -> str:
        held, convert, item = self.held(node.operands[0]), self.out.fresh("convert"), self.out.fresh("x")
        with self.out.block(f"def {convert}({item}):"), self.out.within([]):
            self.out.add(f"return {self._by(node, item)}")
        return f"{self.module.bind(checks.converted_interval)}({held}, {convert})"
