"""Capture: original bytes and arrival times, and no listener slows intake down."""

import json

import pytest
import trio
from intake_driver import NOW, driver, odds

from sb_ingest import capture
from sb_ingest.capture import TooManyListenersError


async def taken(listener: capture.Listener) -> list[dict]:
    with trio.move_on_after(0.2):
        joined = await listener.take()
        assert joined is not None
        return [json.loads(line) for line in joined.splitlines()]
    return []


def test_bodies_are_shown_as_they_came(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            listener, other = intake.captures.open("canonical"), intake.captures.open("uof")
            everything = intake.captures.open(None)
            raw = json.dumps(odds(), indent=1)
            await intake.post(raw, key="a.b")
            intake.clock.ms += 5
            await intake.post(b"\xff{", key="c")
            assert await taken(listener) == [
                {"t": NOW, "provider": "canonical", "key": "a.b", "body": raw},
                {"t": NOW + 5, "provider": "canonical", "key": "c", "body": {"b64": "/3s="}},
            ]
            assert len(await taken(everything)) == 2
            assert await taken(other) == []
            lines = "\r\n" + json.dumps(odds()) + "\n\n" + json.dumps(odds("acme:2")) + "\n"
            await intake.post(lines, "application/x-ndjson")
            assert [each["body"] for each in await taken(listener)] == [lines]

    run(main)


def test_what_was_captured_and_sent_again_is_captured_the_same(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            listener = intake.captures.open(None)
            await intake.post('<alive ts="1" provider="p" producer="1"/>\n', "application/xml", key="x.y")
            await intake.post(json.dumps(odds()) + "\n" + json.dumps(odds("acme:2")) + "\n", "application/x-ndjson")
            first = await taken(listener)
            lines = "\n".join(json.dumps(line) for line in first)
            status, answer = await intake.post(lines, "application/x-ndjson")
            assert (status, answer["accepted"]) == (202, 3)
            again = await taken(listener)
            assert [(each["key"], each["body"]) for each in again] == [(each["key"], each["body"]) for each in first]

    run(main)


def test_a_slow_listener_is_cut_off(run, monkeypatch) -> None:
    monkeypatch.setattr(capture, "WAITING_BYTES_MAX", 1_000)

    async def main() -> None:
        async with driver() as intake:
            slow = intake.captures.open(None)
            for _ in range(10):
                assert (await intake.post(odds()))[0] == 202
            lines = [line async for line in intake.captures.lines(slow)]
            assert len(b"".join(lines)) <= 1_000
            assert slow.closed

    run(main)


def test_so_many_may_listen(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            listeners = [intake.captures.open(None) for _ in range(capture.LISTENERS_MAX)]
            with pytest.raises(TooManyListenersError):
                intake.captures.open(None)
            intake.captures.remove(listeners[0])
            intake.captures.open(None)
            intake.captures.close()
            assert all(listener.closed for listener in listeners[1:])

    run(main)
