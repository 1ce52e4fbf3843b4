"""Whatever is done with codes and tokens, in whatever order: those are good that a slow model says are good.

https://www.rfc-editor.org/rfc/rfc9700#section-4.14
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fhir_server.smart.clients import Client
from tests.smart.office import BACK, PUBLIC, Office, Pkce

OTHER = Client("other", "Other", "public", "patient/*.rs offline_access", (BACK,))
SCOPE = "patient/*.rs offline_access"
STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            ["launch", "redeem", "guess", "refresh", "refresh", "steal", "revoke access", "revoke refresh", "wait"]
        ),
        st.integers(0, 5),
    ),
    max_size=14,
)  # fmt: skip


@dataclass
class Family:
    """All that came of one approval. `codes` and tokens are kept with whether they are still unused."""

    code: str
    pkce: Pkce
    issued: float
    spent: bool = False
    ended: bool = False
    access: dict[str, float] = field(default_factory=dict)  # token -> when it ends
    refresh: dict[str, bool] = field(default_factory=dict)  # token -> whether it was used


class Model:
    """What the rules say, by hand."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.families: list[Family] = []

    @property
    def now(self) -> float:
        return self.office.now.timestamp()

    def step(self, what: str, which: int) -> None:
        if what == "launch" or not self.families:
            code, pkce = self.office.code(scope=SCOPE)
            self.families.append(Family(code, pkce, self.now))
        elif what == "wait":
            self.office.later(seconds=[1, 59, 60, 1800, 3599, 3600][which])
        else:
            family = self.families[which % len(self.families)]
            {"redeem": self.redeem, "guess": self.guess, "refresh": self.refresh, "steal": self.steal}.get(
                what, self.revoke
            )(family, what, which)
        self.check()

    def redeem(self, family: Family, what: str, which: int) -> None:
        answer = self.office.redeem(family.code, family.pkce)
        if not family.spent and self.now < family.issued + 60:
            self.took(family, answer.json())
        else:
            assert answer.status_code == 400
            family.ended = family.ended or family.spent  # a replay
        family.spent = family.spent or self.now < family.issued + 60

    def guess(self, family: Family, what: str, which: int) -> None:
        assert self.office.redeem(family.code, Pkce()).status_code == 400
        family.ended = family.ended or family.spent
        family.spent = family.spent or self.now < family.issued + 60

    def refresh(self, family: Family, what: str, which: int, client: Client = PUBLIC) -> None:
        if not family.refresh:
            return
        token = list(family.refresh)[which % len(family.refresh)]
        answer = self.office.refresh(token, client_id=client.id)
        if family.ended or family.refresh[token] or client is not PUBLIC:
            assert answer.status_code == 400
            family.ended = True
        else:
            family.refresh[token] = True
            self.took(family, answer.json())

    def steal(self, family: Family, what: str, which: int) -> None:
        self.refresh(family, what, which, OTHER)

    def revoke(self, family: Family, what: str, which: int) -> None:
        tokens: dict[str, Any] = family.access if what == "revoke access" else family.refresh
        if tokens:
            token = list(tokens)[which % len(tokens)]
            used = what == "revoke refresh" and family.refresh[token]
            assert (
                self.office.send("POST", "/auth/revoke", {"token": token, "client_id": "app"}).status_code
                == 200
            )
            if what == "revoke access":
                family.access[token] = 0
            elif not used:  # one that was used is no token any more
                family.ended = True

    def took(self, family: Family, tokens: dict[str, Any]) -> None:
        assert "access_token" in tokens, tokens
        family.access[tokens["access_token"]] = self.now + 3600
        family.refresh[tokens["refresh_token"]] = False

    def check(self) -> None:
        for family in self.families:
            for token, ends in family.access.items():
                good = not family.ended and self.now < ends
                assert self.office.fhir("/Patient/p1", token).status_code == (404 if good else 401)


@settings(
    derandomize=True, max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)  # fmt: skip
@given(STEPS)
def test_tokens_are_good_when_the_model_says_so(office: Office, steps: list[tuple[str, int]]) -> None:
    office.register(OTHER)
    model = Model(office)  # what earlier examples left behind is of other approvals
    for what, which in steps:
        model.step(what, which)
