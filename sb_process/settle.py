"""Settlement and cancellation, and how either is taken back.

The rule: confirmed beats live at any `ts` and live never beats confirmed; a rollback removes exactly its effect and
leaves the market suspended until odds newer than the rollback; a cancel with an end is recorded and moves no status.
A lane has parts here (live, confirmed, rollback, each window), so that each remembers the ids at its own version.
"""

from sb_core.errors import FeedError
from sb_core.messages import Cancel, CancelRollback, MarketRef, MarketResult, Settlement, SettlementRollback
from sb_core.shown import CancelWindow
from sb_process.draft import Draft
from sb_process.state import CANCELS_MAX, WINDOWS_MAX, MarketState, OutcomeState, Settled, advance, stands


def settlement(draft: Draft, message: Settlement) -> None:
    """Settle the markets named, creating markets and outcomes that nobody had priced."""
    for given in message.markets:
        known = draft.known(given)
        verdict = None if known is None else _settlement_stands(draft, known, message)
        draft.verdicts.append(verdict)
        if verdict is None:
            _settle(draft, given, message)


def _settlement_stands(draft: Draft, state: MarketState, message: Settlement) -> str | None:
    lane, producer, version = state.settling, draft.producer, draft.version
    part = f"{message.certainty}|{producer}"
    verdict = stands(lane, part, version, message.id)
    if verdict is not None:
        return verdict
    rollback = lane.get(f"rollback|{producer}")
    if rollback is not None and version < rollback.version:
        return "stale"
    if message.certainty == "live" and state.settled is not None and state.settled.certainty == "confirmed":
        draft.pass_by(state, "settling", part)
        return "stale"
    return None


def _settle(draft: Draft, given: MarketResult, message: Settlement) -> None:
    state = draft.edit(given)
    key = state.key
    state.settling = advance(state.settling, f"{message.certainty}|{draft.producer}", draft.version, message.id)
    known = {outcome.id for outcome in state.outcomes}
    unseen = tuple(
        OutcomeState(
            id=outcome.id,
            source=outcome.source if isinstance(outcome.source, str) else None,
            name=outcome.name if isinstance(outcome.name, str) else None,
            active=False,
            # no provider said yet that it is one of the outcomes priced
            listed=False,
        )
        for outcome in given.outcomes
        if outcome.id not in known
    )
    if unseen:
        state.outcomes = (*state.outcomes, *unseen)
        draft.content.add(key)
    before = state.settled
    results = {outcome.id: (outcome.result, outcome.dead_heat) for outcome in given.outcomes}
    if not given.outcomes and before is not None:
        # settled is all it says; the results that stand are not taken back by it
        results = before.results
    state.settled = Settled(message.certainty, draft.producer, draft.version, results)
    if before is None or (before.certainty, before.results) != (message.certainty, results):
        draft.content.add(key)


def settlement_rollback(draft: Draft, message: SettlementRollback) -> None:
    """Take settlements back; a rollback that comes before its settlement keeps it from applying."""
    for ref in message.markets:
        known = draft.known(ref)
        part = f"rollback|{draft.producer}"
        verdict = None
        if known is not None:
            verdict = stands(known.settling, part, draft.version, message.id)
            settled = known.settled
            own = settled if settled is not None and settled.producer == draft.producer else None
            if verdict is None and own is not None and draft.version < own.version:
                draft.pass_by(known, "settling", part)
                verdict = "stale"
        draft.verdicts.append(verdict)
        if verdict is None:
            state = draft.edit(ref)
            state.settling = advance(state.settling, part, draft.version, message.id)
            if state.settled is not None:
                state.settled = None
                draft.content.add(state.key)
            _leave_floor(draft, state)


def _leave_floor(draft: Draft, state: MarketState) -> None:
    standing = state.rollbacks.get(draft.producer)
    if standing is None or draft.version > standing:
        state.rollbacks = {**state.rollbacks, draft.producer: draft.version}


def _window(message: Cancel | CancelRollback) -> str:
    return f"{message.from_}:{message.to}"


def _standing(draft: Draft, state: MarketState, part: str) -> None:
    """Let a cancel or its rollback stand in its lane."""
    if part not in state.cancelling and len(state.cancelling) >= WINDOWS_MAX:
        raise FeedError("too_large", f"more than {WINDOWS_MAX} windows", event=draft.head.event, market=state.market)
    state.cancelling = advance(state.cancelling, part, draft.version, draft.message.id)


def cancel(draft: Draft, message: Cancel) -> None:
    """Void the markets named, or record a window in which bets on them are void."""
    part = f"{_window(message)}|{draft.producer}"
    for ref in message.markets:
        known = draft.known(ref)
        verdict = None if known is None else stands(known.cancelling, part, draft.version, message.id)
        draft.verdicts.append(verdict)
        if verdict is None:
            _cancel(draft, ref, message, part)


def _cancel(draft: Draft, ref: MarketRef, message: Cancel, part: str) -> None:
    state = draft.edit(ref)
    _standing(draft, state, part)
    if message.to is None and _window(message) not in state.voids:
        # no content: a void moves the status, or nothing where another stands
        state.voids = (*state.voids, _window(message))
    if message.from_ is None and message.to is None:
        return
    window = CancelWindow(from_=message.from_, to=message.to, reason=message.reason, ts=message.ts)
    others = tuple(each for each in state.cancels if (each.from_, each.to) != (window.from_, window.to))
    if len(others) >= CANCELS_MAX:
        raise FeedError("too_large", f"more than {CANCELS_MAX} cancels", event=draft.head.event, market=ref.market)
    standing = [each for each in state.cancels if each not in others]
    if not standing or standing[0].reason != window.reason:
        state.cancels = (*others, window)
        draft.content.add(state.key)


def cancel_rollback(draft: Draft, message: CancelRollback) -> None:
    """Take back the cancel of the same window, and only that."""
    part = f"{_window(message)}|{draft.producer}"
    for ref in message.markets:
        known = draft.known(ref)
        verdict = None if known is None else stands(known.cancelling, part, draft.version, message.id)
        draft.verdicts.append(verdict)
        if verdict is not None:
            continue
        state = draft.edit(ref)
        _standing(draft, state, part)
        state.voids = tuple(each for each in state.voids if each != _window(message))
        kept = tuple(each for each in state.cancels if (each.from_, each.to) != (message.from_, message.to))
        if kept != state.cancels:
            state.cancels = kept
            draft.content.add(state.key)
        _leave_floor(draft, state)
