"""`python -m sb_generator` and `sb generate`: the simulator as a service of its own, and commands to a running one."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial

from sb_core.runtime import Context, run_main
from sb_generator import control_cli
from sb_generator.control import LANGUAGE, RATE, SCENARIO, SEED, Controls, Patch, commanded, patched
from sb_generator.driver import GC_THRESHOLDS
from sb_generator.faults import Rates
from sb_generator.schedule import SCENARIOS
from sb_generator.service import GeneratorService
from sb_generator.speech.languages import LANGUAGES
from sb_generator.web import NAME


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    made = argparse.ArgumentParser(prog="sb generate", description="Simulates feeds (settings: SB_*).")
    made.add_argument(
        "verb", nargs="?", choices=control_cli.VERBS, help="tell a running generator so, instead of being one"
    )
    made.add_argument("--rate", type=float, help=f"messages a second ({RATE:g})")
    made.add_argument("--seed", type=int, help=f"of the world ({SEED})")
    made.add_argument("--scenario", help=f"{', '.join(SCENARIOS)} ({SCENARIO})")
    made.add_argument("--language", help=f"{', '.join(LANGUAGES)} ({LANGUAGE})")
    made.add_argument("--faults", help=f"name=probability,…: {', '.join(Rates.__struct_fields__)}")
    made.add_argument("--stopped", action="store_true", help="wait for POST /v1/start")
    made.add_argument("--to", metavar="URL", help="base URL of the running generator (this machine's port 4004)")
    made.add_argument("--json", action="store_true", help="print the running generator's state as one JSON object")
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the generator until it is told to stop, or tell a running one something."""
    made = parser()
    arguments = made.parse_args(argv)
    try:
        changes = control_cli.changes_of(arguments)
        wanted = patched(Controls(), Patch(**changes))
    except ValueError as error:
        made.error(str(error))
    if arguments.verb is not None:
        if bool(changes) != (arguments.verb == "set"):
            made.error("set takes what to change, the other verbs nothing")
        return control_cli.tell(arguments.verb, changes, arguments.to, as_json=arguments.json)
    if arguments.to is not None or arguments.json:
        made.error("--to and --json go with a verb")
    make = partial(_make, wanted if arguments.stopped else commanded(wanted, "start"))
    return run_main(NAME, make, gc_thresholds=GC_THRESHOLDS)


def _make(wanted: Controls, context: Context) -> GeneratorService:
    return GeneratorService(context, controls=wanted)


if __name__ == "__main__":
    sys.exit(main())
