"""The port between the runtime and a database: operations in, results out.

Drivers block and are thread-safe. They know no asyncio, no retry arithmetic and no payloads, and no clock but the `now`
they are handed. A refusal is a value in the result list and leaves the other operations alone; an error is an exception
and concerns the whole batch.

Longer than 400 lines because the author of a driver finds the whole port in one place.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, Protocol

import msgspec

from flowkit.core.bulk import Bulk
from flowkit.core.change import Change
from flowkit.core.entry import Entry, FailedAttempt, Message
from flowkit.core.health import Report
from flowkit.core.line import Line
from flowkit.errors import StoreError

__all__ = [
    "BodyRef",
    "Claim",
    "Claimed",
    "Copied",
    "Done",
    "Driver",
    "Duplicate",
    "Ended",
    "Exists",
    "Full",
    "GuardFailed",
    "Kept",
    "Limits",
    "LineQuery",
    "Log",
    "Logged",
    "Lost",
    "Moved",
    "NoRun",
    "Op",
    "Result",
    "RunQuery",
    "RunRow",
    "RunView",
    "SaveBulk",
    "Send",
    "Sent",
    "Start",
    "Started",
    "Steer",
    "Steered",
    "Tag",
    "Undeliverable",
    "Verb",
    "WorkerInfo",
    "WorkerRow",
]

Verb = Literal["wake", "pause", "evict", "resume", "cancel", "cancel_rollback"]


class GuardFailed(StoreError):
    """An operation of a batch contradicts what is stored; the whole batch was rolled back.

    A new entry whose number is taken, a `set` on a settled entry, a `consume` of a message that is not there. `run` is the
    guilty run's seq where it is known, else 0. The `Writer` halves the batch until the guilty operation stands alone.
    """

    def __init__(self, message: str, *, run: int = 0) -> None:
        super().__init__(message, outcome="no")
        self.run = run


class Value(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of the plain values that cross the port."""


# --- operations -----------------------------------------------------------------------------------------------------


class Copied(Value, frozen=True, kw_only=True, gc=False):
    """What a fork begins with: the record that makes it one, and what it has of the original.

    `inbox` and `last` are the numbers up to which messages and entries count as numbered, `owes` is how many `entries` do.
    `who` made it: the start stands in the record of verbs, as `fork` and under `rules.fork_op` of its token.
    """

    fork: bytes
    who: str = ""
    entries: Sequence[Entry] = ()
    state: bytes | None = None
    inbox: int = 0
    last: int = 0
    owes: int = 0


class Start(Value, frozen=True, kw_only=True, gc=False):
    """A new run, due at `start_at`. With `worker` it is born `running` and owned by that worker, epoch 1.

    With `copied` it is a fork, which no worker owns at birth; its start counts as its first write (head 1).
    """

    id: str
    workflow: str
    input: bytes
    input_hash: str
    tags: Sequence[str] = ()
    start_at: float
    worker: int | None = None
    code: str = ""
    token: str
    """Random; lets a repeated Start whose first try had landed answer `Started` again."""
    context: str = ""
    """The trace it was started in, at most some hundred characters, for the `Claim`."""
    copied: Copied | None = None


class Send(Value, frozen=True, kw_only=True, gc=False):
    """A message from outside to the run with id `to`. `reply`: the sender waits for the receiver's `complete()`."""

    to: str
    message_id: str
    name: str
    body: bytes
    key: str | None = None
    reply: bool = False
    sender: str = ""
    context: str = ""


class Steer(Value, frozen=True, kw_only=True, gc=False):
    """A verb on a run. `op` is unique per wish, so that a repeated one is answered as the first was."""

    run: str
    """The run's id."""
    verb: Verb
    op: str
    who: str = ""
    head: int | None = None
    """If not None, the run must still have this head."""


class Log(Value, frozen=True, kw_only=True, gc=False):
    """Lines that the code of a run logged. One whose number is there already takes that line's place.

    Of the run `most` lines are kept: those with the lowest numbers make room, in slices of a thousand and as many as came, and
    line `BOOK` (`core.line`) counts both.
    """

    run: int
    lines: Sequence[Line]
    most: int = 100_000


class SaveBulk(Value, frozen=True, kw_only=True, gc=False):
    """A bulk: new if its `version` is 0, else as far as it has come. What was asked in it is never changed."""

    bulk: Bulk


class Tag(Value, frozen=True, kw_only=True, gc=False):
    """Tags put on a run and taken off it, whatever its status; those there stay in their order. `op` as in `Steer`."""

    run: str
    """The run's id."""
    op: str
    add: Sequence[str] = ()
    remove: Sequence[str] = ()
    who: str = ""


Op = Start | Change | Send | Steer | Log | SaveBulk | Tag


# --- results --------------------------------------------------------------------------------------------------------


class Started(Value, frozen=True, kw_only=True, gc=False):
    """The run is there. `epoch` is 1 if it was born owned, else 0."""

    run: int
    epoch: int


class Exists(Value, frozen=True, kw_only=True, gc=False):
    """The id is taken. `same`: by the same workflow with the same input."""

    run: int
    same: bool
    workflow: str


class Done(Value, frozen=True, kw_only=True, gc=False):
    """A Change landed. `inbox` is the run's newest message number, `status` and `request` what the row says now."""

    inbox: int
    status: str
    request: str = ""


class Lost(Value, frozen=True, kw_only=True, gc=False):
    """The fence did not match: the row has `epoch` and `head` now (0, 0: the run is gone)."""

    epoch: int
    head: int


class Undeliverable(Value, frozen=True, kw_only=True, gc=False):
    """One of the Change's sends has no living receiver, so nothing of the Change was written."""

    to: str
    why: Literal["missing", "ended", "full"]


class Sent(Value, frozen=True, kw_only=True, gc=False):
    """The message has this number in the inbox; 0 if a repeated write cannot tell."""

    number: int


class Duplicate(Value, frozen=True, kw_only=True, gc=False):
    """Done before. `first` is the message id of a Send by key, or the status that the first Steer or bumping Change left."""

    first: str


class NoRun(Value, frozen=True, kw_only=True, gc=False):
    """No run has this id."""


class Ended(Value, frozen=True, kw_only=True, gc=False):
    """The run is terminal."""

    status: str


class Full(Value, frozen=True, kw_only=True, gc=False):
    """The inbox has no room."""

    size: int


class Steered(Value, frozen=True, kw_only=True, gc=False):
    """The verb or the change of tags was carried out; the run's status now."""

    status: str


class Moved(Value, frozen=True, kw_only=True, gc=False):
    """The run has another head than the Steer demanded, or the bulk another version than was read (0: it is gone)."""

    head: int


class Logged(Value, frozen=True, kw_only=True, gc=False):
    """The lines are there."""


class Kept(Value, frozen=True, kw_only=True, gc=False):
    """The bulk is stored under this number and has this version now. A new one whose id is known is a `Duplicate` (its seq)."""

    seq: int
    version: int


Result = (
    Started | Exists | Done | Lost | Undeliverable | Sent | Duplicate | NoRun | Ended | Full | Steered | Moved | Logged | Kept
)


# --- rows and reads -------------------------------------------------------------------------------------------------


class Limits(Value, frozen=True, kw_only=True, gc=False):
    """What a store can hold. `body` is bytes per value, `inbox` messages per run, `batch` operations per write.

    `lease` is after how many seconds a worker that was not heard of is taken for dead; 0 where its death is seen by itself.
    """

    body: int = 64_000_000
    inbox: int = 100_000
    batch: int = 512
    lease: float = 0.0


class RunRow(Value, frozen=True, kw_only=True, gc=False):
    """A row of the `runs` table, without payload."""

    seq: int
    id: str
    workflow: str
    status: str
    wake_at: float | None = None
    owner: int | None = None
    epoch: int = 0
    head: int = 0
    entries: int = 0
    inbox: int = 0
    seen: int = 0
    owes: int = 0
    waiting: tuple[str, ...] | None = None
    request: str = ""
    ending: str = ""
    crashes: int = 0
    passes: int = 0
    replays: int = 0
    current: str | None = None
    attempts: int = 0
    attempts_max: int = 0
    undone: int = 0
    """Steps whose rollback handler has finished, since the run last went forward."""
    error_line: str | None = None
    tags: tuple[str, ...] = ()
    code: str = ""
    created_at: float = 0.0
    start_at: float = 0.0
    started_at: float | None = None
    updated_at: float = 0.0
    finished_at: float | None = None
    expire_at: float | None = None


class RunView(Value, frozen=True, kw_only=True, gc=False):
    """What a pass needs: the row, the input, all live entries without args in order of seq, the first messages."""

    row: RunRow
    input: bytes
    state: bytes | None = None
    """Base of the run's state: patches of pruned entries, folded."""
    error: bytes | None = None
    failed_entry: int | None = None
    tried: tuple[str, ...] = ()
    """Fingerprints of the code under which the run was blocked."""
    entries: Sequence[Entry] = ()
    messages: Sequence[Message] = ()
    handler_failures: Sequence[FailedAttempt] = ()
    """Failed attempts of rollback handlers (part ``rollback``), when the row is or was rolling back (`ending` is set)."""
    fork: bytes | None = None
    """What makes the run a fork (`core.fork`)."""


class Claim(Value, frozen=True, kw_only=True, gc=False):
    """The right to execute a run: `epoch` and `head` are the fence. `code` is the fingerprint of the pass before."""

    run: int
    id: str
    workflow: str
    epoch: int
    head: int
    crashes: int = 0
    status: str
    request: str = ""
    code: str = ""
    view: RunView | None = None
    """What `load` would give, if the driver has brought it along; most do so for runs that have written nothing yet."""
    context: str = ""
    """That of the newest Change that had one, else of the Start."""


class Claimed(Value, frozen=True, kw_only=True, gc=False):
    """`runs` are new to this worker, `bells` are runs it owns that something happened to, `next_due` is the next timer."""

    runs: Sequence[Claim] = ()
    bells: Sequence[int] = ()
    """Run seqs."""
    next_due: float | None = None


class WorkerInfo(Value, frozen=True, kw_only=True, gc=False):
    """Who joins: a worker that claims runs, or a client that only writes."""

    name: str
    host: str
    pid: int
    boot_id: str = ""
    kind: Literal["worker", "client"] = "worker"
    info: str = "{}"


class WorkerRow(Value, frozen=True, kw_only=True, gc=False):
    """A worker as the store knows it. `owned` is how many runs it holds."""

    id: int
    name: str
    host: str
    pid: int
    kind: str
    state: str
    started_at: float
    seen_at: float
    alive: bool
    owned: int = 0
    info: str = "{}"


class RunQuery(Value, frozen=True, kw_only=True, gc=False):
    """A page of the run list, newest first; fields that are None do not filter.

    `after` is the seq of the last row shown, `newer_than` of the first: only runs below the one, or above the other.
    """

    statuses: Sequence[str] = ()
    workflow: str | None = None
    tag: str | None = None
    since: float | None = None
    until: float | None = None
    id_prefix: str | None = None
    error: str | None = None
    owner: int | None = None
    after: int | None = None
    newer_than: int | None = None
    limit: int = 50


class BodyRef(Value, frozen=True, kw_only=True, gc=False):
    """One stored body: a field of the run (`entry` None), of one of its entries, or the reply to `message_id`."""

    run: int
    field: Literal["input", "output", "error", "state", "args", "patch", "reply", "fork"]
    entry: int | None = None
    message_id: str = ""


class LineQuery(Value, frozen=True, kw_only=True, gc=False):
    """A window of a run's log: the first lines above `after`, or with `before` the last ones between the two.

    Only lines of this `location` and `part`, where they are given, and of no lower `level`. `after` below 0 includes line `BOOK`.
    """

    run: int
    after: int = 0
    before: int | None = None
    location: str | None = None
    part: str | None = None
    level: int = 0
    limit: int = 200


class Driver(Protocol):
    """What a database must do for flowkit. `flowkit.testing.driver_suite` tells whether it does."""

    limits: Limits

    def write(self, ops: Sequence[Op], now: float) -> list[Result]:
        """Apply `ops` in order in one transaction, a result for each; what is acknowledged is durable.

        Raises:
            GuardFailed: one operation contradicts the store; nothing was written. StoreBusy: nothing was written.
            StoreError: `outcome` says whether it may have been.
        """
        ...

    def claim(self, worker: int, workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """Take up to `limit` due runs of `workflows` (name → fingerprint of its code), earliest first, and the bells.

        Raises:
            Fenced: this worker was declared dead; it must join anew.
        """
        ...

    def join(self, info: WorkerInfo, now: float) -> int:
        """Register a worker or client; the id was never used before and never will be again."""
        ...

    def leave(self, worker: int, now: float) -> None:
        """Withdraw a worker that holds no run any more. One that still does is taken over as if it had died."""
        ...

    def beat(self, worker: int, now: float, info: str | None = None) -> float:
        """Renew the lease, with `info` in place of that told before; returns the store's clock.

        Raises:
            Fenced: the worker was declared dead.
        """
        ...

    def reap(self, now: float, *, dead: Collection[int] = ()) -> int:
        """Take over the runs of dead workers; returns how many. `dead`: treat these as dead whatever their lease says."""
        ...

    def adopt(self, worker: int, held: Collection[int], workflows: Mapping[str, str], limit: int, now: float) -> Claimed:
        """Claim blocked runs that were never blocked under this code and whose start has come, and those owned by this worker
        that it does not hold.
        """
        ...

    def take(self, worker: int, run: int, code: str, now: float) -> Claim | None:
        """Claim this one run, due or not; None if it has an owner, has ended or is paused. The `Lab` steps through runs so."""
        ...

    def lost(self, worker: int, held: Mapping[int, int]) -> Collection[int]:
        """Which of the runs in `held` (run seq → epoch) this worker no longer owns under that epoch."""
        ...

    def purge(self, now: float, limit: int = 500) -> int:
        """Delete up to `limit` runs whose retention is over, and what else has expired."""
        ...

    def wait(self, timeout: float) -> bool:
        """Block up to `timeout` seconds; True as soon as anything may have changed."""
        ...

    def nudge(self) -> None:
        """End every `wait` of this handle now."""
        ...

    def token(self) -> int:
        """A number that differs when anything may have changed."""
        ...

    def load(self, run: int, *, after: int = 0) -> RunView | None:
        """All that a pass needs of a run; entries with a seq above `after` only.

        Raises:
            PayloadError: a stored checksum does not match.
        """
        ...

    def inbox(self, run: int, names: Collection[str], limit: int) -> list[Message]:
        """The first messages with these names (none: any), in inbox order."""
        ...

    def get(self, run: int | str) -> RunRow | None:
        """The row with this seq or id."""
        ...

    def outcome(self, run: int) -> tuple[RunRow, bytes | None] | None:
        """The row and, once it is completed, its output, both of one moment: what whoever waits for a result asks."""
        ...

    def runs(self, query: RunQuery) -> list[RunRow]:
        """A page of the run list, newest first; at most ``query.limit`` rows."""
        ...

    def first_code(self, run: int) -> str:
        """The fingerprint of the code under which the run began; empty if it has not."""
        ...

    def workers(self) -> list[WorkerRow]: ...

    def report(self, source: str, reports: Sequence[Report], until: float, now: float) -> None:
        """Keep until that instant what `source` has to report, in place of what it reported before; nothing: take that away."""
        ...

    def reports(self, now: float) -> list[Report]:
        """What has been reported and has not expired."""
        ...

    def publish(self, code: str, manifest: bytes, now: float) -> None:
        """Keep what a project's code consists of under the code, in place of what was published before."""
        ...

    def manifest(self, code: str) -> bytes | None:
        """What was published under `code`."""
        ...

    def history(
        self, run: int, *, after: int = 0, before: int | None = None, limit: int = 200, archived: bool = False
    ) -> list[Entry]:
        """Entries by seq, without args; outputs above 4,096 bytes are left out (`size` tells)."""
        ...

    def attempts(self, run: int, entry: int | None = None) -> list[FailedAttempt]:
        """Failed attempts of one entry, or of all, in order of entry, part, round and number."""
        ...

    def lines(self, query: LineQuery) -> list[Line]:
        """A window of a run's log, in order of seq."""
        ...

    def body(self, ref: BodyRef) -> bytes | None:
        """One body of any size."""
        ...

    def bulk(self, bulk: int | str) -> Bulk | None:
        """The bulk with this seq or id."""
        ...

    def bulks(self, limit: int, *, before: int | None = None, unfinished: bool = False) -> list[Bulk]:
        """Bulks, newest first, with a seq below `before`; all, or those that are not finished."""
        ...

    def retain(self, days: Mapping[str, float]) -> None:
        """From now on keep runs that end in status `s` for ``days[s]`` days; those with a status not named for ever. Before that
        come ``days["workflow/s"]`` and then ``days["workflow/*"]``, for runs of that workflow.
        """
        ...

    def remove(self, runs: Mapping[int, int]) -> int:
        """Delete those of `runs` (seq → head as it was read) that have ended and were not touched since; how many there were."""
        ...

    def close(self) -> None: ...
