"""The public names: listed, sorted, documented, and the same in both colours."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import flowkit
import flowkit.aio
import flowkit.errors
import flowkit.testing
from tests.house.source import ROOT, code_in_documents

WEB = {"jinja2", "opentelemetry", "prometheus_client", "sqlite_utils", "starlette", "uvicorn", "watchfiles"}

PLAIN_IN_BOTH = {"run_info", "run_state", "stopping"}
"""They read what is at hand, so there is nothing to await."""

AWAITED = {
    "attempt", "checkpoint", "join", "loop", "race", "receive", "receive_batch", "removed", "send", "sleep",
    "sleep_until", "version",
}  # fmt: skip


def order(name: str) -> tuple[int, str]:
    """Constants, classes, the rest: the order that ruff keeps `__all__` in."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def visible(module: ModuleType) -> set[str]:
    """What a user finds in the module without looking for underscores; modules below it are no leak."""
    return {
        name
        for name in dir(module)
        if not name.startswith("_")
        and not (inspect.ismodule(value := getattr(module, name)) and value.__name__.startswith("flowkit."))
    } - {"annotations"}


def public_methods(kind: type) -> dict[str, Callable[..., object]]:
    return {
        name: member
        for name, member in inspect.getmembers(kind, callable)
        if not name.startswith("_") and not inspect.isclass(member)
    }


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    return [(each.name, each.kind, each.default) for each in inspect.signature(function).parameters.values()]


def twins() -> Iterator[tuple[str, Callable[..., object], Callable[..., object]]]:
    """Each function and method that is written twice, once for each colour."""
    for name in flowkit.__all__:
        plain, awaited = getattr(flowkit, name), getattr(flowkit.aio, name, None)
        if awaited is None or plain is awaited:
            continue
        if not inspect.isclass(plain):
            yield name, plain, awaited
            continue
        theirs = public_methods(awaited)
        for method, function in public_methods(plain).items():
            yield f"{name}.{method}", function, theirs.get(method, lambda: None)


def test_the_public_names_are_sorted() -> None:
    assert list(flowkit.__all__) == sorted(flowkit.__all__, key=order)
    assert list(flowkit.aio.__all__) == sorted(flowkit.aio.__all__, key=order)


def test_nothing_leaks_that_is_not_listed() -> None:
    assert visible(flowkit) == set(flowkit.__all__)
    assert visible(flowkit.aio) == set(flowkit.aio.__all__)


def test_both_colours_have_the_same_names() -> None:
    assert set(flowkit.__all__) == set(flowkit.aio.__all__)


def test_both_colours_have_the_same_signatures() -> None:
    different = {
        name: (str(inspect.signature(plain)), str(inspect.signature(awaited)))
        for name, plain, awaited in twins()
        if parameters(plain) != parameters(awaited)
    }

    assert not different


def test_importing_flowkit_brings_the_other_colour() -> None:
    """API section 2: `flowkit.aio.open` is the twin of `flowkit.open`, and is where it is written to be."""
    said = subprocess.run(
        [sys.executable, "-c", "import flowkit; print(flowkit.aio.open.__name__)"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )

    assert (said.stdout, said.stderr) == ("open\n", "")


def test_the_decorators_are_one_object_in_both_colours() -> None:
    assert flowkit.aio.step is flowkit.step
    assert flowkit.aio.workflow is flowkit.workflow


def test_what_reads_the_run_is_never_awaited() -> None:
    awaited = {name for name in PLAIN_IN_BOTH if inspect.iscoroutinefunction(getattr(flowkit.aio, name))}

    assert not awaited


def test_every_primitive_of_the_async_colour_gives_something_to_await() -> None:
    """They are plain functions that return coroutines, so that the wrong colour fails at the call, awaited or not."""
    blocking = {name for name in AWAITED if "Later[" not in str(inspect.signature(getattr(flowkit.aio, name)).return_annotation)}

    assert not blocking


def test_every_error_is_exported() -> None:
    missing = {
        name
        for name, value in vars(flowkit.errors).items()
        if inspect.isclass(value) and issubclass(value, flowkit.errors.FlowkitError) and not name.startswith("_")
    } - set(flowkit.__all__)

    assert not missing


def test_every_public_name_has_a_docstring() -> None:
    bare = {name for name in flowkit.__all__ if callable(getattr(flowkit, name)) and not inspect.getdoc(getattr(flowkit, name))}

    assert not bare


def test_every_public_method_has_a_docstring() -> None:
    bare = {
        f"{name}.{method}"
        for name in flowkit.__all__
        if inspect.isclass(kind := getattr(flowkit, name)) and kind.__module__.startswith("flowkit")
        for method, function in public_methods(kind).items()
        if getattr(function, "__module__", "").startswith("flowkit") and not inspect.getdoc(function)
    }

    assert not bare


def test_every_public_name_is_documented() -> None:
    code = code_in_documents()

    public = {*flowkit.__all__, *flowkit.aio.__all__, *flowkit.testing.__all__}
    unknown = {name for name in public if not re.search(rf"\b{re.escape(name)}\b", code)}

    assert not unknown


def test_importing_flowkit_imports_nothing_of_the_web() -> None:
    probe = f"import sys, flowkit; print(sorted({WEB!r} & sys.modules.keys()))"

    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_a_module_that_only_defines_workflows_imports_no_database() -> None:
    late = ("sqlite3", "flowkit.client", "flowkit.drivers", "flowkit.runtime")
    probe = f"import sys, flowkit; print([name for name in {late!r} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"


def test_what_is_imported_late_is_there_when_it_is_asked_for() -> None:
    probe = "import flowkit; print(flowkit.open.__name__, flowkit.aio.open.__name__, 'Run' in dir(flowkit))"

    done = subprocess.run([sys.executable, "-c", probe], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["open_flowkit", "open", "True"]
