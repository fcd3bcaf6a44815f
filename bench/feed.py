"""Canonical odds messages of about 250 bytes with three outcomes, made beforehand so that the load costs nothing to make."""

import random
import time

EVENTS = 500
BATCH = 500


def message(number: int, event: int, ts: int, chance: random.Random) -> bytes:
    """Make one message; each event's `ts` rises, prices change every time."""
    prices = [f"{chance.randrange(110, 990) / 100:.2f}" for _ in range(3)]
    outcomes = ",".join(
        f'{{"id":"{name}","odds":"{price}"}}' for name, price in zip(("home", "draw", "away"), prices, strict=True)
    )
    return (
        f'{{"type":"odds","id":"b{number:x}","ts":{ts},"event":"bench:match:{event}","sport":"football","producer":"1",'
        f'"markets":[{{"market":"1x2","status":"active","outcomes":[{outcomes}]}}]}}'
    ).encode()


def bodies(count: int, lanes: int, seed: int = 1) -> list[list[bytes]]:
    """Make `count` messages as NDJSON bodies of BATCH each, for `lanes` connections that have events of their own."""
    chance = random.Random(seed)
    base = int(time.time() * 1000) - count - 60_000
    each = EVENTS // lanes
    made = []
    for lane in range(lanes):
        numbers = range(lane, count, lanes)
        lines = [
            message(number, lane * each + place % each, base + number, chance) for place, number in enumerate(numbers)
        ]
        made.append([b"\n".join(lines[start : start + BATCH]) for start in range(0, len(lines), BATCH)])
    return made
