"""Elements and types: properties, `is`, `as`, conversions of whole lists and intervals, a model's values."""

from __future__ import annotations

from rules.emit import checks
from rules.emit.expressions import CLASSES, Expressions
from rules.emit.operators import type_name
from rules.language.errors import CompileError, Diagnostic
from rules.model import values as fhir
from rules.runtime import values
from rules.typed.model import descendants
from rules.typed.tree import Typed
from rules.typed.types import ANY, VOCABULARY, ChoiceOf, IntervalOf, ListOf, Named, TupleOf, Type


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

    def _model_property(self, node: Typed, source: Typed, path: str) -> str:
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
            keys = self.module.constant(repr(self._keys(path, node.type)))
            if isinstance(node.type, ChoiceOf):
                return f"{self.module.bind(fhir.chosen)}({held}, {keys})"
            path = self._keys(path, node.type)[0][0]
        return self.guarded(held, f"{held}.get({path!r})")

    def _is_primitive(self, type_: Type) -> bool:
        found = self.library.models.conversion(type_)
        return found is not None and self.library.models.element(type_, "value") == found[1].type

    def _beside(self, node: Typed, source: Typed, path: str) -> str:
        """The id and extensions of a primitive are in a property of their own, `_birthDate`."""
        if (
            source.op != "Property"
            or not is_of_model(source.operands[0].type)
            or isinstance(node.type, ChoiceOf)
        ):
            raise self.unsupported(node, f"{path} of a primitive that is not named by its element")
        held = self.held(source.operands[0])
        beside = f"_{source.fields['path']}"
        return self.guarded(held, f"{held}.get({beside!r}, {{}}).get({path!r})")

    def _keys(self, path: str, type_: Type) -> tuple[tuple[str, str], ...]:
        """The properties in the data that a choice element may be in, with the type of each."""
        options = type_.options if isinstance(type_, ChoiceOf) else (type_,)
        names = [option.name for option in options if isinstance(option, Named)]
        return tuple((f"{path}{name[0].upper()}{name[1:]}", name) for name in names)

    def _modelconversion(self, node: Typed) -> str:
        return self._converted(node.operands[0], node.fields["from"].name)

    def _converted(self, source: Typed, type_: str) -> str:
        """The conversion of a value; of an element of a loop's item it is done once, if it cannot fail."""
        before = len(self.out.lines)
        inner = self.expression(source)
        text = f"{self.module.bind(fhir.converter(type_))}({inner})"
        item = self._root(source)
        if item in self.out.loops and type_ not in fhir.CAN_FAIL and len(self.out.lines) == before:
            return self.out.once_an_item(item, text)
        return text

    def _root(self, node: Typed) -> str:
        """The name of the alias whose element, perhaps cast, the node is."""
        while node.op in ("Property", "As") and len(node.operands) == 1:
            node = node.operands[0]
        return self.locals.get(node.fields["name"], "") if node.op == "AliasRef" else ""

    def _names(self, type_: Named) -> str:
        """The type and its descendants, as a constant."""
        names = list(descendants(self.library.models.by_name[type_.model], type_.name))
        return self.module.constant(f"frozenset({names!r})")

    def _direct(self, operand: Typed, type_: Type) -> str | None:
        """A choice element taken as one of its types is read from that type's own property."""
        if (
            operand.op != "Property"
            or not isinstance(operand.type, ChoiceOf)
            or type_ not in operand.type.options
        ):
            return None
        (source,) = operand.operands
        if not is_of_model(source.type):
            return None
        ((key, _),) = self._keys(operand.fields["path"], type_)
        held = self.held(source)
        return self.guarded(held, f"{held}.get({key!r})")

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
            raise CompileError([Diagnostic(self.out.line, 1, "unsupported", f"a test for the type {type_}")])
        return self.module.bind(CLASSES[type_.name])

    def _is(self, node: Typed) -> str:
        type_, (operand,) = node.fields["isType"], node.operands
        if is_of_model(type_):
            if direct := self._direct(operand, type_):
                return f"({direct} is not None)"
            if operand.type != ANY and self.library.models.is_subtype(operand.type, type_):
                return f"({self.held(operand)} is not None)"
            return f"{self.module.bind(fhir.has_type)}({self.expression(operand)}, {self._names(type_)})"
        form = self.module.constant(self.form(node.fields["isType"]))
        return f"{self.module.bind(checks.is_of)}({self.expression(node.operands[0])}, {form})"

    def _as(self, node: Typed) -> str:
        (operand,) = node.operands
        type_ = node.fields["asType"]
        if operand.op == "Null":
            return "None"
        if isinstance(type_, ChoiceOf) and is_of_model(operand.type) and not self._is_resource(operand.type):
            assert isinstance(operand.type, Named)
            return f"{self.module.bind(fhir.wrapped)}({self.expression(operand)}, {operand.type.name!r})"
        if type_ == ANY or isinstance(type_, ChoiceOf) or self.library.models.is_subtype(operand.type, type_):
            return self.expression(operand)
        if is_of_model(type_):
            return self._as_of_model(node, operand, type_)
        function = checks.cast if node.fields["strict"] else checks.as_of
        form = self.module.constant(self.form(type_))
        return f"{self.module.bind(function)}({self.expression(operand)}, {form})"

    def _as_of_model(self, node: Typed, operand: Typed, type_: Named) -> str:
        strict = node.fields["strict"]
        direct = None if strict else self._direct(operand, type_)
        if direct is not None:
            return direct
        if not (isinstance(operand.type, ChoiceOf) or self._is_resource(operand.type) or operand.type == ANY):
            raise self.unsupported(node, f"{operand.type} as {type_}")
        function = fhir.cast if strict else fhir.unwrapped
        return f"{self.module.bind(function)}({self.expression(operand)}, {self._names(type_)})"

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
        inner = by.operands[0].type
        return not is_of_model(inner) or self._is_resource(inner)

    def _by(self, node: Typed, item: str) -> str:
        outer = self.locals.get("")
        self.locals[""] = item
        text = self.expression(node.fields["by"])
        if outer is not None:
            self.locals[""] = outer
        return text

    def _convertinterval(self, node: Typed) -> str:
        held, convert, item = self.held(node.operands[0]), self.out.fresh("convert"), self.out.fresh("x")
        with self.out.block(f"def {convert}({item}):"):
            self.out.add(f"return {self._by(node, item)}")
        return f"{self.module.bind(checks.converted_interval)}({held}, {convert})"


def is_of_model(type_: Type) -> bool:
    """Whether the type is one of a data model."""
    return isinstance(type_, Named) and type_.model != "System"
