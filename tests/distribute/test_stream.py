"""The real server on a loopback port, with a real log, store and cache in memory."""

from hashlib import sha256

import anyio
import msgspec
import pytest

from sb_core import client as clients
from sb_core import shown
from sb_core.topics import partition_of
from sb_distribute.cursor import parse


async def until(client, kind, sub=None):
    """Return the first thing of this kind that happens."""
    with anyio.fail_after(5):
        async for happened in client:
            if isinstance(happened, kind) and (sub is None or happened.sub == sub):
                return happened
    raise AssertionError


def test_hello_snapshot_synced_updates(run, stage, a_market):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"), fields={"name": "A vs B", "status": "live"})
            await on.change("uof:e2", a_market("1x2", "2.50"), sport="tennis")
            await on.seen("uof:e1")
            await on.seen("uof:e2")
            async with on.client() as client:
                await client.subscribe("s1", sports=["football"])
                hello = await until(client, clients.Hello)
                assert hello.lineage == 1
                assert hello.heartbeat_ms == 10_000
                assert (await until(client, clients.Subscribed)) == clients.Subscribed("s1", False, "snapshot", 1)
                assert (await until(client, clients.Snapshot)).event == on.oracle["uof:e1"]
                await until(client, clients.Synced)
                await on.change("uof:e1", a_market("1x2", "1.55"), a_market("total", "1.90", line="total=2.5"))
                await on.change("uof:e2", a_market("1x2", "2.60"), sport="tennis")
                await on.change(
                    "uof:e1", statuses=[shown.StatusChange(market="1x2", line="", status="suspended", open=False)]
                )
                first = await until(client, clients.Changed)
                second = await until(client, clients.Changed)
                assert [(each.item.prev, each.item.rev, each.item.con) for each in (first, second)] == [
                    (1, 2, False),
                    (2, 3, False),
                ]
                assert client.events("s1") == {"uof:e1": on.oracle["uof:e1"]}
                assert not client.bettable("s1", "uof:e1", "1x2")
                assert client.bettable("s1", "uof:e1", "total", "total=2.5")
                assert (await on.node.event("uof:e1")).event == on.oracle["uof:e1"]

    run(main)


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_each_format_says_the_same(run, stage, a_market, form):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            async with on.client(form=form) as client:
                await client.subscribe("s1", events=["uof:e1"])
                await until(client, clients.Synced)
                await on.change("uof:e1", a_market("1x2", "1.60"))
                await until(client, clients.Changed)
                assert client.events("s1") == on.oracle

    run(main)


def test_an_event_that_appears_later_gets_a_snapshot(run, stage, a_market):
    async def main():
        async with stage() as on, on.client() as client:
            await client.subscribe("all")
            assert (await until(client, clients.Subscribed)).events == 0
            await until(client, clients.Synced)
            await on.change("uof:e1", a_market("1x2", "1.50"))
            assert (await until(client, clients.Snapshot)).event == on.oracle["uof:e1"]

    run(main)


def test_competitions_come_and_go(run, stage, a_market):
    async def main():
        async with stage() as on, on.client() as client:
            await client.subscribe("c", competitions=["uof:c1"])
            await until(client, clients.Synced)
            await on.change("uof:e1", a_market("1x2", "1.50"), fields={"competition": {"id": "uof:c1"}})
            assert (await until(client, clients.Snapshot)).event.event == "uof:e1"
            await on.change("uof:e1", fields={"competition": {"id": "uof:c2"}})
            gone = await until(client, clients.Gone)
            assert (gone.event, gone.rev, gone.reason) == ("uof:e1", 1, "competition")
            await on.change("uof:e1", fields={"competition": {"id": "uof:c1"}})
            assert (await until(client, clients.Snapshot)).event == on.oracle["uof:e1"]

    run(main)


def test_markets_filter_skips_what_does_not_concern_it(run, stage, a_market):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"), a_market("total", "1.90", line="total=2.5"))
            await on.seen("uof:e1")
            async with on.client() as client:
                await client.subscribe("m", events=["uof:e1"], markets=["1x2"])
                snapshot = await until(client, clients.Snapshot)
                assert [each.market for each in snapshot.event.markets] == ["1x2"]
                await until(client, clients.Synced)
                await on.change("uof:e1", a_market("total", "1.95", line="total=2.5"))
                await on.change("uof:e1", a_market("1x2", "1.55"), a_market("total", "1.85", line="total=2.5"))
                changed = await until(client, clients.Changed)
                assert (changed.item.prev, changed.item.rev) == (1, 3)
                assert [each.market for each in changed.item.changes.markets] == ["1x2"]

    run(main)


def test_conflation_merges_names_what_was_shut_and_lets_stops_through(run, stage, a_market):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.change("uof:e2", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            await on.seen("uof:e2")
            async with on.client() as client:
                await client.subscribe("s1", conflate_ms=300)
                await until(client, clients.Synced)
                await on.change("uof:e1", a_market("1x2", "1.51"))
                await on.change("uof:e1", a_market("1x2", "1.52", status="suspended"))
                await on.change("uof:e1", a_market("1x2", "1.53"))
                await on.change("uof:e2", a_market("1x2", "1.51"))
                await on.change("uof:e2", a_market("1x2", "1.51", status="suspended"), cause="bet_stop")
                stopped = await until(client, clients.Changed)
                assert (stopped.item.event, stopped.item.prev, stopped.item.rev, stopped.item.con) == (
                    "uof:e2",
                    1,
                    3,
                    True,
                )
                merged = await until(client, clients.Changed)
                assert (merged.item.event, merged.item.prev, merged.item.rev, merged.item.con) == ("uof:e1", 1, 4, True)
                assert merged.item.changes.closed == [shown.MarketKey(market="1x2", line="")]
                assert client.events("s1") == on.oracle

    run(main)


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (b"{", "bad_json"),
        (b"[1]", "bad_op"),
        (b'{"op":"dance"}', "bad_op"),
        (b'{"op":1}', "bad_op"),
        (b'{"op":"unsubscribe","sub":"x"}', "unknown_sub"),
        (b'{"op":"subscribe","sub":"s","sports":["chess"]}', "unknown_sport"),
        (b'{"op":"subscribe","sub":"s","sports":["football"],"events":["a"]}', "bad_filter"),
        (b'{"op":"subscribe","sub":"s","events":[]}', "bad_filter"),
        (b'{"op":"subscribe","sub":"s","conflate_ms":60001}', "bad_filter"),
        (b'{"op":"subscribe","sub":"s","cursor":"nonsense"}', "bad_cursor"),
        (b'{"op":"subscribe","sub":"s","events":[' + b",".join([b'"e"'] * 1001) + b"]}", "too_many"),
    ],
)
def test_errors_are_said(run, stage, said, code):
    async def main():
        async with stage() as on, on.client() as client:
            client._protocol.send_text(said)
            await client._flush()
            assert (await until(client, clients.Refused)).code == code
            await client.ping(7)
            assert (await until(client, clients.Pong)).n == 7

    run(main)


@pytest.mark.parametrize(
    ("send", "code"),
    [
        (lambda protocol: protocol.send_binary(b"{}"), 4400),
        (lambda protocol: protocol.send_text(b"\xff\xfe"), 1007),
        (lambda protocol: protocol.send_text(b" " * 65_537), 1009),
        (lambda protocol: [protocol.send_text(b'{"op":"ping"}') for _ in range(300)], 4429),
        (lambda protocol: [protocol.send_text(b"{") for _ in range(150)], 4400),
    ],
)
def test_bad_clients_are_closed_with_a_code_and_a_reason(run, stage, send, code):
    async def main():
        async with stage() as on, on.client() as client:
            send(client._protocol)
            await client._flush()
            with pytest.raises(clients.StreamError) as closed:
                await until(client, clients.Lost)
            assert closed.value.code == code
            assert str(closed.value)

    run(main)


def test_heartbeats_carry_cursors(run, stage):
    async def main():
        async with stage(stream_heartbeat_ms=200) as on, on.client() as client:
            await client.subscribe("s1", sports=["football"])
            synced = await until(client, clients.Synced)
            beat = await until(client, clients.Heartbeat)
            assert parse(beat.cursors["s1"]).offsets == parse(synced.cursor).offsets
            assert abs(beat.ts - on.context.clock.now_ms()) < 5_000

    run(main)


def test_stale_and_fresh(run, stage, a_market):
    async def main():
        async with stage(lag_ms_max=300) as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            async with on.client() as client:
                await client.subscribe("s1", events=["uof:e1"])
                stale = await until(client, clients.Stale)
                assert stale.sports == ["football"]
                assert stale.since <= on.context.clock.now_ms() - 300
                assert not client.bettable("s1", "uof:e1", "1x2")
                assert on.node.stale("football")
                await on.tick(["football"])
                assert (await until(client, clients.Fresh)).sports == ["football"]
                assert client.bettable("s1", "uof:e1", "1x2")
                assert on.node.stale("tennis")
                assert not on.node.stale("football")

    run(main)


def test_a_snapshot_while_stale_says_so_and_fresh_follows(run, stage, a_market):
    async def main():
        async with stage(lag_ms_max=200) as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            await anyio.sleep(0.5)
            async with on.client() as client:
                await client.subscribe("s1")
                assert (await until(client, clients.Snapshot)).event.stale
                assert (await until(client, clients.Stale)).sports == ["basketball", "football", "hockey", "tennis"]
                await on.tick()
                await until(client, clients.Fresh)
                assert not client.events("s1")["uof:e1"].stale

    run(main)


@pytest.mark.parametrize("ring", [100_000, 48])
def test_resume_from_ring_or_log(run, stage, a_market, ring):
    async def main():
        async with stage(ring_changes_max=ring) as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.change("uof:e2", a_market("1x2", "1.50"))
            await on.seen("uof:e2")
            async with on.client() as client:
                await client.subscribe("s1", sports=["football"])
                await until(client, clients.Synced)
                await on.change("uof:e1", a_market("1x2", "1.51"))
                await until(client, clients.Changed)
                known = client.followed("s1")
            for odds in ("1.52", "1.53", "1.54"):
                await on.change("uof:e1", a_market("1x2", odds))
            await on.change("uof:e3", a_market("1x2", "3.00"))
            await on.seen("uof:e1")
            await on.seen("uof:e3")
            async with on.client() as client:
                await client.subscribe("s1", sports=["football"], cursor=known.cursor)
                client.followed("s1").events = known.events
                subscribed = await until(client, clients.Subscribed)
                assert (subscribed.recovered, subscribed.source) == (True, "ring" if ring > 48 else "log")
                await until(client, clients.Synced)
                assert client.events("s1") == on.oracle
                await on.change("uof:e2", a_market("1x2", "1.60"))
                assert (await until(client, clients.Changed)).item.prev == 1
                assert client.events("s1") == on.oracle

    run(main)


@pytest.mark.parametrize("lost", ["the newest", "all"])
def test_no_resume_from_a_log_that_lost_its_newest(run, stage, a_market, lost):
    """The store failed over and lacks changes that were published; they will be made again, but not in time."""

    async def main():
        async with stage(ring_changes_max=48) as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            async with on.client() as client:
                await client.subscribe("s1", sports=["football"])
                await until(client, clients.Synced)
                known = client.followed("s1")
            connection = on.context.store._writer
            saved = connection.serialize()
            for odds in ("1.52", "1.53", "1.54"):
                await on.change("uof:e1", a_market("1x2", odds))
            await on.seen("uof:e1")
            connection.deserialize(saved)
            if lost == "all":
                connection.executescript("DELETE FROM changes; DELETE FROM positions;")
            async with on.client() as client:
                await client.subscribe("s1", sports=["football"], cursor=known.cursor)
                client.followed("s1").events = known.events
                assert (await until(client, clients.Subscribed)).source == "snapshot"
                await until(client, clients.Synced)
                assert client.events("s1") == on.oracle

    run(main)


def test_a_cursor_of_another_filter_or_lineage_gets_a_snapshot(run, stage, a_market):
    async def main():
        async with stage() as on, on.client() as client:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            await client.subscribe("s1", sports=["football"])
            cursor = (await until(client, clients.Synced)).cursor
            await client.subscribe("s2", events=["uof:e1"], cursor=cursor)
            assert (await until(client, clients.Subscribed, "s2")).source == "snapshot"
            await until(client, clients.Synced, "s2")
            assert client.events("s2") == on.oracle

    run(main)


def test_an_event_only_the_store_knows_is_loaded(run, stage, a_market):
    async def main():
        async def before(on):
            await on.change("uof:old", a_market("1x2", "1.50"), fields={"status": "ended"}, published=False)

        async with stage(before=before) as on, on.client() as client:
            await client.subscribe("s1", events=["uof:old", "uof:none"])
            assert (await until(client, clients.Subscribed)).events == 1
            await until(client, clients.Synced)
            assert client.events("s1") == on.oracle
            assert await on.node.event("uof:none") is None

    run(main)


def test_current_events_are_loaded_at_the_start(run, stage, a_market):
    async def main():
        async def before(on):
            await on.change("uof:e1", a_market("1x2", "1.50"), fields={"status": "live"}, published=False)
            await on.change("uof:e2", a_market("1x2", "1.50"), fields={"status": "closed"}, published=False)

        async with stage(before=before) as on, on.client() as client:
            await client.subscribe("s1")
            assert (await until(client, clients.Subscribed)).events == 1
            await on.change("uof:e1", a_market("1x2", "1.60"))
            assert (await until(client, clients.Changed)).event == on.oracle["uof:e1"]

    run(main)


def test_a_lost_update_is_noticed_and_the_event_taken_anew(run, stage, a_market):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            async with on.client() as client:
                await client.subscribe("s1")
                await until(client, clients.Synced)
                await on.change("uof:e1", a_market("total", "1.90", line="total=2.5"), published=False)
                await on.change("uof:e1", a_market("1x2", "1.60"))
                assert (await until(client, clients.Snapshot)).event == on.oracle["uof:e1"]

    run(main)


def test_an_event_that_cannot_be_had_is_gone_and_comes_back(run, stage, a_market):
    async def main():
        async with stage() as on:
            await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.seen("uof:e1")
            async with on.client() as client:
                await client.subscribe("s1")
                await until(client, clients.Synced)
                await on.change("uof:e1", a_market("1x2", "1.55"), stored=False, published=False)
                update = await on.change("uof:e1", a_market("1x2", "1.60"), stored=False)
                gone = await until(client, clients.Gone)
                assert (gone.event, gone.reason) == ("uof:e1", "unavailable")
                await on.store(update)
                assert (await until(client, clients.Snapshot)).event == on.oracle["uof:e1"]

    run(main)


def test_what_a_database_that_was_put_back_lacks_is_shown_to_nobody_under_its_next_lineage(run, stage, a_market):
    mates = [f"uof:e{n}" for n in range(99) if partition_of(f"uof:e{n}") == partition_of("uof:e1")]
    other = next(f"uof:e{n}" for n in range(99) if partition_of(f"uof:e{n}") != partition_of("uof:e1"))

    async def main():
        async with stage() as on:
            for event, stored in ((mates[0], True), (mates[1], False), (other, False)):
                await on.change(event, a_market("1x2", "1.50"), stored=stored)
                await on.seen(event)
            async with on.client() as client:
                await client.subscribe("s1")
                await until(client, clients.Synced)
                on.oracle[mates[0]] = msgspec.structs.replace(on.oracle[mates[0]], lineage=2)
                await on.change(mates[0], a_market("1x2", None, status="suspended"))
                assert (await until(client, clients.Snapshot)).event == on.oracle[mates[0]]
                gone = await until(client, clients.Gone)
                assert (gone.event, gone.reason) == (mates[1], "unavailable")
                assert client.events("s1").keys() == {mates[0], other}

    run(main)


def test_a_repeated_or_unreadable_record_harms_nobody(run, stage, a_market):
    async def main():
        async with stage() as on, on.client() as client:
            await client.subscribe("s1")
            await until(client, clients.Synced)
            update = await on.change("uof:e1", a_market("1x2", "1.50"))
            await on.publish(update)
            broken = msgspec.structs.replace(update, rev=9, prev=8, at=update.at + 5)
            broken.changes = {"markets": 3}
            await on.publish(broken)
            await on.change("uof:e1", a_market("1x2", "1.60"))
            await until(client, clients.Snapshot)

    run(main)


def test_keys_are_asked_for(run, stage):
    digest = sha256(b"letmein").hexdigest()
    feeder = sha256(b"feeder").hexdigest()

    async def main():
        async with stage(keys=f"app:{digest}:read;feed:{feeder}:feed:uof") as on:
            for key in (None, "wrong", "feeder"):
                with pytest.raises(clients.StreamError) as closed:
                    async with on.client(key=key) as client:
                        await until(client, clients.Hello)
                assert closed.value.code == 4401
            async with on.client(key="letmein") as client:
                await until(client, clients.Hello)

    run(main)


def test_too_many_connections(run, stage):
    async def main():
        async with stage(stream_connections_max=1) as on, on.client() as first:
            await until(first, clients.Hello)
            with pytest.raises(clients.StreamError) as closed:
                async with on.client() as second:
                    await until(second, clients.Hello)
            assert closed.value.code == 4429

    run(main)


def test_too_many_connections_of_one_client(run, stage):
    keys = ";".join(f"{name}:{sha256(name.encode()).hexdigest()}:read" for name in ("one", "two"))

    async def main():
        async with stage(keys=keys, stream_client_connections_max=1) as on, on.client(key="one") as first:
            await until(first, clients.Hello)
            with pytest.raises(clients.StreamError) as closed:
                async with on.client(key="one") as second:
                    await until(second, clients.Hello)
            assert closed.value.code == 4429
            async with on.client(key="two") as other:
                await until(other, clients.Hello)
            await first.aclose()
            with anyio.fail_after(5):
                while on.hub.sessions:  # noqa: ASYNC110  the server is asked from outside
                    await anyio.sleep(0.01)
            async with on.client(key="one") as again:
                await until(again, clients.Hello)

    run(main)


def test_shutdown_closes_with_1001(run, stage):
    async def main():
        async with stage() as on, on.client() as client:
            await until(client, clients.Hello)
            on.stop.set()
            with pytest.raises(clients.StreamError) as closed:
                await until(client, clients.Lost)
            assert closed.value.code == 1001

    run(main)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/health", 200),
        ("/ready", 503),
        ("/metrics", 200),
        ("/v1/account", 200),
        ("/nothing", 404),
        ("/v1/stream", 426),
    ],
)
def test_plain_http_on_the_same_port(run, stage, path, status):
    async def main():
        async with stage() as on:
            stream = await anyio.connect_tcp("127.0.0.1", on.port)
            async with stream:
                await stream.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                said = b""
                with anyio.fail_after(5):
                    try:
                        while True:
                            said += await stream.receive()
                    except anyio.EndOfStream:
                        pass
            assert said.startswith(f"HTTP/1.1 {status} ".encode())
            head, _, body = said.partition(b"\r\n\r\n")
            assert f"Content-Length: {len(body)}".encode() in head

    run(main)
