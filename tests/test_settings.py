"""Settings: one value, four sources, and a refusal that names what is wrong before anything starts."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

import flowkit
from flowkit import aio
from flowkit.settings import GROUPS, Settings, read_settings, rules
from tests.house.settings_table import document, table


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def project(folder: Path, text: str) -> None:
    (folder / "pyproject.toml").write_text(f"[tool.flowkit]\n{text}\n")


# --- the value ------------------------------------------------------------------------------------------------------


def test_settings_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Settings().poll = 2.0  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize("given", ["90s", "1.5m", 90, 90.0, "90", timedelta(seconds=90)])
def test_a_length_of_time_may_be_written_in_any_way(given: object) -> None:
    assert read_settings({"lease": given}).settings.lease == 90.0


@pytest.mark.parametrize("given", ["1MB", 1_000_000, "1000000"])
def test_a_size_may_be_written_in_any_way(given: object) -> None:
    assert read_settings({"max_payload": given}).settings.max_payload == 1_000_000


def test_every_default_is_within_its_own_range() -> None:
    outside = [
        name for name, rule in rules().items() if rule.unit != "retention" and rule.read(getattr(Settings(), name)) is None
    ]

    assert not outside


def test_every_setting_says_its_unit_its_range_and_why_and_belongs_to_a_group() -> None:
    assert not [name for name, rule in rules().items() if not rule.why or not rule.range or rule.group not in GROUPS]


def test_a_setting_out_of_range_is_refused_by_the_value_itself() -> None:
    with pytest.raises(ValueError, match=r"setting poll: 0 is out of range; it is 10ms to 1m"):
        Settings(poll=0)


def test_a_beat_that_would_let_the_lease_run_out_is_refused() -> None:
    with pytest.raises(ValueError, match="beat: 30s is more than half of lease, which is 15s"):
        Settings(beat=30)


@pytest.mark.parametrize(
    "text", ["done=3d", "checkout/=3d", "/failed=3d", "completed=soon", "completed", "a/b/failed=3d", "failed=3d, failed=4d"]
)
def test_a_retention_that_names_no_end_of_a_run_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"setting retention .*it is lengths of time by status"):
        read_settings({"retention": text})


def test_a_retention_is_a_text_or_a_table() -> None:
    written = read_settings({"retention": "completed=30d, checkout/*=1w"}).settings.retention

    assert written == read_settings({"retention": {"completed": "30d", "checkout/*": "1w"}}).settings.retention
    assert written == {"completed": 30 * 86_400.0, "checkout/*": 7 * 86_400.0}


# --- sources --------------------------------------------------------------------------------------------------------


def test_each_source_goes_before_the_next(here: Path) -> None:
    project(here, 'poll = "4s"\nreap = "4s"\nlinger = "4s"')
    environ = {"FLOWKIT_POLL": "3s", "FLOWKIT_REAP": "3s"}

    found = read_settings({"poll": "2s"}, environ=environ)

    assert (found.settings.poll, found.settings.reap, found.settings.linger, found.settings.calm) == (2, 3, 4, 0.002)
    assert found.sources["poll"] == "argument settings="
    assert found.sources["reap"] == "environment FLOWKIT_REAP"
    assert found.sources["linger"] == f"{here / 'pyproject.toml'} [tool.flowkit]"
    assert found.sources["calm"] == "default"


def test_what_a_settings_object_was_not_given_may_come_from_elsewhere(here: Path) -> None:
    found = read_settings(Settings(poll=2, concurrency=100), environ={"FLOWKIT_REAP": "3s", "FLOWKIT_CONCURRENCY": "7"})

    assert (found.settings.poll, found.settings.reap, found.settings.concurrency) == (2, 3, 100)


def test_the_nearest_pyproject_is_the_one(here: Path) -> None:
    project(here, 'poll = "4s"')
    inner = here / "shop" / "orders"
    inner.mkdir(parents=True)

    assert read_settings(folder=inner).settings.poll == 4
    project(inner.parent, 'reap = "3s"')
    assert (read_settings(folder=inner).settings.poll, read_settings(folder=inner).settings.reap) == (1, 3)


def test_a_project_without_settings_is_not_parsed(here: Path) -> None:
    (here / "pyproject.toml").write_text("this is [no toml")

    assert read_settings().sources["poll"] == "default"


def test_a_project_that_cannot_be_parsed_is_named(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.flowkit\n")

    with pytest.raises(ValueError, match=r"pyproject\.toml cannot be read"):
        read_settings()


@pytest.mark.parametrize("text", ["[tool]\nflowkit = 3\n", 'tool = "flowkit"\n', "[[tool.flowkit]]\npoll = 1\n"])
def test_a_project_whose_settings_are_no_table_is_named(here: Path, text: str) -> None:
    (here / "pyproject.toml").write_text(text)

    with pytest.raises(ValueError, match=r"pyproject\.toml cannot be read: \[tool\.flowkit\] is no table"):
        read_settings()


@pytest.mark.parametrize("value", ["9" * 10_000, 10**400, b"x" * 10_000], ids=["text", "number", "bytes"])
def test_a_refused_value_is_shown_as_far_as_it_helps(value: object) -> None:
    with pytest.raises(ValueError, match=r"setting concurrency \(argument settings=\): .*…") as caught:
        read_settings({"concurrency": value})

    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    "name", ["FLOWKIT_DB", "FLOWKIT_EDITOR", "FLOWKIT_OTEL", "FLOWKIT_VERSION", "FLOWKIT_TEST_LOG", "DATABASE_URL"]
)
def test_variables_that_are_no_settings_are_left_alone(name: str) -> None:
    assert read_settings(environ={name: "x"}).settings == Settings()


@pytest.mark.parametrize("service", ["", "INSPECTOR_"])
def test_what_kubernetes_tells_every_pod_of_a_service_is_no_setting(service: str) -> None:
    told = {
        f"FLOWKIT_{service}SERVICE_HOST": "10.0.0.11",
        f"FLOWKIT_{service}SERVICE_PORT": "8733",
        f"FLOWKIT_{service}SERVICE_PORT_HTTP": "8733",
        f"FLOWKIT_{service}PORT": "tcp://10.0.0.11:8733",
        f"FLOWKIT_{service}PORT_8733_TCP": "tcp://10.0.0.11:8733",
        f"FLOWKIT_{service}PORT_8733_TCP_PROTO": "tcp",
        f"FLOWKIT_{service}PORT_8733_TCP_PORT": "8733",
        f"FLOWKIT_{service}PORT_8733_TCP_ADDR": "10.0.0.11",
    }

    assert read_settings(environ=told).settings == Settings()
    with pytest.raises(ValueError, match="there is no setting 'port'"):
        read_settings(environ={"FLOWKIT_PORT": "8733"})


def test_an_unknown_setting_names_itself_its_source_and_the_range_of_what_was_meant(here: Path) -> None:
    with pytest.raises(ValueError, match=r"no setting 'pol' \(argument settings=\); did you mean poll, 10ms to 1m\?"):
        read_settings({"pol": 1})
    with pytest.raises(ValueError, match=r"no setting 'pol' \(environment FLOWKIT_POL\)"):
        read_settings(environ={"FLOWKIT_POL": "1"})
    project(here, "pol = 1")
    with pytest.raises(ValueError, match=r"no setting 'pol' \(.*pyproject.toml \[tool.flowkit\]\)"):
        read_settings()


def test_a_setting_that_cannot_be_read_names_its_source(here: Path) -> None:
    with pytest.raises(ValueError, match=r"setting poll \(environment FLOWKIT_POLL\): 'soon' cannot be read; it is 10ms to 1m"):
        read_settings(environ={"FLOWKIT_POLL": "soon"})


def test_settings_that_do_not_go_together_name_their_sources() -> None:
    with pytest.raises(ValueError, match=r"more than half of lease.*\(beat by environment FLOWKIT_BEAT\)"):
        read_settings(environ={"FLOWKIT_BEAT": "10"})


# --- opening --------------------------------------------------------------------------------------------------------


def test_opening_takes_settings_and_nothing_starts_with_a_wrong_one(here: Path) -> None:
    with flowkit.open("a.db", settings={"poll": "2s"}, worker=False) as fk:
        assert fk.settings.poll == 2

    with pytest.raises(ValueError, match="out of range"):
        flowkit.open("b.db", settings={"poll": "2h"})
    assert not Path("b.db").exists()


def test_opening_reads_the_environment(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWKIT_MAX_PAYLOAD", "10")

    with flowkit.open("a.db", worker=False) as fk, pytest.raises(flowkit.PayloadTooLarge):
        fk.start("r", echo, "more than ten bytes")


def test_the_async_colour_takes_the_same_settings(here: Path) -> None:
    import asyncio

    async def opened() -> str:
        async with aio.open("a.db", settings=Settings(max_payload=10), worker=False) as fk:
            try:
                await fk.start("r", echo, "more than ten bytes")
            except flowkit.PayloadTooLarge as error:
                return type(error).__name__
        return "stored"

    assert asyncio.run(opened()) == "PayloadTooLarge"


@flowkit.workflow(name="echo-settings")
def echo(text: str) -> str:
    return text


def test_importing_flowkit_imports_no_settings(here: Path) -> None:
    import subprocess
    import sys

    said = subprocess.run(
        [sys.executable, "-c", "import sys, flowkit; print('flowkit.settings' in sys.modules, 'tomllib' in sys.modules)"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert said.stdout == "False False\n"


# --- the document ---------------------------------------------------------------------------------------------------


def test_the_document_lists_every_setting_as_it_is() -> None:
    assert table() in document().read_text("utf-8"), "run python -m tests.house.settings_table"


ABOUT_WRONG_ONES = {"tests/test_settings.py", "tests/cli/test_prune.py"}


def test_every_variable_of_the_repository_is_a_setting_or_known_not_to_be_one() -> None:
    from tests.house.source import text_files

    known = re.compile(r"\bFLOWKIT_([A-Z][A-Z_]*[A-Z])\b")
    used = {name for where, text in text_files() if where not in ABOUT_WRONG_ONES for name in known.findall(text)}

    unknown = {name for name in used if name not in {each.upper() for each in rules()}}
    refused = [name for name in unknown if read_settings_refuses(name)]

    assert not refused


def read_settings_refuses(name: str) -> bool:
    try:
        read_settings({}, environ={f"FLOWKIT_{name}": "1"})
    except ValueError:
        return True
    return False


def test_what_is_in_force_can_be_written_as_json() -> None:
    assert json.loads(json.dumps(dataclasses.asdict(Settings()), default=sorted))["poll"] == 1.0
