"""`python -m sb_ingest`: the ingest service."""

import argparse
import sys
from collections.abc import Sequence

from sb_core.runtime import Context, run_main
from sb_ingest.service import IngestService
from sb_ingest.web import SERVICE


def main(argv: Sequence[str] | None = None) -> int:
    """Run ingest until it is told to stop."""
    argparse.ArgumentParser(
        prog="sb ingest", description="Takes providers' feeds in on port 4000 (settings: SB_*)."
    ).parse_args(argv)
    return run_main(SERVICE, _make)


def _make(context: Context) -> IngestService:
    return IngestService(context)


if __name__ == "__main__":
    sys.exit(main())
