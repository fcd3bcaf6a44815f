"""A canonical feed made of nothing but a seed: four sports, several producers, everything that opens and closes a market.

Times repeat and step back, as real feeds' do. There are no alives in it, so that nothing depends on when it is played.
"""

import json
import random

BASE_MS = 1_700_000_000_000
STEP_MS = 100
SPORTS = ("football", "basketball", "tennis", "hockey")
PRODUCERS = ("1", "3", "live")
FOOTBALL = (
    ("1x2", "", ("home", "draw", "away")),
    ("total", "total=2.5", ("over", "under")),
    ("asian_handicap", "hcp=-0.5", ("home", "away")),
    ("both_teams_to_score", "", ("yes", "no")),
)
OTHERS = (("acme:winner", "", ("1", "2")), ("acme:special", "set=1|total=9.5", ("a", "b", "c")))
GROUPS = ("all", "regular_play", "1st_half", "score")
KINDS = (
    ("odds", 62),
    ("bet_stop", 8),
    ("score", 6),
    ("fixture", 6),
    ("settlement", 5),
    ("cancel", 3),
    ("settlement_rollback", 3),
    ("cancel_rollback", 2),
    ("hold", 2),
    ("release", 3),
)


class Feed:
    """Messages from a seed; the first event has half of them, so that its past outgrows every memory of ids."""

    def __init__(self, seed, messages, events=20, first=0.5, sports=SPORTS):
        self._random = random.Random(seed)
        self._first = first
        self._sports = sports
        self._events = [f"acme:match:{number}" for number in range(1, events + 1)]
        self._now = BASE_MS
        self.messages = [self._message() for _ in range(messages)]

    def write(self, path):
        path.write_text("".join(json.dumps(message, ensure_ascii=False) + "\n" for message in self.messages))
        return path

    def _message(self):
        chance = self._random
        self._now += chance.choice((0, STEP_MS, STEP_MS, 2 * STEP_MS))
        number = 0 if chance.random() < self._first else chance.randrange(len(self._events))
        sport = self._sports[number % len(self._sports)]
        kind = chance.choices([name for name, _ in KINDS], [weight for _, weight in KINDS])[0]
        message = {
            "type": kind,
            "event": self._events[number],
            "sport": sport,
            "producer": chance.choices(PRODUCERS, (6, 3, 1))[0],
            "ts": self._now - (chance.randrange(5) * STEP_MS if chance.random() < 0.1 else 0),
        }
        return message | getattr(self, f"_{kind}")(FOOTBALL if sport == "football" else OTHERS)

    def _some(self, markets):
        return self._random.sample(markets, self._random.randint(1, len(markets)))

    def _named(self, markets):
        return [{"market": market, "line": line} for market, line, _ in self._some(markets)]

    def _odds(self, markets):
        chance = self._random
        return {
            "markets": [
                {
                    "market": market,
                    "line": line,
                    "status": chance.choices(("active", "suspended", "inactive", "handed_over"), (85, 8, 4, 3))[0],
                    "outcomes": [
                        {
                            "id": outcome,
                            "odds": f"{chance.randint(105, 2000) / 100:.2f}",
                            "active": chance.random() < 0.95,
                        }
                        for outcome in outcomes
                    ],
                }
                for market, line, outcomes in self._some(markets)
            ]
        }

    def _bet_stop(self, markets):
        named = self._random.choice(({}, {"groups": [self._random.choice(GROUPS)]}, {"markets": self._named(markets)}))
        return named | ({"status": "inactive"} if self._random.random() < 0.2 else {})

    def _score(self, _):
        return {"home": self._random.randrange(4), "away": self._random.randrange(4), "status": "live"}

    def _fixture(self, _):
        number = self._random.randrange(9)
        return {"name": f"Göztepe {number} / Ünye  SK", "start": BASE_MS + number * 60_000}

    def _settlement(self, markets):
        chance = self._random
        return {
            "certainty": chance.choice(("live", "confirmed")),
            "markets": [
                {
                    "market": market,
                    "line": line,
                    "outcomes": [{"id": each, "result": chance.choice(("won", "lost", "void"))} for each in outcomes],
                }
                for market, line, outcomes in self._some(markets)
            ],
        }

    def _cancel(self, markets):
        window = {"from": self._now - 60_000, "to": self._now} if self._random.random() < 0.5 else {}
        return {"markets": self._named(markets), "reason": "test"} | window

    def _settlement_rollback(self, markets):
        return {"markets": self._named(markets)}

    _cancel_rollback = _settlement_rollback

    def _hold(self, markets):
        named = {"markets": self._named(markets)} if self._random.random() < 0.7 else {}
        return {"reason": "watched", "by": "desk"} | named

    def _release(self, markets):
        return {"by": "desk"} | ({"markets": self._named(markets)} if self._random.random() < 0.5 else {})
