"""What STYLE asks of every module and no linter checks: sizes, heads, and names that say nothing."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINES_MAX = 400
FUNCTION_LINES_MAX = 70
NOTHING_SAID = {"utils", "helpers", "common", "base", "manager", "misc"}
MODULES = sorted(path for top in [*ROOT.glob("sb_*"), ROOT / "bench"] for path in top.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module(path):
    text = path.read_text()
    tree = ast.parse(text)
    assert text.count("\n") <= LINES_MAX
    assert path.stem not in NOTHING_SAID
    assert ast.get_docstring(tree), "a module's head says what it is and the rule it keeps"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno - node.lineno < FUNCTION_LINES_MAX, node.name


def test_there_are_modules():
    assert len(MODULES) > 100


@pytest.mark.parametrize("page", ["README.md", "ARCHITECTURE.md", "tests/README.md"])
def test_what_a_page_names_is_there(page):
    named = set(re.findall(r"`((?:sb_\w+|tests|bench|docs|deploy)/[\w/.]+)`", (ROOT / page).read_text()))
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
    assert named
