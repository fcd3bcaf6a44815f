"""A runner's ladders: what the deltas of one runner add up to.

The rule: a new runner is returned and the old one stays as it was, so that a state that the log did not acknowledge can be
dropped. A level that is no price is never held; it is named, so that the market is refused, and the rest of the delta
stands, because what Betfair says of the other levels is absolute and not a difference.

Prices are ten-thousandths here (more decimals are rounded down, as everywhere), sizes are exact decimals.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

import msgspec
from msgspec import Struct

from sb_core import odds
from sb_core.errors import FeedError
from sb_ingest.providers.betfair_wire import LEVELS_MAX, Levels, Places, RunnerChange, decimal_text

BACK: Final = True
LAY: Final = False

Offer = tuple[int, Decimal]
"""A price in ten-thousandths and the size offered at it."""


class Runner(Struct, frozen=True):
    """A runner's offers to back and to lay.

    `backs` and `lays` are full ladders, price to size (`atb`, `atl`); `best_backs` and `best_lays` are by level (`batb`,
    `batl`). A ladder that the session never named is None. `last` and `volume` are the last price and the size traded.
    """

    backs: dict[int, Decimal] | None = None
    lays: dict[int, Decimal] | None = None
    best_backs: dict[int, Offer] | None = None
    best_lays: dict[int, Offer] | None = None
    last: Decimal | None = None
    volume: Decimal | None = None


EMPTY: Final = Runner()


def price_of(number: Decimal) -> int:
    """Turn a price into ten-thousandths. Raises FeedError `bad_odds` outside of 1.0001 to 1,000,000."""
    return odds.parse(decimal_text(number))


@lru_cache(maxsize=65_536)
def price_text(price: int) -> str:
    """Write ten-thousandths in shortest decimal: 15000 is "1.5"."""
    return decimal_text(Decimal(odds.text(price)))


def change_runner(runner: Runner, change: RunnerChange) -> tuple[Runner, FeedError | None]:
    """Apply a delta; the second is the first thing in it that is no offer, for which the market is to be refused."""
    problems: list[FeedError] = []
    fields: dict[str, Any] = {}
    if change.atb is not None:
        fields["backs"] = _ladder(runner.backs, change.atb, problems)
    if change.atl is not None:
        fields["lays"] = _ladder(runner.lays, change.atl, problems)
    if change.batb is not None:
        fields["best_backs"] = _places(runner.best_backs, change.batb, problems)
    if change.batl is not None:
        fields["best_lays"] = _places(runner.best_lays, change.batl, problems)
    if change.ltp is not None:
        fields["last"] = change.ltp
    if change.tv is not None:
        fields["volume"] = change.tv
    return (msgspec.structs.replace(runner, **fields) if fields else runner), (problems[0] if problems else None)


def best(runner: Runner, *, back: bool) -> Offer | None:
    """Return the best offer: the highest price to back, the lowest to lay; None where nothing is offered.

    A full ladder goes before one by levels, where both came.
    """
    ladder = runner.backs if back else runner.lays
    if ladder is not None:
        if not ladder:
            return None
        choose: Callable[[dict[int, Decimal]], int] = max if back else min
        price = choose(ladder)
        return price, ladder[price]
    places = runner.best_backs if back else runner.best_lays
    return places.get(0) if places else None


def _ladder(held: dict[int, Decimal] | None, levels: Levels, problems: list[FeedError]) -> dict[int, Decimal]:
    ladder = dict(held) if held else {}
    for number, size in levels:
        try:
            if _is_offer(size):
                ladder[price_of(number)] = size
            elif ladder:
                ladder.pop(_price_held(number), None)
        except FeedError as problem:
            problems.append(problem)
    _check_length(ladder, problems)
    return ladder


def _places(held: dict[int, Offer] | None, places: Places, problems: list[FeedError]) -> dict[int, Offer]:
    ladder = dict(held) if held else {}
    for level, number, size in places:
        ladder.pop(level, None)
        try:
            if _is_offer(size):
                ladder[level] = price_of(number), size
        except FeedError as problem:
            problems.append(problem)
    _check_length(ladder, problems)
    return ladder


def _price_held(number: Decimal) -> int:
    """Return the price to remove; what is no price is not held, and removing it (`[0, 0]`) is no fault."""
    try:
        return price_of(number)
    except FeedError:
        return 0


def _is_offer(size: Decimal) -> bool:
    """Say whether a size offers anything; raises FeedError `bad_odds` for one that is no size."""
    if not size.is_finite() or size < 0:
        raise FeedError("bad_odds", f"size {str(size)[:40]} is no size")
    return bool(size) and decimal_text(size) != "0"


def _check_length(ladder: dict[int, Any], problems: list[FeedError]) -> None:
    if len(ladder) > LEVELS_MAX:
        ladder.clear()
        problems.append(FeedError("too_large", f"more than {LEVELS_MAX} levels on one side of a runner"))
