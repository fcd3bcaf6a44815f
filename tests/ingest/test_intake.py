"""The intake: what one request becomes in the log, and what its answer says when the log fails."""

import gzip
import json

import anyio
import pytest
import trio
from intake_driver import NOW, driver, market, odds

from sb_core import messages, topics
from sb_core.config import PipelineConfig, SportConfig, Step
from sb_core.errors import FeedError
from sb_core.messages import BetStop, Fixture, Odds
from sb_ingest.answers import IntakeRequest

FIXTURE = {"type": "fixture", "ts": NOW, "event": "acme:1", "sport": "football"}


def test_an_accepted_message_is_in_its_events_partition_with_what_ingest_adds(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            assert await intake.post(odds()) == (202, {"accepted": 1, "refused": []})
            (record,) = intake.records(topics.feed("football"))
            assert (record.key, record.partition) == ("acme:1", topics.partition_of("acme:1"))
            written = json.loads(record.value)
            assert written["received"] == NOW
            assert written["trace"] == f"{1:032x}"
            assert written["provider"] == "acme"
            assert written["id"] == messages.content_id(messages.decode(record.value))

    run(main)


def test_ids_are_of_content_alone_and_given_ids_stay(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            first = odds(markets=[market(info={"a": "1", "b": "2"})])
            second = odds(markets=[market(info={"b": "2", "a": "1"})], trace="f" * 32, received=7, provider="acme")
            await intake.post(first)
            intake.clock.ms += 5_000
            await intake.post(second)
            await intake.post({**first, "id": "mine"})
            ids = [message.id for message in intake.feed()]
            assert ids[0] == ids[1]
            assert len(ids[0]) == 32
            assert ids[2] == "mine"
            assert [message.received for message in intake.feed()] == [NOW, NOW + 5_000, NOW + 5_000]

    run(main)


def test_what_a_gzip_body_holds_is_taken(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            joined = gzip.compress(json.dumps(odds()).encode()) + gzip.compress(
                b"\n" + json.dumps(odds("acme:2")).encode()
            )
            assert await intake.post(joined, "application/x-ndjson", content_encoding="gzip") == (
                202,
                {"accepted": 2, "refused": []},
            )

    run(main)


def test_a_sport_is_learnt_once_and_the_first_answer_wins(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            bare = {key: value for key, value in odds().items() if key != "sport"}
            # the second message of a request knows what the first one said
            status, answer = await intake.post([FIXTURE, bare, {**bare, "sport": "tennis"}])
            assert (status, answer["accepted"]) == (202, 3)
            assert {message.sport for message in intake.feed()} == {"football"}
            assert (await intake.post(bare, sport="tennis"))[0] == 202
            assert intake.feed("tennis") == []
            assert [json.loads(record.value) for record in intake.records(topics.EVENTS)] == [
                {"event": "acme:1", "sport": "football"}
            ]

    run(main)


def test_a_hint_says_the_sport_of_new_events(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            stop = {"type": "bet_stop", "ts": NOW, "event": "acme:9"}
            assert (await intake.post(stop, sport="hockey"))[0] == 202
            assert [message.event for message in intake.feed("hockey")] == ["acme:9"]
            assert [record.key for record in intake.records(topics.EVENTS)] == ["acme:9"]

    run(main)


def test_a_sport_that_the_log_did_not_get_is_written_with_the_next_request(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            intake.log.trouble = ["unavailable"]
            assert (await intake.post(odds()))[0] == 503
            assert (await intake.post({**odds(), "sport": ""}))[0] == 202
            assert [record.key for record in intake.records(topics.EVENTS)] == ["acme:1"]
            assert (await intake.post(odds()))[0] == 202
            assert len(intake.records(topics.EVENTS)) == 1

    run(main)


def test_a_replaced_event_is_told_by_a_message_of_its_own(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            status, answer = await intake.post({**FIXTURE, "replaces": "acme:0"})
            assert (status, answer["accepted"]) == (202, 1)
            told = {message.event: message for message in intake.feed() if isinstance(message, Fixture)}
            assert told["acme:1"].replaces == "acme:0"
            assert told["acme:0"].replaced_by == "acme:1"
            assert (told["acme:0"].ts, told["acme:0"].producer) == (NOW, "0")
            account = await intake.account()
            assert (account["received"], account["accepted"]) == (2, 2)

    run(main)


def test_controls_go_to_sports_alive(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            said = {"ts": NOW, "provider": "acme", "producer": "1"}
            body = [
                {"type": "alive", **said, "subscribed": False},
                {"type": "snapshot_complete", **said, "request": "7"},
            ]
            assert (await intake.post(body))[0] == 202
            assert [record.key for record in intake.records(topics.ALIVE)] == ["acme:1", "acme:1"]
            assert [messages.type_of(message) for message in intake.alive()] == ["alive", "snapshot_complete"]
            account = await intake.account()
            assert (account["accepted"], account["control"]) == (2, 2)

    run(main)


def test_a_refusal_closes_at_its_own_time_with_an_id_that_a_repeat_shares(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            bad = odds(ts=NOW - 500, producer="7", markets=[market(home="0.5")])
            await intake.post(bad)
            await intake.post(bad)
            first, again = intake.feed()
            assert (first.ts, first.producer, first.provider) == (NOW - 500, "7", "acme")
            assert first.id == again.id
            # without a time of its own each closes anew
            timeless = {key: value for key, value in bad.items() if key != "ts"}
            await intake.post(timeless)
            intake.clock.ms += 1
            await intake.post(timeless)
            _, _, third, fourth = intake.feed()
            assert (third.ts, fourth.ts) == (NOW, NOW + 1)
            assert third.id != fourth.id

    run(main)


def test_all_that_is_refused_closes_also_in_an_event_never_seen(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            status, answer = await intake.post(odds(markets=[market(home=1.5), market("both_teams_to_score")]))
            assert (status, answer["accepted"], len(answer["refused"])) == (422, 0, 2)
            assert all(isinstance(message, BetStop) for message in intake.feed())
            assert {message.markets[0].market for message in intake.feed()} == {"1x2", "both_teams_to_score"}

    run(main)


def test_an_unknown_provider_and_a_closed_intake(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            status, answer = await intake.post(odds(), provider="nobody")
            assert (status, answer["code"]) == (404, "unknown_provider")
            intake.intake.closed = "stopping"
            status, answer = await intake.post(odds())
            assert (status, answer["code"]) == (503, "unavailable")
            assert intake.log.appends == 0

    run(main)


@pytest.mark.parametrize("trouble", ["unknown", "landed", "hang"])
def test_an_append_of_unknown_outcome_says_send_again(run, trouble) -> None:
    async def main() -> None:
        async with driver(append_deadline_ms=50) as intake:
            intake.log.trouble = [trouble]
            status, answer = await intake.post([odds(), odds("acme:2", markets=[market(home=1)])])
            assert (status, answer["code"]) == (503, "unknown_outcome")
            assert "same ids" in answer["detail"]
            account = await intake.account()
            assert account["unknown"] == 3
            assert account["balanced"]
            landed = 3 if trouble == "landed" else 0
            assert account["received"] == 3 + landed
            assert (await intake.post(odds()))[0] == 202
            assert (await intake.account())["unknown"] == 3
            assert intake.intake.owed.total() == 0
            # what had landed has the same id as what was sent again
            assert len({message.id for message in intake.feed() if isinstance(message, Odds)}) == 1

    run(main)


def test_an_unavailable_log_counts_nothing(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            intake.log.trouble = ["unavailable"]
            answer = await intake.intake.accept(_request(odds()))
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert (await intake.account())["received"] == 0

    run(main)


def test_requests_beyond_the_limit_are_sent_away(run) -> None:
    async def main() -> None:
        async with driver(ingest_inflight_max=2, append_deadline_ms=200) as intake:
            intake.log.trouble = ["hang", "hang"]
            statuses: list[int] = []

            async def post() -> None:
                statuses.append((await intake.post(odds()))[0])

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(post)
            assert sorted(statuses) == [429, 503, 503]
            assert intake.intake.inflight == 0
            assert (await intake.post(odds()))[0] == 202

    run(main)


def test_an_append_survives_the_client_that_asked_for_it(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            started = trio.Event()
            append = intake.log.append

            async def slow(records, counts=None):
                started.set()
                await trio.sleep(0.05)
                return await append(records, counts)

            intake.log.append = slow
            async with trio.open_nursery() as nursery:
                nursery.start_soon(intake.post, odds())
                await started.wait()
                nursery.cancel_scope.cancel()
            assert len(intake.feed()) == 1
            assert not intake.known.unwritten("acme:1")

    run(main)


def test_a_snapshot_is_complete_only_after_what_came_before_it(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            append = intake.log.append

            async def slow(records, counts=None):
                if records[0].topic != topics.ALIVE:
                    await trio.sleep(0.05)
                order.append(records[0].topic)
                return await append(records, counts)

            order: list[str] = []
            intake.log.append = slow
            complete = {"type": "snapshot_complete", "ts": NOW, "provider": "acme", "producer": "1"}
            async with trio.open_nursery() as nursery:
                nursery.start_soon(intake.post, {**odds(), "sport": "tennis", "markets": []})
                await trio.sleep(0.01)
                nursery.start_soon(intake.post, complete)
            assert order[-1] == topics.ALIVE
            assert len(order) == 2

    run(main)


def test_the_pipelines_configuration_is_applied(run) -> None:
    def no_friendlies(message: messages.AnyMessage) -> messages.AnyMessage | FeedError | None:
        if message.event == "acme:friendly":
            return None
        return FeedError("rule_step", "not this one") if message.event == "acme:bad" else message

    config = PipelineConfig(
        sports={"football": SportConfig(frozenset({"1x2"}), {"repeated_outcome": False, "score_max": 3})},
        all_steps=(Step("no_friendlies", ("football",), no_friendlies),),
    )

    async def main() -> None:
        async with driver(config) as intake:
            total = {"market": "both_teams_to_score", "outcomes": []}
            twice = {"market": "1x2", "outcomes": [{"id": "home"}, {"id": "home"}]}
            status, answer = await intake.post(
                [
                    odds(markets=[total, twice]),
                    odds(markets=[total]),
                    {"type": "bet_stop", "ts": NOW, "event": "acme:1", "markets": [{"market": "both_teams_to_score"}]},
                    odds("acme:friendly"),
                    odds("acme:bad"),
                    {"type": "score", "ts": NOW, "event": "acme:1", "home": 4, "away": 0},
                ]
            )
            assert (status, answer["accepted"]) == (202, 1)
            assert [(each["index"], each["code"]) for each in answer["refused"]] == [
                (4, "rule_step"),
                (5, "rule_score"),
            ]
            account = await intake.account()
            assert (account["ignored"], account["received"], account["documents"]) == (3, 5, 6)

    run(main)


def test_a_fault_of_a_normaliser_costs_its_document_only(run) -> None:
    class Faulty:
        name = "canonical"
        session_based = False

        def normalise(self, document, *_):
            raise ZeroDivisionError(document)

    async def main() -> None:
        async with driver() as intake:
            intake.intake._normalisers = {"canonical": Faulty()}
            status, answer = await intake.post(odds())
            assert (status, answer["refused"][0]["code"]) == (422, "rule_fault")
            assert '"normaliser_fault"' in intake.lines.getvalue()

    run(main)


def test_every_log_line_of_a_request_carries_its_trace(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            await intake.post(odds())
            line = json.loads(intake.lines.getvalue().splitlines()[-1])
            assert line["trace"] == intake.feed()[0].trace

    run(main)


def test_a_dead_letter_has_its_headers_and_a_share_of_bytes(run) -> None:
    async def main() -> None:
        async with driver(dead_letter_bytes_max=100) as intake:
            raw = json.dumps(odds(markets=[market(home="0.5")])).encode()
            await intake.post(raw, key="a.b")
            (record,) = intake.records(topics.DEAD_LETTER)
            told = {name: value.decode() for name, value in record.headers}
            assert record.value == raw[:100]
            assert told["sb-length"] == str(len(raw))
            assert told["sb-source"] == record.key == f"request/{1:032x}/0.1"
            assert (told["sb-code"], told["sb-stage"], told["sb-provider"]) == ("bad_odds", "ingest", "canonical")
            assert (told["sb-received"], told["sb-trace"], told["sb-attempts"]) == (str(NOW), f"{1:032x}", "1")
            assert (told["sb-event"], told["sb-market"], told["sb-key"]) == ("acme:1", "1x2", "a.b")
            assert len(told["sb-sha256"]) == 64

    run(main)


def _request(message: object):
    return IntakeRequest(provider="canonical", body=json.dumps(message).encode())
