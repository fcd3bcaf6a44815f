"""A follower that never gives up: whenever its connection breaks, it comes back with its cursor."""

import time
from collections import deque

from follower import Follower
from websockets.exceptions import WebSocketException

RETRY_S = 0.1


class ClingingFollower(Follower):
    """See Follower. `returns` counts how often it had to connect again; of the past it keeps what went `back` only."""

    def __init__(self, *arguments, **wanted):
        super().__init__(*arguments, **wanted)
        self.items = deque(maxlen=100)
        self.returns = 0
        self.leaving = False
        self.back = []

    def close(self):
        self.leaving = True
        super().close()

    def _run(self, cursor):
        while True:
            super()._run(cursor)
            if isinstance(self.error, OSError | EOFError | WebSocketException):
                self.error = None
            if self.leaving or self.error is not None:
                return
            self.returns += 1
            cursor = self.cursor
            time.sleep(RETRY_S)

    def _hold(self, event, *, con):  # noqa: ARG002  as Follower's
        held = self.events.get(event["event"], {"lineage": 0, "rev": 0})
        if (event["lineage"], event["rev"]) < (held["lineage"], held["rev"]):
            self.back.append((event["event"], held["rev"], event["rev"]))
        self.events[event["event"]] = event
