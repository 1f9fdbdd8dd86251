"""An exported test, run by pytest in a folder that holds nothing but it and the app's module."""

from __future__ import annotations

import pytest

from tests.export.apps import AWAITING, DECLINED, FINE, PLAIN, app
from tests.export.conftest import Desk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]

COLOURS = pytest.mark.parametrize("source", [PLAIN, AWAITING], ids=["plain", "async"])


@COLOURS
def test_the_test_of_a_failed_run_fails_for_the_same_reason_and_passes_with_the_mended_code(desk: Desk, source: str) -> None:
    recorded = app(source, DECLINED)
    test = desk.export(recorded, "--format", "py")

    broken = desk.run_test(test, app(source, DECLINED))
    mended = desk.run_test(test, app(source, FINE))
    assert broken.returncode == 1
    assert "StepExhausted: step 'charge' failed 2 times, the last time with ValueError: no card for ada" in broken.stdout
    assert mended.returncode == 0, mended.stdout


def test_only_what_ended_the_run_and_what_it_never_came_to_really_runs(desk: Desk) -> None:
    recorded = app(PLAIN, DECLINED)
    test = desk.export(recorded, "--format", "py")

    found = desk.run_test(test + "        import app\n        assert app.calls == ['charge', 'notify']\n", app(PLAIN, FINE))

    assert found.returncode == 0, found.stdout


def test_no_recorded_step_is_undone_while_the_test_fails(desk: Desk) -> None:
    recorded = app(PLAIN, DECLINED)
    test = desk.export(recorded, "--format", "py").partition("        lab.run_to_end(run.id)")[0]
    watched = (
        "        import app, pytest\n"
        "        with pytest.raises(Exception, match='no card'):\n"
        "            lab.run_to_end(run.id)\n"
        "        assert app.calls == ['charge', 'charge']\n"
        "        assert [entry.status for entry in run.history()].count('rolled_back') == 3\n"
    )

    found = desk.run_test(test + watched, app(PLAIN, DECLINED))

    assert found.returncode == 0, found.stdout


@COLOURS
def test_the_test_of_a_completed_run_checks_its_output(desk: Desk, source: str) -> None:
    recorded = app(source)
    test = desk.export(recorded, "--format", "py")

    same = desk.run_test(test, app(source))
    other = desk.run_test(test, app(source, ends="told = told.upper()"))

    assert same.returncode == 0, same.stdout
    assert other.returncode == 1
    assert "assert output == run.recorded_output()" in other.stdout


def test_the_test_of_a_completed_run_checks_the_order_of_its_entries(desk: Desk) -> None:
    recorded = app(PLAIN)
    test = desk.export(recorded, "--format", "py")
    code = app(PLAIN)
    loop, wait = (line for line in code.splitlines() if 'name="packing-lines"' in line or 'name="cool-off"' in line)

    found = desk.run_test(test, code.replace(f"{loop}\n{wait}", f"{wait}\n{loop}"))

    assert found.returncode == 1
    assert "assert run.order() == run.recorded_order()" in found.stdout


def test_no_body_runs_in_the_test_of_a_completed_run(desk: Desk) -> None:
    recorded = app(PLAIN)
    test = desk.export(recorded, "--format", "py")

    found = desk.run_test(test + "        import app\n        assert app.calls == []\n", app(PLAIN))

    assert found.returncode == 0, found.stdout


def test_a_run_that_its_own_code_ended_fails_and_passes_alike(desk: Desk) -> None:
    ends = "raise LookupError(f'no {told}')"
    recorded = app(PLAIN, ends=ends)
    test = desk.export(recorded, "--format", "py")

    broken = desk.run_test(test, app(PLAIN, ends=ends))
    assert broken.returncode == 1
    assert "LookupError: no receipt 3" in broken.stdout
    assert desk.run_test(test, app(PLAIN)).returncode == 0


def test_the_docstring_names_the_run_and_its_date_and_counts_what_is_masked(desk: Desk) -> None:
    recorded = app(PLAIN, DECLINED)
    test = desk.export(recorded, "--format", "py")

    docstring = test.partition('"""\n\n')[0]
    assert "Run order/1 of checkout: failed with flowkit.errors.StepExhausted" in docstring
    assert "2025-11-13" in docstring
    assert "1 value is masked" in docstring
    assert "token (1)" in docstring
    assert "'t-1'" not in test
    assert '"t-1"' not in test


def test_secrets_stand_in_the_test_when_they_are_asked_for(desk: Desk) -> None:
    recorded = app(PLAIN, DECLINED)
    test = desk.export(recorded, "--format", "py", "--secrets")

    assert "'token': 't-1'" in test
    assert "Nothing is masked" in test
