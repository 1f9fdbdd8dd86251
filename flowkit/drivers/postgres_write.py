"""What `write` does on PostgreSQL: as few trips as an operation allows, all in one transaction.

Starts, messages, and Changes that touch their own run alone, are one statement for a whole group of them; a batch of nothing
else is committed by that statement itself. All other operations are those of `sqlite_write`, statement by statement. They read
before they decide, so the rows they may read are locked first, all of them in the order of `seq`: two batches that send to each
other's runs then meet in a queue and not in a circle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from flowkit.core.change import Change
from flowkit.drivers.base import GuardFailed, Limits, Log, Lost, Op, Result, Send, Start, Steer, Tag
from flowkit.drivers.postgres_change import commit, commit_sending, is_plain, is_sending
from flowkit.drivers.postgres_connections import Connections
from flowkit.drivers.postgres_hand import Hand
from flowkit.drivers.postgres_send import deliver
from flowkit.drivers.postgres_start import start, twins
from flowkit.drivers.sqlite_write import Writing
from flowkit.errors import SchemaTooNew, StoreError

__all__ = ["write"]

_LOCK = b"SELECT seq FROM runs WHERE seq = ANY(%(runs)s::int8[]) OR id = ANY(%(ids)s::text[]) ORDER BY seq FOR NO KEY UPDATE"
_FENCES = b"SELECT seq, epoch, head FROM runs WHERE seq = ANY(%(runs)s::int8[])"
_TRIES = 5


def write(connections: Connections, ops: Sequence[Op], now: float, limits: Limits) -> list[Result]:
    """See `Driver.write`."""
    groups = list(_groups(ops))
    if len(ops) == 1 and (sent := _sent(connections, ops[0], now, limits)) is not None:
        return [sent]
    if len(groups) == 1 and (fast := _FAST.get(type(ops[0]))) is not None and _is_fast(ops[0]):
        try:
            done = connections.commit_one(lambda hand: fast(hand, ops, now, limits))
        except GuardFailed:
            if not isinstance(ops[0], Send):
                raise
            done = [None] * len(ops)  # a key was used by two at once, and nothing was written: see who came first
        connections.committed()
        return _completed(connections, ops, done, now, limits)
    return connections.transact(lambda hand: _apply(hand, groups, now, limits))


def _sent(connections: Connections, op: Op, now: float, limits: Limits) -> Result | None:
    """The answer to a Change whose messages simply arrive; None: nothing was written, and somebody has to look why."""
    if not isinstance(op, Change) or not is_sending(op):
        return None
    try:
        done = connections.commit_one(lambda hand: commit_sending(hand, op, now, limits))
    except GuardFailed:  # perhaps only a key that two used at once: whoever looks finds the same guard otherwise
        return None
    if done is not None:
        connections.committed()
    return done


def _completed(
    connections: Connections, ops: Sequence[Op], done: Sequence[Result | None], now: float, limits: Limits
) -> list[Result]:
    """What became of those that were left out, too. The others are written already, whatever goes wrong here."""
    missing = [op for op, result in zip(ops, done, strict=True) if result is None]
    try:
        rest = iter(connections.transact(lambda hand: _missing(hand, missing, now, limits)) if missing else ())
    except StoreError as error:
        if isinstance(error, SchemaTooNew | GuardFailed):
            raise
        raise StoreError(str(error), outcome="unknown") from error
    return [next(rest) if result is None else result for result in done]


def _apply(hand: Hand, groups: Sequence[Sequence[Op]], now: float, limits: Limits) -> list[Result]:
    _lock(hand, [op for group in groups for op in group])
    results: list[Result] = []
    for group in groups:
        fast = _FAST.get(type(group[0])) if _is_fast(group[0]) else None
        if fast is None:
            results += _one_by_one(hand, group, now, limits)
            continue
        done = fast(hand, group, now, limits)
        missing = [op for op, result in zip(group, done, strict=True) if result is None]
        rest = iter(_missing(hand, missing, now, limits) if missing else ())
        results += [next(rest) if result is None else result for result in done]
    return results


def _one_by_one(hand: Hand, group: Sequence[Op], now: float, limits: Limits) -> list[Result]:
    """Their rows are locked."""
    op = group[0]
    if isinstance(op, Change) and is_sending(op) and (done := commit_sending(hand, op, now, limits)) is not None:
        return [done]
    return Writing(hand, now, limits).apply(group)


def _lock(hand: Hand, ops: Sequence[Op]) -> None:
    """Lock the runs that these operations look at before they write."""
    ids: set[str] = set()
    runs: set[int] = set()
    for op in ops:
        match op:
            case Send():
                ids.add(op.to)
            case Steer() | Tag():
                ids.add(op.run)
            case Log():
                runs.add(op.run)
            case Change():
                runs.add(op.run)
                ids.update(message.to for message in op.sends)
            case _:
                pass
    if runs or ids:
        hand.own(_LOCK, {"runs": list(runs), "ids": list(ids)})


def _groups(ops: Sequence[Op]) -> Iterator[list[Op]]:
    """`ops` in their order, split where one statement ends and the next begins."""
    at = 0
    while at < len(ops):
        group = [ops[at]]
        if _is_fast(ops[at]):
            known = {_place(ops[at])}
            for op in islice(ops, at + 1, None):
                if type(op) is not type(group[0]) or not _is_fast(op) or _place(op) in known:
                    break
                known.add(_place(op))
                group.append(op)
        at += len(group)
        yield group


def _is_fast(op: Op) -> bool:
    if isinstance(op, Change):
        return is_plain(op)
    return isinstance(op, Send) or (isinstance(op, Start) and op.copied is None)


def _place(op: Op) -> int | str:
    """What must not be twice in one statement."""
    if isinstance(op, Change):
        return op.run
    if isinstance(op, Send):
        return op.to
    assert isinstance(op, Start)
    return op.id


def _commit(hand: Hand, ops: Sequence[Op], now: float, _: Limits) -> list[Result | None]:
    changes = [op for op in ops if isinstance(op, Change)]
    done = commit(hand, changes, now)
    return [done.get(change.run) for change in changes]


def _start(hand: Hand, ops: Sequence[Op], now: float, _: Limits) -> list[Result | None]:
    starts = [op for op in ops if isinstance(op, Start)]
    done = start(hand, starts, now)
    return [done.get(op.id) for op in starts]


def _deliver(hand: Hand, ops: Sequence[Op], now: float, limits: Limits) -> list[Result | None]:
    sends = [op for op in ops if isinstance(op, Send)]
    done = deliver(hand, sends, now, limits)
    return [done.get(op.to) for op in sends]


def _missing(hand: Hand, ops: Sequence[Op], now: float, limits: Limits) -> list[Result]:
    """Why these were not written: their fence did not match, their id was taken, or their message cannot simply arrive."""
    _lock(hand, [op for op in ops if isinstance(op, Send)])
    changes = [op.run for op in ops if isinstance(op, Change)]
    fences = {row[0]: row[1:] for row in hand.own(_FENCES, {"runs": changes})} if changes else {}
    found = _known_starts(hand, [op for op in ops if isinstance(op, Start)], now)
    results: list[Result] = []
    for op in ops:
        if isinstance(op, Change):
            epoch, head = fences.get(op.run, (0, 0))
            results.append(Lost(epoch=epoch, head=head))
        elif isinstance(op, Start):
            results.append(found[op.id])
        else:
            results += Writing(hand, now, limits).apply([op])
    return results


def _known_starts(hand: Hand, ops: Sequence[Start], now: float) -> dict[str, Result]:
    """The runs that were there first. One that was removed just now is no longer in the way."""
    found: dict[str, Result] = {}
    left = list(ops)
    for _ in range(_TRIES):
        found |= twins(hand, left) if left else {}
        left = [op for op in left if op.id not in found]
        if not left:
            return found
        found |= start(hand, left, now)
        left = [op for op in left if op.id not in found]
    raise StoreError(f"run {left[0].id!r} was neither there nor could it be made. Try again.")


_FAST: dict[type, Callable[[Hand, Sequence[Op], float, Limits], list[Result | None]]] = {
    Change: _commit, Start: _start, Send: _deliver,
}  # fmt: skip
