"""Asks an engine of the native stack, over its own protocol, whether it serves; needs no driver and no client tool.

The rule: a probe ends within its deadline and a byte limit, and only a proper answer counts: a port that merely accepts
(a paused process does, for the kernel accepts in its place) is not well. Parsers are pure: bytes so far to an answer.
"""

import contextlib
import socket
import struct
import time
from collections.abc import Callable
from typing import Final

HOST: Final = "127.0.0.1"
ANSWER_BYTES_MAX: Final = 65_536
_READ_BYTES: Final = 8_192

_METADATA: Final = struct.pack(">hhih7si", 3, 1, 1, 7, b"sbstack", 0)
KAFKA_REQUEST: Final = struct.pack(">i", len(_METADATA)) + _METADATA
"""Metadata request (key 3, version 1) for no topics: answered with the brokers that may be used."""

REDIS_REQUEST: Final = b"*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n"


class NotServingError(Exception):
    """The engine answered, and says that it doesn't serve (yet)."""


def ask(port: int, request: bytes, parse: Callable[[bytes], str | None], deadline_s: float) -> str:
    """Connect on loopback, send `request`, and return what `parse` makes of the answer (None: more bytes are needed).

    Raises OSError (TimeoutError among them) for the connection, NotServingError for an answer that is no good.
    """
    end_s = time.monotonic() + deadline_s
    with socket.create_connection((HOST, port), timeout=deadline_s) as connection:
        connection.sendall(request)
        answer = b""
        while (found := parse(answer)) is None:
            if len(answer) > ANSWER_BYTES_MAX:
                raise NotServingError(f"answer is longer than {ANSWER_BYTES_MAX} bytes")
            # 0 would mean non-blocking
            connection.settimeout(max(0.001, end_s - time.monotonic()))
            received = connection.recv(_READ_BYTES)
            if not received:
                raise NotServingError("closed the connection instead of an answer")
            answer += received
        return found


def kafka_answer(answer: bytes) -> str | None:
    """Read a metadata response; the answer is the number of brokers in words."""
    if len(answer) < 4:
        return None
    (length,) = struct.unpack_from(">i", answer)
    if not 8 <= length <= ANSWER_BYTES_MAX:
        raise NotServingError("not a Kafka response")
    if len(answer) < 4 + length:
        return None
    correlation, brokers = struct.unpack_from(">ii", answer, 4)
    if correlation != 1:
        raise NotServingError("not a Kafka response")
    if brokers < 1:
        raise NotServingError("no broker is registered yet")
    return f"{brokers} broker"


def mysql_answer(answer: bytes) -> str | None:
    """Read the greeting that a MySQL or MariaDB server sends by itself; the answer is its version."""
    if len(answer) < 4:
        return None
    length = int.from_bytes(answer[:3], "little")
    payload = answer[4 : 4 + length]
    if len(payload) < length:
        return None
    if payload[:1] == b"\xff":
        raise NotServingError(payload[3:].decode(errors="replace"))
    if payload[:1] != b"\x0a":
        raise NotServingError("not a MySQL greeting")
    version = payload[1:].partition(b"\0")[0].decode(errors="replace")
    # MariaDB 10 puts this in front for old replicas
    return version.removeprefix("5.5.5-")


def redis_answer(answer: bytes) -> str | None:
    """Read the answers to PING and INFO; the answer is the server's version."""
    if answer[:1] == b"-" or (answer and not b"+PONG\r\n".startswith(answer[:7])):
        raise NotServingError(answer.partition(b"\r\n")[0].decode(errors="replace"))
    _, found, rest = answer.partition(b"\nredis_version:")
    version, ended, _ = rest.partition(b"\r\n")
    return version.decode(errors="replace") if found and ended else None


def free(port: int) -> bool:
    """Whether nothing listens on this loopback port."""
    with contextlib.closing(socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as made:
        # connections of an ended server that still wait to be forgotten don't matter, a listening one does
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind((HOST, port))
        except OSError:
            return False
    return True
