"""What a history says of one entry in words: what it came to, what a placeholder stands for, and the figures of composites."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from flowkit.client.facts import (
    branch_facts,
    cause_of,
    loop_facts,
    output_of,
    plain_error,
    removed_kind,
    version_text,
    waited_names,
)
from flowkit.core.entry import Entry
from flowkit.core.location import turn_of

from .times import length
from .values import one_line, shown

__all__ = ["figures", "has_failed", "line_of", "placeholder_text"]


def has_failed(entry: Entry) -> bool:
    """Whether the entry ended in an error."""
    return entry.status in ("failed", "exhausted")


def line_of(entry: Entry) -> str:
    """One line of what an entry came to."""
    if entry.error is not None:
        error = plain_error(entry.error)
        return shown(str(cause_of(error) or error).partition("\n")[0][:120])
    match entry.kind:
        case "version":
            return version_text(entry)
        case "message" if not entry.settled:
            return f"waits for {shown(' or '.join(waited_names(entry)) or 'any message')}"
        case "removed" | "sleep" | "checkpoint" | "send":
            return ""
    if entry.kind == "step" and entry.output is None and entry.settled and entry.size > 4_096:
        return f"a value of {entry.size:,} bytes"
    return one_line(output_of(entry))


def placeholder_text(entry: Entry, code: str) -> str:
    """What a placeholder stands for; `code` where it is known which one has it."""
    return f"placeholder: this {removed_kind(entry) or 'entry'} was taken out{f', code {code}' if code else ''}"


def figures(entry: Entry, turns: Mapping[str, Sequence[Entry]]) -> str:
    """How far a composite is, or what is to be known of a rollback; `turns` of a loop are those in the window, by segment."""
    match entry.kind:
        case "loop":
            return _of_loop(entry, turns)
        case "join":
            facts = branch_facts(entry)
            return f"{len(facts.done)} of {len(facts.names)} branches" if facts.names else ""
        case "race":
            winner = branch_facts(entry).winner
            return f"won by {shown(winner)}" if winner else ""
    return {"owes": "has a rollback", "done": "rolled back"}.get(entry.rollback, "")


def _of_loop(entry: Entry, found: Mapping[str, Sequence[Entry]]) -> str:
    """Figures over the turns that are kept; where the window does not show all of them, it says over how many."""
    facts = loop_facts(entry)
    turns = list(found.values())
    begun = entry.settled or any(turn_of(segment) == facts.turn for segment in found)
    kept = max(facts.turn - facts.pruned + begun, len(turns))
    took = [max(e.settled_at or e.created_at for e in turn) - min(e.created_at for e in turn) for turn in turns if turn]
    failed = sum(any(has_failed(each) for each in turn) for turn in turns)
    parts = [f"turn {facts.turn + 1:,}", f"{kept:,} turn{'' if kept == 1 else 's'} kept"]
    if facts.pruned:
        parts[1] += f", {facts.pruned:,} pruned"
    if 0 < len(turns) < kept:
        parts.append(f"of {len(turns):,} shown")
    if took:
        parts.append(f"p50 {length(median(took))}")
    if failed:
        parts.append(f"{failed} failed")
    return " · ".join(parts)
