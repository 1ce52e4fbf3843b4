"""What the server keeps of what validation looked up: each name once, and not without end."""

from __future__ import annotations

from fhir_server import conformance
from fhir_server.conformance import Knowledge
from tests.profiles.known import NothingStored


class Counting(NothingStored):
    """Counts what is looked for."""

    def __init__(self):
        self.asked = 0

    def canonical(self, type_, canonical):
        self.asked += 1


def test_a_name_is_looked_for_once():
    store = Counting()
    known = Knowledge((), store)
    found = [known.artifact("CodeSystem", "http://hl7.org/fhir/administrative-gender") for _ in range(3)]
    assert found[0]["url"] == found[2]["url"] == "http://hl7.org/fhir/administrative-gender"
    assert [known.artifact("ValueSet", "http://helsenett.no/unknown") for _ in range(3)] == [None] * 3
    assert store.asked == 2


def test_what_may_change_at_any_time_is_looked_for_anew():
    store = Counting()
    known = Knowledge((), store)
    assert [known.artifact("Measure", "http://helsenett.no/m") for _ in range(3)] == [None] * 3
    assert store.asked == 3


def test_names_that_clients_make_up_are_not_kept_without_end(monkeypatch):
    monkeypatch.setattr(conformance, "_MOST_KEPT", 5)
    known = Knowledge((), Counting())
    for n in range(23):
        assert known.known(f"http://helsenett.no/{n}", "x") is None
        assert known.member(f"http://helsenett.no/{n}", None, "x") is None
        assert known.artifact("ValueSet", f"http://helsenett.no/{n}") is None
        assert known.definition(f"http://helsenett.no/{n}") is None
    assert max(map(len, (known._systems, known._members, known._artifacts))) <= 5
