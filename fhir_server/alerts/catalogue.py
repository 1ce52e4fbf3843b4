"""The PlanDefinitions that judge: compiled once for each state of them and of what they use."""

from __future__ import annotations

from collections.abc import Sequence

from fhir_server.alerts.definitions import ECA_RULE, Definition, Flaw, Reader
from fhir_server.alerts.libraries import MOST_VERSIONS, NEWEST, Find, Libraries, best, stored
from fhir_server.alerts.value_sets import ValueSets
from fhir_server.search.query import And, Match, Query, Test
from fhir_server.store.base import Version
from rules.plans import Text

MOST_DEFINITIONS = 2000
# Bugs of the engine's own. A store's errors are none of these: they end the transaction.
BUGS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
EVERYBODY = Query(
    "PlanDefinition",
    And(
        (
            Match("token", "status", (Test("code", "=", "active"),)),
            Match("token", "type", (Test("code", "=", ECA_RULE),)),
        )
    ),
    count=MOST_DEFINITIONS + 1,
)


class Catalogue:
    """What the store holds at one stamp of DEFINING; looked up when it is asked for, and then remembered.

    `find` is that of the transaction at hand. What is found is that of every transaction with this stamp.
    """

    def __init__(self, find: Find) -> None:
        self.find = find
        self._libraries = Libraries(self._search)
        self.value_sets = ValueSets(self._search)
        self._everybody: tuple[Definition, ...] | None = None
        self._named: dict[str, Definition | None] = {}

    @property
    def everybody(self) -> tuple[Definition, ...]:
        """The active rules that readings trigger by themselves, whoever's they are."""
        if self._everybody is None:
            found = sorted(stored(self._search, EVERYBODY), key=lambda resource: str(resource["id"]))
            read = [self.read(resource) for resource in found[:MOST_DEFINITIONS]]
            if len(found) > MOST_DEFINITIONS:
                read.append(flawed("others", f"there are more than {MOST_DEFINITIONS} rules for everybody"))
            self._everybody = tuple(read)
        return self._everybody

    def named(self, canonical: str) -> Definition | None:
        """The PlanDefinition that a canonical URL names, in whatever status; None where there is none."""
        if canonical not in self._named:
            url, _, version = canonical.partition("|")
            where = Match("uri", "url", (Test("value", "=", url),))
            found = stored(self._search, Query("PlanDefinition", where, NEWEST, count=MOST_VERSIONS))
            one = best(resource for resource in found if not version or resource.get("version") == version)
            self._named[canonical] = self.read(one) if one else None
        return self._named[canonical]

    def read(self, resource: dict[str, object]) -> Definition:
        """A PlanDefinition, with what it uses as it is stored now. One that cannot be read is flawed."""
        try:
            return Reader(resource, self._libraries, self.value_sets).read()
        except BUGS as error:  # it must not take the other rules along (promise 2)
            return flawed(str(resource.get("id")), f"it could not be read ({type(error).__name__})")

    def _search(self, query: Query) -> Sequence[Version]:
        return self.find(query)


def flawed(id: str, message: str) -> Definition:
    """A PlanDefinition, or several, of which only this can be said."""
    flaws = (Flaw("PlanDefinition", message),)
    return Definition(f"PlanDefinition/{id}", id, "active", True, (), flaws, Text("Regel", "Rule"))
