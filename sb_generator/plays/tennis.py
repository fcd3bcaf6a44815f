"""Tennis: points on serve make games, games make sets, two sets make a match; priced by the same chain that plays it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import exp
from typing import Final

from msgspec import Struct

from sb_core.messages import Info, PeriodScore
from sb_core.sports.catalogue import HOME_AWAY, OVER_UNDER, YES_NO
from sb_generator.chance import Chance
from sb_generator.plays import tennis_chain as chain
from sb_generator.plays.goal_markets import handicap, total
from sb_generator.plays.tennis_chain import Games, Rest
from sb_generator.prices import Spread
from sb_generator.scene import Incident, Moment, Offer, Play, Sheet, Strengths, added, begun

POINT_S: Final = (22.0, 48.0)
CHANGE_S: Final = 60.0
SET_BREAK_S: Final = 120.0
SIDES: Final = ("home", "away")
ALL: Final = ("all",)
SETS: Final = ("1st_set", "2nd_set", "3rd_set")
POINTS: Final = ("0", "15", "30", "40")
Won = tuple[tuple[tuple[str, str], str], ...]


def strengths(chance: Chance) -> Strengths:
    """Draw which part of the points on its own serve each side wins."""
    level = 0.63 + 0.02 * chance.normal()
    return Strengths(level * exp(0.035 * chance.normal()), level * exp(0.035 * chance.normal()))


def play(chance: Chance, expected: Strengths) -> tuple[Moment, ...]:
    """Play a match of two won sets."""
    match = _Match(expected, chance)
    while chain.SETS_TO_WIN not in match.sets:
        match.set()
    match.end()
    return tuple(match.moments)


class _Match:
    def __init__(self, expected: Strengths, chance: Chance) -> None:
        self.moments: list[Moment] = []
        self.sets = [0, 0]
        self._serve = (expected.home, expected.away)
        self._chance = chance
        self._server = chance.below(2)
        self._periods: tuple[PeriodScore, ...] = ()
        self._now_s = 0.0
        self._done: frozenset[tuple[str, int]] = frozenset()

    def set(self) -> None:
        number = sum(self.sets) + 1
        self._now_s += SET_BREAK_S if self.moments else 0.0
        self._periods = begun(self._periods, "set", number)
        self._tell("start" if not self.moments else "period", (0, 0))
        games = [0, 0]
        while max(games) < 6 or (max(games) == 6 and min(games) >= 5):
            tied = games == [6, 6]
            winner = self._points(tied=tied)
            games[winner] += 1
            self._game(number, games, winner, over=tied)

    def _points(self, *, tied: bool) -> int:
        """Play a game's points, all but the last of which are told here; return who wins it."""
        points = [0, 0]
        target = 7 if tied else 4
        first = self._server
        while True:
            server = first ^ _turn(points) if tied else first
            won = server if self._chance.happens(self._serve[server]) else 1 - server
            self._now_s += self._chance.between(*POINT_S)
            if points[won] + 1 >= target and points[won] + 1 >= points[1 - won] + 2:
                return won
            points[won] += 1
            if not tied:
                points = [each - max(0, min(points) - 3) for each in points]
            following = first ^ _turn(points) if tied else first
            self._tell("point", (points[0], points[1]), tied=tied, server=following)

    def _game(self, number: int, games: list[int], winner: int, *, over: bool) -> None:
        broken = winner != self._server and not over
        self._server = 1 - self._server
        self._periods = added(self._periods, 1 - winner, winner)
        won: Won = ()
        if not over:
            won = ((("game_winner", f"game={sum(games)}|set={number}"), SIDES[winner]),)
        ended = over or (max(games) >= 6 and abs(games[0] - games[1]) >= 2)
        if ended:
            self.sets[winner] += 1
            self._done |= {("set", number)}
        stop_s = 30.0 if ended else self._chance.between(5, 10) if broken else 0.0
        self._tell(
            "period" if ended else "game", (0, 0), stop=ALL if stop_s else ("game",), stop_s=stop_s or 3.0, won=won
        )
        if sum(games) % 2:
            self._now_s += CHANGE_S

    def end(self) -> None:
        self._now_s += 2.0
        self._tell("end", (0, 0), stop=ALL)

    def _tell(
        self,
        incident: Incident,
        points: tuple[int, int],
        *,
        tied: bool = False,
        server: int | None = None,
        stop: tuple[str, ...] = (),
        stop_s: float = 0.0,
        won: Won = (),
    ) -> None:
        last = self._periods[-1]
        tied = tied or (last.home == last.away == 6)
        shown = (str(points[0]), str(points[1])) if tied else _shown(points)
        self.moments.append(
            Moment(
                at_s=self._now_s,
                home=self.sets[0],
                away=self.sets[1],
                period=SETS[last.number - 1],
                periods=self._periods,
                incident=incident,
                details={
                    "server": SIDES[self._server if server is None else server],
                    "game_home": shown[0],
                    "game_away": shown[1],
                    "tie_break": tied,
                },
                stop=stop,
                stop_s=stop_s,
                won=won,
                done=self._done,
            )
        )


def _turn(points: Sequence[int]) -> int:
    """Say whose turn it is to serve in a tie-break: 0 for who began it."""
    return (sum(points) + 1) // 2 % 2


def _shown(points: tuple[int, int]) -> tuple[str, str]:
    if min(points) == 3 and points[0] != points[1]:
        return ("A", "40") if points[0] > points[1] else ("40", "A")
    return POINTS[min(points[0], 3)], POINTS[min(points[1], 3)]


def _points_of(details: Info) -> tuple[int, int]:
    """Read points as counts again: "A" against "40" is 4 against 3."""
    texts = str(details["game_home"]), str(details["game_away"])
    if details["tie_break"]:
        return int(texts[0]), int(texts[1])
    home, away = (4 if text == "A" else POINTS.index(text) for text in texts)
    return home, away


class _Stand(Struct, frozen=True):
    """Everything that the chain's answers depend on, with points on their raster: where a match stands.

    `games` and `points` are of the set and game that are played; both None between sets.
    """

    home_point: float
    away_point: float
    sets: tuple[int, int]
    before: tuple[int, int]
    games: tuple[int, int] | None
    points: tuple[int, int]
    home_serves: bool
    tied: bool

    @property
    def number(self) -> int:
        """The set that is played, or comes next."""
        return sum(self.sets) + 1


class _Outlook(Struct, frozen=True):
    """What the chain says: P(home wins the game), the set's games, and what becomes of the match."""

    next_game: float
    current: Games
    rest: Rest


def _stand(sheet: Sheet) -> _Stand:
    moment = sheet.moment
    before = [0, 0]
    games: tuple[int, int] | None = None
    for part in moment.periods if sheet.live else ():
        played = part.home or 0, part.away or 0
        if ("set", part.number) in moment.done:
            before = [before[0] + played[0], before[1] + played[1]]
        else:
            games = played
    return _Stand(
        chain.rounded(sheet.strengths.home),
        chain.rounded(sheet.strengths.away),
        (moment.home, moment.away),
        (before[0], before[1]),
        games,
        _points_of(moment.details) if games is not None else (0, 0),
        games is not None and moment.details["server"] == "home",
        games == (6, 6),
    )


@lru_cache(maxsize=4_096)
def _outlook(stand: _Stand) -> _Outlook:
    later = chain.fresh(stand.home_point, stand.away_point)
    next_game, current = 0.5, later
    if stand.games is not None:
        next_game, current = _from_game(stand, stand.games)
    return _Outlook(next_game, current, Rest(stand.sets, current, later))


def _from_game(stand: _Stand, games: tuple[int, int]) -> tuple[float, Games]:
    points, serves = stand.points, stand.home_serves
    if stand.tied:
        first = serves != bool(_turn(points))
        won = chain.tie_break(stand.home_point, stand.away_point, *points, home_first=first)
        return won, chain.joined(won, {(7, 6): 1.0}, {(6, 7): 1.0})
    own = chain.game(stand.home_point if serves else stand.away_point, *(points if serves else points[::-1]))
    won = own if serves else 1 - own
    home, away = games
    current = chain.joined(
        won,
        chain.games(stand.home_point, stand.away_point, home + 1, away, home_serves=not serves),
        chain.games(stand.home_point, stand.away_point, home, away + 1, home_serves=not serves),
    )
    return won, current


def book(sheet: Sheet, family: str) -> tuple[Offer, ...]:
    """Give the offers of one family."""
    if chain.SETS_TO_WIN in (sheet.moment.home, sheet.moment.away):
        return ()
    return _priced(_stand(sheet), family)


@lru_cache(maxsize=32_768)
def _priced(stand: _Stand, family: str) -> tuple[Offer, ...]:
    return tuple(_FAMILIES[family](stand, _outlook(stand)))


def _match(stand: _Stand, outlook: _Outlook) -> Iterator[Offer]:
    shares = outlook.rest.sets
    home = sum(share for (won, lost), share in shares.items() if won > lost)
    yield Offer("match_winner", "", HOME_AWAY, (home, 1.0 - home))
    scores = tuple(sorted(shares))
    yield Offer(
        "correct_score", "", tuple(f"{a}:{b}" for a, b in scores), tuple(shares[each] for each in scores), whole=False
    )
    three = sum(share for score, share in shares.items() if sum(score) == 3)
    yield Offer("total_sets", "total=2.5", OVER_UNDER, (three, 1.0 - three))
    for line, score in (("hcp=-1.5", (2, 0)), ("hcp=1.5", (0, 2))):
        clean = shares.get(score, 0.0)
        yield Offer("set_handicap", line, HOME_AWAY, (clean, 1.0 - clean) if score[0] else (1.0 - clean, clean))
    if not stand.sets[0]:
        none = shares.get((0, 2), 0.0)
        yield Offer("home_wins_a_set", "", YES_NO, (1.0 - none, none))
    if not stand.sets[1]:
        none = shares.get((2, 0), 0.0)
        yield Offer("away_wins_a_set", "", YES_NO, (1.0 - none, none))


def _games(stand: _Stand, outlook: _Outlook) -> Iterator[Offer]:
    now = sum(stand.before)
    rest = _spread(outlook.rest.total)
    middle = now + round(_mean(outlook.rest.total))
    for whole in (middle - 2, middle - 1, middle):
        yield total("total_games", 4 * whole + 2, now, rest)
    margin = stand.before[0] - stand.before[1]
    gained = _spread(outlook.rest.lead)
    even = -margin - round(_mean(outlook.rest.lead))
    for whole in (even - 2, even, even + 1):
        yield handicap("game_handicap", 4 * whole + 2, margin, gained)


def _set(stand: _Stand, outlook: _Outlook) -> Iterator[Offer]:
    line = f"set={stand.number}"
    current = outlook.current
    home = sum(share for (won, lost), share in current.items() if won > lost)
    yield Offer("set_winner", line, HOME_AWAY, (home, 1.0 - home))
    tied = sum(share for score, share in current.items() if sum(score) == 13)
    yield Offer("tie_break_set", line, YES_NO, (tied, 1.0 - tied))
    totals = _by(current)
    middle = round(_mean(totals))
    for whole in (middle - 1, middle):
        yield total("total_games_set", 4 * whole + 2, 0, _spread(totals), line)
    if stand.games is not None and not stand.tied:
        number = sum(stand.games) + 1
        yield Offer("game_winner", f"game={number}|{line}", HOME_AWAY, (outlook.next_game, 1.0 - outlook.next_game))


_FAMILIES: Final[Mapping[str, Callable[[_Stand, _Outlook], Iterator[Offer]]]] = {
    "match": _match,
    "games": _games,
    "set": _set,
}


def _by(games: Games) -> dict[int, float]:
    counts: dict[int, float] = {}
    for score, share in games.items():
        counts[sum(score)] = counts.get(sum(score), 0.0) + share
    return counts


def _mean(counts: Mapping[int, float]) -> float:
    return sum(number * share for number, share in counts.items())


def _spread(counts: Mapping[int, float]) -> Spread:
    low = min(counts)
    return Spread(low, [counts.get(number, 0.0) for number in range(low, max(counts) + 1)])


PLAY: Final[Play] = Play(
    sport="tennis",
    margin=1.056,
    duration_s=6_000.0,
    families=("match", "games", "set"),
    before=("match", "games", "set"),
    strengths=strengths,
    play=play,
    book=book,
    drift=0.0065,
)
