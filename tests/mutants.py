"""Mutation testing of the pure machines: `make mutants`, or `make mutants MACHINES="sb_core/odds.py"`.

The rule: every mutant lives in a copy of the tree, and meets the machine's own tests only; what survives is printed.
A mutant is a process forked from one that has pytest and the libraries loaded, which is most of what a start costs.
Words are equal or not: a mutant that asks for their order, or whether they are the same object, is none. Nor is one of
an annotation, which is never evaluated, or of a `__repr__`, which is for people.
"""

import argparse
import ast
import compileall
import difflib
import importlib
import importlib.util
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from cosmic_ray.commands import init
from cosmic_ray.mutating import use_mutation
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import WorkDB, use_db

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("sb_*", "tests", "pyproject.toml")
LOADED = ("anyio", "hypothesis", "msgspec", "trio")
ORDERS = tuple(f"Eq_{other}" for other in ("Lt", "LtE", "Gt", "GtE", "Is", "IsNot"))
CPU_S_MAX = 60
WAIT_S_MAX = 600
MACHINES = {
    "sb_core/odds.py": "tests/core/test_odds.py",
    "sb_console/lag.py": "tests/console/test_lag_words.py tests/console/test_lag_verdicts.py",
    "sb_distribute/conflate.py": "tests/distribute/test_conflate.py tests/distribute/test_hub_property.py",
    "sb_distribute/subscriptions.py": "tests/distribute/test_session.py tests/distribute/test_hub_property.py",
    "sb_ingest/producers.py": "tests/ingest/test_producers.py tests/ingest/test_recovery.py",
    "sb_ingest/recovery.py": "tests/ingest/test_recovery_rules.py tests/ingest/test_recovery.py tests/ingest/test_producers.py",
    "sb_process/stops.py": "tests/process/test_book.py tests/process/test_fold_properties.py tests/process/test_stops.py",
    "sb_process/settle.py": "tests/process/test_book.py tests/process/test_fold_properties.py tests/process/test_settle.py",
    "sb_process/draft.py": "tests/process/test_book.py tests/process/test_draft.py tests/process/test_fold_properties.py",
    "sb_process/book.py": "tests/process/test_book.py tests/process/test_book_edges.py tests/process/test_fold_properties.py",
}
"""Each machine and the tests nearest to it."""


def main() -> None:
    """Mutate the machines named, one after the other; fail where one keeps less than the share asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("machines", nargs="*", default=sorted(MACHINES))
    parser.add_argument("--killed-min", type=float, default=0.85, help="share of mutants that must be killed")
    arguments = parser.parse_args()
    for name in LOADED:
        importlib.import_module(name)
    short = [machine for machine in arguments.machines if _mutate(machine) < arguments.killed_min]
    if short:
        sys.exit(f"fewer than {arguments.killed_min:.0%} were killed in {', '.join(short)}")


def _mutate(machine: str) -> float:
    """Return the share of a machine's mutants that its tests kill."""
    killed, survived = 0, []
    with tempfile.TemporaryDirectory() as folder:
        _copy(Path(folder), machine)
        if not _passes(folder, machine):
            sys.exit(f"{MACHINES[machine]} fail without any mutant")
        for named, diff in _mutants(Path(folder, machine)):
            if _passes(folder, machine):
                survived.append(f"  {named}\n    {diff}\n")
            else:
                killed += 1
    share = killed / max(1, killed + len(survived))
    sys.stdout.write(f"{machine}: {killed} of {killed + len(survived)} killed, {share:.1%}\n" + "".join(survived))
    sys.stdout.flush()
    return share


def _copy(folder: Path, machine: str) -> None:
    for pattern in COPIED:
        for path in ROOT.glob(pattern):
            if path.is_dir():
                shutil.copytree(path, folder / path.name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(path, folder)
    compileall.compile_dir(folder, quiet=2)
    # mutants follow one another within the second that a cached file's age is told in
    Path(importlib.util.cache_from_source(str(folder / machine))).unlink()


def _mutants(module: Path) -> Iterator[tuple[str, str]]:
    """Make one mutant after the other in a module's place; yield what was done and the lines that differ."""
    with use_db(":memory:", WorkDB.Mode.create) as items:
        init((module,), items, {})
        found = list(items.work_items)
    tree = ast.parse(module.read_text())
    words, silent = set(_words(tree)), list(_silent(tree))
    for item in found:
        for mutation in item.mutations:
            if mutation.operator_name.endswith(ORDERS) and mutation.start_pos in words:
                continue
            if any(begin <= mutation.start_pos < end for begin, end in silent):
                continue
            operator = get_operator(mutation.operator_name)(**mutation.operator_args)
            with use_mutation(module, operator, mutation.occurrence) as (before, after):
                if after is None:
                    continue
                lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
                changed = [line for line in lines if line[:3] not in {"---", "+++"} and line[:1] in "+-"]
                yield f"line {mutation.start_pos[0]} {mutation.operator_name}", "\n    ".join(changed)


def _words(tree: ast.Module) -> Iterator[tuple[int, int]]:
    """Find the operators that compare something with a word: a text, or a name of the module's own for one."""
    named = {
        target.id
        for node in tree.body
        if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(getattr(node.value, "value", None), str)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = (node.left, *node.comparators)
            if any(isinstance(getattr(each, "value", None), str) or getattr(each, "id", "") in named for each in sides):
                yield node.left.end_lineno or 0, (node.left.end_col_offset or 0) + 1


def _silent(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Find from where to where nothing is said that a program would notice."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
            found: list[ast.expr | ast.stmt | None] = [node]
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found = [node.returns]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            found = [node.annotation]
        else:
            continue
        for each in found:
            if each is not None:
                yield (each.lineno, each.col_offset), (each.end_lineno or 0, each.end_col_offset or 0)


def _passes(folder: str, machine: str) -> bool:
    """Run a machine's tests in a process of their own; what doesn't end in time has failed."""
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_PROF, CPU_S_MAX)
        signal.alarm(WAIT_S_MAX)
        os.chdir(folder)
        sys.path[0] = folder
        sys.dont_write_bytecode = True
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        code = 1
        try:
            code = pytest.main(
                ["-q", "-x", "-n0", "-p", "no:cacheprovider", "--assert=plain", *MACHINES[machine].split()]
            )
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


if __name__ == "__main__":
    main()
