"""What closes an event without a provider's word: a record that can't be read, records that are gone. Pure.

The rule: whatever was said there, prices that are newer than what stands are needed to open again.
"""

from sb_core.messages import BetStop, Message
from sb_process import book
from sb_process.book import Applied
from sb_process.draft import Draft, Rules
from sb_process.state import Fold, Version


def refused(fold: Fold, at: int, received: int, message: Message | None, rules: Rules) -> Applied:
    """Close an event of which a record was refused: a floor at each owner's newest odds.

    Where it could be read, its producer's floor is not below what was refused, so that nothing in between opens again.
    """
    newest: dict[str, Version] = {}
    if message is not None:
        newest[message.producer_key] = Draft(fold, message, rules).version
    for state in fold.markets.values():
        if state.owner is not None:
            version = state.odds[state.owner].version
            newest[state.owner] = max(version, newest.get(state.owner, version))
    record = _stop(fold, f"unreadable:{at}", received, "" if message is None else message.trace)
    return book.close(fold, record, at, newest, rules)


def gone_over(fold: Fold, at: int, received: int, rules: Rules) -> Applied:
    """Close an event as the first change of its new lineage: a floor at the newest odds of each producer.

    Always a change, for every reader shall let go of what it had.
    """
    newest: dict[str, Version] = {}
    for state in fold.markets.values():
        for producer, standing in state.odds.items():
            newest[producer] = max(standing.version, newest.get(producer, standing.version))
    record = _stop(fold, f"lineage {rules.lineage}:{at}", received, "")
    return book.close(fold, record, at, newest, rules, always=True)


def _stop(fold: Fold, name: str, received: int, trace: str) -> BetStop:
    return BetStop(ts=fold.head.ts, id=name, event=fold.head.event, received=received, trace=trace)
