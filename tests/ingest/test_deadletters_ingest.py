"""Dead letters read back and replayed: only what was refused, received anew; a dry run leaves no trace."""

import json

import msgspec
from intake_driver import NOW, Driver, driver, market, odds

from sb_core import deadletter, messages, topics
from sb_core.config import Step
from sb_core.messages import Odds
from sb_ingest.deadletters import DeadLetters, read_letter
from sb_ingest.replay import Replayed, replay


async def replayed(intake: Driver, letter_id: str, *, dry_run: bool = False) -> Replayed:
    letters = DeadLetters(intake.log, intake.log)
    return await replay(intake.intake, letters, letter_id, intake.limits, dry_run=dry_run)


def test_pages_filter_and_go_on_where_they_ended(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            letters = DeadLetters(intake.log, intake.log)
            assert (await letters.page(codes=frozenset(), limit=10, cursor=None)).items == []
            for number in range(5):
                await intake.post(odds(f"acme:{number}", markets=[market(home="0.5")]))
                await intake.post(odds(f"acme:{number}", ts="late"))
            page = await letters.page(codes=frozenset({"bad_odds"}), limit=3, cursor=None)
            assert [each.event for each in page.items] == ["acme:0", "acme:1", "acme:2"]
            rest = await letters.page(codes=frozenset({"bad_odds"}), limit=3, cursor=int(page.next or ""))
            assert [each.event for each in rest.items] == ["acme:3", "acme:4"]
            assert rest.next is None
            assert [each.id for each in rest.items] == ["0-6", "0-8"]
            assert len((await letters.page(codes=frozenset(), limit=100, cursor=0)).items) == 10
            for strange in ("1-0", "0-10", "x", "", "0-" + "9" * 30):
                assert await letters.find(strange) is None

    run(main)


def test_a_replay_takes_only_what_was_refused(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            intake.known.learn("acme:1", "football")
            assert (await intake.post(odds(markets=[market(), market("1x2_1st_half", home="0.5")])))[0] == 202
            assert (await replayed(intake, "0-0")).result == "refused"
            assert len(intake.dead_letters()) == 2
            # had the rule been lifted meanwhile, only that market would be sent
            intake.intake._books["football"] = _lenient(intake)
            before = len(intake.feed())
            trial = await replayed(intake, "0-0", dry_run=True)
            assert len(intake.feed()) == before
            assert (trial.result, trial.accepted) == ("accepted", 1)
            done = await replayed(intake, "0-0")
            assert (done.result, done.accepted) == ("accepted", 1)
            new = [message for message in intake.feed() if message.trace == done.trace]
            assert [[each.market for each in message.markets] for message in new if isinstance(message, Odds)] == [
                ["1x2_1st_half"]
            ]

    run(main)


def _lenient(intake: Driver):
    """Football with a step that mends the odds before they are checked."""

    def mend(message):
        if not isinstance(message, Odds):
            return message
        text = messages.encode(message).replace(b'"0.5"', b'"1.5"')
        return messages.decode(text)

    book = intake.intake._books["football"]
    return msgspec.structs.replace(book, steps=(Step("mend", (), mend),))


def test_an_event_whose_sport_is_known_by_now_can_be_replayed(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            bare = {key: value for key, value in odds().items() if key != "sport"}
            assert (await intake.post(bare))[0] == 422
            assert (await replayed(intake, "0-0")).result == "refused"
            await intake.post({"type": "fixture", "ts": NOW, "event": "acme:1", "sport": "football"})
            trial = await replayed(intake, "0-0", dry_run=True)
            assert [messages.type_of(each) for each in trial.messages or ()] == ["odds"]
            before = await intake.account()
            assert (await replayed(intake, "0-0")).result == "accepted"
            account = await intake.account()
            assert (account["received"], account["accepted"]) == (before["received"] + 1, before["accepted"] + 1)
            assert account["balanced"]

    run(main)


def test_a_dry_run_learns_nothing(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            await intake.post(odds(ts="late"))
            first = await replayed(intake, "0-0", dry_run=True)
            assert [each.code for each in first.refused] == ["bad_time"]
            appends = intake.log.appends
            await intake.post(odds("acme:9", sport=""), sport="")
            await replayed(intake, "0-1", dry_run=True)
            assert intake.log.appends == appends + 1
            assert intake.known.sport_of("acme:9") is None

    run(main)


def test_what_a_processor_refused_is_replayed_as_canonical(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            message = messages.decode(json.dumps({**odds(), "provider": "uof", "trace": "0" * 32}).encode())
            record = deadletter.record(
                code="rule_store",
                message="it did not fit",
                stage="process",
                provider="uof",
                source="sports-feed-football/3/17",
                raw=messages.encode(message),
                received=NOW,
                now=NOW,
            )
            await intake.log.append([record])
            done = await replayed(intake, "0-0")
            assert done.result == "accepted"
            assert [each.provider for each in intake.feed()] == ["uof"]

    run(main)


def test_a_cut_or_missing_letter_is_not_replayed(run) -> None:
    async def main() -> None:
        async with driver(dead_letter_bytes_max=50) as intake:
            await intake.post(odds(markets=[market(home="0.5")]))
            (record,) = intake.records(topics.DEAD_LETTER)
            assert read_letter(record, whole=True).cut
            assert (await replayed(intake, "0-0")).result == "cut"
            assert (await replayed(intake, "0-1")).result == "not_found"

    run(main)


def test_uof_letters_are_replayed_with_their_routing_key(run) -> None:
    async def main() -> None:
        async with driver() as intake:
            stop = f'<bet_stop product="1" event_id="sr:match:5" timestamp="{NOW}" groups="all"/>'
            assert (await intake.post(stop, "application/xml", "uof"))[0] == 422
            assert (await replayed(intake, "0-0", dry_run=True)).result == "refused"
            stop6 = stop.replace("match:5", "match:6")
            await intake.post(stop6, "application/xml", "uof", sport="football")
            status, _ = await intake.post(
                "<odds_change", "application/xml", "uof", key="hi.-.live.bet_stop.1.sr:match.5.-"
            )
            assert status == 400
            letter = read_letter(intake.records(topics.DEAD_LETTER)[-1], whole=True)
            assert letter.key == "hi.-.live.bet_stop.1.sr:match.5.-"

    run(main)
