"""Settings: environment variables `SB_*`, `.env`, and files for secrets, read once into one frozen struct.

The rule: every setting has a default, a unit and a sentence in SETTINGS, and README's table is made from it (`table`).
An environment variable wins over `.env`; an empty value counts as not set; `SB_X_FILE` names a file that holds a secret.
What is wrong is a SettingsError that names the variable; nothing is guessed or corrected silently.
"""

import ipaddress
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import msgspec
from msgspec import Struct

from sb_core.auth import Keys
from sb_core.env_file import SettingsError as SettingsError
from sb_core.env_file import read_env_file
from sb_core.topics import SPORTS, counts

PREFIX: Final = "SB_"
PORTS: Final[Mapping[str, int]] = {
    "feed-ingestion": 4000,
    "data-distribution": 4002,
    "data-distribution-stream": 4003,
    "feed-generator": 4004,
    **{f"data-processing-{sport}": 4101 + index for index, sport in enumerate(SPORTS)},
}
"""Where each service listens, before SB_PORT_OFFSET."""

LEVELS: Final = ("debug", "info", "warn", "error")
_MIB: Final = 1024 * 1024
_SECRET_FILE_BYTES_MAX: Final = 65_536


class Setting(Struct, frozen=True):
    """One row of the table. `minimum` and `maximum` bound whole numbers; `secret` allows SB_X_FILE and is never shown."""

    field: str
    unit: str
    text: str
    minimum: int = 1
    maximum: int | None = None
    secret: bool = False

    @property
    def env(self) -> str:
        """Return the name of the environment variable."""
        return PREFIX + self.field.upper()


class Settings(Struct, frozen=True, kw_only=True):
    """All settings, complete: what depends on others (URLs) is filled in when one is made.

    Ports come from `port`, which adds the offset. Use `changed` to alter some: it derives again what was derived.
    """

    data: str = ".sb"
    log_url: str = ""
    store_url: str = ""
    store_replica_url: str = ""
    cache_url: str = "memory:"
    cache_entries_max: int = 20_000
    bind: str = "127.0.0.1"
    port_offset: int = 0
    ingest_url: str = ""
    recovery_urls: str = ""
    recovery_every_s: int = 30
    producer_silent_s: int = 20
    producer_again_s: int = 60
    distribute_url: str = ""
    stream_url: str = ""
    api_keys: str = ""
    api_keys_file: str = ""
    api_key: str = ""
    insecure: bool = False
    log_level: str = "info"
    retention_days: int = 30
    ts_ahead_ms_max: int = 10_000
    lag_ms_max: int = 5_000
    partitions: str = ""
    pipeline: str = "pipeline.toml"
    stop_deadline_s: int = 10
    http_connections_max: int = 1_000
    http_body_deadline_ms: int = 30_000
    http_write_deadline_ms: int = 10_000
    http_inflight_bytes_max: int = 128 * _MIB
    rest_answers_bytes_max: int = 64 * _MIB
    rest_requests_per_s_max: int = 5_000
    ingest_body_bytes_max: int = 8 * _MIB
    ingest_items_max: int = 20_000
    ingest_depth_max: int = 32
    ingest_inflight_max: int = 64
    append_deadline_ms: int = 5_000
    dead_letter_bytes_max: int = 262_144
    session_silent_s: int = 60
    sessions_max: int = 1_000
    process_batch_max: int = 2_000
    process_wait_ms: int = 50
    process_events_cached_max: int = 20_000
    process_overlap_max: int = 0
    stream_heartbeat_ms: int = 10_000
    stream_connections_max: int = 2_000
    stream_client_connections_max: int = 1_000
    stream_subscriptions_max: int = 32
    stream_outbox_bytes_max: int = 4 * _MIB
    stream_write_deadline_ms: int = 10_000
    ring_changes_max: int = 100_000
    events_held_max: int = 20_000
    lookback_ms: int = 600_000

    def __post_init__(self) -> None:
        """Fill in what depends on other settings."""
        for name, value in _derived(self).items():
            if not getattr(self, name):
                msgspec.structs.force_setattr(self, name, value)

    def port(self, service: str) -> int:
        """Return the port of a service of PORTS."""
        if service not in PORTS:
            raise SettingsError(f"no port is known for service {service!r}")
        return PORTS[service] + self.port_offset

    def changed(self, **changes: object) -> "Settings":
        """Return a copy with changes, in which URLs that had been derived are derived anew."""
        fields: dict[str, Any] = msgspec.structs.asdict(self)
        for name, value in _derived(self).items():
            if fields[name] == value:
                fields[name] = ""
        return Settings(**{**fields, **changes})

    def __repr__(self) -> str:
        parts = (f"{name}={value!r}" for name, value in shown(self).items())
        return f"<Settings {' '.join(parts)}>"


def _derived(settings: Settings) -> dict[str, str]:
    data = Path(settings.data).absolute()
    offset = settings.port_offset
    return {
        "log_url": f"sqlite:///{data / 'log.db'}",
        "store_url": f"sqlite:///{data / 'store.db'}",
        "ingest_url": f"http://127.0.0.1:{PORTS['feed-ingestion'] + offset}",
        "recovery_urls": f"sim=http://127.0.0.1:{PORTS['feed-generator'] + offset}",
        "distribute_url": f"http://127.0.0.1:{PORTS['data-distribution'] + offset}",
        "stream_url": f"ws://127.0.0.1:{PORTS['data-distribution-stream'] + offset}",
    }


SETTINGS: Final = (
    Setting("data", "path", "Folder of the embedded log and store; URLs that are not set lie under it."),
    Setting(
        "log_url",
        "URL",
        "The log: `sqlite:///path`, `memory:` or `kafka://host:port,…`. Default: `log.db` under `SB_DATA`.",
        secret=True,
    ),
    Setting(
        "store_url",
        "URL",
        "The database: `sqlite:///path`, `memory:` or `mysql://user:password@host:port/name`. Default: `store.db` under `SB_DATA`.",
        secret=True,
    ),
    Setting(
        "store_replica_url",
        "URL",
        "A copy of the database: lists of names, and events where it is new enough, are read there.",
        secret=True,
    ),
    Setting("cache_url", "URL", "The cache: `memory:`, `redis://host:port/0` or `redis+cluster://…`.", secret=True),
    Setting("cache_entries_max", "entries", "Events that the in-process cache keeps."),
    Setting("bind", "address", "Address all services listen on; beyond loopback it needs `SB_API_KEYS`."),
    Setting("port_offset", "ports", "Added to every port, so that several can run on one machine.", 0, 61_431),
    Setting("ingest_url", "URL", "Base URL of ingest, for generator, replay and console."),
    Setting(
        "recovery_urls",
        "URLs",
        "`provider=URL,…`: whom ingest asks for a recovery; `https://:token@host` sends a token. Default: the simulator.",
        secret=True,
    ),
    Setting("recovery_every_s", "s", "A provider is asked for a recovery at most this often."),
    Setting("producer_silent_s", "s", "A producer that sent alives and is silent for longer is down."),
    Setting("producer_again_s", "s", "Partitions are told the states of producers again so often."),
    Setting("distribute_url", "URL", "Base URL of the REST service, for the console and clients."),
    Setting("stream_url", "URL", "Base URL of the WebSocket service, for the console and clients."),
    Setting(
        "api_keys",
        "keys",
        "`name:sha256:scope,scope;…` with scopes `feed:<provider>`, `read`, `operate`; two a name; unset means open.",
        secret=True,
    ),
    Setting("api_keys_file", "path", "A file with the keys instead; it is read again when it changes."),
    Setting("api_key", "key", "The key that our own clients (generator, replay, console) present.", secret=True),
    Setting("insecure", "0 or 1", "1 allows a bind beyond loopback without keys."),
    Setting("log_level", "level", "Least level that is logged: debug, info, warn or error."),
    Setting("retention_days", "days", "How long the change log in the store is kept."),
    Setting("ts_ahead_ms_max", "ms", "A message whose `ts` is further ahead of its arrival is refused.", 0),
    Setting("lag_ms_max", "ms", "Beyond this age of a node's picture, its events are `stale`."),
    Setting(
        "partitions", "counts", "`sport=count,…` after `sb topics repartition`; a sport's topics have 12 otherwise."
    ),
    Setting("pipeline", "path", "The pipeline's configuration (markets, rules, precedence, steps)."),
    Setting("stop_deadline_s", "s", "Time from a stop signal to the end of the process."),
    Setting("http_connections_max", "connections", "Open HTTP connections a service; beyond it new ones wait."),
    Setting("http_body_deadline_ms", "ms", "Time for a request's body to arrive; then 408."),
    Setting("http_write_deadline_ms", "ms", "A client that takes nothing of an answer for this long is cut off."),
    Setting("http_inflight_bytes_max", "bytes", "Request bodies in memory at once; beyond it 429."),
    Setting("rest_answers_bytes_max", "bytes", "Encoded events that the REST service keeps."),
    Setting("rest_requests_per_s_max", "requests/s", "REST requests of a key, or an address without keys; else 429."),
    Setting("ingest_body_bytes_max", "bytes", "Largest feed body, also after decompression; beyond it 413."),
    Setting("ingest_items_max", "items", "Documents or messages in one feed request."),
    Setting("ingest_depth_max", "levels", "Deepest nesting of a document; beyond it `too_deep`."),
    Setting("ingest_inflight_max", "requests", "Feed requests at work at once; beyond it 429."),
    Setting("append_deadline_ms", "ms", "Wait for the log's acknowledgement; then 503, send again with the same ids."),
    Setting("dead_letter_bytes_max", "bytes", "Original bytes kept with a dead letter; the rest is cut."),
    Setting("session_silent_s", "s", "A provider session without any input for this long is lost."),
    Setting("sessions_max", "sessions", "Provider sessions open at once."),
    Setting("process_batch_max", "records", "Records of one transaction of the fold."),
    Setting("process_wait_ms", "ms", "Longest wait for records before the processor looks around.", 0),
    Setting("process_events_cached_max", "events", "Events whose state a processor keeps in memory."),
    Setting(
        "process_overlap_max",
        "cycles",
        "Reads whose batches are under way at the same time; 0 is 4 on MySQL and 1 on embedded parts.",
        0,
    ),
    Setting("stream_heartbeat_ms", "ms", "A WebSocket client hears something at least this often."),
    Setting("stream_connections_max", "connections", "WebSocket clients of one node."),
    Setting("stream_client_connections_max", "connections", "Of these, of a key, or an address without keys."),
    Setting("stream_subscriptions_max", "subscriptions", "Subscriptions of one WebSocket client."),
    Setting("stream_outbox_bytes_max", "bytes", "What may wait for a slow client; beyond it a snapshot is owed."),
    Setting("stream_write_deadline_ms", "ms", "A WebSocket client that takes nothing for this long is closed."),
    Setting("ring_changes_max", "changes", "Recent changes a distribution node keeps for resuming clients."),
    Setting("events_held_max", "events", "Events whose whole state a distribution node keeps."),
    Setting("lookback_ms", "ms", "How far back a distribution node reads at its start.", 0),
)
"""Every field of Settings, in the order of README's table."""

_FLAGS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_SCHEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "log_url": ("sqlite", "memory", "kafka"),
    "store_url": ("sqlite", "memory", "mysql"),
    "store_replica_url": ("sqlite", "mysql"),
    "cache_url": ("memory", "redis", "redis+cluster"),
    "ingest_url": ("http", "https"),
    "distribute_url": ("http", "https"),
    "stream_url": ("ws", "wss"),
}


def load(environ: Mapping[str, str] | None = None, *, env_file: Path | None = None) -> Settings:
    """Read settings from `environ`; None means the process's own, and `.env` of the working directory beneath it.

    Raises SettingsError for the first variable that is wrong.
    """
    if environ is None:
        environ = os.environ
        env_file = env_file or Path(".env")
    values = {**(read_env_file(env_file) if env_file else {}), **{k: v for k, v in environ.items() if v}}
    fields: dict[str, Any] = {}
    for setting in SETTINGS:
        text = _text_of(setting, values)
        if text:
            fields[setting.field] = _value_of(setting, text)
    settings = Settings(**fields)
    check(settings)
    return settings


def unknown(environ: Mapping[str, str], env_file: Path | None = None) -> tuple[str, ...]:
    """List `SB_*` names that no setting has, most likely misspelt; `sb doctor` shows them."""
    known = {setting.env for setting in SETTINGS} | {f"{s.env}_FILE" for s in SETTINGS if s.secret}
    known |= {"SB_TEST_FEEDS"}
    names = {*environ, *(read_env_file(env_file) if env_file else {})}
    return tuple(sorted(name for name in names if name.startswith(PREFIX) and name not in known))


def check(settings: Settings) -> None:
    """Raise SettingsError for values that contradict each other or open the services to strangers."""
    if settings.log_level not in LEVELS:
        raise SettingsError(f"SB_LOG_LEVEL is {settings.log_level!r}, not one of {', '.join(LEVELS)}")
    for field, schemes in _SCHEMES.items():
        url = getattr(settings, field)
        scheme = url.partition(":")[0]
        if url and (scheme not in schemes or ":" not in url):
            raise SettingsError(f"{PREFIX}{field.upper()} must begin with {' or '.join(f'{s}:' for s in schemes)}")
    recovery_targets(settings.recovery_urls)
    try:
        counts(settings.partitions)
    except ValueError as error:
        raise SettingsError(f"SB_PARTITIONS: {error}") from error
    try:
        keys = Keys.parse(settings.api_keys)
    except ValueError as error:
        raise SettingsError(f"SB_API_KEYS: {error}") from error
    if keys.open and not settings.insecure and not _loopback(settings.bind):
        raise SettingsError(
            f"SB_BIND is {settings.bind}, which others can reach, and SB_API_KEYS is not set: "
            "set keys, or bind to 127.0.0.1, or say SB_INSECURE=1 if that is what you want"
        )


def recovery_targets(text: str) -> dict[str, str]:
    """Read `provider=URL,…` into base URLs by provider. Raises SettingsError."""
    targets: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        provider, _, url = part.partition("=")
        if not re.fullmatch(r"[A-Za-z0-9_.\-]+=https?://[^\s/?#\[\]]+(/[^\s?#]*)?", part, re.ASCII):
            raise SettingsError("SB_RECOVERY_URLS must be `provider=http://host:port,…` or `https:`")
        targets[provider] = url.rstrip("/")
    return targets


def _loopback(bind: str) -> bool:
    if bind == "localhost":
        return True
    try:
        return ipaddress.ip_address(bind.strip("[]")).is_loopback
    except ValueError as error:
        raise SettingsError(f"SB_BIND is {bind!r}, which is no IP address and not localhost") from error


def _text_of(setting: Setting, values: Mapping[str, str]) -> str:
    named_file = values.get(f"{setting.env}_FILE", "") if setting.secret else ""
    text = values.get(setting.env, "")
    if not named_file:
        return text
    if text:
        raise SettingsError(f"{setting.env} and {setting.env}_FILE are both set: leave one out")
    try:
        with Path(named_file).open("rb") as file:
            secret = file.read(_SECRET_FILE_BYTES_MAX + 1)
        if len(secret) > _SECRET_FILE_BYTES_MAX:
            raise SettingsError(f"{setting.env}_FILE: {named_file} is larger than {_SECRET_FILE_BYTES_MAX} bytes")
        return secret.decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{setting.env}_FILE: can't read {named_file}: {error}") from error


_TYPES: Final[Mapping[str, Any]] = {field.name: field.type for field in msgspec.structs.fields(Settings)}
_DEFAULTS: Final[Mapping[str, Any]] = {field.name: field.default for field in msgspec.structs.fields(Settings)}


def _value_of(setting: Setting, text: str) -> str | int | bool:
    kind = _TYPES[setting.field]
    if kind is bool:
        if text.lower() not in _FLAGS:
            raise SettingsError(f"{setting.env} is {text!r}, not 0 or 1")
        return _FLAGS[text.lower()]
    if kind is int:
        return _number(setting, text)
    return text


def _number(setting: Setting, text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", text.replace("_", ""), re.ASCII):
        raise SettingsError(f"{setting.env} is {text!r}, not a whole number of {setting.unit}")
    number = int(text.replace("_", ""))
    if number < setting.minimum or (setting.maximum is not None and number > setting.maximum):
        upper = f" and at most {setting.maximum}" if setting.maximum is not None else ""
        raise SettingsError(f"{setting.env} is {number}: it must be at least {setting.minimum}{upper} ({setting.unit})")
    return number


def redacted(url: str) -> str:
    """Return a URL, or several after names, without passwords, fit for logs."""
    if "," in url or url.partition("=")[2].startswith("http"):
        named = (each.partition("=") for each in url.split(","))
        return ",".join(f"{name}{sign}{redacted(rest)}" for name, sign, rest in named)
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return urlunsplit(parts._replace(netloc=f"{parts.username or ''}:***@{parts.netloc.rpartition('@')[2]}"))


def shown(settings: Settings) -> dict[str, str | int | bool]:
    """Return all settings with secrets blanked, for doctor and logs."""
    values: dict[str, str | int | bool] = msgspec.structs.asdict(settings)
    for setting in SETTINGS:
        if setting.secret:
            value = str(values[setting.field])
            values[setting.field] = ("***" if value else "") if setting.field.startswith("api_key") else redacted(value)
    return values


def table() -> str:
    """Write README's table of settings as markdown."""
    rows = ["| variable | unit | default | what it does |", "|---|---|---|---|"]
    for setting in SETTINGS:
        default = _DEFAULTS[setting.field]
        written = {True: "1", False: "0"}[default] if isinstance(default, bool) else str(default)
        name = f"`{setting.env}`" + (" (also `_FILE`)" if setting.secret else "")
        rows.append(f"| {name} | {setting.unit} | {f'`{written}`' if written else ''} | {setting.text} |")
    return "\n".join(rows) + "\n"
