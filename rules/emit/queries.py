"""Queries as Python loops (https://cql.hl7.org/04-logicalspecification.html#query)."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Final

from rules.emit.comparisons import Comparisons
from rules.emit.dates import Dates, Limit, limits
from rules.emit.expressions import is_data
from rules.emit.invariants import UNNAMED
from rules.emit.retrieve import Retrieve
from rules.emit.source import Function, Loop
from rules.model import values as fhir
from rules.model.values import DATA_LISTS
from rules.runtime import lists, values
from rules.typed.tree import QueryClauses, Typed
from rules.typed.types import ListOf, Named, Type

_CODEABLE_CONCEPT: Final = Named("FHIR", "CodeableConcept")


def _keeps_all(clauses: QueryClauses) -> bool:
    """Whether what is collected is the only source as it is."""
    changes = clauses.lets or clauses.relationships or clauses.where or clauses.returns
    return len(clauses.sources) == 1 and isinstance(clauses.sources[0][1].type, ListOf) and not changes


def _is_tuple_of_sources(node: Typed) -> bool:
    """What a query of several sources gives if it does not say: never null, and nothing to compute."""
    return node.op == "Tuple" and all(value.op == "AliasRef" for _, value in node.fields["elements"])


class Queries(Comparisons):
    """Query and Retrieve."""

    def _query(self, node: Typed) -> str:
        clauses: QueryClauses = node.fields["clauses"]
        many = any(isinstance(source.type, ListOf) for _, source in clauses.sources)
        outer = dict(self.locals)
        result = self.out.fresh("r")
        for alias, source in clauses.sources:
            self._limit(alias, source, clauses.where)
        sources = [self.held(source) for _, source in clauses.sources]
        missing = " or ".join(f"{source} is None" for source in sources)
        with self.out.block(f"if {missing}:"):
            self.out.add(f"{result} = None")
        with self.out.block("else:"):
            if clauses.aggregate is not None:
                self._aggregated(clauses, sources, result)
            else:
                self._collected(clauses, sources, result)
                self._finished(clauses, result, node.type if many else None)
        self.locals = outer
        return result

    def _exists(self, node: Typed) -> str:
        """Of a query: the loops are left when the first result is found."""
        (operand,) = node.operands
        if operand.op != "Query" or not isinstance(operand.type, ListOf):
            return self._call(node)
        clauses: QueryClauses = operand.fields["clauses"]
        if clauses.aggregate is not None:
            return self._call(node)
        outer = dict(self.locals)
        found = self.out.fresh("found")
        for alias, source in clauses.sources:
            self._limit(alias, source, clauses.where)
        sources = [self.held(source) for _, source in clauses.sources]
        self.out.add(f"{found} = False")
        known = " and ".join(f"{source} is not None" for source in sources)
        with self.out.block(f"if {known}:"), ExitStack() as stack:
            self._loops(stack, clauses, sources, found)
            returned = clauses.returns
            item = self.locals[clauses.sources[0][0]]
            if _is_tuple_of_sources(returned) if returned is not None else item in self.never_null:
                self.out.add(f"{found} = True")
            elif returned is None:
                self.out.add(f"{found} = {item} is not None")
            else:
                self.out.add(f"{found} = {self.held(returned)} is not None")
        self.locals = outer
        return found

    def _leave(self, found: str) -> None:
        with self.out.block(f"if {found}:"):
            self.out.add("break")

    def _loops(
        self, stack: ExitStack, clauses: QueryClauses, sources: list[str], found: str | None = None
    ) -> None:
        """Opens a loop for each source, and skips what the relationships and the condition rule out.

        `found` names the flag at which the loops are left.
        """
        pairs = zip(clauses.sources, sources, strict=True)
        sizes = [f"len({held})" for (_, source), held in pairs if isinstance(source.type, ListOf)]
        if sizes:
            self.out.add(f"c.work({' * '.join(sizes)})")
        first: Loop | None = None
        for (alias, source), held in zip(clauses.sources, sources, strict=True):
            item = self.out.fresh("x")
            over = held if isinstance(source.type, ListOf) else f"({held},)"
            loop = stack.enter_context(self.out.loop(item, over, first))
            first = first or loop
            self.locals[alias] = item
            if self._holds_resources(source):
                self.never_null.add(item)
            if found is not None:
                stack.callback(self._leave, found)
        for name, value in clauses.lets:
            local = self.out.fresh("x")
            self.out.add(f"{local} = {self.measured(value.type, self.expression(value))}")
            self.locals[name] = local
            self.out.bound[local] = self.out.loops[-1]
        for relationship in clauses.relationships:
            self._relationship(*relationship)
        if clauses.where is not None:
            condition = self.expression(clauses.where)
            with self.out.block(f"if not {condition}:"):
                self.out.add("continue")

    def _holds_resources(self, source: Typed) -> bool:
        """Whether the list is of retrieved resources, none of which is null."""
        if source.op == "ExpressionRef" and source.fields["libraryName"] is None:
            return self._holds_resources(self.library.expressions[source.fields["name"]].body)
        if source.op == "Query":
            clauses: QueryClauses = source.fields["clauses"]
            plain = clauses.returns is None and clauses.aggregate is None and len(clauses.sources) == 1
            return plain and self._holds_resources(clauses.sources[0][1])
        return source.op == "Retrieve"

    def _relationship(self, alias: str, source: Typed, condition: Typed, negated: bool) -> None:
        self._limit(alias, source, condition)
        held = self.held(source)
        found, item = self.out.fresh("found"), self.out.fresh("x")
        self.out.add(f"{found} = False")
        over = f"{held} or ()" if isinstance(source.type, ListOf) else f"() if {held} is None else ({held},)"
        if isinstance(source.type, ListOf):
            self.out.add(f"c.work(len({held} or ()))")
        outer = self.locals.get(alias)
        self.locals[alias] = item
        if self._holds_resources(source):
            self.never_null.add(item)
        first = self.out.loops[0] if self._is_the_same(source) else None
        with self.out.loop(item, over, first, late=True):
            condition_text = self.expression(condition)
            with self.out.block(f"if {condition_text}:"):
                self.out.add(f"{found} = True")
                self.out.add("break")
        if outer is not None:
            self.locals[alias] = outer
        with self.out.block(f"if {found}:" if negated else f"if not {found}:"):
            self.out.add("continue")

    def _is_the_same(self, source: Typed) -> bool:
        """Whether a list does not change in the loops that are open."""
        names = self.dependencies.of(source)
        if UNNAMED in names or not isinstance(source.type, ListOf):
            return False
        return not any(self.out.bound.get(self.locals[name]) in self.out.loops for name in names)

    def _collected(self, clauses: QueryClauses, sources: list[str], result: str) -> None:
        if _keeps_all(clauses):
            self.out.add(f"{result} = {sources[0]}")
            return
        self.out.add(f"{result} = []")
        with ExitStack() as stack:
            self._loops(stack, clauses, sources)
            returned = clauses.returns
            value = self.expression(returned) if returned else self.locals[clauses.sources[0][0]]
            self.out.add(f"{result}.append({value})")

    def _finished(self, clauses: QueryClauses, result: str, type_: Type | None) -> None:
        """The list that was collected, or its only element where no source is a list."""
        if type_ is None:
            self.out.add(f"{result} = {result}[0] if {result} else None")
            return
        if clauses.distinct:
            once = DATA_LISTS["Distinct"] if is_data(type_) else lists.distinct
            self.out.add(f"{result} = {self.module.bind(once)}({result})")
        if len(clauses.sort) == 1 and clauses.sort[0][0] is not None:
            keys = self._keys_of(clauses, result)
            function = self.module.bind(lists.sorted_by)
            self.out.add(f"{result} = {function}({result}, {keys}, {clauses.sort[0][1]})")
        elif clauses.sort:
            keys = ", ".join(self._key(key, descending) for key, descending in clauses.sort)
            self.out.add(f"{result} = {self.module.bind(lists.sort)}({result}, ({keys},))")

    def _keys_of(self, clauses: QueryClauses, result: str) -> str:
        """The keys by which a list that was collected is sorted, one for each element."""
        ((key, _),) = clauses.sort
        assert key is not None
        keys, item = self.out.fresh("k"), self.out.fresh("x")
        outer = self.locals.get("$this")
        self.locals["$this"] = item
        self.out.add(f"{keys} = []")
        if clauses.returns is None and self._holds_resources(clauses.sources[0][1]):
            self.never_null.add(item)
        before = len(self.out.lines)
        with self.out.block(f"for {item} in {result}:"):
            text = self.expression(key)
            self.out.add(f"{keys}.append({text})")
        if len(self.out.lines) == before + 2:
            del self.out.lines[before - 1 :]
            self.out.add(f"{keys} = [{text} for {item} in {result}]")
        if outer is not None:
            self.locals["$this"] = outer
        return keys

    def _first(self, node: Typed) -> str:
        """Of a query that is sorted by one key: the element with the least, or the greatest, key."""
        return self._of_sorted(node, lists.first_sorted)

    def _last(self, node: Typed) -> str:
        return self._of_sorted(node, lists.last_sorted)

    def _of_sorted(self, node: Typed, function: Callable[..., Any]) -> str:
        query = node.operands[0]
        if query.op != "Query":
            return self._call(node)
        clauses: QueryClauses = query.fields["clauses"]
        if len(clauses.sort) != 1 or clauses.sort[0][0] is None:
            return self._call(node)
        unsorted = replace(clauses, sort=[])
        collected = self.held(Typed("Query", query.type, [], {"clauses": unsorted}, query.at))
        found = self.out.fresh()
        self.out.add(f"{found} = None")
        with self.out.block(f"if {collected}:"):
            keys = self._keys_of(clauses, collected)
            self.out.add(f"{found} = {self.module.bind(function)}({collected}, {keys}, {clauses.sort[0][1]})")
        return found

    def _equivalent(self, node: Typed) -> str:
        """A CodeableConcept of the data with codes written in the library: without making a Concept of it."""
        for mine, other in (node.operands, node.operands[::-1]):
            codes = self._static(other)
            concept = mine.op == "ModelConversion" and mine.fields["from"] == _CODEABLE_CONCEPT
            if concept and isinstance(codes, tuple):
                pairs = [(code.system, code.code) for code in codes]
                wanted = self.module.constant(f"frozenset({pairs!r})")
                return f"{self.module.bind(fhir.has_code)}({self.expression(mine.operands[0])}, {wanted})"
        return self._call(node)

    def _key(self, key: Typed | None, descending: bool) -> str:
        if key is None:
            return f"(None, {descending})"
        function, item = self.out.fresh("key"), self.out.fresh("x")
        outer = self.locals.get("$this")
        self.locals["$this"] = item
        with self.out.block(f"def {function}({item}):"), self.out.within([]):
            self.out.add(f"return {self.expression(key)}")
        if outer is not None:
            self.locals["$this"] = outer
        return f"({function}, {descending})"

    def _aggregated(self, clauses: QueryClauses, sources: list[str], result: str) -> None:
        """The accumulator meets every combination; with `distinct`, each different one once."""
        assert clauses.aggregate is not None
        name, start, body, distinct = clauses.aggregate
        self.out.add(f"{result} = {self.expression(start)}")
        self.locals[name] = result
        if not distinct:
            with ExitStack() as stack:
                self._loops(stack, clauses, sources)
                self.out.bound[result] = self.out.loops[-1]
                self.out.add(f"{result} = {self.expression(body)}")
            return
        rows, row = self.out.fresh("rows"), self.out.fresh("x")
        self.out.add(f"{rows} = []")
        names = [alias for alias, _ in clauses.sources] + [let for let, _ in clauses.lets]
        with ExitStack() as stack:
            self._loops(stack, clauses, sources)
            self.out.add(f"{rows}.append([{', '.join(self.locals[alias] for alias in names)}])")
        with self.out.loop(row, f"{self.module.bind(lists.distinct)}({rows})") as loop:
            self.out.bound[result] = loop
            for number, alias in enumerate(names):
                self.locals[alias] = self.out.fresh("x")
                self.out.bound[self.locals[alias]] = loop
                self.out.add(f"{self.locals[alias]} = {row}[{number}]")
            self.out.add(f"{result} = {self.expression(body)}")

    def _retrieve(self, node: Typed) -> str:
        """Lifted out as data where the codes are written in the library."""
        type_ = node.fields["dataType"]
        dates = self.limited.get(id(node))
        call = "c.retrieve("
        if "context" in node.fields:
            call, dates = f"c.related({self.expression(node.fields['context'])}, ", None
        if "codes" not in node.fields:
            return f"{call}{self._lifted(Retrieve(type_.name, dates=dates))})"
        path, codes = self._path(type_, node.fields["codeProperty"]), node.fields["codes"]
        known = self._static(codes)
        lifted = self._lifted(Retrieve(type_.name, path, known, dates))
        return f"{call}{lifted}{'' if known is not None else f', {self.expression(codes)}'})"

    def _lifted(self, retrieve: Retrieve) -> str:
        if retrieve not in self.module.retrieves:
            self.module.retrieves.append(retrieve)
        number = self.module.retrieves.index(retrieve)
        return self.module.bind(self.module.retrieves[number], f"R{number}")

    def _limit(self, alias: str, source: Typed, condition: Typed | None) -> None:
        """Notes the dates by which a condition limits what a source retrieves."""
        found = limits(condition, alias, self.library) if source.op == "Retrieve" else None
        if found is None:
            return
        path, alternatives = found
        together = [
            (
                self.library,
                tuple(Limit(side, self._closed(value), precision) for side, value, precision in each),
            )
            for each in alternatives
        ]
        self.limited[id(source)] = Dates(path, tuple(dict.fromkeys(together)))

    def _closed(self, value: Typed) -> str:
        """The name of a function for an expression that needs only the clock and the parameters."""
        name = f"limit_{len(self.module.limits)}"
        out = Function(self.module, f"{name}(c)", value.at.line if value.at else self.out.line)
        out.add(f"return {type(self)(self.module, out, self.library, {}).expression(value)}")
        text = tuple(line for line, _ in out.lines[1:])
        return self.module.limits.setdefault(text, (name, out))[0]

    def _path(self, type_: Type, path: str) -> str:
        """The path in the data: a choice is read as the CodeableConcept it may be."""
        names, at = [], type_
        for name in path.split("."):
            if isinstance(at, ListOf):
                at = at.element
            assert isinstance(at, Named)
            owner = self.library.models.owner(at, name)
            found = self.library.models.element(at, name)
            assert found is not None
            names.append(f"{name}CodeableConcept" if owner and name in owner.choices else name)
            at = found
        return ".".join(names)

    def _static(self, codes: Typed) -> tuple[values.Code, ...] | values.ValueSet | None:
        """The codes if they are written in the library, else None."""
        if codes.op == "ValueSetRef":
            fields = self.defined(codes).fields
            return values.ValueSet(fields["id"], fields["version"], fields["name"])
        if codes.op in ("ToList", "List", "ToConcept"):
            found = [self._static(operand) for operand in codes.operands]
            known = [codes for codes in found if isinstance(codes, tuple)]
            return sum(known, ()) if len(known) == len(found) else None
        if codes.op in ("CodeRef", "Code"):
            fields = (self.defined(codes) if codes.op == "CodeRef" else codes).fields
            system = self.defined(fields["system"]).fields
            return (values.Code(fields["code"], system["id"], system["version"], fields["display"]),)
        return None
