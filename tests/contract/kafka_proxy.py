"""A proxy on Trio that speaks enough of Kafka's protocol to lose what a test wants lost."""

import random
import struct

import trio

PRODUCE = 0
FETCH = 1


class Proxy:
    """Passes bytes between clients and the broker, and loses answers: the broker did it, and the client never hears.

    Answers to produce requests are late and lost, with their connections; those to `withheld` ones just never come.
    """

    def __init__(self, target, *, lose=0.0, delay_s=0.0, withheld=(), seed=1):
        self.target = target
        self.lose = lose
        self.delay_s = delay_s
        self.withheld = withheld
        self.rng = random.Random(seed)
        self.lost = 0

    async def serve(self, port, *, task_status=trio.TASK_STATUS_IGNORED):
        await trio.serve_tcp(self.connection, port, host="127.0.0.1", task_status=task_status)

    async def connection(self, client):
        keys = {}
        with trio.CancelScope() as scope:
            try:
                broker = await trio.open_tcp_stream("127.0.0.1", self.target)
            except OSError:
                return
            async with broker, trio.open_nursery() as nursery:
                nursery.start_soon(self.asked, client, broker, keys, scope)
                nursery.start_soon(self.answered, broker, client, keys, scope)

    async def asked(self, client, broker, keys, scope):
        frames = Frames(client)
        while (frame := await frames.next()) is not None:
            key, _, correlation = struct.unpack_from(">hhi", frame, 4)
            keys[correlation] = key
            try:
                await broker.send_all(frame)
            except trio.BrokenResourceError:
                break
        scope.cancel()

    async def answered(self, broker, client, keys, scope):
        frames = Frames(broker)
        while (frame := await frames.next()) is not None:
            (correlation,) = struct.unpack_from(">i", frame, 4)
            key = keys.pop(correlation)
            if key in self.withheld:
                continue
            if key == PRODUCE:
                await trio.sleep(self.delay_s * self.rng.random())
                if self.rng.random() < self.lose:
                    self.lost += 1
                    break
            try:
                await client.send_all(frame)
            except trio.BrokenResourceError:
                break
        scope.cancel()


class Frames:
    """Kafka's frames of a stream, one by one, with their lengths."""

    def __init__(self, stream):
        self.stream = stream
        self.held = b""

    async def next(self):
        while len(self.held) < 4 or len(self.held) < 4 + struct.unpack_from(">i", self.held)[0]:
            try:
                received = await self.stream.receive_some(262_144)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return None
            if not received:
                return None
            self.held += received
        end = 4 + struct.unpack_from(">i", self.held)[0]
        frame, self.held = self.held[:end], self.held[end:]
        return frame
