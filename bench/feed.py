"""Canonical odds messages of about 250 bytes with three outcomes, made beforehand so that the load costs nothing to make."""

import random
import time

EVENTS = 500
BATCH = 500


def message(number: int, ts: int, chance: random.Random) -> bytes:
    """Make one message; each event's `ts` rises, prices change every time."""
    event = number % EVENTS
    prices = [f"{chance.randrange(110, 990) / 100:.2f}" for _ in range(3)]
    outcomes = ",".join(
        f'{{"id":"{name}","odds":"{price}"}}' for name, price in zip(("home", "draw", "away"), prices, strict=True)
    )
    return (
        f'{{"type":"odds","id":"b{number:x}","ts":{ts},"event":"bench:match:{event}","sport":"football","producer":"1",'
        f'"markets":[{{"market":"1x2","status":"active","outcomes":[{outcomes}]}}]}}'
    ).encode()


def bodies(count: int, seed: int = 1) -> list[bytes]:
    """Make `count` messages as NDJSON bodies of BATCH each."""
    chance = random.Random(seed)
    base = int(time.time() * 1000) - count - 60_000
    made = [message(number, base + number, chance) for number in range(count)]
    return [b"\n".join(made[start : start + BATCH]) for start in range(0, count, BATCH)]
