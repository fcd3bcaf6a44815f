"""Redis of the native stack: a cache, and nothing that would have to survive.

No persistence: the cache is never the truth, so a restart that finds it empty is the case to be good at.
At `maxmemory` the keys least used lately go (allkeys-lru), because every entry can be made again from the store, while
refusing writes (noeviction) would turn a full cache into a broken one, and volatile-* policies refuse, too, when no key
happens to have a TTL.
"""

from pathlib import Path
from typing import Final

from sb_local.stack_engine import CLEAN_ENVIRON, Place
from sb_local.stack_install import Need, StackError, find
from sb_local.stack_probe import HOST, REDIS_REQUEST, ask, redis_answer
from sb_local.stack_process import Command, write

MAXMEMORY: Final = "256mb"


def server() -> str | None:
    """Return the path of the server.

    Debian's `redis-tools` has it under the name of `redis-check-rdb`, which serves when it is called `redis-server`;
    the package `redis-server` adds that name and a service, which we don't want.
    """
    return find("redis-server", "redis-check-rdb")


class Redis:
    """The engine (see stack_engine.Engine)."""

    name = "redis"
    port_names: tuple[str, ...] = ("redis",)
    start_deadline_s = 30.0
    stop_deadline_s = 5.0

    def needs(self) -> tuple[Need, ...]:
        """Say which programs must be on the machine."""
        return (Need("Redis (redis-server)", server, ("redis-tools",)),)

    def fetch(self, *, install: bool) -> None:
        """Nothing beyond packages."""

    def prepare(self, place: Place) -> Command:
        """Write redis.conf and say what to run."""
        path = server()
        if path is None:
            raise StackError("redis-server has gone from this machine")
        place.data.mkdir(parents=True, exist_ok=True)
        config = place.folder / "redis.conf"
        write(config, _text(_settings(place)).encode())
        # titles change the command line, by which we know our process
        return Command(path, ("redis-server", str(config), "--set-proc-title", "no"), CLEAN_ENVIRON)

    def probe(self, port: int, deadline_s: float) -> str:
        """Ask PING and INFO; return the version."""
        return f"Redis {ask(port, REDIS_REQUEST, redis_answer, deadline_s)}"

    def url(self, port: int) -> str:
        """Return SB_CACHE_URL."""
        return f"redis://{HOST}:{port}/0"


def _settings(place: Place) -> dict[str, str]:
    return {
        "bind": HOST,
        "protected-mode": "yes",
        "port": str(place.ports["redis"]),
        "daemonize": "no",
        "dir": _quoted(place.data),
        "save": '""',
        "appendonly": "no",
        "maxmemory": MAXMEMORY,
        "maxmemory-policy": "allkeys-lru",
        "databases": "16",
        "tcp-backlog": "511",
        "timeout": "0",
        "loglevel": "notice",
        **place.settings,
    }


def _text(settings: dict[str, str]) -> str:
    return "".join(f"{name} {value}\n" for name, value in settings.items())


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
