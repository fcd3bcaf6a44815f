"""Proof that the verdict on real engines can fail: one thing after the other is altered behind everybody's back.

The rule: each must be noticed by something that was not said before it.
"""

import msgspec
import trio
from sim_oracle import Oracle
from sim_verdict import judge
from simulation import Trace

from sb_core import topics
from sb_core.records import Record

EVENT = "uof:sr:match:101"
SPORT = "tennis"


async def unnoticed(ground, engines):
    """Alter everything in turn; return what nobody noticed."""
    ground.witnessing.cancel()
    place = topics.feed(SPORT), topics.partition_of(EVENT)
    here = f"topic = '{place[0]}' AND `partition` = {place[1]}"
    folder = ground.services.data

    async def told(statement):
        await trio.to_thread.run_sync(engines.ask, folder, statement)

    async def old_cache():
        """Leave an older event in the cache, as a writer that came late would."""
        positions = await ground.store.positions([place[0]])
        generation = next(each.cache_generation for each in positions if each.partition == place[1])
        first = ground.oracle.versions[EVENT][1]
        with engines.cache(folder) as cache:
            cache.set(f"sb:{generation}:event:{{{EVENT}}}", f"{1:010d}.{1:015d} ".encode() + msgspec.json.encode(first))

    async def another_update():
        """Publish a rev once more, with another content."""
        update = msgspec.json.decode(ground.oracle.bodies[EVENT, 1])
        body = msgspec.json.encode(update | {"digest": "0" * 32})
        await ground.log.append([Record(topics.updates(SPORT), EVENT, body, ground.clock.now_ms(), place[1])])

    async def uncounted():
        """Say what nobody counted."""
        said = {"type": "alive", "provider": "uof", "producer": "1", "ts": ground.clock.now_ms()}
        body = msgspec.json.encode(said)
        await ground.log.append([Record(topics.ALIVE, "uof:1", body, ground.clock.now_ms())])

    alterations = {
        "cache": old_cache,
        "change log": lambda: told(f"DELETE FROM changes WHERE event = '{EVENT}' AND rev = 2"),
        "market": lambda: told(f"UPDATE markets SET state = '{{}}' WHERE event = '{EVENT}' LIMIT 1"),
        "event": lambda: told(f"UPDATE events SET state = '{{}}' WHERE event = '{EVENT}'"),
        "position": lambda: told(f"UPDATE positions SET state = '{{}}' WHERE {here}"),
        "account": lambda: told(f"UPDATE account SET `count` = `count` + 1 WHERE {here} AND name = 'applied'"),
        "update": another_update,
        "alive": uncounted,
    }
    missed, before = [], set(await _said(ground))
    for what, alter in alterations.items():
        await alter()
        said = set(await _said(ground))
        print(f"altered {what}: {sorted(said - before)[:1]}"[:300])
        if not said - before:
            missed.append(what)
        before |= said
    return missed


async def _said(ground):
    """Judge what there is once more, from the topics alone; return what is wrong."""
    rest = await ground.at_rest()
    oracle = Oracle(Trace())
    oracle.accepted = ground.oracle.accepted
    for records in rest.updates.values():
        oracle.appended("again", records)
    await judge(msgspec.structs.replace(rest, oracle=oracle), ())
    return [each.partition(" s: ")[2] for each in oracle.violations]
