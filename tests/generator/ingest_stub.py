"""A real HTTP server on a port of the system's choice that answers feeds as it is told to, and remembers what came."""

from contextlib import asynccontextmanager
from functools import partial

import trio
from h11 import NEED_DATA, SERVER, Connection, Data, EndOfMessage, Request, Response


class Feeds:
    """`answers` are (status, body, headers) for the next requests, `b"cut"` to close without one; then 202."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.url = ""

    async def serve(self, stream):
        connection = Connection(SERVER)
        async with stream:
            while True:
                request, body = await self._request(connection, stream)
                if request is None:
                    return
                self.requests.append((request.target.decode(), dict(request.headers), body))
                answer = self.answers.pop(0) if self.answers else (202, b'{"accepted":1,"refused":[]}', [])
                if answer == b"cut":
                    return
                status, content, headers = answer
                head = Response(status_code=status, headers=[("content-length", str(len(content))), *headers])
                for event in (head, Data(data=content), EndOfMessage()):
                    await stream.send_all(connection.send(event))
                connection.start_next_cycle()

    async def _request(self, connection, stream):
        request, body = None, b""
        while True:
            event = connection.next_event()
            if event is NEED_DATA:
                data = await stream.receive_some(65536)
                if not data and request is None:
                    return None, b""
                connection.receive_data(data)
            elif isinstance(event, Request):
                request = event
            elif isinstance(event, Data):
                body += bytes(event.data)
            elif isinstance(event, EndOfMessage):
                return request, body
            else:
                return None, b""


@asynccontextmanager
async def serving(*answers):
    feeds = Feeds(*answers)
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(partial(trio.serve_tcp, feeds.serve, 0, host="127.0.0.1"))
        feeds.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}"
        yield feeds
        nursery.cancel_scope.cancel()
