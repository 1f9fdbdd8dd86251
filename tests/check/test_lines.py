"""The lines that a check proposes, each tried before it is shown."""

from __future__ import annotations

from typing import Any

from flowkit import Continue, Workflow, attempt, join, loop, receive, removed, sleep, step, version, workflow
from flowkit.check import Cause, Report, check_runs
from flowkit.testing import Lab, MemoryDriver

ran: list[str] = []


def noted(name: str, **options: Any) -> Any:
    return step(lambda *args: ran.append(name), name=name, **options)


reserve = noted("reserve")


validate = noted("validate")


charge = noted("charge")


notify = noted("notify")


def check(lab_driver: Any, *flows: Workflow[..., Any], **options: Any) -> Report:
    ran.clear()
    return check_runs(lab_driver, {flow.name: flow for flow in flows}, **options)


def held(driver: Any, old: Workflow[..., Any], new: Workflow[..., Any]) -> Cause:
    """The one cause that holds a run of `old` under `new`, and proof that nothing was run or written."""
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")
        before = lab.history("r"), lab.commits, lab.get("r").status()

        report = check(driver, new)

        assert ran == []
        assert (lab.history("r"), lab.commits, lab.get("r").status()) == before
        (cause,) = report.workflows[0].causes
        assert lab.run_once("r", workflow=new).status == "blocked"
        return cause


def test_runs_that_fit_are_counted_with_where_they_would_go_on() -> None:
    @workflow(name="shop")
    def flow() -> None:
        reserve()
        receive("paid")
        charge()

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        for run in ("a", "b", "new"):
            lab.start(run, flow)
        lab.run_once("a")
        lab.run_once("b")

        (report,) = check(driver, flow).workflows

        line = flow.function.__code__.co_firstlineno
        assert (report.fit, report.held, ran) == (3, 0, [])
        assert [(f.location, f.source.rpartition(":")[2], f.runs) for f in report.frontiers] == [
            ("paid", str(line + 3), 2),
            ("reserve", str(line + 2), 1),
        ]


def test_a_step_that_left_the_code_is_answered_by_removed_before_the_call_that_followed_it() -> None:
    @workflow(name="shop")
    def old() -> None:
        reserve()
        validate()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        reserve()
        receive("paid")

    cause = held(MemoryDriver(), old, new)

    line = new.function.__code__.co_firstlineno
    assert cause.kind == "gone"
    assert [(each.text, each.where) for each in cause.lines] == [('removed("validate", "step")', "before")]
    assert cause.lines[0].place.endswith(f"test_lines.py:{line + 3}")
    assert cause.lines[0].code == 'receive("paid")'


def test_a_new_step_is_answered_by_a_version_around_it() -> None:
    @workflow(name="shop")
    def old() -> None:
        reserve()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        notify()
        reserve()
        receive("paid")

    cause = held(MemoryDriver(), old, new)

    assert cause.kind == "new"
    assert [(each.text, each.where, each.code) for each in cause.lines] == [
        ('if version("add-notify", 2) >= 2:', "around", "notify()")
    ]


def test_another_kind_under_one_name_is_answered_by_removed_and_another_name() -> None:
    @workflow(name="shop")
    def old() -> None:
        reserve()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        sleep("1h", name="reserve")
        receive("paid")

    cause = held(MemoryDriver(), old, new)

    assert cause.kind == "kind"
    assert [each.text for each in cause.lines] == ['removed("reserve", "step")', 'if version("add-reserve", 2) >= 2:']
    assert "another name" in cause.advice


def test_several_misfits_give_several_lines_that_mend_the_run_together() -> None:
    @workflow(name="shop")
    def old() -> None:
        reserve()
        validate()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        notify()
        reserve()
        receive("paid")

    @workflow(name="shop")
    def mended() -> str:
        if version("add-notify", 2) >= 2:
            notify()
        reserve()
        removed("validate", "step")
        receive("paid")
        return "done"

    cause = held(MemoryDriver(), old, new)

    assert [each.text for each in cause.lines] == ['if version("add-notify", 2) >= 2:', 'removed("validate", "step")']
    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("r", old)
        lab.run_once("r")
        assert check(driver, mended).held == 0


def test_a_turn_of_a_loop_counts_once() -> None:
    def old_turn(n: int) -> Continue[int]:
        validate()
        receive("next")
        return Continue(n + 1)

    def new_turn(n: int) -> Continue[int]:
        receive("next")
        return Continue(n + 1)

    @workflow(name="shop")
    def old() -> None:
        loop(old_turn, 0, name="pack")

    @workflow(name="shop")
    def new() -> None:
        loop(new_turn, 0, name="pack")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        for run in ("a", "b"):
            lab.start(run, old)
            lab.run_once(run)
        lab.send("b", "next")
        lab.run_once("b")

        (cause,) = check(driver, new).workflows[0].causes

        assert (cause.location, sorted(cause.runs)) == ("pack/~/validate", ["a", "b"])
        assert [each.text for each in cause.lines] == ['removed("validate", "step")']


def test_branches_and_blocks_are_scopes_of_their_own() -> None:
    def inside(first: Any) -> Any:
        def branch() -> None:
            first()
            receive("paid")

        return branch

    @workflow(name="shop")
    def old() -> None:
        join("j", {"x": lambda: attempt(inside(validate), name="block")})

    @workflow(name="shop")
    def new() -> None:
        join("j", {"x": lambda: attempt(inside(reserve), name="block")})

    cause = held(MemoryDriver(), old, new)

    assert cause.location == "j/x/block/validate"
    assert [each.text for each in cause.lines] == ['removed("validate", "step")', 'if version("add-reserve", 2) >= 2:']


def test_calls_in_another_order_are_named_with_both_orders_and_no_line() -> None:
    @workflow(name="shop")
    def old() -> None:
        reserve()
        charge()
        receive("paid")

    @workflow(name="shop")
    def first_only() -> None:
        reserve()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        charge()
        reserve()
        receive("paid")

    driver = MemoryDriver()
    with Lab(driver=driver) as lab:
        lab.start("far", old)
        lab.run_once("far")
        lab.start("near", first_only)
        lab.run_once("near")

        (report,) = check(driver, new).workflows

        assert report.fit == 1
        assert [(cause.kind, cause.lines, cause.runs) for cause in report.causes] == [("order", (), ("near",))]
        assert "version(" in report.causes[0].advice


def test_a_guard_whose_value_is_used_is_not_proposed() -> None:
    price = step(lambda: 5, name="price")

    @workflow(name="shop")
    def old() -> None:
        reserve()
        receive("paid")

    @workflow(name="shop")
    def new() -> int:
        found = price() + 1
        reserve()
        receive("paid")
        return found

    cause = held(MemoryDriver(), old, new)

    assert cause.lines == ()
    assert cause.advice.startswith("no line found: `price` is new in the statement at tests/check/test_lines.py:")
    assert '`found = price() + 1`. Put version("add-price", 2) there by hand' in cause.advice


def test_a_stored_value_that_does_not_decode_is_told_with_its_path() -> None:
    @step(name="reserve")
    def old_reserve() -> dict[str, int]:
        return {"n": 1}

    @step(name="reserve")
    def new_reserve() -> dict[str, list[int]]:
        return {}

    @workflow(name="shop")
    def old() -> None:
        old_reserve()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        new_reserve()
        receive("paid")

    cause = held(MemoryDriver(), old, new)

    assert (cause.kind, cause.lines, cause.location) == ("value", (), "reserve")
    assert "$" in cause.message


def test_a_name_given_twice_is_told_without_a_line() -> None:
    twice = step(lambda: None, name="twice")

    @workflow(name="shop")
    def old() -> None:
        twice.options(name="one")()
        receive("paid")

    @workflow(name="shop")
    def new() -> None:
        twice.options(name="one")()
        twice.options(name="one")()
        receive("paid")

    cause = held(MemoryDriver(), old, new)

    assert (cause.kind, cause.lines) == ("rule", ())
