"""The clients of fan-out as clients of the peer on Centrifuge: the same sockets and sums in its JSON protocol."""

import sys
from typing import Any, Final

import msgspec
from msgspec import Struct

from bench.fanout_clients import Client, Crowd, Item, main


class _Published(Struct):
    data: Item


class _Push(Struct):
    pub: _Published | None = None


class _Frame(Struct):
    connect: dict[str, Any] | None = None
    push: _Push | None = None


_decode: Final = msgspec.json.Decoder(_Frame).decode


class _PeerCrowd(Crowd):
    """A message is some frames, a line each."""

    def wish(self, events: list[str]) -> dict[str, Any]:
        return {"id": 1, "connect": {"data": {"events": events}}}

    def hear(self, client: Client, message: bytes, now_ns: int) -> None:
        for line in message.splitlines():
            frame = _decode(line)
            if frame.connect is not None:
                client.synced = True
            elif frame.push is not None and frame.push.pub is not None:
                item = frame.push.pub.data
                client.revs.setdefault(item.event, item.prev)  # there are no snapshots
                self.item(client, item, now_ns)


if __name__ == "__main__":
    sys.exit(main(_PeerCrowd))
