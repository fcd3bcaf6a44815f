"""One seed's story: who sends what, what breaks when, and how it comes to rest.

The rule: a provider sends every message until it is answered; so what was accepted is known, and in the end all is.
"""

from typing import Final

import trio
from sim_clients import Application, Door
from sim_ports import LEADERS, Weather
from sim_provider import Provider
from sim_verdict import judge, lacks, said_down
from sim_watch import watch_staleness
from sim_wire import simulated_sockets
from sim_workload import LIVE, PREMATCH, SPORT_OF
from sim_world import SETTLE_S_MAX, SPORTS, Shape, World
from simulation import Chance, Trace

from sb_core import topics
from sb_core.errors import DependencyError, UnavailableError
from sb_ingest.replay import replay

ACTIVE_S: Final = {"": 0.0, "short": 26.0, "long": 40.0}
LONGER_S: Final = 10.0
SPEAKS_S: Final = 4.0
OUTLIVED_EVERY: Final = 40
"""In one of so many worlds retention passes a position."""
STALE_S: Final = 8.0
"""After so long a sport with a partition that stands still is stale."""
CLOCK_OFF_MS: Final = (-5_000, -5_000, -800, 5_000)
"""By how much one of our own clocks may be set wrong; what the sources say lies within 10 s of it even so."""
TROUBLE_S_MAX: Final = 26.0
"""By then trouble begins no more, so that a long silence can be judged."""
UP_S_MAX: Final = 20.0
"""Within this time after the last post every producer must be up again."""
POST_S_MAX: Final = 30.0
"""Within this time after the last fault every post must have been answered for good."""


def shape_of(chance: Chance) -> Shape:
    """Decide what kind of world this is."""
    silence = chance.weighted({"": 0.86, "short": 0.1, "long": 0.04})
    bad = chance.between(0.0, 1.0)
    return Shape(
        active_s=ACTIVE_S[silence] or chance.between(5, 9),
        silence=silence,
        ingests=1 if chance.happens(0.6) else 2,
        nodes=1 if chance.happens(0.65) else 2,
        copy=chance.happens(0.25),
        steps=chance.pick((-30_000, -3_000, 4_000)) if chance.happens(0.1) else 0,
        cache_entries_max=5 if chance.happens(0.2) else 10_000,
        failovers=1 if chance.happens(0.25) else 0,
        crashes=int(chance.between(0, 6)),
        pauses=int(chance.between(0, 3)),
        outages=int(chance.between(0, 3)),
        leaders_lost=int(chance.between(0, 2.5)),
        clocks_set=1 if chance.happens(0.2) else 0,
        weather=Weather(
            read_fails=0.01 * bad,
            write_fails=0.02 * bad,
            lost=0.01 * bad,
            reply_lost=0.015 * bad,
            late=0.006 * bad,
            stalls=0.01 * bad,
            locked=0.03 * bad,
        ),
    )


def _outlives(seed: int) -> bool:
    return seed % OUTLIVED_EVERY == OUTLIVED_EVERY - 1


def raises(seed: int) -> bool:
    """Say whether an operator lets a partition go on that stopped itself, in every second of such worlds."""
    return _outlives(seed) and seed // OUTLIVED_EVERY % 2 == 1


async def _trouble(world: World, until_s: float) -> None:
    """Break things at random times."""
    chance, shape = world.chance, world.shape
    names = [f"ingest-{number}" for number in range(shape.ingests)]
    names += ["football-0", "football-1", "football-0", "football-1", "tennis-0", "node-0"]
    names += ["node-1"] * (shape.nodes - 1)
    targets = [("crash", chance.pick(names)) for _ in range(shape.crashes)]
    targets += [("pause", chance.pick(names)) for _ in range(shape.pauses)]
    targets += [("outage", chance.pick(("cache", "cache", "store", "log"))) for _ in range(shape.outages)]
    if not raises(chance.seed):  # a lineage begins where the store stands, and the oracle knows events by `rev` alone
        targets += [("failover", "")] * shape.failovers
    targets += [("leader", "")] * shape.leaders_lost
    targets += [("clock", chance.pick(names)) for _ in range(shape.clocks_set)]
    targets += [("slip", "") for _ in range(int(chance.between(0, 2)))]
    plans = [(chance.between(0.5, until_s), *target) for target in targets]
    for at_s, what, target in sorted(plans):
        await trio.sleep(max(0.0, at_s - trio.current_time()))
        if what == "crash":
            world.crash(target)
        elif what == "pause":
            world.nursery.start_soon(world.pause, target, chance.between(0.5, 5.0))
        elif what == "outage":
            outage_s = chance.between(4.0, 8.0) if chance.happens(0.15) else chance.between(0.3, 3.0)
            world.nursery.start_soon(world.outage, target, outage_s)
        elif what == "failover":
            world.nursery.start_soon(world.fail_over)
        elif what == "leader":
            world.nursery.start_soon(world.lose_leader, int(chance.between(0, LEADERS)), chance.between(0.2, 4.0))
        elif what == "clock":
            world.nursery.start_soon(world.set_clock, target, chance.pick(CLOCK_OFF_MS), chance.between(0.5, 9.0))
        else:
            await world.slip()


async def _rest(world: World, applications: list[Application]) -> None:
    """Wait until all that was accepted has reached everybody."""
    ends = await world.log.ends([topics.feed(sport) for sport in SPORTS])
    deadline_s = trio.current_time() + SETTLE_S_MAX
    what = ""
    while trio.current_time() < deadline_s and not world.oracle.violations:
        what = await _unrest(world, applications, ends)
        if not what:
            return
        await trio.sleep(0.3)
    world.oracle.violated(f"no rest {SETTLE_S_MAX:g} s after the last fault: {what}")


async def _unrest(world: World, applications: list[Application], ends: dict[tuple[str, int], int]) -> str:
    """Say who has not reached the end of what there is."""
    feeds = [topics.feed(sport) for sport in SPORTS]
    positions = {(each.topic, each.partition): each.next_offset for each in await world.store.positions(feeds)}
    behind = {place: end for place, end in ends.items() if positions.get(place, 0) < end}
    account = await world.store.account(feeds)
    updates = await world.log.ends([topics.updates(sport) for sport in SPORTS])
    behind = {place: end for place, end in behind.items() if place not in world.oracle.standing}
    if behind:
        return f"behind: {behind}"
    if account.get("changes", 0) != account.get("updates_published", 0) and not world.oracle.outlived:
        return f"unpublished: {account}"
    for name in world.nodes():
        door = world.doors.get(name)
        if door is None or door.service.node.reason is not None or not door.service.node.reached(updates):
            return f"{name} is behind"
    return "; ".join(said for application in applications for said in lacks(world.oracle, application))


async def _ask(world: World, until_s: float) -> None:
    """Be a REST client: ask for events, now and then; nobody is given an older one than was given when it asked."""
    given: dict[tuple[str, int, str], int] = {}

    async def serve(door: Door, event: str) -> None:
        key = door.process.name, door.process.life, event
        before = given.get(key, 0)
        try:
            snapshot = await door.service.node.event(event)
        except UnavailableError:
            world.oracle.happened("rest_unavailable")
            return
        await door.process.gate()
        if snapshot is None:
            return
        world.oracle.expect(snapshot.rev >= before, f"rest went back to {event} rev {snapshot.rev}")
        given[key] = max(snapshot.rev, given.get(key, 0))
        world.oracle.read("rest", snapshot.event)

    while trio.current_time() < until_s:
        await trio.sleep(world.chance.between(0.05, 0.8))
        door = world.door("node")
        if door is not None:
            door.nursery.start_soon(serve, door, world.chance.pick(tuple(SPORT_OF)))


async def _operate(world: World, until_s: float) -> None:
    """Be an operator who replays dead letters, one now and then."""
    while trio.current_time() < until_s:
        await trio.sleep(world.chance.between(0.5, 4.0))
        letters = world.log._partitions[topics.DEAD_LETTER, 0].records
        door = world.door("ingest")
        if door is None or not letters or trio.current_time() > until_s:
            continue
        letter = f"0-{world.chance.pick(letters).offset}"
        door.nursery.start_soon(_replay, world, door, letter)


async def _replay(world: World, door: Door, letter: str) -> None:
    service = door.service
    world.unsettled += 1
    try:
        came = await replay(service.intake, service._letters, letter, service._limits, dry_run=False)
    except DependencyError:
        world.oracle.happened("letter_unavailable")
        return
    finally:
        world.unsettled -= 1
    world.trace.note("operator", "replays", letter, came.result)
    world.oracle.happened(f"letter_{came.result}")


async def tell(chance: Chance, trace: Trace) -> World:
    """Live through one seed and judge it; the world that is returned says what broke."""
    with simulated_sockets():
        return await _live(chance, trace)


async def _live(chance: Chance, trace: Trace) -> World:
    async with trio.open_nursery() as nursery:
        world = World(chance, trace, shape_of(chance), nursery)
        trace.note(world.shape)
        await world.log.create(topics.specs())
        with trio.CancelScope() as scope:
            nursery.start_soon(_watch, world, scope)
            await _tell(world)
        nursery.cancel_scope.cancel()
    world.oracle.sometimes["copy_served"] += sum(each.served for each in world.copies.values())
    await world.store.aclose()
    if world.copy is not None:
        await world.copy.aclose()
    return world


async def _watch(world: World, scope: trio.CancelScope) -> None:
    await world.oracle.broken.wait()
    scope.cancel()


async def _tell(world: World) -> None:
    chance, nursery, until_s = world.chance, world.nursery, world.shape.active_s
    world.start()
    providers = [Provider(world, LIVE), Provider(world, PREMATCH)]
    some = sorted(chance.shuffled_within(list(SPORT_OF), 12)[:4])
    applications = [
        Application("all", {"sports": list(SPORTS)}, chance, world.oracle),
        Application("some", {"events": some, "conflate_ms": int(chance.between(50, 900))}, chance, world.oracle),
    ]
    for application in applications:
        application.hangs = world.wired
        nursery.start_soon(world.follow, application)
    nursery.start_soon(_ask, world, until_s)
    nursery.start_soon(_operate, world, until_s)
    nursery.start_soon(watch_staleness, world, applications[:1], SPORTS)
    async with trio.open_nursery() as active:
        active.start_soon(_trouble, world, min(until_s, TROUBLE_S_MAX))
        if _outlives(chance.seed):
            active.start_soon(world.outlive, "tennis", raises(chance.seed))
        for provider in providers:
            active.start_soon(provider.run, until_s)
            active.start_soon(provider.beat, until_s)
        if world.shape.silence:
            await trio.sleep(chance.between(0, 1))
            silence_s = chance.between(20.5, 24)
            if world.shape.silence == "long":
                silence_s += LONGER_S
                await trio.sleep(SPEAKS_S)  # so that it has markets open
            active.start_soon(chance.pick(providers).fall_silent, silence_s)
        elif chance.happens(0.7):
            await trio.sleep(chance.between(1, until_s - 1))
            active.start_soon(chance.pick(providers).recover)
    world.heal()
    for application in applications:
        application.hurried = True
    await _finish(world, providers)
    await _rest(world, applications)
    if world.oracle.standing:
        await trio.sleep(STALE_S)
        for application in applications[:1]:
            world.oracle.expect("tennis" in application.followed.stale, "a partition stopped, and nobody says stale")
    await judge(await world.at_rest(), applications)


async def _finish(world: World, providers: list[Provider]) -> None:
    """Have everything answered, everybody up, then no more input."""
    with trio.move_on_after(POST_S_MAX) as scope:
        while world.unsettled or any(provider.out for provider in providers):  # noqa: ASYNC110  virtual time costs nothing
            await trio.sleep(0.2)
    world.oracle.expect(not scope.cancelled_caught, f"posts not answered {POST_S_MAX:g} s after the last fault")
    await _up(world, providers)
    names = [name for name in world.processes if name.startswith("ingest")]
    await world.stop(*names)


async def _up(world: World, providers: list[Provider]) -> None:
    """Every producer that says that it lives, and owes nothing, is up for every partition of every feed."""
    deadline_s = trio.current_time() + UP_S_MAX
    down = True
    while down and trio.current_time() < deadline_s:
        for provider in providers:
            await provider.send([provider.maker.alive()])
        await trio.sleep(0.8)
        down = await said_down(world.store, world.oracle)
    world.oracle.expect(not down, f"not up {UP_S_MAX:g} s after the last fault: {down}")
