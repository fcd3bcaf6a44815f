"""Sessions of a feed that sends deltas: one request at a time, adopted when acknowledged, lost when in doubt."""

import json

import pytest
import trio
from intake_driver import NOW, Driver, driver

from sb_core.messages import Odds, Producer

RUNNERS = [{"id": 1, "sortPriority": 1, "status": "ACTIVE"}, {"id": 2, "sortPriority": 2, "status": "ACTIVE"}]
DEFINITION = {
    "eventId": "9",
    "eventTypeId": "2",
    "bettingType": "ODDS",
    "marketType": "MATCH_ODDS",
    "status": "OPEN",
    "inPlay": False,
    "numberOfWinners": 1,
    "runners": RUNNERS,
    "version": 1,
}
HEARTBEAT = {"op": "mcm", "pt": NOW, "ct": "HEARTBEAT", "clk": "A"}


def image(pt: int, price: float = 2.0) -> dict:
    ladders = [{"id": 1, "atb": [[price, 10]]}, {"id": 2, "atb": [[1.9, 10]]}]
    change = {"id": "1.5", "img": True, "marketDefinition": DEFINITION, "rc": ladders}
    return {"op": "mcm", "pt": pt, "clk": "A", "mc": [change]}


def delta(pt: int, price: float) -> dict:
    return {"op": "mcm", "pt": pt, "clk": "B", "mc": [{"id": "1.5", "rc": [{"id": 1, "atb": [[price, 10]]}]}]}


async def post(intake: Driver, *messages: dict, session: str | None = "s1", **more) -> tuple[int, dict]:
    body = "\n".join(json.dumps(message) for message in messages)
    return await intake.post(body, "application/x-ndjson", "betfair", session=session, **more)


def prices(intake: Driver) -> list[str | None]:
    return [message.markets[0].outcomes[0].odds for message in intake.feed("tennis") if isinstance(message, Odds)]


def signals(intake: Driver) -> list[tuple[str, str | None, int]]:
    return [(each.state, each.reason, each.since) for each in intake.alive() if isinstance(each, Producer)]


def test_deltas_go_on_from_the_state_that_the_log_acknowledged(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            assert (await post(intake, image(NOW - 9)))[0] == 202
            intake.log.trouble = ["unavailable"]
            assert (await post(intake, delta(NOW - 8, 3.0)))[0] == 503
            # the state is as before, so that the same may be sent again
            assert (await post(intake, delta(NOW - 8, 3.0)))[0] == 202
            assert (await post(intake, delta(NOW - 7, 2.5)))[0] == 202
            assert prices(intake) == ["2.00", "3.00", "3.00"]
            assert {message.producer for message in intake.feed("tennis")} == {"s1"}

    run(main)


def test_a_session_takes_one_request_at_a_time(run) -> None:
    async def main() -> None:
        async with driver(append_deadline_ms=100) as intake:
            intake.log.trouble = ["hang"]
            answers: list[tuple[int, dict]] = []

            async def first() -> None:
                answers.append(await post(intake, image(NOW - 9)))

            async with trio.open_nursery() as nursery:
                nursery.start_soon(first)
                await trio.sleep(0.02)
                status, answer = await post(intake, delta(NOW - 8, 3.0))
                assert (status, answer["code"]) == (409, "session_busy")
                assert (await post(intake, image(NOW - 9), session="s2"))[0] == 202
            assert answers[0][0] == 503

    run(main)


@pytest.mark.parametrize("trouble", ["unknown", "landed"])
def test_after_an_unknown_outcome_only_a_new_picture_is_believed(run, trouble) -> None:
    async def main() -> None:
        async with driver() as intake:
            await post(intake, image(NOW - 9))
            intake.log.trouble = [trouble]
            assert (await post(intake, delta(NOW - 8, 3.0)))[0] == 503
            status, answer = await post(intake, delta(NOW - 7, 3.5))
            assert (status, [each["code"] for each in answer["refused"]]) == (422, ["no_image"])
            # a definition alone is no picture, since there was a session before
            bare = image(NOW - 6)
            del bare["mc"][0]["img"]
            assert (await post(intake, bare))[0] == 422
            assert (await post(intake, image(NOW - 5, 4.0)))[0] == 202
            assert prices(intake)[-1] == "4.00"
            assert [(state, reason) for state, reason, _ in signals(intake)] == [
                ("down", "session_restarted"),
                ("up", None),
                ("down", "unknown_outcome"),
                ("up", None),
            ]

    run(main)


def test_a_status_of_503_is_told_with_the_newest_time(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            await post(intake, image(NOW - 9))
            assert (await post(intake, delta(NOW - 8, 3.0), {**HEARTBEAT, "status": 503}))[0] == 202
            (_, _, (state, reason, since)) = signals(intake)
            assert (state, since) == ("down", NOW - 8)
            assert "503" in reason
            assert (await post(intake, image(NOW - 5)))[0] == 202
            assert signals(intake)[-1][0] == "up"

    run(main)


def test_a_silent_session_is_lost_and_heartbeats_keep_it(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            await post(intake, image(NOW - 9))
            for _ in range(4):
                intake.clock.ms += 40_000
                await post(intake, HEARTBEAT)
                await intake.intake.sweep()
            assert [state for state, *_ in signals(intake)] == [
                "down",
                "up",
                "unknown",
                "unknown",
                "unknown",
                "unknown",
            ]
            intake.clock.ms += 60_001
            await intake.intake.sweep()
            assert signals(intake)[-1] == ("down", "silent", NOW - 9)
            assert len(intake.intake.sessions) == 0

    run(main)


def test_a_silent_session_is_lost_even_if_its_next_request_comes_before_the_sweep(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            await post(intake, image(NOW - 9))
            intake.clock.ms += 60_001
            status, answer = await post(intake, delta(NOW + 60_000, 3.0))
            assert (status, answer["refused"][0]["code"]) == (422, "no_image")
            assert signals(intake)[-1] == ("down", "silent", NOW - 9)

    run(main)


def test_a_recorded_session_is_producer_0_and_never_silent(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            await post(intake, image(NOW - 9), session="file", recorded=True)
            intake.clock.ms += 10_000_000
            await intake.intake.sweep()
            assert (await post(intake, delta(NOW - 8, 3.0), session="file", recorded=True))[0] == 202
            assert {message.producer for message in intake.feed("tennis")} == {"0"}
            assert [state for state, *_ in signals(intake)] == ["up"]

    run(main)


def test_a_request_without_a_session_stands_alone(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            assert (await post(intake, image(NOW - 9), delta(NOW - 8, 3.0), session=None))[0] == 202
            status, answer = await post(intake, delta(NOW - 7, 3.5), session=None)
            assert (status, answer["refused"][0]["code"]) == (422, "no_image")
            # sent again it gives the same ids
            ids = [message.id for message in intake.feed("tennis")]
            await post(intake, image(NOW - 9), delta(NOW - 8, 3.0), session=None)
            assert {message.id for message in intake.feed("tennis")} == set(ids)

    run(main)


def test_there_is_room_for_so_many_sessions(run) -> None:
    async def main() -> None:
        async with driver(sessions_max=2) as intake:
            for name in ("a", "b"):
                assert (await post(intake, image(NOW - 9), session=name))[0] == 202
            status, answer = await post(intake, image(NOW - 9), session="c")
            assert (status, answer["code"]) == (429, "too_many_sessions")
            # the one that was not used for longest makes room, and its producer is told
            await intake.intake.sweep()
            assert signals(intake)[-1] == ("down", "state_dropped", NOW - 9)
            assert (await post(intake, image(NOW - 9), session="c"))[0] == 202

    run(main)


def test_a_loss_that_cannot_be_told_is_told_later(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            await post(intake, image(NOW - 9))
            intake.clock.ms += 60_001
            intake.log.trouble = ["unavailable", "unknown"]
            await intake.intake.sweep()
            await intake.intake.sweep()
            assert signals(intake)[-1][0] == "up"
            await intake.intake.sweep()
            assert signals(intake)[-1] == ("down", "silent", NOW - 9)

    run(main)


def test_a_recorded_session_that_begins_anew_begins_with_definitions_and_without_images(run) -> None:
    def recording(pt: int, event: str) -> list[dict]:
        first = image(pt)
        first["mc"][0].update(img=None, id=f"1.{event}", marketDefinition={**DEFINITION, "eventId": event})
        return [first, {**delta(pt + 1, 3.0), "mc": [{"id": f"1.{event}", "rc": [{"id": 1, "atb": [[3.0, 10]]}]}]}]

    async def main() -> None:
        async with driver() as intake:
            assert (await post(intake, *recording(NOW - 90, "9"), session="file", recorded=True))[0] == 202
            # unless it says that it begins, it goes on
            status, answer = await post(intake, *recording(NOW - 80, "9")[1:], session="file", recorded=True)
            assert (status, answer["refused"]) == (202, [])
            again = await post(intake, *recording(NOW - 70, "10"), session="file", recorded=True, begins=True)
            assert again == (202, {"accepted": 3, "refused": []})
            assert len({each.event for each in intake.feed("tennis")}) == 2

    run(main)
