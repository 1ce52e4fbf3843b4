"""Queries and retrieves (https://cql.hl7.org/02-authorsguide.html#queries)."""

from __future__ import annotations

from rules.language import nodes as n
from rules.typed.terms import Terms
from rules.typed.tree import QueryClauses, Typed
from rules.typed.types import ANY, BOOLEAN, CONCEPT, STRING, VALUESET, ChoiceOf, ListOf, Named, Type, tuple_of


class Queries(Terms):
    """Query and Retrieve."""

    def _query(self, node: n.Query) -> Typed:
        names: dict[str, Typed] = {}
        with self.scope(names):
            sources = [self._source(source, names) for source in node.sources]
            clauses = QueryClauses(sources)
            for name, expression in node.lets:
                value = self.expression(expression)
                names[name] = Typed("QueryLetRef", value.type, [], {"name": name})
                clauses.lets.append((name, value))
            clauses.relationships = [self._relationship(relation) for relation in node.relationships]
            if node.where is not None:
                clauses.where = self.converted(self.expression(node.where), BOOLEAN, node.where.at)
            element = self._result(node, clauses)
        many = any(isinstance(source.type, ListOf) for _, source in sources)
        type_ = ListOf(element) if many and node.aggregate is None else element
        if node.sort:
            if not many:
                return self.error(node.at, "only a list can be sorted")
            clauses.sort = [self._sort(item, element) for item in node.sort]
        return Typed("Query", type_, [], {"clauses": clauses}, node.at)

    def _source(self, source: n.Source, names: dict[str, Typed]) -> tuple[str, Typed]:
        value = self.expression(source.expression)
        if source.alias in names:
            self.error(source.at, f"the alias {source.alias} is already taken")
        element = value.type.element if isinstance(value.type, ListOf) else value.type
        names[source.alias] = Typed("AliasRef", element, [], {"name": source.alias})
        return source.alias, value

    def _relationship(self, relation: n.Relationship) -> tuple[str, Typed, Typed, bool]:
        names: dict[str, Typed] = {}
        with self.scope(names):
            alias, source = self._source(relation.source, names)
            condition = self.converted(self.expression(relation.condition), BOOLEAN, relation.condition.at)
        return alias, source, condition, relation.negated

    def _result(self, node: n.Query, clauses: QueryClauses) -> Type:
        """The type of one result; several sources without a return give a tuple of them."""
        if node.aggregate is not None:
            return self._aggregate(node.aggregate, clauses)
        if node.returns is not None:
            clauses.returns = self.expression(node.returns)
            clauses.distinct = node.distinct
            return clauses.returns.type
        aliases = {name: self.local(name) for name, _ in clauses.sources}
        elements = {name: found for name, found in aliases.items() if found is not None}
        if len(elements) == 1:
            return next(iter(elements.values())).type
        type_ = tuple_of({name: element.type for name, element in elements.items()})
        clauses.returns = Typed("Tuple", type_, [], {"elements": list(elements.items())}, node.at)
        return type_

    def _aggregate(self, node: n.Aggregate, clauses: QueryClauses) -> Type:
        """The accumulator has the type of its start; without one, of what the expression makes of a null."""
        start = self.expression(node.starting) if node.starting is not None else Typed("Null", ANY)
        type_ = start.type
        for _ in range(2):
            with self.scope({node.name: Typed("QueryLetRef", type_, [], {"name": node.name})}):
                marked = len(self.problems)
                body = self.expression(node.expression)
            wider = self.conversions.join(type_, body.type, choice=True) or ANY
            if wider == type_:
                break
            type_ = wider
            del self.problems[marked:]
        start, body = self.converted(start, type_, node.at), self.converted(body, type_, node.at)
        clauses.aggregate = (node.name, start, body, node.distinct)
        return type_

    def _sort(self, item: n.SortItem, element: Type) -> tuple[Typed | None, bool]:
        if item.expression is None:
            return None, item.descending
        this = Typed("AliasRef", element, [], {"name": "$this"}, item.at)
        self.this.append(this)
        with self.scope({"$this": this}):
            key = self.expression(item.expression)
        self.this.pop()
        key = self.conversions.as_system(key)
        if isinstance(key.type, ChoiceOf):
            key = self.error(item.at, f"{key.type} has no order: cast it to one of its types")
        return key, item.descending

    # Retrieves

    def _retrieve(self, node: n.Retrieve) -> Typed:
        type_ = self.models.find(node.type.parts)
        if type_ is None or not self.models.by_name[type_.model].classes[type_.name].retrievable:
            return self.error(node.at, f"{'.'.join(node.type.parts)} cannot be retrieved")
        fields = {"dataType": type_, **self._codes(node, type_)}
        if node.context is not None:
            fields["context"] = self._in_whose_context(self.expression(node.context), node.context.at)
        return Typed("Retrieve", ListOf(type_), [], fields, node.at)

    def _in_whose_context(self, context: Typed, at: n.At) -> Typed:
        """A resource that a context can be about, a reference to it, or the id of a Patient."""
        type_ = context.type
        model = self.models.by_name.get(type_.model) if isinstance(type_, Named) else None
        if isinstance(type_, Named) and model is not None and type_.name in {*model.contexts, "Reference"}:
            return context
        return self.converted(context, STRING, at)

    def _codes(self, node: n.Retrieve, type_: Named) -> dict[str, object]:
        """What limits the retrieve by code: the path, the comparator and the codes or value set."""
        if node.terminology is None:
            return {}
        known = self.models.by_name[type_.model].classes[type_.name]
        path = node.path or known.code_path
        if path is None or self._path_type(type_, path) is None:
            return {"codes": self.error(node.at, f"{type_} has no element {path or 'for codes'}")}
        codes = self.expression(node.terminology)
        comparator = node.comparator or ("in" if codes.type == VALUESET else "~")
        if codes.type not in (VALUESET, CONCEPT) and not isinstance(codes.type, ListOf):
            codes = Typed("ToList", ListOf(codes.type), [codes], {}, node.at)
        return {"codeProperty": path, "codeComparator": comparator, "codes": codes}

    def _path_type(self, type_: Type, path: str) -> Type | None:
        at: Type | None = type_
        for name in path.split("."):
            if isinstance(at, ListOf):
                at = at.element
            at = self._element_type(at, name) if at is not None else None
        return at
