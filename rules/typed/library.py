"""A library's definitions, typed when they are first referred to.

https://cql.hl7.org/03-developersguide.html#declarations
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rules.language import nodes as n
from rules.language.errors import Diagnostic
from rules.typed.model import Model, Models
from rules.typed.queries import Queries
from rules.typed.tree import (
    Typed,
    TypedExpression,
    TypedFunction,
    TypedLibrary,
    TypedParameter,
    null,
)
from rules.typed.types import ANY, CODE, CODESYSTEM, CONCEPT, VALUESET, ListOf, Named, Type

Included = Callable[[str, str | None], TypedLibrary | None]
_UNFILTERED = "Unfiltered"


def type_library(
    syntax: n.LibrarySyntax, models: Mapping[str, Model], included: Included
) -> tuple[TypedLibrary, list[Diagnostic]]:
    """The typed library and everything that was found wrong with it.

    `models` are the data models that may be used, by name; `included` finds a library by name and version.
    """
    typing = Libraries(syntax, models, included)
    typing.type_all()
    return typing.library, typing.problems


class Libraries(Queries):
    """The whole of one library."""

    def __init__(self, syntax: n.LibrarySyntax, models: Mapping[str, Model], included: Included) -> None:
        super().__init__(Models())
        self.syntax = syntax
        self.library = TypedLibrary(syntax.name, syntax.version, models=self.models)
        self.named: dict[str, n.Definition] = {}
        self.bodies: dict[int, n.FunctionDefinition] = {}
        self.under_way: list[str] = []
        # The context of what is being typed, and the other one that a function has been found to need.
        self.context = _UNFILTERED
        self.specific: str | None = None
        self.in_function = False
        self._use(models)
        self._include(included)
        self._collect()

    # What the library begins with

    def _use(self, known: Mapping[str, Model]) -> None:
        for using in self.syntax.usings:
            if using.name == "System":
                continue
            model = known.get(using.name)
            if model is None or (using.version and model.version and using.version != model.version):
                version = f" version {using.version}" if using.version else ""
                self.error(using.at, f"the model {using.name}{version} is not known", "unsupported")
                continue
            self.models.by_name[using.called or using.name] = model
            self.library.usings.append((using.name, using.version))

    def _include(self, included: Included) -> None:
        for include in self.syntax.includes:
            found = included(include.name, include.version)
            if found is None:
                version = f" version {include.version}" if include.version else ""
                self.error(include.at, f"there is no library {include.name}{version}", "include")
                found = TypedLibrary(include.name, include.version)
            if include.called in self.library.includes:
                self.error(include.at, f"the name {include.called} is already taken")
            self.library.includes[include.called] = found

    def _collect(self) -> None:
        for definition in self.syntax.definitions:
            if isinstance(definition, n.FunctionDefinition):
                self._declare(definition)
            elif definition.name in self.named or definition.name in self.library.includes:
                self.error(definition.at, f"the name {definition.name} is already taken")
            else:
                self.named[definition.name] = definition

    def _declare(self, node: n.FunctionDefinition) -> None:
        operands = tuple((name, self.type_of(type_)) for name, type_ in node.operands)
        types = tuple(type_ for _, type_ in operands)
        for other in self.library.functions:
            if other.name == node.name and tuple(type_ for _, type_ in other.operands) == types:
                self.error(node.at, f"{node.name} is already defined for these types")
        if len({name for name, _ in operands}) < len(operands):
            self.error(node.at, "the same operand twice")
        if node.body is None and node.returns is None:
            self.error(node.at, f"{node.name} is external: it must say what it returns")
        number = len(self.library.functions)
        result = self.type_of(node.returns) if node.returns is not None else ANY
        self.library.functions.append(
            TypedFunction(
                node.name,
                node.at,
                node.private,
                node.context or _UNFILTERED,
                node.fluent,
                operands,
                result,
                None,
                number,
                node.body is None,
            )
        )
        self.bodies[number] = node

    # Contexts

    def _in_context(self, name: str | None, at: n.At) -> str:
        """The context of a definition, which the models must know."""
        if name in (None, _UNFILTERED, "Population"):
            return _UNFILTERED
        assert name is not None
        known = {c for model in self.models.by_name.values() for c in model.contexts}
        if known and name not in known:
            self.error(at, f"there is no context {name}")
        return name

    def _across(self, found: Typed, context: str, at: n.At) -> Typed:
        """A reference to a definition of another context: from Unfiltered it is evaluated for every subject,
        its lists run together; from a context to Unfiltered it is evaluated for all.

        https://cql.hl7.org/02-authorsguide.html#retrieve-context
        """
        if context == _UNFILTERED:
            # A definition of this context is evaluated in it, while a function is in that of its caller.
            if self.context == _UNFILTERED and not self.in_function:
                return found
            return Typed(found.op, found.type, [], {**found.fields, "unfiltered": True}, at)
        self.specific = self.specific or context
        if self.context == context:
            return found
        if self.context != _UNFILTERED:
            return self.error(at, f"a definition of the context {context} in the context {self.context}")
        type_ = found.type if isinstance(found.type, ListOf) else ListOf(found.type)
        return Typed(found.op, type_, [], {**found.fields, "each": context}, at)

    # All definitions

    def type_all(self) -> None:
        for name, definition in self.named.items():
            self.definition((name,), definition.at)
        for function in self.library.functions:
            self.result_of(function, function.at)

    def definition(self, names: Sequence[str], at: n.At) -> Typed | None:
        if len(names) == 2:
            return self._included(names[0], names[1], at)
        (name,) = names
        node = self.named.get(name)
        if node is None:
            return self._patient(name, at)
        method = getattr(self, f"_{type(node).__name__.lower()}")
        found: Typed = method(node, at)
        return found

    def _patient(self, name: str, at: n.At) -> Typed | None:
        """The patient (or practitioner, …) that the context is about, by the name of its class."""
        model = next((model for model in self.models.by_name.values() if name in model.contexts), None)
        if model is None:
            return None
        if name not in self.library.expressions:
            if not any(getattr(d, "context", None) == name for d in self.syntax.definitions):
                return self.error(at, f"{name} needs a context {name}")
            type_ = Named(model.name, name)
            retrieve = Typed("Retrieve", ListOf(type_), [], {"dataType": type_}, at)
            body = Typed("SingletonFrom", type_, [retrieve], {}, at)
            self.library.expressions[name] = TypedExpression(name, n.At(1, 1), True, name, body)
        found = Typed("ExpressionRef", Named(model.name, name), [], {"name": name, "libraryName": None}, at)
        return self._across(found, name, at)

    def _included(self, library: str, name: str, at: n.At) -> Typed | None:
        found = self.library.includes.get(library)
        if found is None:
            return None
        refs = _references(found).get(name)
        if refs is None:
            return None
        op, type_, private = refs
        if private:
            return self.error(at, f"{library}.{name} is private")
        reference = Typed(op, type_, [], {"name": name, "libraryName": library}, at)
        if op != "ExpressionRef":
            return reference
        return self._across(reference, found.expressions[name].context, at)

    def _guarded(self, name: str, at: n.At, context: str, work: Callable[[], None]) -> bool:
        """Does the work unless it is already under way, which would make the definition refer to itself."""
        if name in self.under_way:
            self.error(at, f"{name} is defined by itself")
            return False
        self.under_way.append(name)
        outer = self.scopes, self.this, self.context, self.specific, self.in_function
        self.scopes, self.this, self.context, self.specific = [], [], context, None
        self.in_function = name.startswith("function ")
        try:
            work()
        finally:
            self.scopes, self.this, self.context, self.specific, self.in_function = outer
            self.under_way.pop()
        return True

    def _expressiondefinition(self, node: n.ExpressionDefinition, at: n.At) -> Typed:
        def work() -> None:
            body = self.expression(node.expression)
            self.library.expressions[node.name] = TypedExpression(
                node.name, node.at, node.private, self.context, body
            )

        if node.name not in self.library.expressions:
            context = self._in_context(node.context, node.at)
            if not self._guarded(node.name, at, context, work):
                return null(at)
        defined = self.library.expressions[node.name]
        found = Typed("ExpressionRef", defined.body.type, [], {"name": node.name, "libraryName": None}, at)
        return self._across(found, defined.context, at)

    def _parameterdefinition(self, node: n.ParameterDefinition, at: n.At) -> Typed:
        def work() -> None:
            default = self.expression(node.default) if node.default is not None else None
            type_ = self.type_of(node.type) if node.type is not None else (default.type if default else None)
            if type_ is None:
                self.error(node.at, f"the parameter {node.name} has neither a type nor a default")
                type_ = ANY
            if default is not None:
                default = self.converted(default, type_, node.at)
            parameter = TypedParameter(node.name, node.at, node.private, type_, default)
            self.library.parameters[node.name] = parameter

        known = node.name in self.library.parameters
        if not known and not self._guarded(node.name, at, _UNFILTERED, work):
            return null(at)
        type_ = self.library.parameters[node.name].type
        return Typed("ParameterRef", type_, [], {"name": node.name, "libraryName": None}, at)

    def _codesystemdefinition(self, node: n.CodeSystemDefinition, at: n.At) -> Typed:
        fields = {"name": node.name, "id": node.id, "version": node.version, "private": node.private}
        self.library.codesystems[node.name] = Typed("CodeSystem", CODESYSTEM, [], fields, node.at)
        return Typed("CodeSystemRef", CODESYSTEM, [], {"name": node.name, "libraryName": None}, at)

    def _valuesetdefinition(self, node: n.ValueSetDefinition, at: n.At) -> Typed:
        systems = [self._system(names, node.at) for names in node.systems]
        fields = {"name": node.name, "id": node.id, "version": node.version, "private": node.private}
        found = Typed("ValueSet", VALUESET, [], {**fields, "codesystems": systems}, node.at)
        self.library.valuesets[node.name] = found
        return Typed("ValueSetRef", VALUESET, [], {"name": node.name, "libraryName": None}, at)

    def _system(self, names: tuple[str, ...], at: n.At) -> Typed:
        found = self.definition(names, at)
        if found is None or found.type != CODESYSTEM:
            return self.error(at, f"there is no code system {'.'.join(names)}")
        return found

    def _codeselector(self, node: n.CodeSelector) -> Typed:
        fields = {"code": node.code, "system": self._system(node.system, node.at), "display": node.display}
        return Typed("Code", CODE, [], fields, node.at)

    def _codedefinition(self, node: n.CodeDefinition, at: n.At) -> Typed:
        if node.name not in self.library.codes:
            code = self._codeselector(node.code)
            code.fields |= {"name": node.name, "private": node.private}
            self.library.codes[node.name] = code
        return Typed("CodeRef", CODE, [], {"name": node.name, "libraryName": None}, at)

    def _conceptdefinition(self, node: n.ConceptDefinition, at: n.At) -> Typed:
        if node.name not in self.library.concepts:
            codes = []
            for names in node.codes:
                code = self.definition(names, node.at)
                if code is None or code.type != CODE:
                    code = self.error(node.at, f"there is no code {'.'.join(names)}")
                codes.append(code)
            fields = {"name": node.name, "private": node.private, "codes": codes, "display": node.display}
            self.library.concepts[node.name] = Typed("Concept", CONCEPT, [], fields, node.at)
        return Typed("ConceptRef", CONCEPT, [], {"name": node.name, "libraryName": None}, at)

    # Functions

    def functions(self, library: str | None) -> list[TypedFunction]:
        if library is None:
            return self.library.functions
        found = self.library.includes.get(library)
        return [function for function in found.functions if not function.private] if found else []

    def result_of(self, function: TypedFunction, at: n.At) -> Type:
        """The type of the function, whose body is typed when it is first needed. Recursion is an error."""
        node = self.bodies.get(function.number)
        own = any(function is other for other in self.library.functions)
        if not own or node is None or node.body is None or function.body is not None:
            return function.type
        body_syntax = node.body

        def work() -> None:
            operands = {
                name: Typed("OperandRef", type_, [], {"name": name}) for name, type_ in function.operands
            }
            with self.scope(operands):
                body = self.expression(body_syntax)
            function.body = body if node.returns is None else self.converted(body, function.type, node.at)
            function.type = function.body.type if node.returns is None else function.type
            function.specific = self.specific

        context = self._in_context(node.context, node.at)
        self._guarded(f"function {function.name}#{function.number}", at, context, work)
        return function.type

    def called(self, function: TypedFunction, at: n.At) -> None:
        """A function that needs a context passes that need on to whoever calls it."""
        if function.specific in (None, self.context) or (self.in_function and self.context == _UNFILTERED):
            self.specific = self.specific or function.specific
        else:
            self.error(at, f"{function.name} needs the context {function.specific}, not {self.context}")

    def birth_date(self, at: n.At) -> Typed:
        for model in self.models.by_name.values():
            if model.patient is not None and (patient := self._patient(model.patient, at)) is not None:
                if isinstance(patient.type, ListOf):
                    break
                return self.conversions.as_system(self.element(patient, "birthDate", at))
        return self.error(at, "the age of the patient needs a data model and the context Patient")


def _references(library: TypedLibrary) -> dict[str, tuple[str, Type, bool]]:
    """What another library may refer to: the op of the reference, its type, whether it is private."""
    found: dict[str, tuple[str, Type, bool]] = {}
    for op, nodes in (
        ("CodeSystemRef", library.codesystems),
        ("ValueSetRef", library.valuesets),
        ("CodeRef", library.codes),
        ("ConceptRef", library.concepts),
    ):
        found |= {name: (op, node.type, bool(node.fields["private"])) for name, node in nodes.items()}
    for name, parameter in library.parameters.items():
        found[name] = ("ParameterRef", parameter.type, parameter.private)
    for name, expression in library.expressions.items():
        found[name] = ("ExpressionRef", expression.body.type, expression.private)
    return found
