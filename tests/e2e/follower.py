"""A client of the stream that shares no code with the project: plain dicts, and the client's rule as WIRE.md words it.

It remembers every (event, lineage, rev) that it ever showed, so that a test can hold each of them against REST.
"""

import json
import threading
import time
from copy import deepcopy
from socket import SHUT_RDWR
from typing import NamedTuple

import msgspec
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class Shown(NamedTuple):
    """What stood at one moment: `open` are the (market, line)s that one may bet on."""

    event: str
    lineage: int
    rev: int
    open: frozenset
    con: bool


class Item(NamedTuple):
    """An item as it came; `closed` are (market, line)s."""

    event: str
    lineage: int
    prev: int
    rev: int
    con: bool
    closed: list


HEADER = {
    "provider", "sport", "name", "start", "status", "competition", "competitors", "producers",
    "replaces", "replaced_by", "holds",
}  # fmt: skip


def canonical(event):
    """Write an event so that equal ones are equal texts; `stale` is no part of a rev."""
    return json.dumps({name: value for name, value in event.items() if name != "stale"}, sort_keys=True)


def opened(event):
    return frozenset((each["market"], each["line"]) for each in event["markets"] if each["open"])


def applied(event, item):
    """Apply one item: whole things replace, statuses move, nothing else changes."""
    changes = item["changes"]
    assert set(changes) == {"event", "score", "markets", "statuses", "closed"}
    assert set(changes["event"]) <= HEADER, changes["event"].keys()
    made = {**event, **changes["event"]}
    if changes["score"] is not None:
        made["score"] = changes["score"]
    markets = {(each["market"], each["line"]): each for each in event["markets"]}
    for each in changes["markets"]:
        markets[each["market"], each["line"]] = each
    for moved in changes["statuses"]:
        key = moved["market"], moved["line"]
        markets[key] = {**markets[key], "status": moved["status"], "open": moved["open"]}
    made["markets"] = [markets[key] for key in sorted(markets)]
    made.update({name: item[name] for name in ("lineage", "rev", "ts", "updated")})
    return made


class Follower:
    """One subscription, read in a thread of its own; `cut` drops the connection without a word."""

    def __init__(self, url, *, form="json", **wanted):
        self.url = url + "/v1/stream"
        self.form = form
        self.wanted = wanted
        self.events = {}
        self.shown = []
        self.texts = {}  # (event, lineage, rev) -> canonical JSON
        self.items = []
        self.subscribed = []
        self.snapshots = 0
        self.gaps = []
        self.loose = []  # `prev` below ours: harmless, but not without a reconnect
        self.stale = set()
        self.gone = []
        self.cursor = None
        self.synced = threading.Event()
        self.error = None
        self.frames = 0
        self._socket = None
        self._thread = None
        self._cut_after = None
        self.was_cut = threading.Event()

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.close()

    def open(self, cursor=None):
        self.synced.clear()
        self._thread = threading.Thread(target=self._run, args=(cursor,), daemon=True)
        self._thread.start()
        assert self.synced.wait(20), f"never synced: {self.error}"

    def cut_after(self, items):
        """Drop the connection once so many items came, as a broken network would."""
        self._cut_after = items

    def resume(self):
        self.open(self.cursor)

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._thread.join(10)

    def check(self):
        if self.error is not None:
            raise self.error

    def wait_for(self, versions, deadline_s=30):
        """Wait until each event of `versions` is held at its (lineage, rev)."""
        until = time.monotonic() + deadline_s
        while time.monotonic() < until:
            self.check()
            held = {name: (event["lineage"], event["rev"]) for name, event in dict(self.events).items()}
            if all(held.get(name, (0, 0)) >= version for name, version in versions.items()):
                return
            time.sleep(0.02)
        missing = {name: (held.get(name), version) for name, version in versions.items() if held.get(name) != version}
        raise AssertionError(f"never caught up: {dict(list(missing.items())[:5])}")

    def _write(self, value):
        return json.dumps(value) if self.form == "json" else msgspec.msgpack.encode(value)

    def _read(self, data):
        assert isinstance(data, str if self.form == "json" else bytes)
        return json.loads(data) if self.form == "json" else msgspec.msgpack.decode(data)

    def _run(self, cursor):
        try:
            with connect(
                self.url, subprotocols=[f"sb.v1.{self.form}"], max_size=64 * 2**20, compression=None, open_timeout=10
            ) as socket:
                self._socket = socket
                assert socket.subprotocol == f"sb.v1.{self.form}"
                assert self._read(socket.recv(timeout=10))["op"] == "hello"
                resumed = {} if cursor is None else {"cursor": cursor}
                socket.send(self._write({"op": "subscribe", "sub": "s1", **self.wanted, **resumed}))
                self._follow(socket)
        except ConnectionClosed as error:
            if error.rcvd is not None and error.rcvd.code not in {1000, 1001, 1012}:
                self.error = error
        except Exception as error:  # noqa: BLE001  handed to the test's own thread
            self.error = error

    def _follow(self, socket):
        for data in socket:
            frame = self._read(data)
            self.frames += 1
            getattr(self, "_on_" + frame["op"])(frame)
            if self._cut_after is not None and len(self.items) >= self._cut_after:
                self._cut_after = None
                socket.socket.shutdown(SHUT_RDWR)
                self.was_cut.set()
                return

    def _on_subscribed(self, frame):
        self.subscribed.append((frame["recovered"], frame["source"], frame["events"]))

    def _on_snapshot(self, frame):
        self.snapshots += 1
        self._hold(frame["event"], con=False)

    def _on_synced(self, frame):
        self.cursor = frame["cursor"]
        self.synced.set()

    def _on_updates(self, frame):
        for item in frame["items"]:
            self._on_item(item)
        self.cursor = frame["cursor"]

    def _on_item(self, item):
        name = item["event"]
        held = self.events.get(name)
        mine = (0, 0) if held is None else (held["lineage"], held["rev"])
        theirs = item["lineage"], item["rev"]
        closed = [(each["market"], each["line"]) for each in item["changes"]["closed"]]
        self.items.append(Item(name, item["lineage"], item["prev"], item["rev"], item["con"], closed))
        if theirs <= mine:
            return
        if item["lineage"] != mine[0] or item["prev"] > mine[1]:
            self.gaps.append((name, mine, item["lineage"], item["prev"], item["rev"]))
            return
        if item["prev"] < mine[1]:
            self.loose.append((name, mine, item["prev"], item["rev"]))
        self._hold(applied(held, item), con=item["con"])

    def _on_gone(self, frame):
        self.gone.append((frame["event"], frame["reason"]))
        self.events.pop(frame["event"], None)

    def _on_stale(self, frame):
        self.stale |= set(frame["sports"])

    def _on_fresh(self, frame):
        self.stale -= set(frame["sports"])

    def _on_heartbeat(self, frame):
        self.cursor = frame["cursors"].get("s1", self.cursor)

    def _hold(self, event, *, con):
        name = event["event"]
        self.events[name] = event
        text = canonical(event)
        self.texts[name, event["lineage"], event["rev"]] = text
        self.shown.append(Shown(name, event["lineage"], event["rev"], opened(event), con))


def restricted(event, markets):
    """Leave only some markets of an event."""
    made = deepcopy(event)
    made["markets"] = [each for each in made["markets"] if each["market"] in markets]
    return made
