"""`python -m flowkit` is the command line."""

from __future__ import annotations

from flowkit.cli import main

if __name__ == "__main__":
    main(prog_name="flowkit")
