"""An echo on the stream's own connection: what other people's suites for WebSockets talk to. Prints its port, serves.

Everything below a message is the product's: handshake, frames, fragments, control frames, closing. Beside echoing it
differs in two things: it takes text and binary on one connection, and messages of any size.
"""

import logging
import sys

import trio
from websockets.frames import BINARY, CONT, TEXT

from sb_core.serving import listen
from sb_distribute import wire
from sb_distribute.connection import Connection, Protocol

MESSAGE_BYTES_MAX = 32 * 1024 * 1024


class EchoSession:
    """A session that limits nothing and is owed nothing."""

    form = wire.JSON

    def allow(self, _now_ms):
        return None

    def take(self, _hub, _now_ms, _bytes_max):
        return [], False


class Echo(Connection):
    def __init__(self, sock, logger):
        super().__init__(sock, "127.0.0.1", 10.0, logger)
        self.protocol = Protocol(max_size=MESSAGE_BYTES_MAX, logger=logger)

    async def _take(self, frame, *rest):
        if frame.opcode in {TEXT, BINARY}:
            self._text = frame.opcode is TEXT
        elif frame.opcode is CONT:
            self._text = self._opcode is TEXT
        await super()._take(frame, *rest)

    async def hear(self, message, *_rest):
        self.write([message])


async def serve(connection):
    with connection.scope:
        request = await connection.handshake()
        if request is not None and connection.accept(request, wire.JSON, subprotocol=None):
            session = EchoSession()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.pump, session, None, int)
                await connection.converse(session, None, None, lambda: 0)
                nursery.cancel_scope.cancel()
    connection.release()


async def main():
    logger = logging.getLogger("echo")
    logger.setLevel(logging.CRITICAL)
    listener = listen("127.0.0.1", 0)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    async with trio.open_nursery() as nursery:
        while True:
            await trio.lowlevel.wait_readable(listener)
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                continue
            nursery.start_soon(serve, Echo(sock, logger))


trio.run(main)
