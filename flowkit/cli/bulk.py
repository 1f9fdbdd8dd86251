"""`bulk`: a verb for all runs that meet a filter, counted first and done when their number is given."""

from __future__ import annotations

import signal
import uuid
from typing import TYPE_CHECKING, Any

import click

from flowkit.cli.failure import FAILED, NOT_FOUND, Failure, refusing
from flowkit.cli.options import as_json, database
from flowkit.cli.store import looking, steering

if TYPE_CHECKING:
    from flowkit.client import Flowkit
    from flowkit.client.bulk import Bulk, BulkWish, Found, Picks
    from flowkit.client.walk import Walker

__all__ = ["bulk_command"]

VERBS = ("recover", "replay", "cancel", "cancel-rollback", "pause", "resume", "wake", "evict", "send")
_LISTED = 20
_LAST_SEQ = (1 << 62) - 1


@click.command("bulk", short_help="Do a verb to all runs that meet a filter.")
@click.argument("verb", required=False, type=click.Choice(VERBS), metavar="[VERB]")
@click.option("--status", "statuses", multiple=True, help="Only runs with this status; may be repeated.")
@click.option("--workflow", help="Only runs of this workflow.")
@click.option("--tag", help="Only runs with this tag.")
@click.option("--since", metavar="INSTANT", help='Only runs started since then: "2026-11-20T09:00Z", or "2h" for two hours ago.')
@click.option("--until", metavar="INSTANT", help="Only runs started before then.")
@click.option("--prefix", metavar="TEXT", help="Only runs whose id begins so.")
@click.option("--from", "step", metavar="STEP", help="With replay: the location to start over from.")
@click.option("--name", help="With send: the name of the message.")
@click.option("--data", metavar="JSON", help="With send: its data.")
@click.option("--key", help="With send: a run that has had this key is left as it is.")
@click.option("--yes", metavar="N", help="Do it, if there are so many; what is shown without this.")
@click.option("--stop", type=click.IntRange(1, _LAST_SEQ), metavar="BULK", help="Begin nothing more of this bulk.")
@click.option("--carry-on", type=click.IntRange(1, _LAST_SEQ), metavar="BULK", help="Go on with a bulk that nobody carries on.")
@database
@as_json
def bulk_command(
    verb: str | None, statuses: tuple[str, ...], workflow: str | None, tag: str | None, since: str | None, until: str | None,
    prefix: str | None, step: str | None, name: str | None, data: str | None, key: str | None, yes: str | None,
    stop: int | None, carry_on: int | None, db: str, as_json: bool,
) -> None:  # fmt: skip
    """Do VERB to all runs that meet a filter. Without --yes it only says how many there are; without VERB it lists bulks.

    VERB is recover, replay, cancel, cancel-rollback, pause, resume, wake, evict or send.

    \b
    Example:
      flowkit bulk recover --status failed --since 2h
      flowkit bulk recover --status failed --since 2h --yes 42
    """
    chosen = [what for what in (verb, stop, carry_on) if what is not None]
    if len(chosen) > 1:
        raise Failure("give one of VERB, --stop and --carry-on")
    if not chosen:
        _list(db, as_json)
    elif stop is not None:
        _stop(db, stop, as_json)
    elif carry_on is not None:
        from flowkit.client.walk import Walker

        with steering(db) as flowkit:
            _report(_walk(flowkit, Walker(flowkit), _known(flowkit, carry_on), quiet=as_json), as_json)
    elif verb is not None:
        from flowkit.cli.look import instant_of
        from flowkit.client.bulk import Picks
        from flowkit.durations import epoch

        with (looking if yes is None else steering)(db) as flowkit, refusing(ValueError, OverflowError):
            now = flowkit.house.clock.now()
            given = [instant_of(text, option, now) for text, option in ((since, "--since"), (until, "--until"))]
            bounds = [None if instant is None else epoch(instant, "instant") for instant in given]
            picks = Picks(
                statuses=_statuses(statuses), workflow=workflow, tag=tag, since=bounds[0], until=bounds[1], id_prefix=prefix
            )
            _ask(flowkit, verb.replace("-", "_"), picks, yes, as_json, step=step, name=name, key=key, data=data)


def _statuses(given: tuple[str, ...]) -> tuple[str, ...]:
    from flowkit.core.run import STATUSES

    if unknown := [each for each in given if each not in STATUSES]:
        raise Failure(f"there is no status {unknown[0]!r}; statuses are {', '.join(STATUSES)}")
    return given


def _ask(flowkit: Flowkit, verb: str, picks: Picks, yes: str | None, as_json: bool, **more: str | None) -> None:
    from flowkit.client.bulk import Bulks, BulkWish, narrowed
    from flowkit.client.walk import Walker

    bulks = Bulks(flowkit, "CLI")
    picks = narrowed(verb, picks)
    wish = BulkWish(
        verb=verb, picks=picks, top=bulks.newest_run(), step=more["step"], name=more["name"], key=more["key"],
        data=(more["data"] or "").encode("utf-8", "replace"),
    )  # fmt: skip
    found = bulks.count(picks, wish.top)
    if found.refused:
        raise Failure(found.refused)
    bulks.check(wish)
    if yes is None:
        _foretell(wish, found, as_json)
        return
    if yes.replace(",", "") != _count(found):
        raise Failure(f"these are {_count(found)} runs, and --yes says {yes}. Nothing was done.")
    if not found.number and not found.more:
        raise Failure("no runs match: nothing was done", NOT_FOUND)
    walker = Walker(flowkit)
    bulk = bulks.begin(uuid.uuid4().hex, wish, found, holder=walker.holder)
    _report(_walk(flowkit, walker, bulk, quiet=as_json), as_json)


def _count(found: Found) -> str:
    return f"{found.number}{'+' if found.more else ''}"


def _foretell(wish: BulkWish, found: Found, as_json: bool) -> None:
    from flowkit.cli.render import print_json

    sample = [row.id for row in found.sample]
    if as_json:
        statuses = list(wish.picks.statuses)
        print_json({"verb": wish.verb, "count": found.number, "more": found.more, "statuses": statuses, "sample": sample})
        return
    if not found.number and not found.more:
        click.echo("no runs match")
        return
    click.echo(f"{wish.verb.replace('_', '-')} would be done to {_count(found)} run{'' if _count(found) == '1' else 's'}:")
    for id in sample:
        click.echo(f"  {_clean(id)}")
    if found.more or found.number > len(sample):
        click.echo("  …")
    click.echo(f"nothing was done; do it with --yes {_count(found)}", err=True)


def _known(flowkit: Flowkit, seq: int) -> Bulk:
    bulk = flowkit.driver.bulk(seq)
    if bulk is None:
        raise Failure(f"there is no bulk {seq}", NOT_FOUND)
    return bulk


def _walk(flowkit: Flowkit, walker: Walker, bulk: Bulk, *, quiet: bool) -> Bulk:
    """Carry a bulk out in this process. Ctrl-C or SIGTERM stops it after the runs under way."""
    from flowkit.client.bulk import Bulks

    asked: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: asked.append(number)) for number in _SIGNALS}

    def go_on() -> bool:
        if asked:
            Bulks(flowkit, "CLI").stop(bulk.seq)
        return not asked

    def told(now: Bulk) -> None:
        if not quiet:
            click.echo(f"bulk {now.seq}: {_told(now)}", err=True)

    try:
        found = walker.walk(bulk.seq, go_on=go_on, told=told)
        if asked:
            found = walker.walk(bulk.seq)  # what was under way is counted, and the bulk is stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return found or bulk


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def _stop(db: str, seq: int, as_json: bool) -> None:
    from flowkit.client.bulk import Bulks
    from flowkit.client.walk import Walker

    with steering(db) as flowkit:
        _known(flowkit, seq)
        Bulks(flowkit, "CLI").stop(seq)
        _report(_walk(flowkit, Walker(flowkit), _known(flowkit, seq), quiet=True), as_json)


def _told(bulk: Bulk) -> str:
    return f"{bulk.state}, {bulk.done:,} done, {bulk.failed:,} failed, {bulk.skipped:,} skipped"


def _data(bulk: Bulk) -> dict[str, Any]:
    return {
        "bulk": bulk.seq, "verb": bulk.verb, "state": bulk.state, "expected": bulk.expected, "more": bulk.more,
        "done": bulk.done, "failed": bulk.failed, "skipped": bulk.skipped, "who": bulk.who, "created_at": bulk.created_at,
        "finished_at": bulk.finished_at, "reasons": [{"id": id or None, "reason": reason} for id, reason in bulk.reasons],
    }  # fmt: skip


def _report(bulk: Bulk, as_json: bool) -> None:
    """What became of a bulk. The exit code is 1 if a run failed to take the verb, or the bulk did not come to its end."""
    from flowkit.cli.render import print_json

    if as_json:
        print_json(_data(bulk))
    else:
        click.echo(f"bulk {bulk.seq}: {_told(bulk)}")
        for id, reason in bulk.reasons:
            click.echo(f"  {_clean(id)}: {_clean(reason)}" if id else f"  {_clean(reason)}")
        if bulk.state == "running":
            click.echo(f"another process carries it on; flowkit bulk --stop {bulk.seq} ends it", err=True)
    if bulk.failed or bulk.state == "stopped":
        raise SystemExit(FAILED)


def _clean(text: str) -> str:
    from flowkit.cli.render import clean

    return clean(text)


def _list(db: str, as_json: bool) -> None:
    from flowkit.cli.render import ago, print_json, print_table

    with looking(db) as flowkit:
        now = flowkit.house.clock.now()
        bulks = flowkit.driver.bulks(_LISTED)
    if as_json:
        print_json({"bulks": [_data(bulk) for bulk in bulks]})
        return
    if not bulks:
        click.echo("no bulks", err=True)
        return
    rows = [
        [
            str(bulk.seq),
            bulk.verb,
            bulk.state,
            f"{bulk.done}",
            f"{bulk.failed}",
            f"{bulk.skipped}",
            ago(bulk.created_at, now),
            bulk.who,
        ]
        for bulk in bulks
    ]
    print_table(["BULK", "VERB", "STATE", "DONE", "FAILED", "SKIPPED", "ASKED", "FROM"], rows, wraps=["FROM"])
