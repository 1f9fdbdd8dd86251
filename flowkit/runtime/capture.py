"""Keeps what runs log beside their history: heard in the thread that logs, written some lines at a time by a thread of its own.

Nothing waits for it. Whoever logs leaves a line in a bounded buffer; ten times a second at most, and only if there is
something, what has come is written by operations that carry nothing else, so no commit of a run is larger for it. What the
buffer holds is lost with the process, and no failure of it is a failure of a run.

Two things keep the log short. Of a step, or of the code of one scope, a thousand lines are kept, and one that counts the
others. And a pass says again what the pass before has said: what history has passed is dropped where it is heard, and at the
frontier, where nobody can tell from history, a line is compared with the one that stands in its place.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections import Counter, OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from flowkit.clock import Clock
from flowkit.core.fields import OwnLog
from flowkit.core.line import Line, Part, number_at
from flowkit.drivers.base import Driver, GuardFailed, LineQuery, Log
from flowkit.drivers.forks import this_process
from flowkit.drivers.writer import Writer
from flowkit.engine.logs import is_repetition, listen, listen_no_more
from flowkit.engine.scope import BodyScope, Scope
from flowkit.errors import FlowkitError, StoreError
from flowkit.settings import Settings

__all__ = ["Capture", "let_info_through"]

_BUFFERED_CHARACTERS = 16_000_000
_LINES_OF_A_WRITE = 200
_PLACES = 4_096
_NAME_CHARACTERS = 200

_numbering = threading.Lock()
_number = 0


def _next_number(instant: float) -> int:
    """The number of a line of this instant: none is given twice by a process."""
    global _number
    with _numbering:
        _number = max(_number + 1, number_at(instant))
        return _number


def let_info_through() -> None:
    """For programs of flowkit's own: where user code has configured no logging, have records of INFO made. Nobody prints them."""
    root = logging.getLogger()
    if not root.handlers and root.level == logging.WARNING:
        root.setLevel(logging.INFO)


class Place(NamedTuple):
    """Where lines come from. `since` is the instant at which the step's entry began: a replayed one counts anew."""

    run: int
    location: str
    part: Part
    since: float


class Heard(NamedTuple):
    """A line on its way. `earlier`: lines of its place may be in the store that this process has not seen."""

    place: Place
    earlier: bool
    line: Line


class Tally:
    """What was kept of a place: how many lines, by place in their code which; and how many were not."""

    __slots__ = ("dropped", "kept", "most", "note", "said")

    def __init__(self, known: Sequence[Line], most: int) -> None:
        self.most = most
        self.kept = len(known)
        self.said = {line.place: (line.logger, line.text) for line in known if line.place}
        self.dropped = 0
        self.note = 0

    def keeps(self, line: Line) -> bool:
        """Whether `line` is new and there is room for it; one for which there is none is counted."""
        if line.place and self.said.get(line.place) == (line.logger, line.text):
            return False
        if self.kept >= self.most:
            self.dropped += 1
            return False
        self.kept += 1
        if line.place:
            self.said[line.place] = (line.logger, line.text)
        return True


class Capture:
    """The listener of one handle. `level` None: it hears nothing."""

    def __init__(
        self, driver: Driver, writer: Writer, clock: Clock, logger: OwnLog, level: int | None, settings: Settings
    ) -> None:
        self._settings = settings
        self._driver = driver
        self._writer = writer
        self._clock = clock
        self._logger = logger
        self._level = level
        self._pid = this_process()
        self._lock = threading.Lock()
        self._buffer: deque[Heard] = deque()
        self._characters = 0
        self._spilt: Counter[Place] = Counter()
        self.dropped = 0
        """How many lines are not kept, of all that were heard."""
        self._tallies: OrderedDict[Place, Tally] = OrderedDict()
        self._unwritten: list[Log] = []
        self._logging = threading.local()
        self._work = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._on = False

    def start(self) -> None:
        """Hear what runs log from now on."""
        if self._level is not None and not self._on:
            self._on = True
            listen()

    def close(self) -> None:
        """Write what is there, for some seconds at most, and hear nothing more."""
        if not self._on or self._pid != this_process():
            return
        self._on = False
        listen_no_more()
        self._closing.set()
        self._work.set()
        if self._thread is not None:
            self._thread.join(self._settings.log_closing)

    # --- hearing, in the thread that logs

    def hear(self, scope: Scope | BodyScope, record: logging.LogRecord) -> None:
        """See `Listener.hear`. A record that is made while one is heard, by an argument's `__str__` above all, is not heard:
        it would go on for ever.
        """
        level = self._level
        if not self._on or level is None or not isinstance(record.levelno, int) or record.levelno < level:
            return
        if self._pid != this_process() or getattr(self._logging, "busy", False):
            return  # in a child of fork() the lock may be held by a thread that is not there
        self._logging.busy = True
        try:
            if isinstance(scope, BodyScope):
                self._hear_body(scope, record)
            else:
                self._hear_code(scope, record)
        except Exception:  # the record is the user's, whose logging must do what it does without us
            self._lose(scope)
        finally:
            self._logging.busy = False

    def _hear_body(self, body: BodyScope, record: logging.LogRecord) -> None:
        run, call = body.scope.running.ledger.run, body.call
        place = Place(run, call.step, call.part, call.since)
        self._add(place, call.attempt > 1, record, attempt=call.attempt)

    def _hear_code(self, scope: Scope, record: logging.LogRecord) -> None:
        in_order = scope.strand.thread == threading.get_ident()
        scope.said += in_order
        if is_repetition(scope):
            return
        running = scope.running
        place = Place(running.ledger.run, scope.path, "code", 0.0)
        self._add(place, running.facts.pass_number > 1, record, number=scope.said if in_order else 0)

    def _add(self, place: Place, earlier: bool, record: logging.LogRecord, *, attempt: int = 0, number: int = 0) -> None:
        text = text_of(record, self._settings.log_characters)
        at = self._clock.now()
        line = Line(
            seq=_next_number(at), at=at, location=place.location, part=place.part, attempt=attempt, place=number,
            level=record.levelno, logger=storable(record.name[:_NAME_CHARACTERS]), text=text.encode(),
        )  # fmt: skip
        with self._lock:
            if len(self._buffer) >= self._settings.log_buffer or self._characters >= _BUFFERED_CHARACTERS:
                self._spilt[place] += 1
                return
            self._buffer.append(Heard(place, earlier, line))
            self._characters += len(text)
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_for_ever, name="flowkit-logs", daemon=True)
                self._thread.start()
        self._work.set()

    def _lose(self, scope: Scope | BodyScope) -> None:
        """A line could not be made: the log says that one is missing."""
        inside = scope.scope if isinstance(scope, BodyScope) else scope
        with self._lock:
            self._spilt[Place(inside.running.ledger.run, inside.path, "code", 0.0)] += 1
        self._work.set()

    # --- writing, in a thread of its own

    def _write_for_ever(self) -> None:
        last = False
        while not last:
            self._work.wait()
            last = self._closing.wait(self._settings.log_batch)
            self._work.clear()
            try:
                self._write()
            except Exception:  # a defect here must not end the log in silence
                self._logger.exception("flowkit: lines that runs logged could not be kept")
            if self._unwritten and not last:
                self._closing.wait(self._settings.log_retry)
                self._work.set()

    def _write(self) -> None:
        """Write what has come. If the store fails it is tried again, and what comes meanwhile stays in the buffer."""
        if not self._unwritten:
            self._unwritten = self._sorted(*self._taken())
        while self._unwritten:
            try:
                self._writer.write(self._unwritten[0])
            except StoreError as error:
                if not isinstance(error, GuardFailed):
                    return
                self._logger.warning("flowkit: lines that a run logged were refused by the store: %s", error)
            del self._unwritten[0]

    def _taken(self) -> tuple[Sequence[Heard], Mapping[Place, int]]:
        with self._lock:
            heard, self._buffer = self._buffer, deque()
            spilt, self._spilt = self._spilt, Counter()
            self._characters = 0
        return tuple(heard), spilt

    def _sorted(self, heard: Iterable[Heard], spilt: Mapping[Place, int]) -> list[Log]:
        """The operations that write what is new of these lines, by run."""
        lines: dict[int, list[Line]] = {}
        incomplete: set[Place] = set(spilt)
        for place, earlier, line in heard:
            tally = self._tally(place, earlier)
            before = tally.dropped
            if tally.keeps(line):
                lines.setdefault(place.run, []).append(line)
            elif tally.dropped > before:
                self.dropped += 1
                incomplete.add(place)
        for place in incomplete:
            tally = self._tally(place, earlier=False)
            tally.dropped += spilt.get(place, 0)
            self.dropped += spilt.get(place, 0)
            lines.setdefault(place.run, []).append(self._note(place, tally))
        return [
            Log(run=run, lines=some[first : first + _LINES_OF_A_WRITE], most=self._settings.log_run_lines)
            for run, some in lines.items()
            for first in range(0, len(some), _LINES_OF_A_WRITE)
        ]

    def _tally(self, place: Place, earlier: bool) -> Tally:
        tally = self._tallies.get(place)
        if tally is None:
            tally = self._tallies[place] = Tally(self._known(place) if earlier else (), self._settings.log_lines)
            if len(self._tallies) > _PLACES:
                self._tallies.popitem(last=False)
        self._tallies.move_to_end(place)
        return tally

    def _known(self, place: Place) -> Sequence[Line]:
        after = max(0, number_at(place.since) - 1)
        try:
            return self._driver.lines(
                LineQuery(run=place.run, after=after, location=place.location, part=place.part, limit=self._settings.log_lines)
            )
        except FlowkitError:  # the lines are the better for it, and not worth a failure
            return ()

    def _note(self, place: Place, tally: Tally) -> Line:
        """The line that counts the others. It has one number for good, so that it is one line however often it is written."""
        at = self._clock.now()
        tally.note = tally.note or _next_number(at)
        why = f"of one place in a run {tally.most:,} are kept"
        if tally.kept < tally.most:
            why = "they came faster than they could be written"
        count = "1 line was" if tally.dropped == 1 else f"{tally.dropped:,} lines were"
        return Line(
            seq=tally.note, at=at, location=place.location, part=place.part, level=logging.WARNING, logger="flowkit",
            text=f"{count} dropped: {why}.".encode(),
        )  # fmt: skip


def text_of(record: logging.LogRecord, most: int) -> str:
    """What a handler would print of the record, its traceback included: cut in the middle, and as any store can hold it."""
    try:
        text = record.getMessage()
    except Exception as error:  # the user's arguments and their `__str__`
        text = f"{record.msg!r} with arguments that cannot be put into it: {type(error).__name__}: {error}"
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        text = "\n".join((text, "".join(traceback.format_exception(*record.exc_info)).rstrip()))
    if record.stack_info:
        text = f"{text}\n{record.stack_info}"
    left_out = len(text) - most
    if left_out > 0:
        end = most // 4
        text = f"{text[: most - end]}\n… {left_out:,} characters left out …\n{text[-end:]}"
    return storable(text)


def storable(text: str) -> str:
    """`text` without what UTF-8 cannot hold."""
    return text.encode("utf-8", "backslashreplace").decode()
