"""`python -m sb_process --sport football`: one processor."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from sb_core import sports
from sb_core.runtime import Context, run_main
from sb_process.service import ProcessService


def main(argv: Sequence[str] | None = None) -> int:
    """Run one sport's processor until it is told to stop."""
    parser = argparse.ArgumentParser(prog="sb process", description="Folds one sport's messages into events.")
    parser.add_argument("--sport", required=True, choices=sports.names())
    arguments = parser.parse_args(argv)
    return run_main(f"data-processing-{arguments.sport}", partial(_make, arguments.sport))


def _make(sport: str, context: Context) -> ProcessService:
    return ProcessService(context, sport)


if __name__ == "__main__":
    sys.exit(main())
