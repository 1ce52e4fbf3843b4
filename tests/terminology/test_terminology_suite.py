"""The test cases of the HL7 terminology ecosystem, over HTTP (see suite.py); none is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fhir_server import log
from fhir_server.app import create_app
from fhir_server.settings import Settings
from tests.terminology import suite as files  # pythonpath is the root of the project

log.configure("error")
CASES = files.cases()
pytestmark = pytest.mark.skipif(not CASES, reason="the suite is not in ../shared/suites/terminology")

_PATHS = {
    "expand": "ValueSet/$expand",
    "validate-code": "ValueSet/$validate-code",
    "cs-validate-code": "CodeSystem/$validate-code",
    "lookup": "CodeSystem/$lookup",
    "translate": "ConceptMap/$translate",
    "batch-validate": "ValueSet/$batch-validate-code",
    "term-caps": "metadata?mode=terminology",
}
# name: why our answer is another one. An exception that no longer is one fails.
EXCEPTIONS: dict[str, str] = {
    "extensions/validate-code-inactive-display": (
        "the answer expected calls the designation's status deprecated; in the code system it is withdrawn"
    ),
    "overload/expand-enum-good": (
        "code2 of version 2.0.0 is called Display #2 in the code system, and so overload/expand-all has it"
    ),
    "overload/expand-exclude-versioned": (
        "code2 of version 2.0.0 is called Display #2 in the code system, and so overload/expand-all has it"
    ),
    "validation/validation-simple-coding-bad-system": (
        "the same message as in errors/unknown-system1, but without quotes around the system: one of them fails"
    ),
}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[files.Client]:
    path = tmp_path_factory.mktemp("terminology") / "varde.db"
    client = files.Client(create_app(Settings(auth=False, store=f"sqlite:///{path}")))
    yield client
    client.close()


def problem(client: files.Client, suite: dict[str, Any], test: dict[str, Any]) -> str | None:
    """What is wrong with our answer."""
    body = None
    if "request" in test:
        parameters = list(files.read(test["request"]).get("parameter", []))
        if "profile" in test:
            parameters += files.read(test["profile"])["parameter"]
        parameters += [
            {"name": "tx-resource", "resource": files.read(name)} for name in suite.get("setup", [])
        ]
        body = files.as_r4({"resourceType": "Parameters", "parameter": parameters})
    headers = {"accept-language": test["Accept-Language"]} if "Accept-Language" in test else {}
    answer = client.send(_PATHS[test["operation"]], body, headers)
    wanted = test.get("http-code", "200")
    if str(answer.status_code)[0] != wanted[0]:
        return f"status {answer.status_code} instead of {wanted}: {answer.text[:800]}"
    actual = files.as_r5(answer.json())
    compare = files.lacking if test["operation"] == "term-caps" else files.difference
    found = [compare(files.read(test[name]), actual) for name in ("response", "response2") if name in test]
    return None if None in found else found[0]


@pytest.mark.parametrize("name,suite,test", CASES, ids=[name for name, _, _ in CASES])
def test_suite(client: files.Client, name: str, suite: dict[str, Any], test: dict[str, Any]) -> None:
    found = problem(client, suite, test)
    if name in EXCEPTIONS:
        assert found, f"{name} is no exception any more"
    else:
        assert found is None, found


def test_exceptions_are_of_the_suite() -> None:
    assert set(EXCEPTIONS) <= {name for name, _, _ in CASES}
