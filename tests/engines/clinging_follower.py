"""A follower that never gives up: whenever its connection breaks, it comes back with its cursor."""

import time

from follower import Follower
from websockets.exceptions import WebSocketException

RETRY_S = 0.1


class ClingingFollower(Follower):
    """See Follower. `returns` counts how often it had to connect again."""

    returns = 0
    leaving = False

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
