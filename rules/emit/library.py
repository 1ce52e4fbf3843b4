"""A typed library to a Python module: a function for each definition, its result kept in a slot."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from rules.emit.queries import Queries
from rules.emit.retrieve import Retrieve
from rules.emit.running import digest, run
from rules.emit.source import UNSET, Function, Module, readable
from rules.language.errors import CompileError, Diagnostic
from rules.typed.tree import TypedLibrary


@dataclass(frozen=True, eq=False)
class Compiled:
    """A library that runs. `source` is its Python; `slots` the number of results it keeps in an evaluation;
    `includes` are the libraries it uses, by the name it gives them; `retrieves` the data it asks for."""

    typed: TypedLibrary
    source: str
    namespace: Mapping[str, Any]
    slots: int
    includes: Mapping[str, Compiled]
    retrieves: tuple[Retrieve, ...] = ()

    @cached_property
    def functions(self) -> Mapping[str, Any]:
        """The function of each definition."""
        names = enumerate(self.typed.expressions)
        return {name: self.namespace[f"define_{number}_{readable(name)}"] for number, name in names}

    @cached_property
    def everything(self) -> Mapping[TypedLibrary, Compiled]:
        """This library and all it includes, each once."""
        found = {self.typed: self}
        for included in self.includes.values():
            found |= included.everything
        return found

    @cached_property
    def libraries(self) -> tuple[tuple[TypedLibrary, list[Any]], ...]:
        """Every library that takes part and keeps results, with its slots while there are none."""
        return tuple((typed, [UNSET] * one.slots) for typed, one in self.everything.items() if one.slots)


def emit(library: TypedLibrary, text: str, includes: Mapping[str, Compiled]) -> Compiled:
    """The module of a library, compiled; `text` is the CQL that tracebacks show. Raises CompileError."""
    module = Module()
    problems: list[Diagnostic] = []
    functions = _functions(module, library, problems)
    if problems:
        raise CompileError(problems)
    source, lines = _assembled(module, functions)
    slots = len(library.expressions) + len(library.parameters)
    namespace: dict[str, Any] = {**module.namespace, "UNSET": UNSET, "LIBRARY": library}
    for number, (name, included) in enumerate(includes.items()):
        namespace |= {
            f"L{number}_{key}": value
            for key, value in included.namespace.items()
            if key.startswith(("define_", "function_", "parameter_")) and name in library.includes
        }
    run(source, lines, _file_name(library, text), text, namespace)
    return Compiled(library, source, namespace, slots, dict(includes), tuple(module.retrieves))


def _functions(module: Module, library: TypedLibrary, problems: list[Diagnostic]) -> list[Function]:
    found = []
    slot = 0
    for number, expression in enumerate(library.expressions.values()):
        head = f"define_{number}_{readable(expression.name)}(c)"
        found.append(_kept(module, library, head, expression.at.line, slot, expression.body, problems))
        slot += 1
    for number, parameter in enumerate(library.parameters.values()):
        head = f"parameter_{number}_{readable(parameter.name)}(c)"
        out = Function(module, head, parameter.at.line)
        out.add(f"value = c.parameter(LIBRARY, {parameter.name!r})")
        with out.block("if value is not UNSET:"):
            out.add("return value")
        if parameter.default is None:
            out.add("return None")
            found.append(out)
        else:
            found.append(_kept(module, library, out, parameter.at.line, slot, parameter.default, problems))
        slot += 1
    for function in library.functions:
        names = {name: f"a{at}" for at, (name, _) in enumerate(function.operands)}
        operands = "".join(f", {name}" for name in names.values())
        head = f"function_{function.number}_{readable(function.name)}(c{operands})"
        out = Function(module, head, function.at.line)
        if function.body is None:
            out.add(f"return c.call(LIBRARY, LIBRARY.functions[{function.number}]{operands})")
            found.append(out)
            continue
        if _attempt(Queries(module, out, library, names), function.body, problems, "return {}"):
            found.append(out)
    return found + [out for _, out in module.limits.values()]


def _kept(
    module: Module,
    library: TypedLibrary,
    head: str | Function,
    line: int,
    slot: int,
    body: Any,
    problems: list[Diagnostic],
) -> Function:
    """A function that evaluates its body once in an evaluation."""
    out = head if isinstance(head, Function) else Function(module, head, line)
    out.add("slots = c.slots[LIBRARY]")
    out.add(f"value = slots[{slot}]")
    with out.block("if value is UNSET:"):
        _attempt(Queries(module, out, library, {}), body, problems, f"value = slots[{slot}] = {{}}")
    out.add("return value")
    return out


def _attempt(writer: Queries, body: Any, problems: list[Diagnostic], form: str) -> bool:
    """Writes a body; what is not supported in it joins the problems."""
    try:
        text = writer.expression(body)
        if body.at is not None:
            writer.out.line = body.at.line
        writer.out.add(form.replace("{}", writer.measured(body.type, text)))
    except CompileError as error:
        problems.extend(error.diagnostics)
        return False
    return True


def _assembled(module: Module, functions: list[Function]) -> tuple[str, list[int]]:
    """The text of the module, and for each of its lines the line of the CQL."""
    written = [(f"{name} = {text}", 1) for text, name in module.constants.items()]
    written += [(f"# R{number} = {retrieve!r}", 1) for number, retrieve in enumerate(module.retrieves)]
    for function in functions:
        written += [("", 1), ("", 1), *function.lines]
    return "".join(f"{text}\n" for text, _ in written), [line for _, line in written]


def _file_name(library: TypedLibrary, text: str) -> str:
    """The name under which tracebacks find the CQL."""
    return f"<cql {readable(library.name or '') or 'expression'} {digest(text)}>"
