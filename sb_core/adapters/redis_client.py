"""The client of the Redis cache: the address, connections that are bounded, what a server said, and how it is asked.

The rules: connections are made when they are needed and again when they broke; a request goes out in one piece and is
tried once more, at once, only over a connection that had broken; nothing foreign leaks: whatever the client raises means
that the cache is unavailable, for all that is asked of it may be asked again. All of this runs on the bridge's loop.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from msgspec import Struct
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from sb_core.errors import ContractError, DependencyError, UnavailableError

CONNECTIONS_MAX: Final = 8
"""Per process, in a cluster per node; who comes when all are in use waits for one, within his deadline."""
CONNECT_DEADLINE_S: Final = 1.0
ANSWER_DEADLINE_S: Final = 5.0
"""For an answer's next bytes: above every call's own deadline, so it only ends what nobody waits for any more."""
RETRIES: Final = 1
PORT: Final = 6379
DATABASE_MAX: Final = 65_535
_SCHEMES: Final = ("redis", "redis+cluster")

Command = tuple[str | int | bytes, ...]


class RedisAddress(Struct, frozen=True):
    """Where the cache is: `redis://user:password@host:port/db`, or `redis+cluster://user:password@host:port,host:port`."""

    servers: tuple[tuple[str, int], ...]
    cluster: bool = False
    database: int = 0
    user: str | None = None
    password: str | None = None

    def __repr__(self) -> str:
        """Tell the place and no secret."""
        scheme = _SCHEMES[self.cluster]
        return f"{scheme}://{','.join(f'{host}:{port}' for host, port in self.servers)}/{self.database}"


def parse_address(url: str) -> RedisAddress:
    """Read a `redis:` or `redis+cluster:` URL. Raises ValueError, which says what is wrong and not the password."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise ValueError(f"a cache's URL is {_SCHEMES[0]}://host:port/db or {_SCHEMES[1]}://host:port,host:port")
    if parts.query or parts.fragment:
        raise ValueError("a redis: URL has no options")
    cluster = parts.scheme == _SCHEMES[1]
    login, _, places = parts.netloc.rpartition("@")
    user, _, password = login.partition(":")
    servers = tuple(_server(each) for each in places.split(","))
    database = parts.path.strip("/") or "0"
    if not database.isdecimal() or int(database) > DATABASE_MAX:
        raise ValueError(f"{database!r} is no number of a database")
    if not cluster and len(servers) > 1:
        raise ValueError("a redis: URL has one server; several belong to redis+cluster:")
    if cluster and int(database):
        raise ValueError("a Redis Cluster has no databases but 0")
    return RedisAddress(servers, cluster, int(database), unquote(user) or None, unquote(password) or None)


def _server(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is not host:port")
    return host.strip("[]"), int(port)


def new_client(address: RedisAddress) -> "Redis | RedisCluster":
    """Make a client; it connects when it is first asked."""
    options: dict[str, Any] = {
        "username": address.user,
        "password": address.password,
        "socket_timeout": ANSWER_DEADLINE_S,
        "socket_connect_timeout": CONNECT_DEADLINE_S,
        "protocol": 2,  # no HELLO and no pushes: nothing comes that wasn't asked for
        "driver_info": None,  # no CLIENT SETINFO
    }
    # a server that was restarted leaves broken connections behind, and everything asked here may be asked twice
    retry = Retry(NoBackoff(), RETRIES, supported_errors=(exceptions.ConnectionError,))
    if address.cluster:
        return RedisCluster(
            startup_nodes=[ClusterNode(host, port) for host, port in address.servers],
            max_connections=CONNECTIONS_MAX,
            retry=retry,
            **options,
        )
    ((host, port),) = address.servers
    pool = BlockingConnectionPool(
        host=host,
        port=port,
        db=address.database,
        max_connections=CONNECTIONS_MAX,
        timeout=None,  # the call's own deadline
        retry=retry,
        **options,
    )
    return Redis.from_pool(pool)


async def ask(client: "Redis | RedisCluster", commands: Sequence[Command]) -> list[Any]:
    """Send all commands at once and return an answer to each; an error that a server answered is returned, not raised."""
    pipeline: Any = client.pipeline() if isinstance(client, RedisCluster) else client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    answers: list[Any] = await pipeline.execute(raise_on_error=False)
    return answers


async def forget_connections(client: "Redis | RedisCluster") -> None:
    """Drop the idle connections: the server behind them has become another's replica, and the name may lead elsewhere."""
    if isinstance(client, Redis):
        await client.connection_pool.disconnect(inuse_connections=False)


@contextmanager
def mapped_errors(what: str) -> Iterator[None]:
    """Let nothing out but our own errors."""
    try:
        yield
    except (DependencyError, ContractError):
        raise
    except Exception as error:
        raise unavailable(what, error) from error


def unavailable(what: str, error: BaseException) -> UnavailableError:
    """Say that the cache did not do what was asked, and why."""
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return UnavailableError(f"Redis, {what}: {said}")
