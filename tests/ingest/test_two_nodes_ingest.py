"""Two ingest nodes on one log, of which one is taken away without a word: producers neither flap nor go unjudged."""

import trio
from intake_driver import driver

from sb_core import messages, topics
from sb_core.messages import Producer
from sb_ingest.answers import IntakeRequest
from sb_ingest.service import IngestService

ALIVE = b'{"type":"alive","provider":"acme","producer":"1","ts":%d}'


def told(intake):
    found = [
        messages.decode(each.value or b"") for each in intake.records(topics.feed("football")) if not each.partition
    ]
    # a new owner tells again what is known
    return list(dict.fromkeys((each.state, each.gen) for each in found if isinstance(each, Producer)))


async def node(intake, *, task_status):
    """Run a node until it is cancelled, as a kill does: it hands nothing over."""
    service = IngestService(intake.context, http=False)
    with trio.CancelScope() as scope:
        async with trio.open_nursery() as nursery:
            await nursery.start(service.run, trio.Event())
            task_status.started((service, scope))


async def alive(service, ms):
    answer = await service.intake.accept(IntakeRequest(provider="canonical", body=ALIVE % ms))
    assert answer.status == 202


def test_a_nodes_death_is_no_outage_of_a_producer(run):
    async def main():
        async with driver() as intake, trio.open_nursery() as nursery:
            nodes = [await nursery.start(node, intake), await nursery.start(node, intake)]
            for _ in range(4):
                for service, _ in nodes:
                    await alive(service, intake.clock.ms)
                intake.clock.ms += 5_000
                await trio.sleep(0.05)
            owner = next(each for each in nodes if each[0].liveness.table)
            other = next(each for each in nodes if each is not owner)
            owner[1].cancel()
            for _ in range(8):
                await alive(other[0], intake.clock.ms)
                intake.clock.ms += 5_000
                await trio.sleep(0.1)
            with trio.fail_after(10):
                while "acme:1" not in other[0].liveness.table:  # noqa: ASYNC110  nothing but the table says when
                    await trio.sleep(0.01)
            assert told(intake) == [("up", 0)]
            # the one that is left judges
            intake.clock.ms += 20_000
            with trio.fail_after(10):
                while len(told(intake)) < 2:  # noqa: ASYNC110  nothing but the log says when
                    await trio.sleep(0.01)
            assert told(intake) == [("up", 0), ("down", 1)]
            nursery.cancel_scope.cancel()

    run(main)
