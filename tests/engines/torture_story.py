"""One seed's story on real engines: it begins, everything is broken in turn, it comes to rest, and the verdict is spoken."""

import math
from contextlib import asynccontextmanager

import httpx
import trail
import trio
from sim_clients import Application
from sim_oracle import Oracle
from sim_provider import Provider
from sim_verdict import judge, lacks, said_down
from sim_workload import LIVE, PREMATCH, SPORT_OF
from simulation import Chance
from torture_plan import Torturer, drawn, planned
from torture_tampering import unnoticed
from tortured import HTTP_S, INGESTS, NODES, PROCESSORS, SPORTS, Tortured

from sb_core import topics
from sb_core.runtime import open_context
from sb_core.settings import Settings

PACE = 0.4
"""Pauses of a provider, of those in the simulation: about 40 messages a second of both."""
LOOK_S = 0.5
TOLD_S = 5.0
"""How long a node and its client may take to say that a picture is older than the limit."""
POST_S_MAX = 120
UP_S_MAX = 120
SETTLE_S_MAX = 180


@asynccontextmanager
async def standing(seed, services, engines, trace, oracle):
    """Give a ground with services on it, all of them ready."""
    environ = engines.environ(services.data)
    urls = {name: environ[f"SB_{name.upper()}"] for name in ("log_url", "store_url", "cache_url")}
    limits = httpx.Limits(max_connections=500)
    async with (
        open_context(Settings(**urls), "torture") as opened,
        httpx.AsyncClient(timeout=HTTP_S, trust_env=False, limits=limits) as http,
        trio.open_nursery() as nursery,
    ):
        await trio.to_thread.run_sync(trail.lay, engines, services.data)
        await trio.to_thread.run_sync(services.start)
        yield Tortured(Chance(seed), trace, oracle, services, opened, http, nursery)
        nursery.cancel_scope.cancel()


async def live(seed, services, engines, trace, *, active_s=math.inf, silences=(), sample=()):
    """Live through one seed and judge it; return the oracle, and what was done.

    With a `sample` that is all that is done, and the verdict is proven to be able to fail.
    """
    oracle, plan = Oracle(trace), Chance(seed)
    faults = drawn(plan, sample) if sample else planned(plan, silences=silences)
    async with standing(seed, services, engines, trace, oracle) as ground:
        providers = [Provider(ground, LIVE), Provider(ground, PREMATCH)]
        torturer = Torturer(ground, engines.stack, providers, plan)
        with trio.CancelScope() as scope:
            ground.nursery.start_soon(_broken, oracle, scope)
            await _lived(ground, torturer, faults, active_s)
            await _judged(ground, engines)
            if sample:
                missed = await unnoticed(ground, engines)
                oracle.expect(not missed, f"altered, and nobody noticed: {missed}")
            for name in (*PROCESSORS, *NODES):
                await left(ground, name)
    return oracle, torturer.done


async def _broken(oracle, scope):
    await oracle.broken.wait()
    scope.cancel()


async def _lived(ground, torturer, faults, active_s):
    """Have everything happen, and come to rest."""
    until_s = trio.current_time() + active_s
    chance = ground.chance
    some = sorted(chance.shuffled_within(list(SPORT_OF), 12)[:4])
    ground.applications = [
        Application("attentive", {"sports": list(SPORTS)}, chance, ground.oracle),
        Application("slow", {"sports": list(SPORTS)}, chance, ground.oracle),
        Application("some", {"events": some, "conflate_ms": 400}, chance, ground.oracle),
    ]
    ground.applications[0].hurried = True
    for task in (ground.witness, ground.ask, ground.watch_processes):
        ground.nursery.start_soon(task)
    for application in ground.applications:
        ground.nursery.start_soon(ground.follow, application)
    ground.nursery.start_soon(watch_staleness, ground, ground.applications[:1])
    async with trio.open_nursery() as active:
        active.start_soon(torturer.run, faults, until_s)
        active.start_soon(ground.operate)
        for provider in torturer.providers:
            provider.pace = PACE
            active.start_soon(provider.run, math.inf)
            active.start_soon(provider.beat, math.inf)
    ground.services.wires["mysql"].share = 0.0
    for application in ground.applications:
        application.hurried = True
    await finished(ground, torturer.providers)
    await rested(ground, ground.applications)


async def _judged(ground, engines):
    """Speak the verdict."""
    oracle, folder = ground.oracle, ground.services.data
    await judge(await ground.at_rest(), ground.applications)
    steps = await trio.to_thread.run_sync(trail.steps, engines, folder)
    written = await trio.to_thread.run_sync(trail.changes, engines, folder)
    for fault in trail.faults(steps, written):
        oracle.violated(fault)
    known = {(event, rev) for event, versions in oracle.versions.items() for rev in range(1, len(versions))}
    found = [(event, rev) for _, _, event, rev in written]
    oracle.expect(
        len(found) == len(known) and set(found) == known, f"{len(found)} changes written, {len(known)} published"
    )
    oracle.sometimes.update(transactions=len(steps), changes=len(written), claims=sum(map(trail.Step.claims, steps)))
    for line in ground.error_lines():
        oracle.violated(f"an error line: {line}")


async def watch_staleness(ground, applications):
    """See that clients are told of a picture that is older than the limit, wherever it is sure that it is."""
    well_s, last = {}, {}
    while True:
        begun_s = trio.current_time()
        await trio.sleep(LOOK_S)
        now_s, now_ms = trio.current_time(), ground.clock.now_ms()
        late = now_s - begun_s > 2 * LOOK_S
        newest_ms = ground.unread_since_ms
        for application in applications:
            connection = application.connection
            same, last[application.name] = last.get(application.name) is connection, connection
            well = connection is not None and same and not late and application.followed.synced
            if not well or connection.node in ground.away:
                well_s[application.name] = now_s
            if now_s - well_s.setdefault(application.name, now_s) < TOLD_S:
                continue
            for sport in SPORTS:
                complete_to = ground.oracle.complete_to(sport)
                if newest_ms is None and (complete_to is None or now_s - ground.read_s > 2 * LOOK_S):
                    continue
                age_ms = now_ms - (complete_to if newest_ms is None else newest_ms)
                if age_ms > Settings().lag_ms_max + TOLD_S * 1000:
                    ground.oracle.happened("stale_told")
                    said = f"{application.name} takes {sport} for fresh, {age_ms} ms after the newest tick"
                    ground.oracle.expect(sport in application.followed.stale, said)


async def finished(ground, providers):
    """Have everything answered, everybody up, then no more input."""
    oracle = ground.oracle
    with trio.move_on_after(POST_S_MAX) as scope:
        while any(provider.out for provider in providers) or ground.recovering:  # noqa: ASYNC110  they are many
            await trio.sleep(0.2)
    oracle.expect(not scope.cancelled_caught, f"posts not answered {POST_S_MAX} s after the last fault")
    down = True
    until_s = trio.current_time() + UP_S_MAX
    while down and trio.current_time() < until_s:
        for provider in providers:
            await provider.send([provider.maker.alive()])
        await trio.sleep(0.8)
        down = await said_down(ground.store, oracle)
    oracle.expect(not down, f"not up {UP_S_MAX} s after the last fault: {down}")
    for name in INGESTS:
        await left(ground, name)


async def left(ground, name):
    """Have a service end in order."""
    ground.away.add(name)
    await trio.to_thread.run_sync(ground.services.stop_one, name)


async def rested(ground, applications):
    """Wait until all that was accepted has reached everybody."""
    until_s = trio.current_time() + SETTLE_S_MAX
    while what := await unrest(ground, applications):
        if trio.current_time() > until_s:
            ground.oracle.violated(f"no rest {SETTLE_S_MAX} s after the last fault: {what}")
            return
        await trio.sleep(0.3)


async def unrest(ground, applications):
    """Say who has not reached the end of what there is."""
    feeds = [topics.feed(sport) for sport in SPORTS]
    ends = await ground.admin.ends(feeds)
    positions = {(each.topic, each.partition): each.next_offset for each in await ground.store.positions(feeds)}
    behind = {place: end for place, end in ends.items() if positions.get(place, 0) < end}
    if behind:
        return f"behind: {behind}"
    account = await ground.store.account(feeds)
    if account.get("changes", 0) != account.get("updates_published", 0):
        return f"unpublished: {account}"
    seen = {event: len(versions) - 1 for event, versions in ground.oracle.versions.items()}
    if sum(seen.values()) != account.get("changes", 0):
        return f"the witness has seen {sum(seen.values())} of {account}"
    for name in NODES:
        for event, rev in seen.items():
            shown = await ground.node_event(name, event)
            if shown is None or shown.rev < rev:
                return f"{name} has {event} at {shown and shown.rev} of {rev}"
    return "; ".join(said for application in applications for said in lacks(ground.oracle, application))
