"""The verdict on a world at rest: what is stored, shown and counted against what the feed topics hold.

The rules: the feed topics are the truth. They are folded once more, uninterrupted and in one go, and looked at once
more in the plainest way, without the fold, for what a fault in the fold itself would hide. Whether what is judged was
simulated, or comes from real engines, isn't known here.
"""

from collections import Counter, deque
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from typing import TypeAlias

from msgspec import Struct
from sim_clients import Application
from sim_oracle import Oracle
from sim_plain import Plain
from sim_workload import LIVE, PREMATCH, SPORT_OF

from sb_core import shown, sports, topics
from sb_core.messages import Odds
from sb_core.ports import Cache, Store
from sb_core.precedence import ranker
from sb_core.records import Fetched, Position, TopicPartition
from sb_core.shown import Event
from sb_distribute.loader import assembled
from sb_process import lineage, render
from sb_process import plan as planning
from sb_process.plan import Plan, Surroundings
from sb_process.state import IDS_MAX, PartitionState, StoredHead, encoder, partition_decoder

PRODUCERS = frozenset({f"uof:{LIVE}", f"uof:{PREMATCH}"})
COUNTED = ("applied", "unchanged", "stale", "duplicate")


Records: TypeAlias = dict[TopicPartition, Sequence[Fetched]]


class Rest(Struct, frozen=True):
    """What there is when nothing moves any more."""

    oracle: Oracle
    feeds: Records
    """Every partition of the feed topics, from its first record on."""
    starts: Mapping[TopicPartition, int]
    """Of these, what retention has left."""
    updates: Records
    alive: Sequence[Fetched]
    letters: Sequence[Fetched]
    account: Mapping[str, int]
    """The log's counts."""
    store: Store
    cache: Cache
    nodes: Mapping[str, Callable[[str], Awaitable[Event | None]]]
    """By node, what it says of an event."""
    evicted: bool = False
    """Whether the cache had to forget something."""


async def judge(rest: Rest, applications: Sequence[Application]) -> None:
    """Judge a world at rest; what is wrong is a violation of its oracle."""
    feeds = dict(rest.feeds)
    if not rest.oracle.outlived:
        await _accounts(rest, feeds)
    _accepted(rest, feeds)
    _told_everywhere(rest, feeds)
    await _outlived(rest, feeds)
    _letters(rest, feeds)
    _ticks(rest, feeds)
    for position in await rest.store.positions([topics.feed(sport) for sport in world_sports()]):
        if (position.topic, position.partition) in feeds:
            await _partition(rest, position, feeds[position.topic, position.partition])
    for event in SPORT_OF:
        await _readers(rest, event)
    for application in applications:
        for event in application.followed.events.values():
            rest.oracle.read(f"{application.name} at rest", event)
    for (event, rev), early in rest.oracle.early.items():
        rest.oracle.violated(f"{[who for who, _ in early]} had {event} at rev {rev}, which was never published")
    plain = Plain(feeds)
    for versions in rest.oracle.versions.values():
        _plainly(rest, versions[-1], plain)


async def said_down(store: Store, oracle: Oracle) -> dict[str, str]:
    """Return the feed partitions whose fold takes a producer for something else than up."""
    down = {}
    for each in await store.positions([topics.feed(sport) for sport in world_sports()]):
        for key, view in partition_decoder.decode(each.state).producers.items():
            if view.state != "up" and (each.topic, each.partition) not in oracle.standing:
                down[f"{each.topic}/{each.partition} {key}"] = view.state
    return down


def lacks(oracle: Oracle, application: Application) -> list[str]:
    """Say what was published and an application doesn't have."""
    versions, events = oracle.versions, application.followed.events
    wanted = application.followed.request.get("events") or SPORT_OF
    newest = {event: len(versions[event]) - 1 for event in wanted if event in versions}
    held = {event: events[event].rev if event in events else None for event in newest}
    return [
        f"{application.name} has {each} at {held[each]} of {newest[each]}"
        for each in newest
        if held[each] != newest[each]
    ]


def _plainly(rest: Rest, event: Event, plain: Plain) -> None:
    """See that an event is what the feed says of it, without the fold."""
    for said in plain.faults(event) if event.event in plain.said else ():
        rest.oracle.violated(said)
    for said in _open_since(rest, event, plain):
        rest.oracle.violated(said)


async def _outlived(rest: Rest, feeds: Records) -> None:
    """Partitions of which retention took something stand where they stood, and nothing more can be asked of them; if an
    operator let them go on, what was taken is as if never said."""
    for place in rest.oracle.standing:
        rest.oracle.happened("partition_stopped")
        rest.oracle.expect(await _stands(rest, place), f"{place} went on by itself")
        del feeds[place]
    for place, gaps in rest.oracle.raised.items():
        feeds[place] = [each for each in feeds[place] if not any(start <= each.offset < end for start, end in gaps)]


def _open_since(rest: Rest, event: Event, plain: Plain) -> Iterator[str]:
    """Say what is open in a partition whose lineage was raised, and has no odds since: stops of it may be gone."""
    gaps = rest.oracle.raised.get((topics.feed(event.sport), topics.partition_of(event.event)))
    since = [each for each in plain.said.get(event.event, ()) if gaps and each[0] >= gaps[-1][1]]
    priced = {(each.market, each.line) for _, _, said in since if isinstance(said, Odds) for each in said.markets}
    for market in event.markets if gaps else ():
        if market.open and (market.market, market.line) not in priced:
            yield f"{event.event} {market.market}|{market.line} is open, and without odds since its lineage was raised"


async def _stands(rest: Rest, place: tuple[str, int]) -> bool:
    """Say whether a partition's position is below what its log has left."""
    positions = await rest.store.positions([place[0]])
    return all(each.next_offset < rest.starts[place] for each in positions if each.partition == place[1])


def world_sports() -> tuple[str, ...]:
    return tuple(dict.fromkeys(SPORT_OF.values()))


def _units(records: Sequence[Fetched]) -> list[Fetched]:
    return [each for each in records if each.key in SPORT_OF]


async def _accounts(rest: Rest, feeds: Records) -> None:
    """The account balances, and counts what is there."""
    oracle = rest.oracle
    log = Counter(rest.account)
    store = Counter(await rest.store.account(list(dict.fromkeys(topic for topic, _ in feeds))))
    units = sum(len(_units(records)) for records in feeds.values())
    control = len(rest.alive) - log["system:alive"]
    refused = sum(count for name, count in log.items() if name.startswith("refused:"))
    dead = sum(count for name, count in store.items() if name.startswith("dead_lettered:"))
    oracle.expect(log["accepted"] == units + control, f"accepted {log['accepted']}, there are {units} + {control}")
    oracle.expect(log["control"] == control, f"control {log['control']} and not {control}")
    given = log["accepted"] + refused + log["unknown"]
    oracle.expect(log["received"] == given, f"received {log['received']} and not {given}")
    through = sum(store[name] for name in COUNTED) + dead
    oracle.expect(through == units, f"{through} units came to something and {units} are there: {store}")
    system = sum(len(records) for records in feeds.values()) - units
    oracle.expect(store["system"] == system, f"system {store['system']} and not {system}")
    changes = sum(len(versions) - 1 for versions in oracle.versions.values())
    oracle.expect(store["changes"] == changes, f"changes {store['changes']}, published {changes}")
    oracle.expect(store["updates_published"] == changes, f"updates_published {store['updates_published']}")
    least, most = (sum(each) for each in zip(*map(_repeated, feeds.values()), strict=True))
    oracle.expect(least <= store["duplicate"] <= most, f"duplicate {store['duplicate']} and not {least} to {most}")
    folded = Counter[str]()
    for position in await rest.store.positions([topics.feed(sport) for sport in world_sports()]):
        plan = fold_once(position, feeds[position.topic, position.partition], ())
        folded += Counter() if plan is None else plan.counts
    for name in folded.keys() | store.keys() - {"updates_published"}:
        oracle.expect(store[name] == folded[name], f"{name} {store[name]} and not {folded[name]} by one fold")
    for name in (*COUNTED, *(each for each in store if each.startswith("dead_lettered:"))):
        oracle.sometimes[name.partition(":")[0]] += store[name]
    if log["unknown"]:
        oracle.happened("append_unknown_counted")
    if refused:
        oracle.happened("refused")


def _repeated(records: Sequence[Fetched]) -> tuple[int, int]:
    """Count the units that came before: for certain, within what is kept of an event; and at most, at any time.

    What can't be read, and what is said of producers, is kept of an event, too.
    """
    seen: set[str] = set()
    kept: dict[str, deque[str]] = {}
    surely = ever = 0
    for record in records:
        if record.key in PRODUCERS:
            for last in kept.values():
                last.append("")
        elif record.key in SPORT_OF:
            message = planning.decode(record).message
            last = kept.setdefault(record.key, deque(maxlen=IDS_MAX))
            if message is not None:
                surely += message.id in last
                ever += message.id in seen
                seen.add(message.id)
            last.append("" if message is None else message.id)
    return surely, ever


def _accepted(rest: Rest, feeds: Records) -> None:
    """Everything that was answered 202 is in the feed."""
    there = set()
    for records in feeds.values():
        for record in _units(records):
            message = planning.decode(record).message
            if message is not None:
                there.add(message.id)
    missing = [each for each in rest.oracle.accepted if each not in there]
    rest.oracle.expect(not missing, f"accepted and not in the feed: {missing}")


def _told_everywhere(rest: Rest, feeds: Records) -> None:
    """What is said of producers is said in every partition alike."""
    told: set[tuple[bytes | None, ...]] = set()
    for records in feeds.values():
        told.add(tuple(each.value for each in records if each.key in PRODUCERS))
    rest.oracle.expect(len(told) == 1, f"partitions were told {len(told)} different stories of the producers")


def _letters(rest: Rest, feeds: Records) -> None:
    """What was refused is kept, by ingest once for each that it counted, by processors by its place in the feed."""
    stages = Counter(dict(each.headers).get("sb-stage") for each in rest.letters)
    refused = sum(count for name, count in rest.account.items() if name.startswith("refused:"))
    rest.oracle.expect(stages[b"ingest"] == refused, f"refused {refused}, kept {stages[b'ingest']}")
    sources = {dict(each.headers).get("sb-source", b"").decode() for each in rest.letters}
    for (topic, partition), records in feeds.items():
        for record in records:
            if planning.decode(record).error is not None:
                source = f"{topic}/{partition}/{record.offset}"
                rest.oracle.expect(source in sources, f"{source} can't be read, and no dead letter has it")


def _ticks(rest: Rest, feeds: Records) -> None:
    """A tick passed on says that all that came before it in the feed was passed on, too."""
    for (topic, partition), records in feeds.items():
        places = {each.ts: each.offset for each in reversed(records) if each.key == "tick"}
        newest = -1
        seen: set[tuple[str, int]] = set()
        for update in rest.updates[topics.updates(topics.sport_of(topic)), partition]:
            if update.key == "tick":
                newest = max(newest, places[update.ts])
                continue
            told = shown.raw_update_decoder.decode(update.value or b"")
            late = told.at < newest and (told.event, told.rev) not in seen
            seen.add((told.event, told.rev))
            rest.oracle.expect(not late, f"{told.event}: its update of {told.at} came after the tick of {newest}")


def fold_once(position: Position, records: Sequence[Fetched], gaps: Sequence[tuple[int, int]]) -> Plan | None:
    """Fold a partition's records from its start in one go, as if nothing had ever happened to anybody.

    At each of the gaps all its events go over to the next lineage.
    """
    if not records:
        return None
    decoded = [planning.decode(each) for each in records]
    starts = [0, *(goes_on for _, goes_on in gaps)]
    ends = [*(stood for stood, _ in gaps), position.next_offset]
    whole = Plan(next_offset=0, state=PartitionState(), counts=Counter())
    listed: dict[str, list[str]] = {}
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        around = _around(position, number + 1)
        if number:
            events = sorted({event for events in listed.values() for event in events})
            whole = _after(whole, _in_one_go(lineage.planned(events, whole.state, whole.folds, around, start)))
        batch = [each for each in decoded if start <= each.record.offset < end]
        if batch:
            plan = planning.plan_batch(batch, whole.state, whole.folds, listed, around)
            for producer, event in plan.listings:
                listed.setdefault(producer, []).append(event)
            whole = _after(whole, plan)
    return whole


def _after(whole: Plan, plan: Plan) -> Plan:
    """Return what two plans come to, one after the other."""
    plan.changes = [*whole.changes, *plan.changes]
    plan.folds = {**whole.folds, **plan.folds}
    return plan


def _in_one_go(steps: Generator[None, None, Plan]) -> Plan:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            plan: Plan = done.value
            return plan


def _around(position: Position, number: int) -> Surroundings:
    sport = topics.sport_of(position.topic)
    return Surroundings(
        sport=sport,
        topic=position.topic,
        partition=position.partition,
        lineage=number,
        kinds=sports.get(sport).markets,
        rank=ranker(lambda _provider: 0),
        now=0,
        dead_letter_bytes_max=100_000,
    )


async def _partition(rest: Rest, position: Position, records: Sequence[Fetched]) -> None:
    """Rows, `rev`s, digests, change log and position are those of one uninterrupted fold."""
    oracle, store, place = rest.oracle, rest.store, (position.topic, position.partition)
    plan = fold_once(position, records, oracle.raised.get(place, ()))
    if plan is None:
        return
    oracle.expect(position.next_offset == plan.next_offset, f"{place} stands at {position.next_offset}")
    oracle.expect(position.state == render.encode(plan.state), f"{place}: another state of the partition")
    rows = await store.outbox(place, 0, plan.next_offset)
    oracle.expect(list(rows) == plan.changes, f"{place}: {_first_difference(rows, plan.changes)}")
    for row in rows:
        oracle.expect(oracle.bodies.get((row.event, row.rev)) == row.update, f"{row.event} {row.rev}: log and topic")
    stored = await store.load(list(plan.folds))
    for event, fold in plan.folds.items():
        head = encoder.encode(StoredHead(head=fold.head, ids=fold.ids, digest=fold.digest))
        there = stored.get(event)
        if there is None:
            oracle.violated(f"{event} is not stored")
            continue
        oracle.expect(there.state == head, f"{event} is stored as {there.state!r} and not {head!r}")
        markets = sorted(encoder.encode(each) for each in fold.markets.values())
        oracle.expect(sorted(there.markets) == markets, f"{event}: other markets are stored")


def _first_difference(rows: Sequence[object], wanted: Sequence[object]) -> str:
    for row, other in zip(rows, wanted, strict=False):
        if row != other:
            return f"the change log has {row} and not {other}"
    return f"the change log has {len(rows)} entries and not {len(wanted)}"


async def _readers(rest: Rest, event: str) -> None:
    """Store, cache and node show the last version that was published."""
    oracle = rest.oracle
    versions = oracle.versions.get(event)
    row = await rest.store.event(event)
    if versions is None or row is None:
        oracle.expect(versions is None and row is None, f"{event}: stored or published, not both")
        return
    there = assembled(row)
    if oracle.place_of(there) in oracle.standing and oracle.sometimes["failover"]:
        return  # what the store lost, retention took from the feed as well
    oracle.expect(there.rev == len(versions) - 1, f"{event}: stored at {there.rev}, published {len(versions) - 1}")
    oracle.read("the store", there)
    place = oracle.place_of(there)
    positions = await rest.store.positions([place[0]])
    generation = next(each.cache_generation for each in positions if each.partition == place[1])
    cached = (await rest.cache.get([(generation, event)]))[0]
    if cached is not None:
        oracle.happened("cache_judged")
        held = shown.event_decoder.decode(cached)
        if held.rev < there.rev and rest.evicted:
            # a late writer after an eviction; nodes refuse it, for they have seen the newer one
            oracle.happened("late_put_after_eviction")
        else:
            oracle.expect(held.rev == there.rev, f"{event}: the cache holds rev {held.rev} of {there.rev}")
        oracle.read("the cache", held)
    for name, ask in rest.nodes.items():
        shows = await ask(event)
        if shows is None:
            oracle.violated(f"{name} does not know {event}")
            return
        oracle.expect(shows.rev == there.rev, f"{event}: {name} holds rev {shows.rev} of {there.rev}")
        oracle.read(name, shows)
