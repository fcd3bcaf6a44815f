"""The book: how one message changes one event. Pure; the rules are DESIGN.md's "The fold", sentence by sentence.

The rule: outcome, `rev` and content are a function of the event, the message and the partition's producers, of nothing else.
"""

from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from sb_core import messages as m
from sb_core import odds
from sb_core.errors import ContractError, FeedError
from sb_core.shown import StatusChange
from sb_process import render, settle, stops
from sb_process.draft import OUTCOMES_MAX, Draft, Outcome, Rules
from sb_process.render import RenderedChanges, RenderedUpdate
from sb_process.state import (
    UNKNOWN,
    EventState,
    Fold,
    Listed,
    MarketId,
    MarketState,
    OutcomeState,
    Version,
    advance,
    encoder,
    knows,
    remember,
    stands,
)


class Applied(Struct, frozen=True, gc=False):
    """What a message came to: the event after it, the markets to store, and the update where it made a `rev`."""

    outcome: Outcome
    fold: Fold
    touched: frozenset[MarketId] = frozenset()
    repriced: frozenset[MarketId] = frozenset()
    """Those of `touched` of which more than the status moved."""
    update: RenderedUpdate | None = None
    fixture_applied: bool = False


_HOLDING: Final = (m.Hold, m.Release)
"""What operators say; no producer is listed for it."""


def new_fold(event: str, rules: Rules) -> Fold:
    """Return an event that nobody has named yet, at rev 0."""
    head = EventState(event=event, provider=event.partition(":")[0], sport=rules.sport, lineage=rules.lineage)
    return Fold(head=head)


def apply(fold: Fold, message: m.AnyMessage, at: int, rules: Rules) -> Applied:
    """Apply one message from offset `at` of the event's partition.

    Raises FeedError where the message breaks a limit that only the event knows; nothing has changed then.
    """
    if knows(fold.ids, message.id):
        return Applied("duplicate", fold)
    handler = _HANDLERS.get(type(message))
    if handler is None:
        raise ContractError(f"no rule for messages of type {m.type_of(message)}")
    draft = Draft(fold, message, rules)
    handler(draft, message)
    if None in draft.verdicts and not isinstance(message, _HOLDING):
        draft.listed()
    draft.show()
    outcome = draft.outcome
    if outcome == "duplicate":
        return Applied(outcome, fold)
    ids = remember(fold.ids, message.id)
    if outcome == "stale":
        # known all the same, by its id and in its lane: sent again after its market lost its owner, it must not apply
        markets = {**fold.markets, **draft.changed} if draft.changed else fold.markets
        known = msgspec.structs.replace(fold, markets=markets, ids=ids)
        return Applied(outcome, known, frozenset(draft.changed))
    return _finish(draft, outcome, ids, message, at)


def apply_producer(fold: Fold, record: m.Producer, at: int, rules: Rules) -> Applied:
    """Apply a producer's change of state to an event that lists it; `rules.views` holds the new state already."""
    draft = Draft(fold, record, rules)
    key = record.producer_key
    view = rules.views.get(key, UNKNOWN)
    shown = Listed(key=key, state=view.state, since=view.since, reason=view.reason)
    draft.head.producers = tuple(shown if each.key == key else each for each in draft.head.producers)
    draft.fields.add("producers")
    draft.reshow = True
    draft.show()
    return _finish(draft, "applied", fold.ids, record, at)


def _finish(draft: Draft, outcome: Outcome, ids: str, message: m.Message, at: int) -> Applied:
    before = draft.before
    markets = {**before.markets, **draft.changed} if draft.changed else before.markets
    if draft.created_markets:
        markets = {key: markets[key] for key in sorted(markets)}
    touched = frozenset(draft.changed)
    fixture_applied = isinstance(message, m.Fixture) and not draft.fields.isdisjoint(("competition", "competitors"))
    if outcome == "unchanged":
        fold = Fold(head=draft.head, markets=markets, ids=ids, digest=before.digest, rendered=before.rendered)
        return Applied(outcome, fold, touched)
    head = draft.head
    head.rev += 1
    head.lineage = draft.rules.lineage
    head.ts = message.ts
    head.updated = message.received
    if isinstance(message, m.Odds):
        # a market's `ts` moves with every change that odds make, so readers get the whole market
        draft.content |= draft.moved
        for key in draft.content:
            draft.changed[key].ts = message.ts
    rendered = before.rendered.copy()
    for key in touched:
        rendered.pop(key, None)
    changes = _changes(draft, rendered)
    digest = _digest(before.digest, draft)
    fold = Fold(head=head, markets=markets, ids=ids, digest=digest, rendered=rendered)
    update = RenderedUpdate(
        event=head.event,
        sport=head.sport,
        lineage=head.lineage,
        prev=head.rev - 1,
        rev=head.rev,
        ts=head.ts,
        updated=head.updated,
        changes=changes,
        trace=message.trace,
        received=message.received,
        cause=message.id,
        cause_type=m.type_of(message),
        at=at,
        digest=digest,
    )
    return Applied(outcome, fold, touched, frozenset(draft.content), update, fixture_applied)


def _digest(before: str, draft: Draft) -> str:
    """Chain the state after this change to all that went before; the last ids stay out, as redeliveries may differ."""
    parts = [before.encode(), encoder.encode(draft.head)]
    parts += [encoder.encode(draft.changed[key]) for key in sorted(draft.changed)]
    return blake2b(b"".join(parts), digest_size=8).hexdigest()


_HEADER_FIELDS: Final = ("name", "start", "status", "competition", "competitors", "replaces", "replaced_by")
_SCORE_FIELDS: Final = m.Score.__struct_fields__


def _changes(draft: Draft, rendered: dict[MarketId, bytes]) -> RenderedChanges:
    head = draft.head
    event: dict[str, Any] = {}
    names = ("provider", "sport", *_HEADER_FIELDS, "producers", "holds") if draft.created else sorted(draft.fields)
    for name in names:
        if name == "producers":
            event[name] = render.producers(head)
        elif name == "holds":
            event[name] = render.holds(head)
        else:
            event[name] = getattr(head, name)
    whole: list[Raw] = []
    statuses: list[StatusChange] = []
    for key in sorted(draft.content | draft.moved):
        state = draft.changed[key]
        if key in draft.content:
            shown = rendered[key] = render.market(state, draft.rules.kinds.get(key[0]))
            whole.append(Raw(shown))
        else:
            statuses.append(StatusChange(market=state.market, line=state.line, status=state.shown, open=state.open))
    return RenderedChanges(
        event=event, score=head.score if draft.score_changed else None, markets=whole, statuses=statuses
    )


# Events: fixture, score, status. Each has a lane of its own; status is set from either.


def _status(draft: Draft, status: m.EventStatus | UnsetType) -> None:
    if isinstance(status, UnsetType):
        return
    head, message_id = draft.head, draft.message.id
    verdict = stands(head.statuses, draft.producer, draft.version, message_id)
    draft.verdicts.append(verdict)
    if verdict is not None:
        return
    head.statuses = advance(head.statuses, draft.producer, draft.version, message_id)
    if status != head.status:
        finished = (status in m.FINISHED) != (head.status in m.FINISHED)
        head.status = status
        draft.fields.add("status")
        draft.reshow = draft.reshow or finished


def _fixture(draft: Draft, message: m.Fixture) -> None:
    head = draft.head
    given = {
        name: value for name in _HEADER_FIELDS if name != "status" and (value := getattr(message, name)) is not UNSET
    }
    if given or message.status is UNSET:
        verdict = stands(head.fixture, draft.producer, draft.version, message.id)
        draft.verdicts.append(verdict)
        if verdict is None:
            head.fixture = advance(head.fixture, draft.producer, draft.version, message.id)
            for name, value in given.items():
                if value != getattr(head, name):
                    setattr(head, name, value)
                    draft.fields.add(name)
    _status(draft, message.status)


def _score(draft: Draft, message: m.ScoreChange) -> None:
    head = draft.head
    given = {name: value for name in _SCORE_FIELDS if (value := getattr(message, name)) is not UNSET}
    if given or message.status is UNSET:
        verdict = stands(head.scoring, draft.producer, draft.version, message.id)
        draft.verdicts.append(verdict)
        if verdict is None:
            head.scoring = advance(head.scoring, draft.producer, draft.version, message.id)
            score = msgspec.structs.replace(head.score or m.Score(), **given) if given else head.score
            if score != head.score:
                head.score = score
                draft.score_changed = True
    _status(draft, message.status)


# Odds: a market has an owner; the lane is per market and producer.


def _may_own(draft: Draft, state: MarketState) -> bool:
    owner = state.owner
    if owner is None or owner == draft.producer or state.status == "handed_over":
        return True
    rules = draft.rules
    return rules.views.get(owner, UNKNOWN).state == "down" or rules.rank(draft.producer) > rules.rank(owner)


def _odds(draft: Draft, message: m.Odds) -> None:
    for given in message.markets:
        known = draft.known(given)
        verdict = None
        if known is not None:
            verdict = stands(known.odds, draft.producer, draft.version, message.id)
            if verdict is None and not _may_own(draft, known):
                draft.pass_by(known, "odds", draft.producer)
                verdict = "stale"
        draft.verdicts.append(verdict)
        if verdict is None:
            _price(draft, given, message.id)


def _price(draft: Draft, given: m.MarketOdds, message_id: str) -> None:
    state = draft.edit(given)
    key = state.key
    taken_over = state.owner != draft.producer
    if taken_over:
        state.owner = draft.producer
        draft.content.add(key)
    state.odds = advance(state.odds, draft.producer, draft.version, message_id)
    if not isinstance(given.status, UnsetType):
        state.status = given.status
    elif taken_over:
        state.status = "active"
    if not isinstance(given.info, UnsetType) and given.info != state.info:
        state.info = given.info
        draft.content.add(key)
    if isinstance(given.outcomes, UnsetType):
        return
    outcomes = merge(state.outcomes, given.outcomes, complete=given.complete)
    if len(outcomes) > OUTCOMES_MAX:
        raise FeedError("too_large", f"more than {OUTCOMES_MAX} outcomes", event=draft.head.event, market=given.market)
    if outcomes == state.outcomes and given.complete == state.complete:
        return
    kind = draft.rules.kinds.get(given.market)
    alike = len(outcomes) == len(state.outcomes) and all(map(_alike, outcomes, state.outcomes))
    # which outcomes are the complete set is shown only through overround and fair
    margin = render.margin(state, kind) if alike else None
    state.outcomes, state.complete = outcomes, given.complete
    if not alike or render.margin(state, kind) != margin:
        draft.content.add(key)


def _alike(one: OutcomeState, other: OutcomeState) -> bool:
    """Compare outcomes as shown."""
    return one == other or (one.listed != other.listed and msgspec.structs.replace(one, listed=other.listed) == other)


def merge(
    known: tuple[OutcomeState, ...], given: tuple[m.OutcomeOdds, ...], *, complete: bool
) -> tuple[OutcomeState, ...]:
    """Bring a market's outcomes up to date. With `complete`, those not given are withdrawn: inactive, without odds.

    Order is the provider's when complete; else known ones keep their places and new ones follow.
    """
    if [outcome.id for outcome in known] == [
        outcome.id for outcome in given
    ]:  # nearly always: the same with new prices
        return tuple(map(_outcome, known, given))
    by_id = {outcome.id: outcome for outcome in known}
    updated = {outcome.id: _outcome(by_id.get(outcome.id), outcome) for outcome in given}
    if not complete:
        return tuple({**by_id, **updated}.values())
    withdrawn = (
        msgspec.structs.replace(outcome, active=False, odds=None, listed=False)
        for outcome in known
        if outcome.id not in updated
    )
    return (*updated.values(), *withdrawn)


_FRESH: Final = OutcomeState(id="")


def _outcome(known: OutcomeState | None, given: m.OutcomeOdds) -> OutcomeState:
    old = known or _FRESH
    active = given.active
    if active is UNSET:
        active = old.active or not old.listed
    said = given.odds
    price = old.odds if said is UNSET else None
    if isinstance(said, str):
        price = odds.parse(said) if active else _inactive_price(said)
    return OutcomeState(
        id=given.id,
        source=old.source if given.source is UNSET else given.source,
        name=old.name if given.name is UNSET else given.name,
        participant=old.participant if given.participant is UNSET else given.participant,
        odds=price,
        active=active,
        probability=old.probability if given.probability is UNSET else given.probability,
        size=old.size if given.size is UNSET else given.size,
        info=old.info if given.info is UNSET else given.info,
    )


def _inactive_price(text: str) -> int | None:
    scaled = odds.scaled(text)
    return scaled if odds.ODDS_MIN <= scaled <= odds.ODDS_MAX else None


_HANDLERS: Final[dict[type, Callable[[Draft, Any], None]]] = {
    m.Fixture: _fixture,
    m.ScoreChange: _score,
    m.Odds: _odds,
    m.BetStop: stops.bet_stop,
    m.Hold: stops.hold,
    m.Release: stops.release,
    m.Settlement: settle.settlement,
    m.SettlementRollback: settle.settlement_rollback,
    m.Cancel: settle.cancel,
    m.CancelRollback: settle.cancel_rollback,
}


def close(
    fold: Fold, record: m.BetStop, at: int, floors: Mapping[str, Version], rules: Rules, *, always: bool = False
) -> Applied:
    """Raise floors under everything, by producer, in the name of `record`; with `always` it is a change in any case."""
    draft = Draft(fold, record, rules)
    for producer, version in sorted(floors.items()):
        stops.raise_floor(draft, producer, version)
    draft.reshow = True
    draft.show()
    return _finish(draft, "applied" if always else draft.outcome, remember(fold.ids, record.id), record, at)
