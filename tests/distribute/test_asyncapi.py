"""The AsyncAPI document: valid by AsyncAPI's own schema (Apache licence 2.0, without its prose), and true of the frames."""

import json
from pathlib import Path

import jsonschema
import msgspec
import pytest

from sb_core import client as clients
from sb_core import messages, shown, topics
from sb_distribute.asyncapi import FEED, HEARS, SAYS, asyncapi
from sb_distribute.wire import Frame, Operation

SCHEMA = json.loads(Path(__file__).with_name("asyncapi-3.0.0.json").read_text())
DOCUMENT = asyncapi()


def checker(name):
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema.Draft202012Validator(schema)


def test_the_document_is_valid():
    kind = jsonschema.validators.validator_for(SCHEMA)
    kind.check_schema(SCHEMA)
    assert not list(kind(SCHEMA).iter_errors(DOCUMENT))
    assert list(kind(SCHEMA).iter_errors({**DOCUMENT, "channels": {"x": {"address": 1}}}))
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema({**schema, "components": DOCUMENT["components"]})


def refs(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from refs(each)
    elif isinstance(node, list):
        for each in node:
            yield from refs(each)


def test_every_reference_leads_somewhere():
    for ref in set(refs(DOCUMENT)):
        at = DOCUMENT
        for part in ref.removeprefix("#/").split("/"):
            at = at[part]
        assert isinstance(at, dict)


def test_every_frame_operation_and_message_is_there():
    assert {kind.__name__ for kind in SAYS} == {kind.__name__ for kind in Frame.__args__}
    assert {kind.__name__ for kind in HEARS} == {kind.__name__ for kind in Operation.__args__}
    named = {kind.__name__ for kind in messages.AnyMessage.__args__}
    assert named == {kind.__name__ for kind in FEED} | {"Alive", "SnapshotComplete"}
    assert DOCUMENT["channels"]["feed"]["parameters"]["sport"]["enum"] == list(topics.SPORTS)


def test_what_is_said_is_what_is_described(run, stage, a_market):
    said = []

    async def main():
        async with stage(stream_heartbeat_ms=100, lag_ms_max=400) as on, on.client() as client:
            told = client._take_frame

            def take(frame):
                if getattr(frame, "data", b"").startswith(b"{"):
                    said.append(json.loads(frame.data))
                told(frame)

            client._take_frame = take
            await on.change("uof:e1", a_market("1x2", "1.50"), fields={"competition": {"id": "uof:c1"}})
            await on.seen("uof:e1")
            await client.subscribe("s1", competitions=["uof:c1"])
            await client.unsubscribe("none")
            await client.ping("x")
            await on.change("uof:e1", a_market("1x2", "1.60"), score=messages.Score(home=1, away=0))
            await on.seen("uof:e1")  # or it is gone before it has changed
            await on.change("uof:e1", a_market("1x2", "1.60"), fields={"competition": {"id": "uof:c2"}})
            seen = set()
            async for happened in client:
                seen.add(type(happened))
                if {clients.Stale, clients.Gone, clients.Heartbeat, clients.Refused} <= seen:
                    await on.tick()
                if {clients.Fresh, clients.Changed} <= seen:
                    await client.unsubscribe("s1")
                if clients.Unsubscribed in seen:
                    return

    run(main)
    ops = {kind.__struct_config__.tag: kind.__name__ for kind in SAYS}
    assert {each["op"] for each in said} == set(ops) - {"hello"}  # that one came before we listened
    for each in said:
        checker(ops[each["op"]]).validate(each)


@pytest.mark.parametrize("missing", ["event", "rev", "changes"])
def test_a_key_that_is_missing_is_noticed(missing):
    update = shown.Update(
        event="a:1", sport="tennis", lineage=1, prev=0, rev=1, ts=1, updated=1, changes=shown.Changes()
    )
    written = msgspec.json.decode(msgspec.json.encode(update))
    checker("Update").validate(written)
    del written[missing]
    with pytest.raises(jsonschema.ValidationError):
        checker("Update").validate(written)
