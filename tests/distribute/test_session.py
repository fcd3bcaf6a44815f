"""A session's table: what a client says, and what comes of it."""

import msgspec
import pytest

from sb_distribute import wire
from sb_distribute.session import (
    CLOSE_BAD,
    CLOSE_TOO_MANY,
    MESSAGES_BURST_MAX,
    MESSAGES_PER_S_MAX,
    REFUSED_MAX,
    Close,
    Join,
    Leave,
    Limits,
    Session,
)
from sb_distribute.subscriptions import Subscription
from sb_distribute.wire import JSON, MSGPACK, RefusedError, choose

SPORTS = ("football", "tennis")


class Nothing:
    """A picture of a node that holds nothing."""

    stale: dict = {}
    position = None


def session(form=JSON, **limits):
    return Session(
        "s",
        form,
        Limits(**{"subscriptions_max": 2, "outbox_bytes_max": 1000, "heartbeat_ms": 1000, **limits}),
        SPORTS,
        0,
    )


def said(one):
    messages, more = one.take(Nothing(), 0, 1_000_000)
    assert not more
    return [msgspec.json.decode(each) for each in messages]


def test_hello_tells_the_limits():
    one = session()
    one.hello(3)
    (hello,) = said(one)
    assert hello["op"] == "hello"
    assert hello["lineage"] == 3
    assert hello["limits"]["subscriptions_max"] == 2


@pytest.mark.parametrize(
    ("data", "kind", "ids", "markets"),
    [
        ({}, "all", set(), None),
        ({"sports": ["football", "tennis"]}, "sports", {"football", "tennis"}, None),
        ({"events": ["a:1"], "markets": ["1x2"]}, "events", {"a:1"}, {"1x2"}),
        ({"competitions": ["a:c"], "unknown": 1}, "competitions", {"a:c"}, None),
    ],
)
@pytest.mark.parametrize("form", [JSON, MSGPACK])
def test_subscribe(form, data, kind, ids, markets):
    effect = session(form).receive(form.encode({"op": "subscribe", "sub": "s1", **data}), 0)
    assert isinstance(effect, Join)
    assert (effect.filter.kind, effect.filter.ids, effect.filter.markets) == (kind, ids, markets)


@pytest.mark.parametrize(
    ("data", "code", "sub"),
    [
        (b"", "bad_json", None),
        (b"\xff", "bad_json", None),
        (b"[" * 5_000, "bad_json", None),
        (b'{"op":"ping","x":' + b"[" * 5_000, "bad_json", None),
        (b'{"op":1', "bad_json", None),
        (b'"subscribe"', "bad_op", None),
        (b'{"sub":"s"}', "bad_op", None),
        (b'{"op":null}', "bad_op", None),
        (b'{"op":"hello","sub":"s"}', "bad_op", "s"),
        (b'{"op":"ping","n":{}}', "bad_op", None),
        (b'{"op":"unsubscribe"}', "bad_op", None),
        (b'{"op":"unsubscribe","sub":"none"}', "unknown_sub", "none"),
        (b'{"op":"subscribe"}', "bad_filter", None),
        (b'{"op":"subscribe","sub":""}', "bad_filter", ""),
        (b'{"op":"subscribe","sub":"s","sports":"football"}', "bad_filter", "s"),
        (b'{"op":"subscribe","sub":"s","sports":["football"],"competitions":["c"]}', "bad_filter", "s"),
        (b'{"op":"subscribe","sub":"s","markets":[]}', "bad_filter", "s"),
        (b'{"op":"subscribe","sub":"s","conflate_ms":-1}', "bad_filter", "s"),
        (b'{"op":"subscribe","sub":"s","conflate_ms":1.5}', "bad_filter", "s"),
        (b'{"op":"subscribe","sub":"s","cursor":5}', "bad_cursor", "s"),
        (b'{"op":"subscribe","sub":"s","sports":["football","curling"]}', "unknown_sport", "s"),
    ],
)
def test_what_is_refused(data, code, sub):
    one = session()
    assert one.receive(data, 0) is None
    (error,) = said(one)
    assert (error["op"], error["code"], error["sub"]) == ("error", code, sub)
    assert error["message"]


def test_null_is_as_if_it_were_not_there():
    one = session()
    nulls = dict.fromkeys(("sports", "events", "competitions", "markets", "conflate_ms", "cursor"))
    effect = one.receive(JSON.encode({"op": "subscribe", "sub": "s", **nulls}), 0)
    assert isinstance(effect, Join)


@pytest.mark.parametrize("n", [0, 7, "seven", None])
def test_ping(n):
    one = session()
    assert one.receive(JSON.encode({"op": "ping", "n": n}), 0) is None
    assert said(one) == [{"op": "pong", "n": n}]


def test_subscriptions_are_limited_and_replaced():
    one = session()
    for name in ("a", "b"):
        effect = one.receive(JSON.encode({"op": "subscribe", "sub": name}), 0)
        one.subscriptions[name] = Subscription(name, effect.filter, (), one, conflate_ms=0, bytes_max=10)
    assert one.receive(JSON.encode({"op": "subscribe", "sub": "c"}), 0) is None
    assert isinstance(one.receive(JSON.encode({"op": "subscribe", "sub": "b"}), 0), Join)
    assert isinstance(one.receive(JSON.encode({"op": "unsubscribe", "sub": "a"}), 0), Leave)
    assert isinstance(one.receive(JSON.encode({"op": "subscribe", "sub": "c"}), 0), Join)


def test_too_many_messages():
    one = session()
    effects = [one.receive(b'{"op":"ping"}', 0) for _ in range(MESSAGES_BURST_MAX + 1)]
    assert effects[:-1] == [None] * MESSAGES_BURST_MAX
    assert isinstance(effects[-1], Close)
    assert effects[-1].code == CLOSE_TOO_MANY
    one = session()
    for second in range(20):
        for _ in range(MESSAGES_PER_S_MAX):
            assert one.receive(b'{"op":"ping"}', second * 1000) is None


def test_too_many_bad_messages_in_a_row():
    one = session()
    for n in range(REFUSED_MAX):
        assert one.refuse(RefusedError("bad_json", "no")) is None, n
    assert one.refuse(RefusedError("bad_json", "no")).code == CLOSE_BAD


def test_heartbeat_only_after_silence():
    one = session()
    assert not one.beat(Nothing(), 999)
    assert one.beat(Nothing(), 1000)
    assert not one.beat(Nothing(), 3000)  # the first still waits
    messages, _ = one.take(Nothing(), 3000, 1000)
    assert msgspec.json.decode(messages[0]) == {"op": "heartbeat", "ts": 1000, "cursors": {}}
    assert not one.beat(Nothing(), 3999)
    assert one.beat(Nothing(), 4000)


@pytest.mark.parametrize(
    ("offered", "form"),
    [
        ([], None),
        (["sb.v1.json"], JSON),
        (["sb.key.x", "sb.v1.msgpack"], MSGPACK),
        (["sb.v1.msgpack", "sb.v1.json"], MSGPACK),
        (["mqtt"], None),
    ],
)
def test_subprotocols(offered, form):
    assert choose(offered) is form


def test_every_frame_has_its_op():
    for kind in wire.Frame.__args__:
        assert kind.__struct_config__.tag_field == "op"
