"""The verdict on a world at rest: what is stored, shown and counted against what the feed topics hold.

The rule: the feed topics are the truth. They are folded once more, uninterrupted and in one go, and looked at once
more in the plainest way, without the fold, for what a fault in the fold itself would hide.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from sim_clients import Application
from sim_plain import Plain
from sim_workload import LIVE, PREMATCH, SPORT_OF

from sb_core import shown, sports, topics
from sb_core.messages import Odds
from sb_core.precedence import ranker
from sb_core.records import Fetched, Position
from sb_core.shown import Event
from sb_distribute.loader import assembled
from sb_process import lineage, render
from sb_process import plan as planning
from sb_process.plan import Plan, Surroundings
from sb_process.state import PartitionState, StoredHead, encoder

if TYPE_CHECKING:
    from sim_world import World

PRODUCERS = frozenset({f"uof:{LIVE}", f"uof:{PREMATCH}"})
COUNTED = ("applied", "unchanged", "stale", "duplicate")


async def judge(world: "World", applications: Sequence[Application]) -> None:
    """Judge a world at rest; what is wrong is a violation of its oracle."""
    feeds = _feeds(world)
    if not world.oracle.outlived:
        await _accounts(world, feeds)
    _accepted(world, feeds)
    _told_everywhere(world, feeds)
    await _outlived(world, feeds)
    _letters(world, feeds, await world.log.account())
    _ticks(world, feeds)
    for position in await world.store.positions([topics.feed(sport) for sport in world_sports()]):
        if (position.topic, position.partition) in feeds:
            await _partition(world, position, feeds[position.topic, position.partition])
    for event in SPORT_OF:
        await _readers(world, event)
    for application in applications:
        for event in application.followed.events.values():
            world.oracle.read(f"{application.name} at rest", event)
    for (event, rev), early in world.oracle.early.items():
        world.oracle.violated(f"{[who for who, _ in early]} had {event} at rev {rev}, which was never published")
    plain = Plain(feeds)
    for versions in world.oracle.versions.values():
        _plainly(world, versions[-1], plain)


def _plainly(world: "World", event: Event, plain: Plain) -> None:
    """See that an event is what the feed says of it, without the fold."""
    for said in plain.faults(event) if event.event in plain.said else ():
        world.oracle.violated(said)
    for said in _open_since(world, event, plain):
        world.oracle.violated(said)


async def _outlived(world: "World", feeds: dict[tuple[str, int], list[Fetched]]) -> None:
    """Partitions of which retention took something stand where they stood, and nothing more can be asked of them; if an
    operator let them go on, what was taken is as if never said."""
    for place in world.oracle.standing:
        world.oracle.happened("partition_stopped")
        world.oracle.expect(await _stands(world, place), f"{place} went on by itself")
        del feeds[place]
    for place, gaps in world.oracle.raised.items():
        feeds[place] = [each for each in feeds[place] if not any(start <= each.offset < end for start, end in gaps)]


def _open_since(world: "World", event: Event, plain: Plain) -> Iterator[str]:
    """Say what is open in a partition whose lineage was raised, and has no odds since: stops of it may be gone."""
    gaps = world.oracle.raised.get((topics.feed(event.sport), topics.partition_of(event.event)))
    since = [each for each in plain.said.get(event.event, ()) if gaps and each[0] >= gaps[-1][1]]
    priced = {(each.market, each.line) for _, _, said in since if isinstance(said, Odds) for each in said.markets}
    for market in event.markets if gaps else ():
        if market.open and (market.market, market.line) not in priced:
            yield f"{event.event} {market.market}|{market.line} is open, and without odds since its lineage was raised"


async def _stands(world: "World", place: tuple[str, int]) -> bool:
    """Say whether a partition's position is below what its log has left."""
    positions = await world.store.positions([place[0]])
    return all(each.next_offset < world.log.bounds(place)[0] for each in positions if each.partition == place[1])


def world_sports() -> tuple[str, ...]:
    return tuple(dict.fromkeys(SPORT_OF.values()))


def _feeds(world: "World") -> dict[tuple[str, int], list[Fetched]]:
    names = [topics.feed(sport) for sport in world_sports()]
    return {(name, n): world.log._partitions[name, n].records for name in names for n in range(topics.PARTITIONS)}


def _units(records: Sequence[Fetched]) -> list[Fetched]:
    return [each for each in records if each.key in SPORT_OF]


async def _accounts(world: "World", feeds: dict[tuple[str, int], list[Fetched]]) -> None:
    """The account balances, and counts what is there."""
    oracle = world.oracle
    log = Counter(await world.log.account())
    store = Counter(await world.store.account(list(dict.fromkeys(topic for topic, _ in feeds))))
    units = sum(len(_units(records)) for records in feeds.values())
    control = len(world.log._partitions[topics.ALIVE, 0].records) - log["system:alive"]
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
    duplicates = sum(_duplicates(records) for records in feeds.values())
    oracle.expect(store["duplicate"] == duplicates, f"duplicate {store['duplicate']} and not {duplicates}")
    for name in (*COUNTED, *(each for each in store if each.startswith("dead_lettered:"))):
        oracle.sometimes[name.partition(":")[0]] += store[name]
    if log["unknown"]:
        oracle.happened("append_unknown_counted")
    if refused:
        oracle.happened("refused")


def _duplicates(records: Sequence[Fetched]) -> int:
    seen: set[str] = set()
    twice = 0
    for record in _units(records):
        message = planning.decode(record).message
        if message is not None:
            twice += message.id in seen
            seen.add(message.id)
    return twice


def _accepted(world: "World", feeds: dict[tuple[str, int], list[Fetched]]) -> None:
    """Everything that was answered 202 is in the feed."""
    there = set()
    for records in feeds.values():
        for record in _units(records):
            message = planning.decode(record).message
            if message is not None:
                there.add(message.id)
    missing = [each for each in world.oracle.accepted if each not in there]
    world.oracle.expect(not missing, f"accepted and not in the feed: {missing}")


def _told_everywhere(world: "World", feeds: dict[tuple[str, int], list[Fetched]]) -> None:
    """What is said of producers is said in every partition alike."""
    told: set[tuple[bytes | None, ...]] = set()
    for records in feeds.values():
        told.add(tuple(each.value for each in records if each.key in PRODUCERS))
    world.oracle.expect(len(told) == 1, f"partitions were told {len(told)} different stories of the producers")


def _letters(world: "World", feeds: dict[tuple[str, int], list[Fetched]], account: Mapping[str, int]) -> None:
    """What was refused is kept, by ingest once for each that it counted, by processors by its place in the feed."""
    kept = world.log._partitions[topics.DEAD_LETTER, 0].records
    stages = Counter(dict(each.headers).get("sb-stage") for each in kept)
    refused = sum(count for name, count in account.items() if name.startswith("refused:"))
    world.oracle.expect(stages[b"ingest"] == refused, f"refused {refused}, kept {stages[b'ingest']}")
    sources = {dict(each.headers).get("sb-source", b"").decode() for each in kept}
    for (topic, partition), records in feeds.items():
        for record in records:
            if planning.decode(record).error is not None:
                source = f"{topic}/{partition}/{record.offset}"
                world.oracle.expect(source in sources, f"{source} can't be read, and no dead letter has it")


def _ticks(world: "World", feeds: dict[tuple[str, int], list[Fetched]]) -> None:
    """A tick passed on says that all that came before it in the feed was passed on, too."""
    for (topic, partition), records in feeds.items():
        places = {each.ts: each.offset for each in reversed(records) if each.key == "tick"}
        newest = -1
        seen: set[tuple[str, int]] = set()
        for update in world.log._partitions[topics.updates(topics.sport_of(topic)), partition].records:
            if update.key == "tick":
                newest = max(newest, places[update.ts])
                continue
            told = shown.raw_update_decoder.decode(update.value or b"")
            late = told.at < newest and (told.event, told.rev) not in seen
            seen.add((told.event, told.rev))
            world.oracle.expect(not late, f"{told.event}: its update of {told.at} came after the tick of {newest}")


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


async def _partition(world: "World", position: Position, records: Sequence[Fetched]) -> None:
    """Rows, `rev`s, digests, change log and position are those of one uninterrupted fold."""
    oracle, store, place = world.oracle, world.store, (position.topic, position.partition)
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


async def _readers(world: "World", event: str) -> None:
    """Store, cache and node show the last version that was published."""
    oracle = world.oracle
    versions = oracle.versions.get(event)
    row = await world.store.event(event)
    if versions is None or row is None:
        oracle.expect(versions is None and row is None, f"{event}: stored or published, not both")
        return
    there = assembled(row)
    oracle.expect(there.rev == len(versions) - 1, f"{event}: stored at {there.rev}, published {len(versions) - 1}")
    oracle.read("the store", there)
    place = topics.feed(SPORT_OF[event]), topics.partition_of(event)
    positions = await world.store.positions([place[0]])
    generation = next(each.cache_generation for each in positions if each.partition == place[1])
    cached = (await world.cache.get([(generation, event)]))[0]
    if cached is not None:
        held = shown.event_decoder.decode(cached)
        if held.rev < there.rev and world.cache.evicted:
            # a late writer after an eviction; nodes refuse it, for they have seen the newer one
            oracle.happened("late_put_after_eviction")
        else:
            oracle.expect(held.rev == there.rev, f"{event}: the cache holds rev {held.rev} of {there.rev}")
        oracle.read("the cache", held)
    for name in world.nodes():
        snapshot = await world.doors[name].service.node.event(event)
        if snapshot is None:
            oracle.violated(f"{name} does not know {event}")
            return
        oracle.expect(snapshot.rev == there.rev, f"{event}: {name} holds rev {snapshot.rev} of {there.rev}")
        oracle.read(name, snapshot.event)
