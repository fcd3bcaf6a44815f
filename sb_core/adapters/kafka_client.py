"""What the parts of the Kafka adapter share: the address, the clients' settings, errors, and a bounded stop.

The rules: every client is made with the same timeouts; nothing foreign leaks, a client's errors become UnavailableError;
stopping a client ends within its deadline, also when the brokers are gone. All of this runs on the bridge's loop.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import aiokafka.conn
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from msgspec import Struct

from sb_core.errors import ContractError, DependencyError, UnavailableError

REQUEST_TIMEOUT_MS: Final = 10_000
"""A request that is not answered by then closes its connection. Joining a group takes up to a session's length."""
RETRY_BACKOFF_MS: Final = 150
METADATA_AGE_MS_MAX: Final = 60_000
SESSION_MS: Final = 6_000
"""A member of a group that was not heard for so long loses its partitions."""
HEARTBEAT_MS: Final = 500
"""Also how soon a member learns that others came or went."""
FETCH_WAIT_MS: Final = 200
"""How long a broker holds a fetch that finds nothing; a partition sought meanwhile is fetched after that."""
FETCH_BYTES_MAX: Final = 8 * 1024 * 1024
FETCH_PARTITION_BYTES_MAX: Final = 1024 * 1024
START_GRACE_S: Final = 0.5
CANCEL_S: Final = 0.1
"""What is cancelled is waited for so long."""
NEVER_MS: Final = 2**31 - 1
PORT: Final = 9092
_PREFIX = re.compile(r"[a-zA-Z0-9._-]{0,80}")


class _Protocol(aiokafka.conn.AIOKafkaProtocol):  # type: ignore[misc]  # untyped driver
    """Closes the connection when the broker has closed its side.

    The driver's own leaves it half open, and when a request comes between the end and its discovery it forgets the
    connection without closing it.
    """

    def eof_received(self) -> bool:
        super().eof_received()
        return False


aiokafka.conn.AIOKafkaProtocol = _Protocol


class KafkaAddress(Struct, frozen=True):
    """Where the log is: `kafka://host:port,host:port/?prefix=&instance=&replication=`.

    `prefix` goes before the names of topics and groups, so that several systems share a cluster. `instance` makes this
    process a static member of its groups: unique in each group, the same after a restart. `replication` None: as many
    as there are brokers, at most 3.
    """

    servers: tuple[str, ...]
    prefix: str = ""
    instance: str | None = None
    replication: int | None = None


def parse_address(url: str) -> KafkaAddress:
    """Read a `kafka:` URL. Raises ValueError, which says what is wrong with it."""
    parts = urlsplit(url)
    if parts.scheme != "kafka" or not parts.netloc:
        raise ValueError(f"{url!r} is not kafka://host:port,…")
    if "@" in parts.netloc or parts.path.strip("/") or parts.fragment:
        raise ValueError("a kafka: URL has servers and options only: kafka://host:port,…/?prefix=…")
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    unknown = sorted(options.keys() - {"prefix", "instance", "replication"})
    if unknown:
        raise ValueError(f"unknown options of a kafka: URL: {', '.join(unknown)}")
    prefix = options.get("prefix", "")
    if not _PREFIX.fullmatch(prefix):
        raise ValueError(f"prefix {prefix!r} has other characters than letters, digits, '.', '_' and '-', or too many")
    replication = options.get("replication")
    if replication is not None and not replication.isdecimal():
        raise ValueError(f"replication {replication!r} is no number")
    return KafkaAddress(
        servers=tuple(_server(each) for each in parts.netloc.split(",")),
        prefix=prefix,
        instance=options.get("instance") or None,
        replication=int(replication) if replication is not None else None,
    )


def _server(text: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]"):
        host, port = text, str(PORT)
    if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} is not host:port")
    return f"{host}:{port}"


def client_options(address: KafkaAddress) -> dict[str, Any]:
    """Return the settings that every client is made with."""
    return {
        "bootstrap_servers": list(address.servers),
        "request_timeout_ms": REQUEST_TIMEOUT_MS,
        "retry_backoff_ms": RETRY_BACKOFF_MS,
        "metadata_max_age_ms": METADATA_AGE_MS_MAX,
    }


def new_consumer(address: KafkaAddress, group: str | None) -> AIOKafkaConsumer:
    """Make a consumer that goes nowhere by itself: no automatic commits, no automatic reset."""
    return AIOKafkaConsumer(
        **client_options(address),
        group_id=None if group is None else address.prefix + group,
        group_instance_id=None if group is None else address.instance,
        enable_auto_commit=False,
        auto_offset_reset="none",
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        max_poll_interval_ms=NEVER_MS,  # a reader that stops reading is the watchdog's business, not the group's
        fetch_max_wait_ms=FETCH_WAIT_MS,
        fetch_max_bytes=FETCH_BYTES_MAX,
        max_partition_fetch_bytes=FETCH_PARTITION_BYTES_MAX,
    )


@contextmanager
def mapped_errors(what: str) -> Iterator[None]:
    """Let nothing out but our own errors; whatever a client raises means that it is unavailable."""
    try:
        yield
    except (DependencyError, ContractError):
        raise
    except Exception as error:
        raise unavailable(what, error) from error


def unavailable(what: str, error: BaseException) -> UnavailableError:
    """Say that the log did not do what was asked, and why."""
    return UnavailableError(f"Kafka, {what}: {said(error)}")


def said(error: BaseException) -> str:
    """Return what an error says; some of the client's say nothing but their names."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def ended(coroutine: Coroutine[Any, Any, Any], within_s: float) -> bool:
    """Run something to its end or cancel it at the deadline; return whether it ended well."""
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait({task}, timeout=within_s)
    finally:
        if not task.done():
            task.cancel()
    await asyncio.wait({task}, timeout=CANCEL_S)
    # the driver's stops may stumble over its own tasks, and leave the rest undone
    return task.done() and not task.cancelled() and task.exception() is None


async def start(client: Any, stop: Callable[[Any, float], Coroutine[Any, Any, None]]) -> None:
    """Start a client, or stop what there is of it and raise.

    Cancelled, it is started all the same for START_GRACE_S, since a client cut off in its start leaves a connection.
    """
    starting = asyncio.ensure_future(client.start())
    try:
        await asyncio.shield(starting)
    except BaseException:
        await asyncio.wait({starting}, timeout=START_GRACE_S)
        await _cancel(starting)
        await stop(client, 0.0)
        raise


async def stop_admin(admin: AIOKafkaAdminClient, within_s: float) -> None:
    """Disconnect an admin client, within the deadline or so."""
    await ended(admin.close(), within_s or 0.1)


async def stop_producer(producer: AIOKafkaProducer, within_s: float) -> None:
    """Stop a producer: what it still holds is sent within the deadline, or dropped with all its connections."""
    if await ended(producer.stop(), within_s):
        return
    # without a connection its sender can do nothing any more, least of all append behind our back
    await ended(producer.client.close(), 1.0)
    await _cancel(producer._sender.sender_task)  # noqa: SLF001  it has no way to stop without the brokers
    _drop_batches(producer._message_accumulator)  # noqa: SLF001


def _drop_batches(held: Any) -> None:
    """Let nobody wait for ever for batches that will not be sent; those for whom nobody waits are no warning either."""
    batches = [*chain.from_iterable(held._batches.values()), *held._pending_batches]  # noqa: SLF001
    held.fail_all(KafkaError("dropped"))
    for batch in batches:
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
            if future.done() and not future.cancelled():
                future.exception()


async def stop_consumer(consumer: AIOKafkaConsumer, within_s: float) -> None:
    """Stop a consumer and leave its group, within the deadline if the brokers take part, else anyway."""
    if await ended(consumer.stop(), within_s):
        return
    coordinator = consumer._coordinator  # noqa: SLF001  as above
    for name in ("_coordination_task", "_heartbeat_task", "_commit_refresh_task", "_reset_committed_task"):
        await _cancel(getattr(coordinator, name, None))
    if consumer._fetcher is not None:  # noqa: SLF001
        await ended(consumer._fetcher.close(), 0.2)  # noqa: SLF001
    await ended(consumer._client.close(), 1.0)  # noqa: SLF001


async def _cancel(task: "asyncio.Task[Any] | None") -> None:
    """Cancel a task that may wait for others when it is cancelled, and then is told again."""
    for _ in range(3):
        if task is None or task.done():
            break
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_S)
    if task is not None and task.done() and not task.cancelled():
        task.exception()
