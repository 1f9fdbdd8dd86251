"""What a program that reloads user code tells those who look at runs: the code that is loaded, and whether it fits.

Plain frozen data and one protocol. The reload server supplies it, the inspector shows it, and neither imports the other;
where no code is loaded at all (looking at a database alone) there is simply no `CodeInfo`. Nothing here is decoded or
executed: annotations, defaults and source lines are texts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

from flowkit.core.verdict import Replay

__all__ = [
    "Answer",
    "Cause",
    "CodeInfo",
    "CodeState",
    "CodeStatus",
    "Decides",
    "Decision",
    "Fault",
    "LoadError",
    "Parameter",
    "ParameterKind",
    "Pending",
    "ResolveWish",
    "SourceLine",
    "StartAnswer",
    "StartWish",
    "StepInfo",
    "TriedStep",
    "TriesUndoing",
    "UndoTrial",
    "UndoWish",
    "WorkflowInfo",
]

CodeStatus = Literal["loading", "loaded", "broken", "stuck", "dead"]
ParameterKind = Literal["str", "int", "float", "bool", "date", "datetime", "choice", "json"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter of a workflow, as a form shows it. `default` is JSON text; `choices` are those of an Enum or Literal.

    `schema` is the JSON schema of what has no field of its own, as text; empty where its annotation has none.
    """

    name: str
    kind: ParameterKind = "json"
    annotation: str = ""
    required: bool = True
    optional: bool = False
    default: str = ""
    choices: tuple[str, ...] = ()
    schema: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepInfo:
    """A step that a workflow's file defines. `source` is ``file:line``, `returns` what it gives, as a form asks for it,
    `handler` its rollback with ``file:line``.
    """

    name: str
    source: str = ""
    doc: str = ""
    at_most_once: bool = False
    returns: Parameter | None = None
    parameters: tuple[Parameter, ...] = ()
    has_rollback: bool = False
    handler: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowInfo:
    """A workflow of the loaded code."""

    name: str
    doc: str = ""
    source: str = ""
    parameters: tuple[Parameter, ...] = ()
    steps: tuple[StepInfo, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """One reason why runs do not fit the loaded code. `lines` are what to add, the first at `source`; empty: none was found.
    `places` say where each of them goes, such as "app.py:27, before `charge(order)`"; left out, all go to `source`.

    `missing` are the places of entries that the code no longer makes in the runs `run_ids`: locations, turns without number.
    """

    workflow: str
    runs: int
    recorded: str
    made: str
    location: str
    source: str = ""
    lines: tuple[str, ...] = ()
    advice: str = ""
    run_ids: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """A line of the user's file as it was when it was loaded; `marked` is the one meant."""

    number: int
    text: str
    marked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadError:
    """Why the newest code does not run. `frames` are the user's own, outermost first; `output` is the end of stderr."""

    type: str
    message: str
    source: str = ""
    lines: tuple[SourceLine, ...] = ()
    frames: tuple[str, ...] = ()
    hint: str = ""
    output: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Good code that waits for a person's word: what differs, and what it would do to open runs. `held_back`: until later."""

    code: str
    changes: tuple[str, ...] = ()
    fits: int = 0
    held: int = 0
    unchecked: int = 0
    causes: tuple[Cause, ...] = ()
    notes: tuple[str, ...] = ()
    held_back: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeState:
    """What is loaded now. `code` is the newest code's fingerprint, `running` the one that executes runs.

    `version` grows with every change of this state. `changes` are lines such as ``+ notify``; `checking`, `fits` and `held`
    count open runs; `unchecked` those that no check reached. `replays` are the reports of the last loads, newest first, and
    `pending` is the code that waits to be applied.
    """

    version: int
    status: CodeStatus
    app: str
    code: str = ""
    running: str = ""
    seconds: float = 0.0
    changes: tuple[str, ...] = ()
    checking: int = 0
    fits: int = 0
    held: int = 0
    unchecked: int = 0
    causes: tuple[Cause, ...] = ()
    error: LoadError | None = None
    workflows: tuple[WorkflowInfo, ...] = ()
    found: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    can_kill: bool = False
    replays: tuple[Replay, ...] = ()
    pending: Pending | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWish:
    """A start as a form asks for it. `arguments` are JSON texts by parameter; `id` empty: make one up."""

    workflow: str
    id: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    delay: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveWish:
    """What a form gives in place of the step at `location`, which stopped `run`, or for which that asks.

    `how` is ``value``, ``nothing``, ``error`` or ``again``; `value` and `arguments` are JSON texts. `op` makes it happen once,
    `seen` is the head from which the form was made. With `fork` nothing of the run is changed: it is the id of a fork that begins
    there, and `how` may be ``message``, too, called `name` where that is given.
    """

    run: str
    location: str
    how: str
    reason: str
    op: str
    who: str
    seen: int | None = None
    value: str = ""
    type: str = ""
    text: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    rollback: bool = True
    fork: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a wish. `done`: it happened, now or when it was first asked; else `message` says why not, and `faults`
    what of the value that was given does not fit.
    """

    outcome: Literal["done", "moved", "refused", "missing", "faulty"]
    message: str = ""
    status: str = ""
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong with one field: a parameter's name, ``id``, ``delay``, or ``""`` for the whole.

    `path` leads on to what is wrong inside of a parameter, such as ``items[3].when``.
    """

    field: str
    message: str
    path: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartAnswer:
    """The run that was started or found, or the faults of the wish."""

    run_id: str = ""
    created: bool = False
    faults: tuple[Fault, ...] = ()


@dataclass(frozen=True, slots=True)
class UndoWish:
    """That the rollback of `run` be tried."""

    run: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TriedStep:
    """A step that owes a rollback: the handler that the loaded code has for it, with ``file:line``, or why it has none."""

    location: str
    handler: str = ""
    source: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UndoTrial:
    """What a trial of a rollback found, in the order of undoing. `problem` is about the whole: nothing would be undone."""

    problem: str = ""
    steps: tuple[TriedStep, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What becomes of the code that waits: it takes over, is held back until later, or is thrown away."""

    act: Literal["apply", "hold", "discard"]
    code: str


@runtime_checkable
class Decides(Protocol):
    """Code that waits for a person's word."""

    def decide(self, decision: Decision) -> Answer:
        """Do as decided, if it is this code that waits; may block for a moment."""
        ...


@runtime_checkable
class TriesUndoing(Protocol):
    """Code that can try a rollback without doing it."""

    def try_undoing(self, run_id: str) -> UndoTrial:
        """Make a frozen pass of the run; may block for seconds."""
        ...


class CodeInfo(Protocol):
    """The code that is loaded. All methods may be called from any thread; `start` may block for seconds."""

    def state(self) -> CodeState:
        """What is loaded now; cheap, asked several times a second."""
        ...

    def start(self, wish: StartWish) -> StartAnswer:
        """Check the arguments as `Flowkit.start` does, and start the run."""
        ...

    def resolve(self, wish: ResolveWish) -> Answer:
        """Give a step's outcome, checked by its code."""
        ...

    def kill(self) -> None:
        """End an import that does not come to an end."""
        ...
