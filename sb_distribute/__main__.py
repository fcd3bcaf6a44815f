"""`python -m sb_distribute`: the distribution service."""

import argparse
import sys
from collections.abc import Sequence

from sb_core.runtime import run_main
from sb_distribute.service import NAME, DistributeService


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and run until stopped; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="sb distribute", description="Serves events over REST (4002) and WebSocket (4003). Settings: SB_*."
    )
    parser.parse_args(argv)
    return run_main(NAME, DistributeService)


if __name__ == "__main__":
    sys.exit(main())
