"""Nothing with an effect runs in a fork unless a person has said so: not after a crash, not in a retry, not in a rollback."""

from __future__ import annotations

from typing import Any

import pytest

from flowkit import RunConflict, Workflow, step, workflow
from flowkit.testing import Lab, SimulatedCrash
from tests.client.fork_flows import SHAPES, failing, flaky, looping, secret, several, sided, stuck, unlike
from tests.client.forks import asked, asks_at, done, ended, leave, original, ran, through, view_of


@step
def numbered(n: int) -> int:
    return n


@workflow
def long(item: str) -> int:
    return sum(numbered(n) for n in range(450))


@pytest.fixture(autouse=True)
def _nothing_done() -> None:
    done.clear()


def _places(lab: Lab) -> list[str]:
    return [entry.location for entry in view_of(lab, "o").entries if entry.kind == "step"]


@pytest.mark.parametrize("value", [7, 70_000])
@pytest.mark.parametrize("code", SHAPES, ids=lambda code: str(code.name))
def test_a_fork_from_any_step_of_any_shape_does_nothing_by_itself(lab: Lab, code: Workflow[..., Any], value: int) -> None:
    run = ran(lab, code)
    done.clear()

    for place in _places(lab):
        fork = run.fork(place, value=value)
        ended(lab, fork.id)
        fork.wake()
        lab.crash()
        assert ended(lab, fork.id).status in ("paused", "completed", "failed")

    assert done == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("code", SHAPES, ids=lambda code: str(code.name))
def test_nor_does_it_after_a_crash_at_any_write(lab: Lab, code: Workflow[..., Any], when: Any) -> None:
    run = ran(lab, code)
    done.clear()
    place = _places(lab)[0]

    for k in range(1, 40):
        before = lab.commits
        lab.crash_at(k, when)
        try:
            fork = run.fork(place, value=7, id=f"f{k}")
            ended(lab, fork.id)
        except SimulatedCrash:
            if any(each.id == f"f{k}" for each in lab.client.runs(tag="fork")):
                ended(lab, f"f{k}")
        assert done == []
        if lab.commits - before < k:
            break
    else:
        raise AssertionError("the fork never came to rest without a crash")


def test_a_fork_that_changes_nothing_that_matters_takes_everything_from_the_original(lab: Lab) -> None:
    run = ran(lab, sided)
    output, done[:] = run.output(), []

    fork = run.fork("mark", value=10)

    assert (ended(lab, fork.id).output, done) == (output, [])


def test_what_the_original_answers_is_written_many_at_a_time(lab: Lab) -> None:
    run = ran(lab, long)
    before = lab.commits

    fork = run.fork("numbered", value=5)

    assert ended(lab, fork.id).output == 5 + sum(range(1, 450))
    assert lab.commits - before < 10
    assert len(view_of(lab, fork.id).entries) == 450


def test_a_race_is_won_again_by_what_won_it(lab: Lab) -> None:
    run = ran(lab, sided)
    done.clear()

    fork = run.fork("join/quickest/race/fast/quick", value=55)

    assert ended(lab, fork.id).status == "paused"
    assert view_of(lab, fork.id).row.error_line == "asks: run `counted` for real, or give its result"
    assert done == []


def test_a_turn_of_a_loop_that_was_pruned_is_asked_for(lab: Lab) -> None:
    run = ran(lab, looping)
    done.clear()
    places = _places(lab)

    fork = run.fork(places[0], value=2)

    assert ended(lab, fork.id).status == "paused"
    assert view_of(lab, fork.id).row.current is not None
    assert done == []


# --- what may run --------------------------------------------------------------------------------------------------


def test_a_step_that_may_run_is_retried_by_its_own_rules_and_no_other_step_may(lab: Lab) -> None:
    run = ran(lab, several)
    fork = run.fork("mark", value=5)
    for _ in range(9):
        ended(lab, fork.id)
        if view_of(lab, fork.id).row.current == "flaky":
            break
        fork.resolve(value=1, reason="made up")
    done.clear()

    fork.resolve(real=True, reason="let it try")

    assert ended(lab, fork.id).status == "paused"
    assert [each.split()[0] for each in done] == ["flaky"] * 3
    entry = next(each for each in fork.history() if each.location == "flaky")
    assert (entry.status, entry.attempts, entry.by_hand and entry.by_hand["how"]) == ("completed", 3, "real")


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("k", range(1, 9))
def test_what_was_allowed_runs_and_nothing_else_whatever_write_fails(lab: Lab, k: int, when: Any) -> None:
    fork = original(lab).fork("price", value=250)
    ended(lab, fork.id)
    lab.crash_at(k, when)

    for _ in range(2):
        try:
            fork.resolve(real=True, reason="test account")
            break
        except SimulatedCrash:
            continue
        except RunConflict:  # it had landed
            break
    for _ in range(2):
        try:
            ended(lab, fork.id)
        except SimulatedCrash:
            continue

    assert set(done) == {"charge 250"}
    assert len(done) <= 2
    assert [e.output for e in fork.history() if e.location == "charge"] == ["receipt for 250"]


def test_a_step_that_failed_for_real_is_asked_for_again_after_a_recovery(lab: Lab) -> None:
    run = ran(lab, failing)
    fork = run.fork("mark#2", value=5)
    ended(lab, fork.id)
    fork.resolve("broken", real=True, reason="see it break")
    done.clear()
    made = ended(lab, fork.id)
    assert (done, made.status) == (["broken 15"], "paused")
    leave(lab, fork)
    assert fork.status() == "failed"
    done.clear()

    fork.recover()

    assert ended(lab, fork.id).status == "paused"
    assert done == []


def test_arguments_changed_by_hand_allow_no_second_run_after_a_recovery(lab: Lab) -> None:
    run = ran(lab, failing)
    fork = run.fork("mark", value=5)
    ended(lab, fork.id)
    assert asks_at(lab, fork.id) == "broken"
    fork.resolve("broken", args={"number": 3}, reason="another number")
    done.clear()
    ended(lab, fork.id)
    assert done == ["broken 3"]
    leave(lab, fork)
    done.clear()

    fork.recover()

    assert (ended(lab, fork.id).status, done) == ("paused", [])


def test_a_replay_of_a_fork_asks_again(lab: Lab) -> None:
    fork = original(lab).fork("price", value=250)
    ended(lab, fork.id)
    fork.resolve(real=True, reason="test account")
    ended(lab, fork.id)
    assert done == ["charge 250"]

    fork.pause()
    fork.replay("charge")

    assert asked(lab, fork.id) == ("paused", "asks: run `charge` for real, or give its result")
    assert done == ["charge 250"]


def test_a_fork_of_a_fork_may_do_nothing_that_its_original_may(lab: Lab) -> None:
    fork = original(lab).fork("price", value=250)
    ended(lab, fork.id)
    fork.resolve(real=True, reason="test account")
    lab.run_once(fork.id)
    fork.cancel(rollback=True)
    ended(lab, fork.id)
    fork.resolve(real=True, reason="give it back")
    ended(lab, fork.id)
    assert done == ["charge 250", "refund receipt for 250"]
    done.clear()

    second = fork.fork("price", value=251)
    third = fork.fork("charge", value="a gift")
    lab.run_once(third.id)
    third.cancel(rollback=True)

    assert asked(lab, second.id) == ("paused", "asks: run `charge` for real, or give its result")
    assert asked(lab, third.id) == ("paused", "asks: undo `charge` for real, or take it for undone")
    assert done == []


def test_a_handler_that_was_allowed_in_the_original_is_not_in_its_fork(lab: Lab) -> None:
    run = ran(lab, stuck)
    done.clear()
    fork = run.fork("flaky", value=2)
    ended(lab, fork.id)
    fork.cancel(rollback=True)
    lab.run_once(fork.id)
    fork.resolve(real=True, reason="see it fail")
    assert ended(lab, fork.id).status == "failed"
    assert done == ["stick 1"]

    second = fork.fork("flaky", value=3)
    ended(lab, second.id)
    second.cancel(rollback=True)

    assert asked(lab, second.id) == ("paused", "asks: undo `sticky` for real, or take it for undone")
    assert done == ["stick 1"]


def test_what_was_allowed_twice_in_the_original_is_not_in_its_fork(lab: Lab) -> None:
    run = ran(lab, stuck)
    fork = run.fork("flaky", value=2)
    ended(lab, fork.id)
    for _ in range(2):
        fork.resolve("broken", args={"number": 9}, reason="see it break")
        ended(lab, fork.id)
        leave(lab, fork)
        fork.recover()
        ended(lab, fork.id)
    done.clear()
    fork.resolve("broken", error=RuntimeError("no"), reason="enough")
    second = fork.fork("flaky", value=2)

    ended(lab, second.id)
    leave(lab, second)
    second.recover()

    assert ended(lab, second.id).status == "paused"
    assert done == []


def test_a_step_that_may_run_once_is_not_begun_twice(lab: Lab) -> None:
    run = ran(lab, several)
    fork = run.fork("counted", value=50)
    ended(lab, fork.id)
    assert asks_at(lab, fork.id) == "once"
    fork.resolve(real=True, reason="once")
    done.clear()
    lab.crash_at(2)  # the outcome of the body
    with pytest.raises(SimulatedCrash):
        ended(lab, fork.id)

    made = ended(lab, fork.id)

    assert (len(done), made.status) == (1, "paused")
    assert next(each.error.type for each in fork.history() if each.location == "once") == "flowkit.errors.StepInterrupted"


def test_arguments_that_were_not_recorded_or_cannot_be_are_never_equal(lab: Lab) -> None:
    @workflow
    def hidden(start: int) -> int:
        return flaky(start) + secret(1) + unlike(lambda: 1)

    run = ran(lab, hidden)
    done.clear()
    fork = run.fork("flaky", value=1)

    ended(lab, fork.id)
    assert asks_at(lab, fork.id) == "secret"
    fork.resolve(value=1, reason="the same")
    ended(lab, fork.id)

    assert asks_at(lab, fork.id) == "unlike"
    assert done == []


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("k", range(1, 6))
def test_a_message_is_sent_once_where_it_was_allowed_and_never_before_whatever_write_fails(lab: Lab, k: int, when: Any) -> None:
    fork = original(lab).fork("address", message="Rome")
    sending = _sending(lab)
    before = _senders(lab)
    lab.crash_at(k, when)

    through(lab, sending)
    assert _senders(lab) == before
    through(lab, sending, lambda: sending.resolve(real=True, reason="test stock"))

    assert ended(lab, fork.id).status == "completed"
    assert _senders(lab) == [*before, sending.id]


def _sending(lab: Lab) -> Any:
    """A fork that comes to a send which the original made with other data."""
    fork = lab.get("o").fork("price", value=250, id="sending")
    ended(lab, fork.id)
    fork.resolve(value="made up", reason="x")
    fork.send("address", "Rome")
    return fork


def _senders(lab: Lab) -> list[str]:
    return [each.sender for each in lab.client.driver.inbox(view_of(lab, "stock").row.seq, (), 99)]
