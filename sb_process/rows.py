"""The rows of the store that an event comes to, and of the people and competitions that fixtures name. Pure.

The rule: a row says what is shown, beside the state that the fold goes on with; one row each per transaction.
"""

from collections.abc import Iterator

from sb_core import names
from sb_core.messages import Competitor, Player
from sb_core.records import CompetitionRow, EventRow, MarketRow, OutcomeRow, ParticipantRow
from sb_process.state import EventState, Fold, MarketState, StoredHead, encoder


def event_row(topic: str, partition: int, fold: Fold, shown_header: bytes) -> EventRow:
    """Return an event's row; `shown_header` is its shown.Header as JSON."""
    head = fold.head
    words = [head.name or "", *(each.name or "" for each in head.competitors)]
    return EventRow(
        event=head.event,
        topic=topic,
        partition=partition,
        sport=head.sport,
        lineage=head.lineage,
        rev=head.rev,
        name=head.name,
        start=head.start,
        status=head.status,
        competition=head.competition.id if head.competition else None,
        ts=head.ts,
        updated=head.updated,
        search=names.fold(" ".join(words)),
        shown=shown_header,
        state=encoder.encode(StoredHead(head=head, ids=fold.ids, digest=fold.digest)),
    )


def market_row(event: str, state: MarketState, shown: bytes) -> MarketRow:
    """Return a market's row; `shown` is its shown.Market as JSON."""
    return MarketRow(
        event=event,
        market=state.market,
        line=state.line,
        status=state.shown,
        open=state.open,
        producer=state.owner,
        ts=state.ts,
        shown=shown,
        state=encoder.encode(state),
    )


def outcome_rows(event: str, state: MarketState) -> Iterator[OutcomeRow]:
    """Return the rows of a market's outcomes."""
    results = state.settled.results if state.settled else {}
    for each in state.outcomes:
        yield OutcomeRow(
            event=event,
            market=state.market,
            line=state.line,
            outcome=each.id,
            name=each.name,
            odds=each.odds,
            active=each.active,
            result=results[each.id][0] if each.id in results else None,
        )


class People:
    """The competitors, players and competitions that a batch's fixtures name: the newest row of each by (ts, event).

    Every fixture is noted when it applies, not what is left at the batch's end: rows don't depend on how batches are cut.
    """

    def __init__(self) -> None:
        self.participants: dict[str, ParticipantRow] = {}
        self.competitions: dict[str, CompetitionRow] = {}

    def note(self, head: EventState, ts: int) -> None:
        """Note an event's people as of a fixture of that `ts`."""
        for competitor in head.competitors:
            self._person(competitor, head, ts)
            for player in competitor.players:
                self._person(player, head, ts)
        competition = head.competition
        if competition is None:
            return
        known = self.competitions.get(competition.id)
        if known is None or (ts, head.event) >= (known.ts, known.event):
            search = names.fold(f"{competition.name or ''} {competition.category or ''}")
            self.competitions[competition.id] = CompetitionRow(
                competition.id, head.sport, competition.name, competition.category, search, ts, head.event
            )

    def _person(self, person: Competitor | Player, head: EventState, ts: int) -> None:
        if person.name is None:
            return
        known = self.participants.get(person.id)
        if known is None or (ts, head.event) >= (known.ts, known.event):
            self.participants[person.id] = ParticipantRow(
                person.id, head.sport, person.name, names.fold(person.name), ts, head.event
            )
