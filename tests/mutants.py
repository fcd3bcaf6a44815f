"""Mutation testing of the pure machines: `make mutants`, or `make mutants MACHINES="sb_core/odds.py"`.

The rule: every mutant lives in a copy of the tree, and meets the machine's own tests only; what survives is printed.
"""

import argparse
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("sb_*", "tests", "pyproject.toml")
TIMEOUT_S = 60
MACHINES = {
    "sb_core/odds.py": "tests/core/test_odds.py",
    "sb_console/lag.py": "tests/console/test_lag_verdicts.py tests/console/test_stalls.py",
    "sb_distribute/conflate.py": "tests/distribute/test_conflate.py",
    "sb_distribute/subscriptions.py": "tests/distribute/test_session.py tests/distribute/test_hub_property.py",
    "sb_ingest/producers.py": "tests/ingest/test_producers.py",
    "sb_ingest/recovery.py": "tests/ingest/test_recovery.py tests/ingest/test_producers.py",
    "sb_process/stops.py": "tests/process/test_book.py tests/process/test_fold_properties.py",
    "sb_process/settle.py": "tests/process/test_book.py tests/process/test_fold_properties.py",
    "sb_process/draft.py": "tests/process/test_book.py tests/process/test_fold_properties.py",
    "sb_process/book.py": "tests/process/test_book.py tests/process/test_fold_properties.py",
}
"""Each machine and the tests nearest to it."""
SURVIVORS = """
    SELECT m.start_pos_row, m.operator_name, m.definition_name, r.diff
    FROM mutation_specs m JOIN work_results r ON r.job_id = m.job_id
    WHERE lower(r.test_outcome) LIKE '%survived' ORDER BY m.start_pos_row
"""


def main() -> None:
    """Mutate the machines named, one after the other; fail where one keeps less than the share asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machines", nargs="*", default=sorted(MACHINES))
    parser.add_argument("--killed-min", type=float, default=0.85, help="share of mutants that must be killed")
    arguments = parser.parse_args()
    short = [machine for machine in arguments.machines if _mutate(machine) < arguments.killed_min]
    if short:
        sys.exit(f"fewer than {arguments.killed_min:.0%} were killed in {', '.join(short)}")


def _mutate(machine: str) -> float:
    """Return the share of a machine's mutants that its tests kill."""
    with tempfile.TemporaryDirectory() as folder:
        for pattern in COPIED:
            for path in ROOT.glob(pattern):
                if path.is_dir():
                    shutil.copytree(path, Path(folder, path.name), ignore=shutil.ignore_patterns("__pycache__"))
                else:
                    shutil.copy(path, folder)
        _configure(Path(folder), machine)
        for command in (("init", "mutants.toml", "mutants.sqlite"), ("exec", "mutants.toml", "mutants.sqlite")):
            tool = Path(sys.executable).with_name("cosmic-ray")
            subprocess.run([tool, *command], cwd=folder, check=True)
        with sqlite3.connect(Path(folder, "mutants.sqlite")) as session:
            rows = session.execute("SELECT lower(test_outcome) FROM work_results").fetchall()
            came = Counter(str(outcome).rpartition(".")[2] for (outcome,) in rows)
            killed = came["killed"] / max(1, came["killed"] + came["survived"])
            sys.stdout.write(f"{machine}: {killed:.1%} of {sum(came.values())} killed {dict(came)}\n")
            for row, operator, name, diff in session.execute(SURVIVORS):
                changed = [
                    line for line in (diff or "").splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")
                ]
                sys.stdout.write(f"  line {row} {name or ''} {operator}\n    " + "\n    ".join(changed) + "\n")
        sys.stdout.flush()
    return killed


def _configure(folder: Path, machine: str) -> None:
    command = f"{sys.executable} -m pytest -q -x -n0 -p no:cacheprovider {MACHINES[machine]}"
    Path(folder, "mutants.toml").write_text(
        f'[cosmic-ray]\nmodule-path = "{machine}"\ntimeout = {TIMEOUT_S}\nexcluded-modules = []\n'
        f'test-command = "{command}"\n[cosmic-ray.distributor]\nname = "local"\n'
    )


if __name__ == "__main__":
    main()
