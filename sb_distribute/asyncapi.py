"""The AsyncAPI 3 document of the WebSocket and the topics, made from the structs that are read and written.

The rule: nothing is described twice. What a server's frame carries already encoded is named by the type it was encoded
from; every key of an output is always present.
"""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from sb_core import messages, shown, topics
from sb_core.ops import software_version
from sb_distribute import wire
from sb_distribute.node import ProducerRow

Json = dict[str, Any]

_REF: Final = "#/components/schemas/{name}"
SAYS: Final = (
    wire.Hello, wire.Subscribed, wire.Unsubscribed, wire.Snapshot, wire.Synced, wire.Updates, wire.Gone, wire.Stale,
    wire.Fresh, wire.Heartbeat, wire.Pong, wire.Error,
)  # fmt: skip
"""The server's frames."""
HEARS: Final = (wire.Subscribe, wire.Unsubscribe, wire.Ping)
"""The client's operations."""
FEED: Final = (
    messages.Fixture, messages.Odds, messages.BetStop, messages.ScoreChange, messages.Settlement, messages.Cancel,
    messages.SettlementRollback, messages.CancelRollback, messages.Hold, messages.Release, messages.Producer,
    messages.Tick,
)  # fmt: skip
ALIVE: Final = (messages.Alive, messages.SnapshotComplete)
UPDATES: Final = (shown.Update, shown.UpdateTick)
_RAW: Final = {
    ("Snapshot", "event"): {"$ref": _REF.format(name="Event")},
    ("Updates", "items"): {"type": "array", "items": {"$ref": _REF.format(name="Item")}},
    ("Item", "changes"): {"$ref": _REF.format(name="Changes")},
}
"""What stands in a frame as bytes, and is this."""
_ABOUT: Final = """\
One may bet on a market now if its `open` is true and its event is not `stale`; nothing else is needed.

A client drops an item whose (lineage, rev) is not above its own. A gap is a `prev` above its own, or another lineage:
subscribe again. A cursor means the same on every node. Close codes: 1001 and 1012 shutdown, 1009 too large, 4400 bad
messages, 4401 no valid key, 4408 too slow, 4429 too many. Subprotocols: `sb.v1.json` (default), `sb.v1.msgpack`.
"""


def asyncapi() -> Json:
    """Return the document, ready to be written as JSON."""
    outputs = (*SAYS, wire.Item, shown.Event, *UPDATES, ProducerRow)
    schemas = _schemas(outputs, output=True) | _schemas((*HEARS, *FEED, *ALIVE), output=False)
    for (name, field), schema in _RAW.items():
        schemas[name] = {**schemas[name], "properties": {**schemas[name]["properties"], field: schema}}
    sport = {"sport": {"enum": list(topics.SPORTS), "description": "A sport."}}
    channels = {
        "stream": _channel("/v1/stream", (*SAYS, *HEARS), "stream", "Subscriptions, snapshots and updates."),
        "feed": _channel("sports-feed-{sport}", FEED, "log", "Canonical messages, by event.", sport),
        "updates": _channel("sports-updates-{sport}", UPDATES, "log", "One message for each `rev`, and ticks.", sport),
        "alive": _channel(topics.ALIVE, ALIVE, "log", "Producers' signs of life."),
        "producers": _channel(topics.PRODUCERS, (ProducerRow,), "log", "States of producers, compacted."),
    }
    kinds = {kind.__name__: kind for kind in (*SAYS, *HEARS, *FEED, *ALIVE, *UPDATES, ProducerRow)}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Sports betting pipeline: the stream and the topics",
            "version": software_version(),
            "description": _ABOUT,
        },
        "defaultContentType": "application/json",
        "servers": {
            "stream": {"host": "127.0.0.1:4003", "protocol": "ws", "security": [_security("key")]},
            "log": {"host": "127.0.0.1:9092", "protocol": "kafka"},
        },
        "channels": channels,
        "operations": _operations(),
        "components": {
            "messages": {name: _message(name, schemas) for name in kinds},
            "schemas": schemas,
            "securitySchemes": {
                "key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key with the scope `read`, also as subprotocol `sb.key.<key>`; none is needed "
                    "where the service has no keys set.",
                }
            },
        },
    }


def _security(name: str) -> Json:
    return {"$ref": f"#/components/securitySchemes/{name}"}


def _schemas(kinds: Sequence[Any], *, output: bool) -> dict[str, Json]:
    _, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    return {name: _always_there(schema) if output else schema for name, schema in components.items()}


def _always_there(schema: Json) -> Json:
    """Describe what is written: all keys are there, and there are no defaults."""
    if "properties" not in schema:
        return schema
    properties = {
        name: {key: value for key, value in each.items() if key != "default"}
        for name, each in schema["properties"].items()
    }
    return {**schema, "properties": properties, "required": list(properties)}


def _channel(address: str, kinds: Sequence[Any], server: str, about: str, parameters: Json | None = None) -> Json:
    names = [kind.__name__ for kind in kinds]
    channel: Json = {
        "address": address,
        "description": about,
        "servers": [{"$ref": f"#/servers/{server}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in names},
    }
    return channel if parameters is None else {**channel, "parameters": parameters}


def _message(name: str, schemas: dict[str, Json]) -> Json:
    described: Json = {"name": name, "payload": {"$ref": _REF.format(name=name)}}
    about = schemas[name].get("description")
    return {**described, "summary": about.split("\n")[0]} if about else described


def _operations() -> Json:
    def of(channel: str, action: str, kinds: Sequence[Any], about: str) -> Json:
        named = [{"$ref": f"#/channels/{channel}/messages/{kind.__name__}"} for kind in kinds]
        return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "messages": named, "summary": about}

    return {
        "say": of("stream", "send", SAYS, "What the service sends to a client"),
        "hear": of("stream", "receive", HEARS, "What a client may ask"),
        "appendFeed": of("feed", "send", FEED, "Ingest appends what it accepted"),
        "foldFeed": of("feed", "receive", FEED, "A sport's processor folds it"),
        "appendUpdates": of("updates", "send", UPDATES, "A processor appends each change"),
        "followUpdates": of("updates", "receive", UPDATES, "Distribution nodes follow"),
        "appendAlive": of("alive", "send", ALIVE, "Ingest passes signs of life on"),
        "tellProducers": of("producers", "send", (ProducerRow,), "The judge of producers says their state"),
    }
