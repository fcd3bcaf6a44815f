"""Hostile clients of the WebSocket: bounded memory and the right close code, and nobody else notices.

Raw sockets, so that everything may be sent; a node in a process of its own, so that its memory can be looked at.
"""

import os
import socket
import struct
import zlib
from contextlib import closing, suppress

import msgspec
import pytest
from ports import free_offset

from bench import fanout

PORTS = (4000, 4002, 4003)
HANDSHAKE = (
    b"GET /v1/stream HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n%b\r\n"
)
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
CHUNK = bytes(1 << 20)
GROWN_MB_MAX = 24
"""A frame's limit is 64 KiB; the rest is buffers and noise."""


@pytest.fixture(scope="module")
def target():
    with fanout.node(offset=free_offset(*PORTS)) as running:
        yield running


@pytest.fixture
def wire(target):
    def connect(headers=b""):
        made = socket.create_connection(("127.0.0.1", 4003 + target.offset), timeout=10)
        made.sendall(HANDSHAKE % headers)
        head = b""
        while b"\r\n\r\n" not in head:
            head += made.recv(1)
        assert head.startswith(b"HTTP/1.1 101")
        return made, head

    return connect


def frame(opcode, data, *, fin=True, masked=True, size=None, rsv=0):
    """Write a frame's bytes, whatever they say."""
    length = len(data) if size is None else size
    first = (0x80 if fin else 0) | rsv | opcode
    mask = 0x80 if masked else 0
    if length < 126:
        head = bytes((first, mask | length))
    elif length < 1 << 16:
        head = bytes((first, mask | 126)) + struct.pack("!H", length)
    else:
        head = bytes((first, mask | 127)) + struct.pack("!Q", length)
    return head + (b"\0\0\0\0" if masked else b"") + data


def receive(made, size):
    data = b""
    while len(data) < size:
        part = made.recv(size - len(data))
        if not part:
            raise EOFError
        data += part
    return data


def closed(made):
    """Read until the server closes; return its code."""
    while True:
        first, size = receive(made, 2)
        if size == 126:
            size = struct.unpack("!H", receive(made, 2))[0]
        elif size == 127:
            size = struct.unpack("!Q", receive(made, 8))[0]
        data = receive(made, size)
        if first == 0x88:
            return struct.unpack("!H", data[:2])[0]


def send_all(made, data, times=1):
    try:
        for _ in range(times):
            made.sendall(data)
    except OSError:
        pass  # it hung up on us, as it should


BAD_UTF8 = b'{"op":"ping","n":"\xff"}'
CASES = {
    "declares 400 MB": (frame(1, b"", size=400 << 20), 1009),
    "declares 2^63 bytes": (frame(1, b"", size=(1 << 63) - 1), 1009),
    "a little beyond the limit": (frame(1, b" " * 65_537), 1009),
    "beyond the limit in fragments": (
        frame(1, b" " * 40_000, fin=False) + frame(0, b" " * 40_000, fin=False) + frame(0, b"x"),
        1009,
    ),
    "invalid UTF-8": (frame(1, BAD_UTF8), 1007),
    "invalid UTF-8 across fragments": (frame(1, b'"\xe2\x82', fin=False) + frame(0, b'\x28"'), 1007),
    "UTF-8 that ends early": (frame(1, b'{"op":"ping","n":"\xe2\x82'), 1007),
    "a surrogate in UTF-8": (frame(1, b'"\xed\xa0\x80"'), 1007),
    "not masked": (frame(1, b'{"op":"ping"}', masked=False), 1002),
    "a reserved bit": (frame(1, b'{"op":"ping"}', rsv=0x40), 1002),
    "an unknown opcode": (frame(3, b""), 1002),
    "an unknown control opcode": (frame(11, b""), 1002),
    "a long ping": (frame(9, b"x" * 126), 1002),
    "a ping in fragments": (frame(9, b"x", fin=False), 1002),
    "a continuation of nothing": (frame(0, b"x"), 1002),
    "a message within a message": (frame(1, b"x", fin=False) + frame(1, b"y"), 1002),
    "a close of one byte": (frame(8, b"x"), 1002),
    "a close with a forbidden code": (frame(8, struct.pack("!H", 1005)), 1002),
    "a close with bad UTF-8": (frame(8, struct.pack("!H", 1000) + b"\xff"), 1007),
    "binary where text was agreed": (frame(2, b'{"op":"ping"}'), 4400),
    "10,000 pings": (frame(9, b"x") * 10_000, 4429),
    "10,000 empty fragments": (frame(1, b"", fin=False) + frame(0, b"", fin=False) * 10_000, 4429),
    "10,000 messages": (frame(1, b'{"op":"ping","n":1}') * 10_000, 4429),
    "150 messages of nonsense": (frame(1, b"\0") * 150, 4400),
}


@pytest.mark.parametrize(("sent", "code"), CASES.values(), ids=CASES)
def test_what_is_wrong_is_closed_with_its_code(target, wire, sent, code):
    before_mb = target.memory_mb()
    made, _ = wire()
    with closing(made):
        send_all(made, sent)
        assert closed(made) == code
    assert target.memory_mb() - before_mb < GROWN_MB_MAX
    assert target.process.poll() is None


def test_400_mb_are_not_kept(target, wire):
    before_mb = target.memory_mb("VmHWM")
    for opcode, fin in ((1, True), (2, False)):
        made, _ = wire()
        with closing(made):
            send_all(made, frame(opcode, b"", fin=fin, size=400 << 20))
            send_all(made, CHUNK, 400)
    assert target.memory_mb("VmHWM") - before_mb < GROWN_MB_MAX


def test_compression_is_not_agreed_and_a_bomb_is_a_few_bytes(target, wire):
    before_mb = target.memory_mb("VmHWM")
    packer = zlib.compressobj(wbits=-15)
    bomb = packer.compress(bytes(1 << 26)) + packer.flush(zlib.Z_SYNC_FLUSH)
    for size in (30_000, 60_000):
        made, head = wire(DEFLATE)
        with closing(made):
            assert b"sec-websocket-extensions" not in head.lower()
            send_all(made, frame(1, bomb[:size], rsv=0x40))
            assert closed(made) == 1002
    assert target.memory_mb("VmHWM") - before_mb < GROWN_MB_MAX


def test_10_000_subscriptions_are_32(target, wire):
    before_mb = target.memory_mb()
    made, _ = wire()
    refused = stood = 0
    with closing(made):
        for number in range(190):
            wish = {"op": "subscribe", "sub": f"s{number}", "events": [f"x:{number}-{each}" for each in range(300)]}
            made.sendall(frame(1, msgspec.json.encode(wish)))
        made.settimeout(10)
        while refused + stood < 190 and refused <= 100:
            first, size = receive(made, 2)
            size = struct.unpack("!H", receive(made, 2))[0] if size == 126 else size
            data = receive(made, size)
            if first == 0x88:
                assert struct.unpack("!H", data[:2])[0] == 4400  # a hundred refusals in a row are enough
                break
            said = msgspec.json.decode(data)
            stood += said["op"] == "synced"
            refused += said["op"] == "error" and said["code"] == "too_many"
        assert stood == 32
        assert refused >= 100
    made, _ = wire()
    with closing(made):
        send_all(made, frame(1, b'{"op":"subscribe","sub":"s","events":["x:1"]}') * 10_000)
        assert closed(made) == 4429
    assert target.memory_mb() - before_mb < 2 * GROWN_MB_MAX


def test_random_bytes_harm_nobody(target, wire):
    for _ in range(30):
        made, _ = wire()
        with closing(made):
            send_all(made, os.urandom(5_000))
            with suppress(EOFError, OSError):  # the answer may be lost to a reset: it had not read all of ours
                assert closed(made) in {1002, 1007, 1009, 4400, 4429}
    assert target.get(4003, "/health")["status"] == "ok"
