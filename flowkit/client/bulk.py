"""Bulks: a verb asked for all runs that a filter lets through.

Here one is counted, begun and stopped; `walk` carries it out. A filter is narrowed to the statuses that allow the verb and frozen
as it was asked: instants instead of "2 h ago", and the newest run of that moment, so that none that comes later is swept in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
from msgspec.structs import replace

from flowkit.client.veil import hidden_row
from flowkit.client.verbs import OFFERED
from flowkit.codec import coder
from flowkit.core.bulk import Bulk, Picks
from flowkit.core.location import check_key, check_name, is_storable
from flowkit.core.run import OPEN, STATUSES
from flowkit.drivers.base import Driver, Kept, RunQuery, RunRow, SaveBulk
from flowkit.drivers.survey import Surveyed
from flowkit.errors import InvalidName, PayloadError, StoreError

if TYPE_CHECKING:
    from flowkit.client.handle import Flowkit

__all__ = ["ALLOWED", "Bulk", "BulkWish", "Bulks", "Found", "Picks", "following", "narrowed"]

ALLOWED: Mapping[str, frozenset[str]] = {
    **{verb: OFFERED[verb] for verb in ("recover", "replay", "pause", "resume", "wake", "evict", "send")},
    "cancel": frozenset(OPEN) - {"rolling_back"},
    "cancel_rollback": frozenset(OPEN) - {"rolling_back", "blocked"},
}
"""The statuses in which a bulk does a verb. To leave a rollback undone is for the run's own page, which asks for its id."""

MOST_COUNTED = 1_000
MOST_IDS = 1_000
"""A beginning of ids is walked at once, as the list looks at no more of them."""

_SAMPLE = 10
_PAGE = 500
_STOP_TRIES = 100
_tagged = coder()


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkWish:
    """What is asked: a verb, for whom, and what the verb needs. `data` is JSON text."""

    verb: str
    picks: Picks
    top: int
    step: str | None = None
    name: str | None = None
    key: str | None = None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Found:
    """How many runs there are, with `more` at least so many, and the newest of them. `refused` says why they cannot be walked."""

    number: int
    more: bool
    sample: tuple[RunRow, ...]
    refused: str = ""


def _as_it_is(row: RunRow) -> RunRow:
    return row


class Bulks:
    """Asks for bulks on behalf of `who`."""

    def __init__(self, flowkit: Flowkit, who: str, *, hides: bool = False) -> None:
        """With `hides`, of the errors of sample runs only the types are given (`veil`)."""
        self._flowkit = flowkit
        self._shown = hidden_row if hides else _as_it_is
        self._driver = flowkit.driver
        self._who = who

    def get(self, bulk: int | str) -> Bulk | None:
        """The bulk with this number or id."""
        return self._driver.bulk(bulk)

    def newest_run(self) -> int:
        """The seq of the newest run; what comes later is not part of a bulk that is asked now."""
        rows = self._driver.runs(RunQuery(limit=1))
        return rows[0].seq if rows else 0

    def count(self, picks: Picks, top: int) -> Found:
        """The runs that a bulk would walk now, counted up to a thousand; of a large tag those that a list finds."""
        if is_wide(self._driver, picks):
            return Found(0, True, (), f"more than {MOST_IDS:,} ids begin so: give more of the id, or filter by something else")
        if picks.tag is not None and picks.statuses:
            return self._count_of_tag(picks, top)
        rows: list[RunRow] = []
        position = top + 1
        while position and len(rows) <= MOST_COUNTED:
            found, position = following(self._driver, picks, position, min(_PAGE, MOST_COUNTED + 1 - len(rows)))
            rows += found
        return Found(min(len(rows), MOST_COUNTED), len(rows) > MOST_COUNTED, tuple(map(self._shown, rows[:_SAMPLE])))

    def _count_of_tag(self, picks: Picks, top: int) -> Found:
        """As the list finds them, which is quicker than the walk and may not look at all."""
        query = RunQuery(
            statuses=picks.statuses, workflow=picks.workflow, tag=picks.tag, since=picks.since, until=picks.until,
            id_prefix=picks.id_prefix, after=top + 1, limit=MOST_COUNTED + 1,
        )  # fmt: skip
        rows = self._driver.runs(query)
        more = len(rows) > MOST_COUNTED or (isinstance(self._driver, Surveyed) and self._driver.survey().cut(query) > 0)
        return Found(min(len(rows), MOST_COUNTED), more, tuple(map(self._shown, rows[:_SAMPLE])))

    def check(self, wish: BulkWish) -> None:
        """Raises:
        ValueError: what is asked cannot be, whatever runs there are.
        """
        if wish.verb not in ALLOWED:
            raise ValueError(f"there is no verb {wish.verb!r} for many runs; there are {', '.join(ALLOWED)}")
        self._message(wish)
        _checked_key(wish.key)

    def begin(self, op: str, wish: BulkWish, found: Found, *, holder: str = "") -> Bulk:
        """Store the bulk `op`, once; from now on whoever walks bulks carries it out, the walker `holder` before all others.

        Raises:
            ValueError: what is asked cannot be.
        """
        stored = self._driver.bulk(op)
        if stored is not None:
            return stored
        made = self._made(op, wish, found)
        if holder:
            made = replace(made, holder=holder, held_until=self._flowkit.house.clock.now() + self._flowkit.settings.bulk_hold)
        self._flowkit.desk.writer.write(SaveBulk(bulk=made))
        stored = self._driver.bulk(op)
        if stored is None:
            raise StoreError(f"bulk {op} was written and is not there. See `flowkit doctor`.")
        return stored

    def _made(self, op: str, wish: BulkWish, found: Found) -> Bulk:
        self.check(wish)
        if found.refused:
            raise ValueError(found.refused)
        position, plan = wish.top + 1, tuple[int, ...]()
        if wish.picks.tag is None and wish.picks.id_prefix is not None:
            rows, position = following(self._driver, wish.picks, position, MOST_IDS)
            plan = tuple(row.seq for row in rows)
        name, body = self._message(wish)
        return Bulk(
            id=op, verb=wish.verb, who=self._who, picks=wish.picks, top=wish.top, expected=found.number, more=found.more,
            step=wish.step or None if wish.verb == "replay" else None, name=name, body=body,
            key=_checked_key(wish.key) if wish.verb == "send" else None, position=position, plan=plan,
        )  # fmt: skip

    def _message(self, wish: BulkWish) -> tuple[str | None, bytes | None]:
        if wish.verb != "send":
            return None, None
        try:
            value = msgspec.json.decode(wish.data) if wish.data.strip() else None
            body = _tagged.encode(value, limit=self._flowkit.house.host.max_payload)
            return check_name(wish.name or "", "message name"), body
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
            raise ValueError(f"the data is not JSON: {error}") from error
        except (InvalidName, PayloadError) as error:
            raise ValueError(str(error)) from error

    def stop(self, seq: int) -> Bulk | None:
        """Begin nothing more of a bulk; the piece under way is done. None if there is no such bulk."""
        for _ in range(_STOP_TRIES):
            bulk = self._driver.bulk(seq)
            if bulk is None or bulk.state != "running":
                return bulk
            now = self._flowkit.house.clock.now()
            asked = replace(bulk, state="stopping") if bulk.plan else replace(bulk, state="stopped", finished_at=now)
            if isinstance(self._flowkit.desk.writer.write(SaveBulk(bulk=asked)), Kept):
                return self._driver.bulk(seq)
        raise StoreError(f"bulk {seq} moved on {_STOP_TRIES} times while it was to be stopped. Try again.")


def _checked_key(key: str | None) -> str | None:
    try:
        return check_key(key or None)
    except InvalidName as error:
        raise ValueError(str(error)) from error


def narrowed(verb: str, picks: Picks) -> Picks:
    """`picks` without the statuses that do not allow `verb`; without any status if none does."""
    texts = (picks.workflow, picks.tag, picks.id_prefix)
    if not all(is_storable(text) for text in texts if text is not None):
        return replace(picks, statuses=(), workflow=None, tag=None, id_prefix=None)
    asked = picks.statuses or STATUSES
    return replace(picks, statuses=tuple(status for status in STATUSES if status in asked and status in ALLOWED.get(verb, ())))


def is_wide(driver: Driver, picks: Picks) -> bool:
    """Whether more ids begin as asked than a list looks at."""
    if picks.id_prefix is None or picks.tag is not None:
        return False
    return len(driver.runs(RunQuery(id_prefix=picks.id_prefix, limit=MOST_IDS + 1))) > MOST_IDS


def following(driver: Driver, picks: Picks, below: int, limit: int, *, most: int = 20_000) -> tuple[list[RunRow], int]:
    """The next runs below this seq, newest first, and below which to go on; 0: there are no more.

    The list looks at so many runs of a tag only, so theirs are checked here; after `most` of them it may be that none was found.
    """
    if not picks.statuses:  # none, where a query without statuses would mean all
        return [], 0
    if picks.tag is not None:
        return _tagged_ones(driver, picks, below, limit, most)
    if picks.id_prefix is not None:
        rows = driver.runs(RunQuery(id_prefix=picks.id_prefix, limit=MOST_IDS + 1))
        return [row for row in rows if row.seq < below and _lets(picks, row)], 0
    query = RunQuery(
        statuses=picks.statuses, workflow=picks.workflow, since=picks.since, until=picks.until, after=below, limit=limit
    )
    rows = driver.runs(query)
    return rows, rows[-1].seq if len(rows) == limit else 0


def _tagged_ones(driver: Driver, picks: Picks, below: int, limit: int, most: int) -> tuple[list[RunRow], int]:
    found: list[RunRow] = []
    for _ in range(0, most, _PAGE):
        rows = driver.runs(RunQuery(tag=picks.tag, after=below, limit=_PAGE))
        for row in rows:
            below = row.seq
            if _lets(picks, row):
                found.append(row)
                if len(found) == limit:
                    return found, below
        if len(rows) < _PAGE:
            return found, 0
    return found, below


def _lets(picks: Picks, row: RunRow) -> bool:
    return (
        row.status in picks.statuses
        and (picks.workflow is None or row.workflow == picks.workflow)
        and (picks.id_prefix is None or row.id.startswith(picks.id_prefix))
        and (picks.since is None or row.created_at >= picks.since)
        and (picks.until is None or row.created_at < picks.until)
    )
