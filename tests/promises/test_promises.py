"""Which test would fail without the code that keeps each promise of the design.

1. No acknowledged reading without its alert; nothing lost, doubled or half done, whatever is killed when
   - tests/promises/test_kill.py::test_a_killed_server_on_sqlite_has_lost_and_doubled_nothing
   - tests/promises/test_kill.py::test_a_killed_server_on_mongodb_has_lost_and_doubled_nothing
   - tests/promises/test_kill.py::test_a_killed_worker_takes_nothing_with_it_and_the_others_go_on
   - tests/promises/test_kill.py::test_a_killed_mongodb_is_503_until_it_is_back_and_nothing_is_lost
   - tests/promises/test_audit.py::test_damage_is_found
   - tests/promises/test_durable.py::test_sqlite_waits_for_the_disk_with_every_commit
   - tests/promises/test_durable.py::test_mongodb_acknowledges_what_a_majority_has_on_disk
   - tests/alerts/test_alerts.py::TestAReading::test_outside_raises_a_flag_a_message_and_a_task_in_the_same_commit
   - tests/alerts/test_alerts.py::TestTheFlag::test_yellow_then_red_is_the_same_flag_and_is_told_again
   - tests/http/test_http_outage.py::test_a_full_disk_is_503_and_heals_without_a_restart
2. A failing rule loses nothing and hides nothing
   - tests/alerts/test_alerts.py::TestTechnicalAlerts::test_a_rule_that_raises_stores_the_reading_and_says_so
   - tests/alerts/test_alerts.py::TestTechnicalAlerts::test_an_engine_that_fails_stores_the_reading_and_says_so
   - tests/alerts/test_alerts.py::TestTechnicalAlerts::test_an_unknown_unit
   - tests/alerts/test_alerts.py::TestMalformedPlans::test_that_came_before_the_check_are_reported
   - tests/rules/test_judge.py::TestWhatCannotBeJudged::test_is_said_and_never_normal
3. Read your writes, whichever worker answers
   - tests/promises/test_two_servers.py::test_every_search_sees_every_acknowledged_write_whichever_server_answers
   - tests/promises/test_two_servers.py::test_a_plan_holds_at_both_servers_from_the_moment_it_is_acknowledged
   - tests/promises/test_two_servers.py::test_a_flag_that_one_server_raised_or_a_person_closed_is_so_at_the_other
   - tests/store/test_store_contract.py::test_every_search_after_a_write_sees_it_whichever_store_answers
4. Pages are a snapshot
   - tests/promises/test_two_servers.py::test_pages_are_a_snapshot_whichever_server_gives_the_next
   - tests/search/test_search_bundle.py::test_following_next_gives_each_match_once_in_one_snapshot
5. Conditional writes are unique under concurrency; If-Match is enforced
   - tests/promises/test_two_servers.py::test_of_conditional_creates_at_both_servers_one_creates
   - tests/promises/test_two_servers.py::test_with_if_match_no_update_is_lost
   - tests/http/test_http_conditional.py::test_of_concurrent_conditional_creates_one_wins
   - tests/http/test_http_conditional.py::test_of_concurrent_conditional_updates_one_creates
   - tests/http/test_http_write_and_read.py::test_update_with_if_match
   - tests/http/test_http_write_and_read.py::test_delete_with_if_match
   - tests/store/test_store_contract.py::test_of_concurrent_conditional_creates_exactly_one_wins
   - tests/store/test_store_contract.py::test_no_update_is_lost
6. A transaction is atomic or refused
   - tests/http/test_http_bundles.py::test_one_bad_entry_refuses_the_whole_transaction_and_is_named
   - tests/store/test_store_contract.py::test_a_work_is_stored_as_a_whole_or_not_at_all
   - tests/promises/test_durable.py::test_a_mongodb_without_transactions_is_refused_and_left_as_it_was
   - tests/promises/test_kill.py::test_a_killed_server_on_sqlite_has_lost_and_doubled_nothing
7. What was written comes back as written
   - tests/http/test_http_fidelity.py::test_every_value_comes_back_as_it_was_written
   - tests/http/test_http_fidelity.py::test_bundles_keep_values_as_well
   - tests/http/test_http_fidelity.py::test_primitive_extensions_come_back
   - tests/http/test_http_write_and_read.py::test_elements_keep_their_order
   - tests/http/test_resource_json.py::test_numbers_keep_their_text
8. Every alert explains itself; evaluated again it is the same
   - tests/alerts/test_alerts.py::TestAReading::test_is_explained_by_rule_plan_version_bounds_and_readings
   - tests/alerts/test_alerts.py::TestAReading::test_evaluated_again_from_its_explanation_gives_the_same
   - tests/rules/test_golden.py::test_the_compiled_rule_is_the_golden_one
9. Nothing is silently ignored
   - tests/http/test_http_negotiation.py::test_unknown_parameters_lenient_and_strict
   - tests/search/test_search_parse.py::test_what_is_not_supported_is_an_issue_and_with_strict_handling_an_error
   - tests/search/test_search_bundle.py::test_issues_come_as_an_outcome_and_are_not_in_the_self_link
10. No full scans
   - tests/store/test_store_plans.py::test_no_search_on_sqlite_scans
   - tests/store/test_store_plans.py::test_no_search_on_mongodb_scans
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def promises() -> dict[int, list[str]]:
    """The tests of each promise, as the docstring lists them."""
    parts = re.split(r"^(\d+)\. ", __doc__ or "", flags=re.MULTILINE)[1:]
    pairs = zip(parts[::2], parts[1::2], strict=True)
    return {int(number): re.findall(r"tests/\S+\.py::\S+", text) for number, text in pairs}


@cache
def names_in(file: Path) -> frozenset[str]:
    """`test_name` and `TestClass::test_name` of everything pytest would collect from the file."""
    return frozenset(_names(ast.parse(file.read_text(encoding="utf-8")).body, ""))


def _names(body: list[ast.stmt], prefix: str) -> Iterator[str]:
    for node in body:
        if isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            yield from _names(node.body, f"{prefix}{node.name}::")
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            yield prefix + node.name


def test_every_promise_has_its_tests() -> None:
    assert list(promises()) == list(range(1, 11))
    assert all(promises().values())


@pytest.mark.parametrize("name", sorted({name for names in promises().values() for name in names}))
def test_the_test_is_there(name: str) -> None:
    file, _, test = name.partition("::")
    assert test in names_in(ROOT / file)
