"""Real connections cut at random by either side, or by a restart of the whole server: the client library resumes exactly."""

import random
import socket
from contextlib import suppress

import anyio
import pytest

from sb_core import client as clients

EVENTS = tuple(f"uof:e{number}" for number in range(6))
UPDATE_S = 0.004


async def change(on, a_market, chance, enough):
    """Go on changing events; the last change is told as a whole."""
    while not enough.is_set():
        await on.change(chance.choice(EVENTS), a_market("1x2", f"{chance.randrange(110, 900) / 100:.2f}"))
        await anyio.sleep(UPDATE_S)


async def follow(client, history, began):
    """Hear for ever; check that everything is told once and in order."""
    revs = {}
    async for happened in client:
        assert not isinstance(happened, clients.Gap | clients.Refused), happened
        if isinstance(happened, clients.Subscribed):
            began.append(happened.source)
            assert happened.recovered == (happened.source != "snapshot")
        elif isinstance(happened, clients.Changed):
            event = happened.event
            assert event.rev > revs.get(event.event, 0)
            revs[event.event] = event.rev
            assert history[event.event, event.rev] == event
        elif isinstance(happened, clients.Snapshot):
            revs[happened.event.event] = max(happened.event.rev, revs.get(happened.event.event, 0))


def cut(on, client, chance):
    """Cut a connection: from our side, from theirs, or in the middle of what is being said."""
    how = chance.randrange(3)
    if how == 0 and on.hub.sessions:
        chance.choice(list(on.hub.sessions.values())).scope.cancel()
    elif how == 1 and on.hub.sessions:
        chance.choice(list(on.hub.sessions.values())).close(1012, "somewhere else, please")
    elif client._stream is not None:
        with suppress(OSError):
            client._stream._raw_socket.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("cuts", [40, pytest.param(500, marks=pytest.mark.slow)])
def test_cuts_of_real_connections_lose_nothing(run, stage, a_market, cuts):
    async def main():
        chance, began = random.Random(cuts), []
        async with stage(ring_changes_max=480, lag_ms_max=60_000) as on:
            history = {}
            make = on.make

            def remember(event, *given, **named):
                update = make(event, *given, **named)
                history[event, update.rev] = on.oracle[event]
                return update

            on.make = remember
            async with anyio.create_task_group() as group:
                followers = [on.client(reconnect=True, jitter=lambda: 0.05) for _ in range(3)]
                for client in followers:
                    await client.subscribe("s")
                    group.start_soon(follow, client, history, began)
                enough = anyio.Event()
                group.start_soon(change, on, a_market, chance, enough)
                for _ in range(cuts):
                    await anyio.sleep(chance.random() * 0.1)
                    cut(on, chance.choice(followers), chance)
                enough.set()
                await anyio.sleep(0.5)
                with anyio.fail_after(20):
                    while not all(client.events("s") == on.oracle for client in followers):  # noqa: ASYNC110
                        await anyio.sleep(0.02)
                group.cancel_scope.cancel()
            for client in followers:
                await client.aclose()
            assert len(began) > cuts / 3
            assert began.count("snapshot") <= 3 + cuts / 10

    run(main, deadline_s=60 + cuts)
