"""Sends a feed of canonical messages, and each batch again until ingest says that it has it: what any good client does."""

import json
import threading
import time

import httpx

BATCH = 200
RETRY_S = 0.1
ANSWER_S = 20
TRYING_S_MAX = 120


class PressingSender(threading.Thread):
    """A thread of its own. `sent` are messages that were accepted, `retried` the batches that were sent again.

    It waits when it has sent as many as are `allowed`.
    """

    def __init__(self, url, messages, *, per_s=None, batch=BATCH):
        super().__init__(daemon=True)
        self.url = f"{url}/v1/feeds/canonical"
        self.messages = messages
        self.per_s = per_s
        self.batch = batch
        self.sent = 0
        self.allowed = len(messages)
        self.retried = 0
        self.refused = 0
        self.waited_s_max = 0.0
        self.enough = False
        self.error = None

    def run(self):
        try:
            with httpx.Client(timeout=ANSWER_S, trust_env=False) as http:
                begun = time.monotonic()
                for first in range(0, len(self.messages), self.batch):
                    while first >= self.allowed:
                        time.sleep(0.01)
                    some = self.messages[first : first + self.batch]
                    self.press(http, "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in some))
                    self.sent += len(some)
                    if self.enough:
                        break
                    if self.per_s is not None:
                        time.sleep(max(0, begun + self.sent / self.per_s - time.monotonic()))
        except BaseException as error:  # noqa: BLE001  handed to the test's own thread
            self.error = error

    def press(self, http, body):
        begun = time.monotonic()
        while True:
            assert time.monotonic() - begun < TRYING_S_MAX, "ingest takes nothing"
            try:
                answer = http.post(self.url, content=body.encode(), headers={"content-type": "application/x-ndjson"})
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.status_code == 202:
                self.refused += len(answer.json()["refused"])
                self.waited_s_max = max(self.waited_s_max, time.monotonic() - begun)
                return
            assert answer is None or answer.status_code in {429, 503}, answer.text
            self.retried += 1
            time.sleep(RETRY_S)

    def until(self, sent):
        """Wait until so many are accepted."""
        while self.sent < sent:
            self.check()
            assert self.is_alive(), "it has ended"
            time.sleep(0.01)

    def check(self):
        if self.error is not None:
            raise self.error

    def finish(self):
        self.join()
        self.check()
