"""Which interaction a method and a path ask for, over HTTP and in the entries of a Bundle alike.

https://hl7.org/fhir/R4/http.html#operations
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fhir_server.errors import FhirError
from fhir_server.exchange import Request, Response, Service
from fhir_server.interactions.capabilities import capabilities
from fhir_server.interactions.create import create
from fhir_server.interactions.delete import delete
from fhir_server.interactions.history import history
from fhir_server.interactions.operations import meta, terminology
from fhir_server.interactions.operations.closure import closure
from fhir_server.interactions.operations.evaluate import evaluate_cql, evaluate_library
from fhir_server.interactions.operations.everything import everything
from fhir_server.interactions.operations.fhirpath import evaluate_fhirpath
from fhir_server.interactions.operations.last import lastn
from fhir_server.interactions.operations.preferred_id import preferred_id
from fhir_server.interactions.operations.statistics import stats
from fhir_server.interactions.operations.validate import validate
from fhir_server.interactions.patch import patch
from fhir_server.interactions.read import read
from fhir_server.interactions.search import search
from fhir_server.interactions.update import update
from fhir_server.interactions.vread import vread
from fhir_server.search import compartments
from profiles.definitions import load

Interaction = Callable[[Service, Request], Awaitable[Response]]

# Operations by what stands in the path; http://hl7.org/fhir/R4/operations.html. By GET and by POST: none
# changes anything but $closure, which refuses a GET.
OPERATIONS: Mapping[str, tuple[str, Interaction]] = {
    "$closure": ("closure", closure),
    "$cql": ("$cql", evaluate_cql),
    "$validate": ("validate", validate),
    "$fhirpath": ("$fhirpath", evaluate_fhirpath),
    "Library/$evaluate": ("Library/$evaluate", evaluate_library),
    "Library/{id}/$evaluate": ("Library/$evaluate", evaluate_library),
    "{type}/$validate": ("validate", validate),
    "{type}/{id}/$validate": ("validate", validate),
    "CodeSystem/$lookup": ("lookup", terminology.lookup_code),
    "CodeSystem/{id}/$lookup": ("lookup", terminology.lookup_code),
    "CodeSystem/$subsumes": ("subsumes", terminology.subsumes_codes),
    "CodeSystem/{id}/$subsumes": ("subsumes", terminology.subsumes_codes),
    "CodeSystem/$validate-code": ("validate-code", terminology.validate_code_in_system),
    "CodeSystem/{id}/$validate-code": ("validate-code", terminology.validate_code_in_system),
    "Encounter/{id}/$everything": ("everything", everything),
    "Observation/$lastn": ("lastn", lastn),
    "Observation/$stats": ("stats", stats),
    "Patient/$everything": ("everything", everything),
    "Patient/{id}/$everything": ("everything", everything),
    "ConceptMap/$translate": ("translate", terminology.translate_code),
    "ConceptMap/{id}/$translate": ("translate", terminology.translate_code),
    "NamingSystem/$preferred-id": ("preferred-id", preferred_id),
    "ValueSet/$batch-validate-code": ("batch-validate-code", terminology.batch_validate),
    "ValueSet/$expand": ("expand", terminology.expand_value_set),
    "ValueSet/{id}/$expand": ("expand", terminology.expand_value_set),
    "ValueSet/$validate-code": ("validate-code", terminology.validate_code_in_value_set),
    "ValueSet/{id}/$validate-code": ("validate-code", terminology.validate_code_in_value_set),
}

# By their name, of the system, of any type and of any resource; the last two change it, so they are POSTs.
OF_ANYTHING: Mapping[str, tuple[str, Interaction]] = {
    "$meta": ("meta", meta.meta),
    "{type}/$meta": ("meta", meta.meta),
    "{type}/{id}/$meta": ("meta", meta.meta),
    "{type}/{id}/_history/{version}/$meta": ("meta", meta.meta),
}
CHANGING: Mapping[str, tuple[str, Interaction]] = {
    "{type}/{id}/$meta-add": ("meta-add", meta.meta_add),
    "{type}/{id}/$meta-delete": ("meta-delete", meta.meta_delete),
}

# Path template -> method -> the interaction's name in the specification, and the function. http.py adds those
# that cannot be entries of a Bundle.
ROUTES: Mapping[str, Mapping[str, tuple[str, Interaction]]] = {
    "metadata": {"GET": ("capabilities", capabilities)},
    "_history": {"GET": ("history-system", history)},
    "": {"GET": ("search-system", search)},
    "_search": {"POST": ("search-system", search)},
    "{type}": {
        "GET": ("search-type", search),
        "POST": ("create", create),
        "PUT": ("update", update),
        "PATCH": ("patch", patch),
        "DELETE": ("delete", delete),
    },
    "{type}/_search": {"POST": ("search-type", search)},
    "{type}/_history": {"GET": ("history-type", history)},
    "{type}/{id}": {
        "GET": ("read", read),
        "PUT": ("update", update),
        "PATCH": ("patch", patch),
        "DELETE": ("delete", delete),
    },
    "{type}/{id}/_history": {"GET": ("history-instance", history)},
    "{type}/{id}/_history/{version}": {"GET": ("vread", vread)},
    **{template: {"GET": found, "POST": found} for template, found in {**OPERATIONS, **OF_ANYTHING}.items()},
    **{template: {"POST": found} for template, found in CHANGING.items()},
    "{type}/{id}/{member}": {"GET": ("search-compartment", search)},
    "{type}/{id}/{member}/_search": {"POST": ("search-compartment", search)},
}
# Those that a GET searches with.
SEARCHES = frozenset(template for template, by in ROUTES.items() if by.get("GET", ("", None))[1] is search)
_TYPES = frozenset(load().resource_types)


@dataclass(frozen=True, slots=True)
class Place:
    """A path, matched: which template, and what stands in its gaps."""

    template: str
    type: str = ""
    id: str = ""
    version: str = ""
    member: str = ""

    @property
    def path(self) -> str:
        """The template with its gaps filled."""
        return self.template.format(type=self.type, id=self.id, version=self.version, member=self.member)


def match(path: str) -> Place:
    """The place of a path relative to the base; FhirError("unknown-type") where there is none."""
    parts = path.removeprefix("/").removesuffix("/").split("/")
    first = parts[0]
    if first in _TYPES:
        return _match_type(first, parts[1:])
    if len(parts) == 1 and first in ("", "metadata", "_history", "_search"):
        return Place(first)
    if len(parts) == 1 and (first in OPERATIONS or first in OF_ANYTHING):
        return Place(first)
    if parts == ["$reindex"]:
        return Place(first)
    if first == "_async" and len(parts) in (2, 3) and parts[2:] in ([], ["result"]):
        return Place("/".join(["_async/{id}", *parts[2:]]), id=parts[1])
    if first.startswith(("_", "$")):
        raise FhirError("unknown-type", "There is no such operation")
    raise FhirError("unknown-type", "There is no such resource type in FHIR R4")


def _is_member(type_: str, member: str) -> bool:
    """Whether a type can be searched for in a compartment, https://hl7.org/fhir/R4/http.html#vsearch."""
    return type_ in compartments.NAMES and (member == "*" or member in _TYPES)


def _match_type(type_: str, rest: list[str]) -> Place:
    match rest:
        case ["$validate"]:
            return Place("{type}/$validate", type_)
        case [id_, "$validate"] if id_:
            return Place("{type}/{id}/$validate", type_, id_)
        case [id_, "$break-the-glass"] if type_ == "Patient" and id_:
            return Place("Patient/{id}/$break-the-glass", type_, id_)
        case [id_, "$reindex"] if type_ == "SearchParameter":
            return Place("SearchParameter/{id}/$reindex", type_, id_)
        case [name] if f"{type_}/{name}" in OPERATIONS:
            return Place(f"{type_}/{name}", type_)
        case [id_, name] if f"{type_}/{{id}}/{name}" in OPERATIONS:
            return Place(f"{type_}/{{id}}/{name}", type_, id_)
        case [name] if f"{{type}}/{name}" in OF_ANYTHING:
            return Place(f"{{type}}/{name}", type_)
        case [id_, name] if f"{{type}}/{{id}}/{name}" in ROUTES and name.startswith("$"):
            return Place(f"{{type}}/{{id}}/{name}", type_, id_)
        case [id_, "_history", version, "$meta"]:
            return Place("{type}/{id}/_history/{version}/$meta", type_, id_, version)
        case []:
            return Place("{type}", type_)
        case ["_search" | "_history" as name]:
            return Place(f"{{type}}/{name}", type_)
        case [id_] if id_ and not id_.startswith(("_", "$")):
            return Place("{type}/{id}", type_, id_)
        case [id_, "_history"] if id_:
            return Place("{type}/{id}/_history", type_, id_)
        case [id_, "_history", version]:
            return Place("{type}/{id}/_history/{version}", type_, id_, version)
        case [id_, member, *form] if id_ and _is_member(type_, member) and form in ([], ["_search"]):
            return Place("/".join(["{type}/{id}/{member}", *form]), type_, id_, member=member)
    raise FhirError("unknown-type", f"There is no such operation on {type_}")
