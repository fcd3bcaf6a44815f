"""The account balances over every mix of good, bad and failing input: received = accepted + refused + unknown."""

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from intake_driver import NOW, driver, market, odds

from sb_core import topics

PIECES = [
    json.dumps(odds()),
    json.dumps(odds("acme:2", markets=[market(), market("both_teams_to_score")])),
    json.dumps(odds("acme:3", markets=[market(home=1.5), market("total", line="total=2.5")])),
    json.dumps(odds("acme:4", ts="late")),
    json.dumps(odds("acme:5", sport="")),
    json.dumps({"type": "alive", "ts": NOW, "provider": "acme", "producer": "1"}),
    json.dumps({"type": "alive", "ts": NOW}),
    json.dumps({"type": "fixture", "ts": NOW, "event": "acme:6", "sport": "tennis", "replaces": "acme:1"}),
    json.dumps({"type": "bet_stop", "ts": NOW, "event": "acme:2", "markets": [{"market": "1x2"}, {}]}),
    '{"type":',
    "[]",
]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bodies=st.lists(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6), max_size=6),
    troubles=st.lists(st.sampled_from([None, "unavailable", "unknown", "landed"]), max_size=8),
)
def test_the_account_balances(run, bodies, troubles) -> None:
    async def main() -> None:
        async with driver() as intake:
            intake.log.trouble = list(troubles)
            given_accepted = given_refused = 0
            for body in bodies:
                status, answer = await intake.post("\n".join(body), "application/x-ndjson")
                if status in {202, 422}:
                    given_accepted += answer["accepted"]
                    given_refused += len(answer["refused"])
            account = await intake.account()
            refused = sum(account["refused"].values())
            assert account["received"] == account["accepted"] + refused + account["unknown"]
            assert account["balanced"]
            feed = sum(len(intake.records(topics.feed(sport))) for sport in ("football", "tennis"))
            assert feed + account["control"] == account["accepted"]
            assert len(intake.records(topics.DEAD_LETTER)) == refused
            if "landed" not in troubles:
                assert refused == given_refused
                assert account["accepted"] >= given_accepted

    run(main)
