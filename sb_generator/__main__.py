"""`python -m sb_generator` and `sb generate`: the simulator as a service of its own."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from sb_core.runtime import Context, run_main
from sb_generator.control import RATE, SCENARIO, SEED, Controls, Patch, patched
from sb_generator.faults import parse
from sb_generator.schedule import SCENARIOS
from sb_generator.service import GeneratorService
from sb_generator.web import NAME


def main(argv: Sequence[str] | None = None) -> int:
    """Run the generator until it is told to stop."""
    parser = argparse.ArgumentParser(prog="sb generate", description="Simulates feeds (settings: SB_*).")
    parser.add_argument("--rate", type=float, default=RATE, help=f"messages a second ({RATE:g})")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the world ({SEED})")
    parser.add_argument("--scenario", default=SCENARIO, help=f"{', '.join(SCENARIOS)} ({SCENARIO})")
    parser.add_argument("--faults", default="", help="drop=0.01,duplicate=0.02,reorder=…,corrupt=…,truncate=…")
    parser.add_argument("--stopped", action="store_true", help="wait for POST /v1/start")
    arguments = parser.parse_args(argv)
    try:
        controls = patched(Controls(), Patch(arguments.rate, arguments.seed, arguments.scenario))
        faults = parse(arguments.faults)
    except ValueError as error:
        parser.error(str(error))
    wanted = Controls(
        state="stopped" if arguments.stopped else "running",
        rate=controls.rate,
        seed=controls.seed,
        scenario=controls.scenario,
        faults=faults,
    )
    return run_main(NAME, partial(_make, wanted))


def _make(wanted: Controls, context: Context) -> GeneratorService:
    return GeneratorService(context, controls=wanted)


if __name__ == "__main__":
    sys.exit(main())
