"""How many requests a client may make: a bucket that fills at a steady rate, one for each client.

The rule: pure; the time is an argument; no more clients are remembered than a limit says, those seen longest ago go.
"""

import math
from collections import OrderedDict
from typing import Final

from msgspec import Struct

CLIENTS_MAX: Final = 10_000


class Quota(Struct, frozen=True):
    """What a client has left: of `limit` requests `remaining`; the bucket is full again in `reset_s`."""

    allowed: bool
    limit: int
    remaining: int
    reset_s: int

    def headers(self) -> dict[str, str]:
        """Return what an answer says of it."""
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_s),
        }


class Quotas:
    """The buckets; each holds what comes in in one second."""

    def __init__(self, per_s: int, clients_max: int = CLIENTS_MAX) -> None:
        self._per_s = per_s
        self._clients_max = clients_max
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def __repr__(self) -> str:
        return f"<Quotas {self._per_s}/s clients={len(self._buckets)}>"

    def take(self, client: str, now_s: float) -> Quota:
        """Take one request out of a client's bucket; not `allowed` when it is empty."""
        full = float(self._per_s)
        held, since_s = self._buckets.pop(client, (full, now_s))
        held = min(full, held + max(0.0, now_s - since_s) * self._per_s)
        allowed = held >= 1
        held -= allowed
        self._buckets[client] = held, now_s
        if len(self._buckets) > self._clients_max:
            self._buckets.popitem(last=False)
        return Quota(allowed, self._per_s, int(held), math.ceil((full - held) / self._per_s))
