"""A stand-in for the WebSocket service: sends updates at a rate, in the contract's words, and knows nothing of the console.

python -m bench.console_stream PORT PER_S
"""

import asyncio
import json
import sys
import time
from contextlib import suppress

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

EVENTS = 500
BEAT_S = 0.02
FRAME_ITEMS_MAX = 1_000
SPORTS = ("football", "basketball", "tennis", "hockey")


def snapshot(event: int) -> str:
    """Return the frame of a whole event."""
    outcomes = [{"id": name, "odds": "2.10"} for name in ("home", "draw", "away")]
    market = {"market": "1x2", "line": "", "status": "active", "open": True, "outcomes": outcomes}
    about = {"event": f"bench:{event}", "provider": "bench", "sport": SPORTS[event % 4], "name": f"Home {event} v Away"}
    return json.dumps(
        {"op": "snapshot", "sub": "tape", "event": {**about, "lineage": 1, "rev": 1, "markets": [market]}}
    )


def item(event: int, rev: int, now_ms: int) -> str:
    """Return one update of about 500 bytes."""
    odds = f"{2 + rev % 90 / 100:.2f}"
    return (
        f'{{"event":"bench:{event}","sport":"{SPORTS[event % 4]}","lineage":1,"prev":{rev - 1},"rev":{rev},'
        f'"ts":{now_ms},"updated":{now_ms},"sent":{now_ms},"con":false,"changes":{{"event":{{}},"score":null,"markets":'
        f'[{{"market":"1x2","line":"","name":null,"status":"active","open":true,"source":"1","producer":"1","ts":{now_ms},'
        f'"outcomes":[{{"id":"home","odds":"{odds}"}},{{"id":"draw","odds":"3.40"}},{{"id":"away","odds":"3.60"}}]}}],'
        '"statuses":[],"closed":[]}}'
    )


async def feed(socket: ServerConnection, per_s: float) -> None:
    """Answer a subscription with snapshots, and then with updates at the rate, until it hangs up."""
    with suppress(ConnectionClosed):
        await _feed(socket, per_s)


async def _feed(socket: ServerConnection, per_s: float) -> None:
    hello = {"op": "hello", "session": "s", "heartbeat_ms": 10_000, "lineage": 1, "limits": {}}
    await socket.send(json.dumps(hello))
    sub = json.loads(await socket.recv())["sub"]
    told = {"op": "subscribed", "sub": sub, "recovered": False, "source": "snapshot", "events": EVENTS}
    await socket.send(json.dumps(told))
    for event in range(EVENTS):
        await socket.send(snapshot(event).replace('"tape"', json.dumps(sub)))
    await socket.send(json.dumps({"op": "synced", "sub": sub, "cursor": "c0"}))
    revs = [1] * EVENTS
    sent, begun = 0, time.monotonic()
    while True:
        due = int((time.monotonic() - begun) * per_s) - sent
        if due > FRAME_ITEMS_MAX:
            # behind, it leaves updates out, as a server that conflates does; the next frames are no larger than ever
            begun += (due - FRAME_ITEMS_MAX) / per_s
            due = FRAME_ITEMS_MAX
        now_ms = time.time_ns() // 1_000_000
        items = []
        for _ in range(due):
            event = sent % EVENTS
            revs[event] += 1
            items.append(item(event, revs[event], now_ms))
            sent += 1
        if items:
            await socket.send(f'{{"op":"updates","sub":"{sub}","cursor":"c{sent}","items":[{",".join(items)}]}}')
        await asyncio.sleep(BEAT_S)


async def main(port: int, per_s: float) -> None:
    """Serve until killed."""

    async def handler(socket: ServerConnection) -> None:
        await feed(socket, per_s)

    async with serve(handler, "127.0.0.1", port, compression=None):
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        await asyncio.Future()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
