"""The table of docs/settings.md, made from the settings themselves: ``python -m tests.house.settings_table`` writes it anew."""

from __future__ import annotations

import re
from pathlib import Path

from flowkit.settings import GROUPS, Settings, rules
from tests.house.source import ROOT

__all__ = ["document", "table"]

_BEGIN, _END = "<!-- settings -->", "<!-- /settings -->"


def document() -> Path:
    """Where the table stands."""
    return ROOT / "docs" / "settings.md"


def table() -> str:
    """All settings by group."""
    lines = [_BEGIN]
    for group, title in GROUPS.items():
        lines += ["", f"### {title}", "", "| setting | default | range | what for |", "|---|---|---|---|"]
        for name, rule in rules().items():
            if rule.group == group:
                default = rule.text(getattr(Settings(), name))
                lines.append(f"| `{name}` | {default} | {rule.range} | {rule.why} |")
    return "\n".join([*lines, "", _END])


if __name__ == "__main__":
    text = document().read_text("utf-8")
    document().write_text(re.sub(f"{_BEGIN}.*{_END}", lambda _: table(), text, flags=re.DOTALL), "utf-8")
