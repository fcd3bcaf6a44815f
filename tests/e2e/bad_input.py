"""What the tests of bad input share: sending, dead letters with their bytes, and events that stand open before it comes."""

import base64
import hashlib
import itertools
import json
import time
from contextlib import contextmanager

from local_pipeline import FOOTBALL, balanced, running

JSON, XML, LINES = "application/json", "application/xml", "application/x-ndjson"
GZIP = {"content-encoding": "gzip"}
EXTERNAL = '<!DOCTYPE odds SYSTEM "file:///etc/passwd"><odds/>'
BEFORE_MS = 5_000
"""How long before now the odds that stand are said to be."""

numbers = itertools.count(1)


def now_ms():
    return int(time.time() * 1000)


@contextmanager
def accounted(data):
    """Run a pipeline; at the end nothing is stuck, and every refusal of its account has its dead letter."""
    with running(data, "--feed", "none") as started:
        yield started
        account = started.wait_through()
        assert balanced(account), account
        assert len(every_letter(started)) == sum(account["refused"].values())
        assert account["dead_lettered"] == {}


def every_letter(pipeline):
    letters, cursor = [], "0"
    while cursor is not None:
        page = pipeline.http.get(
            f"{pipeline.url(4000)}/v1/deadletters", params={"limit": 1000, "cursor": cursor}
        ).json()
        letters += page["items"]
        cursor = page["next"]
    return letters


def letters_of(pipeline, answer):
    """The dead letters of one request, whole: (code, bytes)."""
    found = []
    for item in every_letter(pipeline):
        if item["trace"] == answer.headers["sb-trace"]:
            letter = pipeline.http.get(f"{pipeline.url(4000)}/v1/deadletters/{item['id']}").json()
            found.append((letter["code"], letter_bytes(letter)))
    return found


def letter_bytes(letter):
    body = letter["body"]
    kept = body.encode() if isinstance(body, str) else base64.b64decode(body["b64"])
    if not letter["cut"]:
        assert letter["length"] == len(kept)
        assert letter["sha256"] == hashlib.sha256(kept).hexdigest()
    return kept


def send(pipeline, body, content_type=JSON, headers=None, provider="canonical", **parameters):
    return pipeline.http.post(
        f"{pipeline.url(4000)}/v1/feeds/{provider}",
        content=body if isinstance(body, bytes) else body.encode(),
        headers={"content-type": content_type, **(headers or {})},
        params=parameters,
    )


# events that stand open before something bad comes


def market(name="1x2", line="", price="2.10", ids=("home", "draw", "away")):
    return {"market": name, "line": line, "outcomes": [{"id": each, "odds": price} for each in ids]}


TOTAL = market("total", "total=2.5", "1.90", ("over", "under"))


def odds(event, ts, *markets, **fields):
    message = {
        "type": "odds",
        "event": event,
        "sport": "football",
        "ts": ts,
        "markets": [*markets] or [market(), TOTAL],
    }
    return {**message, **fields}


class Open:
    """An event of its own with two markets open, 1x2 and total."""

    def __init__(self, pipeline, provider="acme"):
        self.pipeline = pipeline
        self.number = next(numbers)
        self.ts = now_ms() - BEFORE_MS
        self.event = f"acme:{self.number}" if provider == "acme" else f"uof:sr:match:{self.number}"
        self.provider = provider
        self.good(self.ts)
        assert self.status() == {"1x2": True, "total": True}

    def good(self, ts):
        if self.provider == "acme":
            answer = send(self.pipeline, json.dumps(odds(self.event, ts)))
        else:
            answer = send(self.pipeline, uof_odds(self.number, ts), XML, provider="uof", sport="football")
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"accepted": 1, "refused": []}

    def shown(self):
        self.pipeline.wait_through(ports=[FOOTBALL])
        return self.pipeline.event(self.event)

    def status(self):
        """Whether 1x2 and total are open; what was refused may have created another market, which is closed."""
        shown = {each["market"]: each["open"] for each in self.shown()["markets"]}
        standing = {name: shown.pop(name) for name in ("1x2", "total")}
        assert not any(shown.values())
        return standing

    def check_closed(self, what):
        """`what` is closed until newer odds: a market's name, "event", or "nothing"."""
        expected = {"1x2": what not in {"1x2", "event"}, "total": what not in {"total", "event"}}
        assert self.status() == expected
        self.good(self.ts - 1)
        assert self.status() == expected, "older odds open nothing"
        self.good(now_ms() + 1)
        assert self.status() == {"1x2": True, "total": True}, "newer odds open it again"


UOF_MARKETS = (
    '<market id="1" status="1"><outcome id="1" odds="2.10" active="1"/><outcome id="2" odds="3.30" active="1"/>'
    '<outcome id="3" odds="3.50" active="1"/></market><market id="18" specifiers="total=2.5" status="1">'
    '<outcome id="12" odds="1.90" active="1"/><outcome id="13" odds="1.90" active="1"/></market>'
)


def uof_odds(number, ts):
    head = f'product="3" event_id="sr:match:{number}" timestamp="{ts}"'
    return f"<odds_change {head}><odds>{UOF_MARKETS}</odds></odds_change>"
