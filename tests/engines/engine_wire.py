"""A wire to an engine that can be cut, held, made slow, or deaf to what the engine answers.

The rule: bytes are passed on or not, and never altered. What the wire does, it does to every connection.
"""

import re
import threading
from functools import partial

import trio

CHUNK_BYTES_MAX = 65_536


class Wire(threading.Thread):
    """A thread of its own with a port (any free one unless told)."""

    def __init__(self, host, port, *, listen_port=0):
        super().__init__(daemon=True)
        self.server = host, port
        self.port = listen_port
        self.closed = False
        """No connection comes through, and those that are there break."""
        self.slow_s = 0.0
        """How long every chunk takes, either way."""
        self.deaf = False
        """What is asked arrives, and no answer comes back."""
        self._open = set()
        self._gate = None
        self._listening = threading.Event()
        self._token = None
        self._scope = None

    def __enter__(self):
        self.start()
        assert self._listening.wait(10)
        return self

    def __exit__(self, *_):
        self._token.run_sync_soon(self._scope.cancel)
        self.join(10)

    def url(self, url):
        """An engine's URL, through this wire."""
        return re.sub(r"(//(?:[^/]+@)?)[^/@]+", rf"\g<1>127.0.0.1:{self.port}", url, count=1)

    def cut(self):
        self.closed = True
        self.drop()

    def drop(self):
        """Break all connections that there are; new ones come through."""
        self._token.run_sync_soon(self._break)

    def hold(self):
        """Let nothing through, and nobody know."""
        self._token.run_sync_soon(self._hold)

    def mend(self):
        """Be a good wire again; connections whose answers were lost break, for no network loses a part of a stream."""
        self._token.run_sync_soon(self._mend)

    def _break(self):
        for scope in list(self._open):
            scope.cancel()

    def _hold(self):
        self._gate = trio.Event()

    def _mend(self):
        if self.deaf:
            self._break()
        self.closed = self.deaf = False
        self.slow_s = 0.0
        if self._gate is not None:
            self._gate.set()
            self._gate = None

    def run(self):
        trio.run(self._serve)

    async def _serve(self):
        self._token = trio.lowlevel.current_trio_token()
        with trio.CancelScope() as self._scope:
            async with trio.open_nursery() as nursery:
                serve = partial(trio.serve_tcp, self._carry, self.port, host="127.0.0.1", handler_nursery=nursery)
                (listener,) = await nursery.start(serve)
                self.port = listener.socket.getsockname()[1]
                self._listening.set()

    async def _carry(self, client):
        if self.closed:
            await client.aclose()
            return
        try:
            server = await trio.open_tcp_stream(*self.server)
            async with client, server, trio.open_nursery() as nursery:
                self._open.add(nursery.cancel_scope)
                try:
                    await self._between(client, server, nursery)
                    nursery.cancel_scope.cancel()
                finally:
                    self._open.discard(nursery.cancel_scope)
        except* (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            pass

    async def _between(self, client, server, nursery):
        """Pass on what is asked until there is no more; answers are passed on in the nursery."""
        nursery.start_soon(self._answers, client, server, nursery.cancel_scope)
        async for chunk in client:
            await self.pause()
            await server.send_all(chunk)

    async def _answers(self, client, server, scope):
        while chunk := await server.receive_some(CHUNK_BYTES_MAX):
            await self.pause()
            if not self.deaf:
                await client.send_all(chunk)
        scope.cancel()

    async def pause(self):
        """Wait for as long as the wire is held or slow."""
        if self._gate is not None:
            await self._gate.wait()
        if self.slow_s:
            await trio.sleep(self.slow_s)
