"""Reference documents: what markets, outcomes, players and competitors are called, and which groups a market is in.

The rule: reference never decides what a market is, only how it is shown and which stops cover it. Keys are
`uof:market:<id>`, `uof:market:<id>:<variant>`, `uof:variant:<variant>`, `uof:player:<id>`, `uof:competitor:<id>` and
`uof:producer:<id>`; values are JSON. Names are kept as they come, to the letter.
"""

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Final

import msgspec
from lxml import etree
from msgspec import UNSET, Struct, UnsetType

from sb_core.decimals import shortest
from sb_ingest.providers import Knowledge, Learnt
from sb_ingest.providers.uof_document import PROVIDER, child, children
from sb_ingest.xml import local

NAMED_OUTCOMES_MAX: Final = 5_000
"""Outcomes of one described market that are learnt; the rest keep their ids only."""

_DESCRIPTIONS: Final = frozenset(
    {
        "market_descriptions",
        "variant_descriptions",
        "match_status_descriptions",
        "betting_status_descriptions",
        "betstop_reasons_descriptions",
        "void_reasons_descriptions",
        "competitor_profile",
        "simpleteam_profile",
        "player_profile",
        "venue_summary",
        "producers",
        "sports",
        "tournaments",
        "sport_categories",
    }
)
_PARTICIPANT: Final = re.compile(r"[a-z]+:(?:player|competitor|simpleteam|simple_team):[0-9]+", re.ASCII)
_PLACEHOLDER: Final = re.compile(r"\{([!+\-%$]?)([A-Za-z0-9_]{1,100})\}", re.ASCII)
_SIDES: Final = {"competitor1": "home", "competitor2": "away"}


class Description(Struct, frozen=True):
    """How a market is shown; names are templates."""

    name: str | None = None
    groups: tuple[str, ...] | None = None
    outcomes: dict[str, str] = {}


class _Named(Struct, frozen=True):
    name: str


class Names:
    """What is known of one market's name, groups and outcomes; UNSET is what was never learnt."""

    __slots__ = ("_described", "_knowledge", "_specifiers", "groups", "name")

    def __init__(self, market_id: str, specifiers: Mapping[str, str], knowledge: Knowledge) -> None:
        key = f"{PROVIDER}:market:{market_id}"
        found = [_description(knowledge.reference(key))]
        variant = specifiers.get("variant")
        if variant is not None:
            found.insert(0, _description(knowledge.reference(f"{PROVIDER}:variant:{variant}")))
            found.insert(0, _description(knowledge.reference(f"{key}:{variant}")))
        self._described = [each for each in found if each is not None]
        self._specifiers = specifiers
        self._knowledge = knowledge
        self.name: str | UnsetType = UNSET
        self.groups: tuple[str, ...] | UnsetType = UNSET
        for each in self._described:
            if self.name is UNSET and each.name is not None:
                self.name = self._filled(each.name)
            if self.groups is UNSET and each.groups is not None:
                self.groups = each.groups

    def outcome(self, outcome_id: str) -> str | UnsetType:
        """Return an outcome's name."""
        for each in self._described:
            template = each.outcomes.get(outcome_id)
            if template is not None:
                return self._filled(template)
        if is_participant(outcome_id):
            return participant_name(outcome_id, self._knowledge) or UNSET
        return UNSET

    def _filled(self, template: str) -> str:
        if "{" not in template:
            return template
        return _PLACEHOLDER.sub(self._fill, template)

    def _fill(self, match: re.Match[str]) -> str:
        kind, name = match[1], match[2]
        if kind == "$":
            return _SIDES.get(name, match[0])
        value = self._specifiers.get(name)
        if value is None:
            return match[0]
        if kind == "!":
            return ordinal(value)
        if kind == "%":
            return participant_name(value, self._knowledge) or value
        if kind in {"+", "-"}:
            return signed(value, kind) or match[0]
        return value


def is_reference(document: str) -> bool:
    """Say whether a root element's name is that of a reference document."""
    return document in _DESCRIPTIONS


@lru_cache(maxsize=65_536)
def is_participant(source_id: str) -> bool:
    """Say whether an outcome's id is that of a player or competitor."""
    return _PARTICIPANT.fullmatch(source_id) is not None


def ordinal(value: str) -> str:
    """Write a number as English counts: "1st", "12th"; anything else stays."""
    if not value.isdecimal():
        return value
    teen = value[-2:-1] == "1"
    return value + ("th" if teen else {"1": "st", "2": "nd", "3": "rd"}.get(value[-1], "th"))


def signed(value: str, sign: str) -> str | None:
    """Write a handicap for the side that it favours (+) or its opponent (-), always with a sign but at 0."""
    number = shortest(value)
    if number is None or number == "0":
        return number
    negative = number.startswith("-") != (sign == "-")
    return ("-" if negative else "+") + number.lstrip("-")


def participant_name(source_id: str, knowledge: Knowledge) -> str | None:
    """Return the learnt name of a player or competitor."""
    kind = "player" if ":player:" in source_id else "competitor"
    known = knowledge.reference(f"{PROVIDER}:{kind}:{source_id}")
    return _name(known) if known is not None else None


def learn(root: etree._Element) -> Learnt | None:
    """Read a reference document; None where it teaches nothing that is used. Pieces without id or name are left out."""
    document = local(root)
    if document in {"market_descriptions", "variant_descriptions"}:
        learnt = dict(_markets(root))
    elif document == "producers":
        learnt = dict(_producers(root))
    elif document.endswith("_profile"):
        learnt = dict(_people(root))
    else:
        learnt = {}
    return Learnt(reference=learnt) if learnt else None


def _markets(root: etree._Element) -> Iterator[tuple[str, bytes]]:
    for element in root:
        kind, source_id = local(element), element.get("id")
        if kind not in {"market", "variant"} or not source_id:
            continue
        key = f"{PROVIDER}:{kind}:{source_id}"
        variant = element.get("variant")
        groups = element.get("groups")
        yield (
            f"{key}:{variant}" if variant and kind == "market" else key,
            msgspec.json.encode(
                Description(
                    name=element.get("name"),
                    groups=tuple(group for group in groups.split("|") if group) if groups else None,
                    outcomes=_outcomes(element),
                )
            ),
        )


def _outcomes(element: etree._Element) -> dict[str, str]:
    outcomes = child(element, "outcomes")
    named: dict[str, str] = {}
    for outcome in () if outcomes is None else children(outcomes, "outcome")[:NAMED_OUTCOMES_MAX]:
        source_id, name = outcome.get("id"), outcome.get("name")
        if source_id and name:
            named[source_id] = name
    return named


def _producers(root: etree._Element) -> Iterator[tuple[str, bytes]]:
    for producer in children(root, "producer"):
        source_id = producer.get("id")
        if source_id:
            said = {name: producer.get(name) for name in ("name", "description", "scope", "active")}
            yield f"{PROVIDER}:producer:{source_id}", msgspec.json.encode(said)


def _people(root: etree._Element) -> Iterator[tuple[str, bytes]]:
    for kind in ("player", "competitor"):
        for person in root.iter(f"{{*}}{kind}"):
            source_id, name = person.get("id"), person.get("name")
            if source_id and name and f":{kind}:" in source_id:
                yield f"{PROVIDER}:{kind}:{source_id}", msgspec.json.encode(_Named(name))


@lru_cache(maxsize=8_192)
def _decoded(value: bytes) -> Description | None:
    try:
        return msgspec.json.decode(value, type=Description)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _description(value: bytes | None) -> Description | None:
    return None if value is None else _decoded(value)


@lru_cache(maxsize=16_384)
def _name(value: bytes) -> str | None:
    try:
        return msgspec.json.decode(value, type=_Named).name
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
