"""pipeline.toml: what it switches, and that nothing misspelt goes unseen."""

import importlib.metadata
from pathlib import Path

import pytest

from sb_core import config
from sb_core.config import ConfigError, PipelineConfig, load

WHOLE = """
[providers]
precedence = ["uof", "betfair"]

[sports.football]
markets = ["1x2", "total", "uof:99"]

[sports.football.rules]
clock = false
markets_max = 400

[sports.tennis]
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text: str) -> Path:
        path = tmp_path / "pipeline.toml"
        path.write_text(text)
        return path

    return write_file


def test_no_file_means_everything_is_on(tmp_path):
    made = load(tmp_path / "pipeline.toml")
    assert made == PipelineConfig()
    assert made.market_enabled("football", "anything")
    assert made.rule("football", "clock") is True
    assert made.rank("uof") == made.rank("betfair")
    assert made.steps() == ()


def test_a_file_that_was_named_must_be_there(tmp_path):
    with pytest.raises(ConfigError, match="does not exist"):
        load(tmp_path / "pipeline.toml", required=True)


def test_a_whole_file(write):
    made = load(write(WHOLE))
    assert made.market_enabled("football", "1x2")
    assert made.market_enabled("football", "uof:99")
    assert not made.market_enabled("football", "asian_handicap")
    assert made.market_enabled("tennis", "asian_handicap")
    assert made.market_enabled("hockey", "asian_handicap")
    assert dict(made.rules("football")) == {"clock": False, "markets_max": 400}
    assert made.rule("football", "clock") is False
    assert made.rule("football", "score") is True
    assert made.rule("tennis", "clock") is True
    assert [made.rank(name) for name in ("uof", "betfair", "canonical")] == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sport = 1", "unknown key sport: did you mean 'sports'?"),
        ("[sports.footbal]", "unknown key sports.footbal: did you mean 'football'?"),
        ("[sports.curling]", "unknown key sports.curling: known are football"),
        ("[sports.football]\nmarket = []", "unknown key sports.football.market: did you mean 'markets'?"),
        ("[sports.football]\nmarkets = 'all'", "sports.football.markets must be a list of names"),
        ("[sports.football]\nmarkets = [1]", "sports.football.markets must be a list of names"),
        ("[sports.football]\nmarkets = ['1x2', '1x2']", "sports.football.markets names something twice"),
        ("[sports.football]\nmarkets = ['1x3']", "football has no market 1x3"),
        ("[sports.football.rules]\nclok = false", "football has no rule clok"),
        ("[sports.football.rules]\nclock = 0.5", "sports.football.rules.clock is a binary fraction"),
        ("[sports.football.rules]\nclock = []", "sports.football.rules.clock must be true, false"),
        ("[sports]\nfootball = 3", "sports.football must be a table"),
        ("sports = 3", "sports must be a table"),
        ("[providers]\norder = []", "unknown key providers.order"),
        ("[providers]\nprecedence = ['a b']", "providers.precedence must be a list of names"),
        ("[[steps]]\nsports = ['football']", "steps[0].name is missing"),
        ("[[steps]]\nname = 'x'\nsprots = []", "unknown key steps[0].sprots: did you mean 'sports'?"),
        ("[[steps]]\nname = 'x'\nsports = ['curling']", "unknown key steps[0].sports.curling"),
        ("[[steps]]\nname = 'nobody'", "no entry point 'nobody' in the group sb.steps (none is installed)"),
        ("steps = {}", "steps must be at most 32 tables"),
        ("[[steps]]\nname = 'x'\n" * 33, "steps must be at most 32 tables"),
        ("sports =", "is no TOML"),
        ("a = " + "[" * 5000, "is no TOML"),
    ],
)
def test_what_is_wrong_is_named(write, text, words):
    with pytest.raises(ConfigError) as caught:
        load(write(text))
    assert words in str(caught.value)
    assert "pipeline.toml" in str(caught.value)


def test_bytes_that_are_no_text_and_files_that_are_too_large(tmp_path):
    path = tmp_path / "pipeline.toml"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="is no TOML"):
        load(path)
    path.write_bytes(b"#" * (config.FILE_BYTES_MAX + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load(path)
    with pytest.raises(ConfigError, match="can't be read"):
        load(tmp_path)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution that offers three steps, as an operator would install one."""
    package = tmp_path / "site"
    (package / "operators_steps-1.dist-info").mkdir(parents=True)
    (package / "operators_steps-1.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: operators-steps\nVersion: 1\n"
    )
    (package / "operators_steps-1.dist-info" / "entry_points.txt").write_text(
        "[sb.steps]\nkeep = operators_steps_module:keep\nbroken = operators_steps_module:missing\n"
        "number = operators_steps_module:NUMBER\n"
    )
    (package / "operators_steps_module.py").write_text("NUMBER = 3\ndef keep(message):\n    return message\n")
    monkeypatch.syspath_prepend(str(package))
    importlib.invalidate_caches()
    return package


@pytest.mark.usefixtures("installed")
def test_steps_are_entry_points_in_the_files_order(write):
    made = load(write("[[steps]]\nname = 'keep'\nsports = ['football']\n[[steps]]\nname = 'keep'\n"))
    assert [(step.name, step.sports) for step in made.steps()] == [("keep", ("football",)), ("keep", ())]
    assert len(made.steps("football")) == 2
    assert len(made.steps("tennis")) == 1
    marker = object()
    assert made.steps()[0].apply(marker) is marker


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "step 'broken' can't be loaded: AttributeError"),
        ("number", "step 'number' is not callable"),
        ("other", "(broken, keep, number)"),
    ],
)
def test_a_step_that_does_not_work_is_named(write, name, words):
    with pytest.raises(ConfigError) as caught:
        load(write(f"[[steps]]\nname = '{name}'\n"))
    assert words in str(caught.value)
