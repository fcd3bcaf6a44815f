"""A wire to the database that does bad things to a share of all transactions, or to statements that contain something.

It knows as much of MySQL's protocol as that takes: packets of a command are numbered from 0, an error is one packet.
"""

import random
from collections import Counter

import trio
from engine_wire import Wire

FAULTS = (1205, 1213, 2013, "lost request", "lost reply")
STATEMENTS = 12
"""A transaction has no more; a fault that is meant for one it doesn't have hits its COMMIT."""


def error(code, number=1):
    body = b"\xff" + code.to_bytes(2, "little") + b"#HY000injected"
    return len(body).to_bytes(3, "little") + bytes([number]) + body


class FaultyWire(Wire):
    """`share` of the transactions meet a fault, `poison` makes a statement refused."""

    def __init__(self, host, port, *, share=0.0, seed=0, poison=None):
        super().__init__(host, port)
        self.share = share
        self.poison = poison
        self.chance = random.Random(seed)
        self.injected = Counter()
        self.transactions = 0

    async def _between(self, client, server, nursery):
        connection = _Connection(self, client, server)
        nursery.start_soon(connection.answers, nursery.cancel_scope)
        await connection.requests()


class _Connection:
    def __init__(self, wire, client, server):
        self.wire, self.client, self.server = wire, client, server
        self.sending = trio.Lock()
        self.deaf = False
        self.greeted = False
        self.fault, self.at, self.count = None, 0, 0

    async def answers(self, scope):
        async for chunk in self.server:
            if self.deaf:
                break
            await self.wire.pause()
            if self.wire.deaf:
                continue
            async with self.sending:
                await self.client.send_all(chunk)
        scope.cancel()

    async def requests(self):
        kept = bytearray()
        async for chunk in self.client:
            await self.wire.pause()
            kept += chunk
            while len(kept) >= 4 and len(kept) >= 4 + int.from_bytes(kept[:3], "little"):
                size = 4 + int.from_bytes(kept[:3], "little")
                packet = bytes(kept[:size])
                del kept[:size]
                if not await self.pass_on(packet):
                    return

    async def pass_on(self, packet):
        """Do to one packet what is meant for it; False ends the connection."""
        fault = self.judge(packet) if packet[3] == 0 else None
        if isinstance(fault, int) and fault != 2013:
            async with self.sending:
                await self.client.send_all(error(fault))
            return True
        if fault in {2013, "lost request"}:
            return False
        self.deaf = fault == "lost reply"
        await self.server.send_all(packet)
        return True

    def judge(self, packet):
        wire, text = self.wire, packet[5:]
        if wire.poison is not None and wire.poison in packet:
            wire.injected["poison"] += 1
            return 1406
        if text == b"BEGIN":
            wire.transactions += 1
            self.count = 0
            struck = wire.chance.random() < wire.share
            self.fault = wire.chance.choice(FAULTS) if struck else None
            # COMMITs are what is hardest, so that half of all faults are for them
            self.at = wire.chance.randrange(STATEMENTS) if wire.chance.random() < 0.5 else STATEMENTS
        else:
            self.count += 1
        if self.fault is None or (self.count < self.at and text != b"COMMIT"):
            return None
        fault, self.fault = self.fault, None
        wire.injected[fault, "COMMIT" if text == b"COMMIT" else "statement"] += 1
        return fault
