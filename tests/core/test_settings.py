"""Settings: where they come from, what they refuse, and that the table tells the truth."""

import msgspec
import pytest

from sb_core import settings as module
from sb_core.env_file import read_env_file
from sb_core.settings import PORTS, SETTINGS, Settings, SettingsError, load

DIGEST = "a" * 64


def test_the_table_has_a_row_for_every_field_and_no_other():
    assert [setting.field for setting in SETTINGS] != []
    assert {setting.field for setting in SETTINGS} == set(Settings.__struct_fields__)
    assert len({setting.env for setting in SETTINGS}) == len(SETTINGS)


def test_every_default_passes_its_own_bounds():
    for setting in SETTINGS:
        default = getattr(Settings(), setting.field)
        if type(default) is int:
            assert load({setting.env: str(default)}) is not None


def test_the_markdown_table_names_each_with_unit_and_default():
    rows = module.table().splitlines()
    assert rows[0].startswith("| variable | unit | default |")
    assert "| `SB_RETENTION_DAYS` | days | `30` | How long the change log in the store is kept. |" in rows
    assert any(row.startswith("| `SB_API_KEYS` (also `_FILE`) |") for row in rows)
    assert len(rows) == len(SETTINGS) + 2
    assert all(row.count("|") == 5 for row in rows)


def test_without_anything_the_defaults_hold():
    settings = load({})
    assert settings == Settings()
    assert settings.bind == "127.0.0.1"
    assert settings.log_url.startswith("sqlite:////")
    assert settings.log_url.endswith("/.sb/log.db")
    assert settings.store_url.endswith("/.sb/store.db")
    assert settings.port("feed-ingestion") == 4000


@pytest.mark.parametrize(
    ("service", "port"),
    [
        ("feed-ingestion", 4000),
        ("data-distribution", 4002),
        ("data-distribution-stream", 4003),
        ("feed-generator", 4004),
        ("data-processing-football", 4101),
        ("data-processing-basketball", 4102),
        ("data-processing-tennis", 4103),
        ("data-processing-hockey", 4104),
    ],
)
def test_ports_are_those_of_the_wire_contract_plus_the_offset(service, port):
    assert Settings().port(service) == port
    assert load({"SB_PORT_OFFSET": "700"}).port(service) == port + 700
    assert service in PORTS


def test_an_unknown_service_has_no_port():
    with pytest.raises(SettingsError, match="no port"):
        Settings().port("lunch")


def test_urls_follow_data_and_offset_unless_given():
    settings = load({"SB_DATA": "/tmp/x", "SB_PORT_OFFSET": "10", "SB_STREAM_URL": "ws://else:1"})
    assert settings.log_url == "sqlite:////tmp/x/log.db"
    assert settings.ingest_url == "http://127.0.0.1:4010"
    assert settings.distribute_url == "http://127.0.0.1:4012"
    assert settings.stream_url == "ws://else:1"
    moved = settings.changed(data="/tmp/y", port_offset=20)
    assert moved.store_url == "sqlite:////tmp/y/store.db"
    assert moved.ingest_url == "http://127.0.0.1:4020"
    assert moved.stream_url == "ws://else:1"


@pytest.mark.parametrize(
    ("environ", "words"),
    [
        ({"SB_PORT_OFFSET": "ten"}, "SB_PORT_OFFSET is 'ten', not a whole number"),
        ({"SB_PORT_OFFSET": "-1"}, "SB_PORT_OFFSET is -1: it must be at least 0"),
        ({"SB_PORT_OFFSET": "65000"}, "at most 61431"),
        ({"SB_RETENTION_DAYS": "0"}, "SB_RETENTION_DAYS is 0"),
        ({"SB_RETENTION_DAYS": "1.5"}, "SB_RETENTION_DAYS"),
        ({"SB_RETENTION_DAYS": "٣"}, "SB_RETENTION_DAYS"),
        ({"SB_RETENTION_DAYS": "9" * 40}, "SB_RETENTION_DAYS"),
        ({"SB_INSECURE": "maybe"}, "SB_INSECURE is 'maybe', not 0 or 1"),
        ({"SB_LOG_LEVEL": "loud"}, "SB_LOG_LEVEL"),
        ({"SB_LOG_URL": "/tmp/x"}, "SB_LOG_URL must begin with"),
        ({"SB_LOG_URL": "mysql://x"}, "SB_LOG_URL must begin with"),
        ({"SB_CACHE_URL": "kafka://x"}, "SB_CACHE_URL must begin with"),
        ({"SB_API_KEYS": "x"}, "SB_API_KEYS: "),
        ({"SB_BIND": "0.0.0.0"}, "SB_BIND is 0.0.0.0, which others can reach, and SB_API_KEYS is not set"),
        ({"SB_BIND": "::"}, "SB_BIND is ::"),
        ({"SB_BIND": "192.168.1.5"}, "SB_INSECURE=1"),
        ({"SB_BIND": "example.org"}, "SB_BIND is 'example.org', which is no IP address"),
        ({"SB_API_KEYS": f"a:{DIGEST}:read", "SB_API_KEYS_FILE": "/x"}, "both set"),
        ({"SB_API_KEYS_FILE": "/does/not/exist"}, "SB_API_KEYS_FILE: can't read"),
    ],
)
def test_what_is_wrong_is_named(environ, words):
    with pytest.raises(SettingsError) as caught:
        load(environ)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "environ",
    [
        {"SB_BIND": "0.0.0.0", "SB_API_KEYS": f"a:{DIGEST}:read"},
        {"SB_BIND": "0.0.0.0", "SB_INSECURE": "1"},
        {"SB_BIND": "::1"},
        {"SB_BIND": "[::1]"},
        {"SB_BIND": "127.9.9.9"},
        {"SB_BIND": "localhost"},
        {"SB_PORT_OFFSET": ""},
        {"SB_INGEST_BODY_BYTES_MAX": "1_000_000"},
    ],
)
def test_what_is_right_is_taken(environ):
    assert load(environ).port_offset == 0


def test_a_secret_may_lie_in_a_file(tmp_path):
    secret = tmp_path / "keys"
    secret.write_text(f"  a:{DIGEST}:read\n")
    assert load({"SB_API_KEYS_FILE": str(secret)}).api_keys == f"a:{DIGEST}:read"
    secret.write_bytes(b"x" * 70_000)
    with pytest.raises(SettingsError, match="larger than"):
        load({"SB_API_KEYS_FILE": str(secret)})
    secret.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="can't read"):
        load({"SB_API_KEYS_FILE": str(secret)})


def test_what_is_no_secret_has_no_file(tmp_path):
    (tmp_path / "x").write_text("9")
    assert load({"SB_RETENTION_DAYS_FILE": str(tmp_path / "x")}).retention_days == 30


def test_the_environment_wins_over_the_env_file(tmp_path):
    file = tmp_path / ".env"
    file.write_text("SB_RETENTION_DAYS=7\nSB_LAG_MS_MAX=100\n")
    settings = load({"SB_RETENTION_DAYS": "9", "SB_LAG_MS_MAX": ""}, env_file=file)
    assert (settings.retention_days, settings.lag_ms_max) == (9, 100)


def test_the_process_environment_and_dot_env_are_the_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("SB_RETENTION_DAYS=7\n")
    monkeypatch.setenv("SB_LAG_MS_MAX", "77")
    settings = load()
    assert (settings.retention_days, settings.lag_ms_max) == (7, 77)


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=1", "1"),
        ("export A=1", "1"),
        ("  A = 1  ", "1"),
        ("A=a b c", "a b c"),
        ("A=1 # why", "1"),
        ("A=a#b", "a#b"),
        ("A=#b", None),
        ("A=", None),
        ("# A=1", None),
        ("A='a # b'", "a # b"),
        ("A='a' # b", "a"),
        ('A="a # b"', "a # b"),
        (r'A="a\"b\n\\"', 'a"b\n\\'),
        ("A=mysql://u:p=w@h/db?x=1", "mysql://u:p=w@h/db?x=1"),
    ],
)
def test_env_file_lines(tmp_path, line, value):
    file = tmp_path / ".env"
    file.write_text(f"\n{line}\n")
    assert read_env_file(file).get("A") == value


@pytest.mark.parametrize("line", ["A", "=1", "1A=2", "A='x", 'A="x', "A='a'b", "A-B=1"])
def test_a_line_of_the_env_file_that_means_nothing_is_named(tmp_path, line):
    file = tmp_path / ".env"
    file.write_text(f"# first\n{line}\n")
    with pytest.raises(SettingsError, match="line 2"):
        read_env_file(file)


def test_no_env_file_is_fine_but_an_unreadable_one_is_not(tmp_path):
    assert read_env_file(tmp_path / "none") == {}
    with pytest.raises(SettingsError, match="can't be read"):
        read_env_file(tmp_path)


def test_secrets_are_never_shown():
    settings = load(
        {
            "SB_API_KEYS": f"bob:{DIGEST}:read",
            "SB_STORE_URL": "mysql://user:hunter2@db.example:3307/sportsbet?tls=1",
            "SB_CACHE_URL": "redis://:hunter3@cache:6379/0",
            "SB_API_KEY": "hunter4",
        }
    )
    for text in (repr(settings), str(module.shown(settings))):
        assert "hunter" not in text
        assert DIGEST not in text
        assert "mysql://user:***@db.example:3307/sportsbet?tls=1" in text
    assert settings.store_url.count("hunter2") == 1


def test_misspelt_variables_are_found():
    environ = {"SB_PORT_OFSET": "1", "SB_DATA": "x", "SB_API_KEYS_FILE": "y", "HOME": "z", "SB_TEST_FEEDS": "f"}
    assert module.unknown(environ) == ("SB_PORT_OFSET",)


def test_settings_can_not_be_changed_in_place():
    with pytest.raises(AttributeError):
        Settings().data = "x"
    assert msgspec.structs.asdict(Settings().changed(data="x"))["data"] == "x"
