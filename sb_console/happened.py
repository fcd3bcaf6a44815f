"""The timeline: what in an observation is worth a word, found by comparing the snapshots around it. Pure.

The rule: an entry is a change, never a state; what comes in numbers (dead letters) is one entry per code and moment.
"""

from collections import Counter
from collections.abc import Iterator

from msgspec.structs import replace

from sb_console import observations as seen
from sb_console.model import TIMELINE_MAX, Entry, Snapshot

_LEVELS = {
    "OK": "ok",
    "DRAINING": "note",
    "UNKNOWN": "note",
    "DEGRADED": "warn",
    "GROWING": "warn",
    "NOT READY": "warn",
}


def noted(before: Snapshot, now: Snapshot, observation: seen.Observation) -> Snapshot:
    """Return `now` with what happened in between on its timeline."""
    entries = tuple(_entries(before, now, observation))
    return replace(now, timeline=(*now.timeline, *entries)[-TIMELINE_MAX:]) if entries else now


def _entries(before: Snapshot, now: Snapshot, observation: seen.Observation) -> Iterator[Entry]:
    at = observation.at
    if isinstance(observation, seen.Polled | seen.HealthSeen):
        yield from _services(before, now, at)
        if isinstance(observation, seen.Polled):
            yield from _source(before, now, observation)
    elif isinstance(observation, seen.PlacesSeen):
        yield from _lag(before, now, at)
    elif isinstance(observation, seen.LettersSeen):
        # what lay there before the console began is no event of its time
        if before.letters_total is not None or before.letters:
            yield from _letters(before, now, at)
    elif isinstance(observation, seen.StreamSeen):
        yield from _stream(before, now, at)
    elif isinstance(observation, seen.GeneratorSeen):
        yield from _generator(before, observation)
    elif isinstance(observation, seen.ProducersSeen):
        yield from _producers(before, now, at)
    elif isinstance(observation, seen.Acted):
        text = f"{observation.command}  →  {observation.result}"
        yield Entry(at, "action", "note" if observation.ok else "warn", observation.action, text)


def _services(before: Snapshot, now: Snapshot, at: int) -> Iterator[Entry]:
    for name, service in now.services.items():
        held = before.services.get(name)
        if held is None or held is service:
            continue
        if service.restarts > held.restarts:
            yield Entry(at, "service", "warn", name, f"restarted {service.uptime_s or 0:.0f} s ago")
        if held.state not in {service.state, "UNKNOWN"}:
            why = f": {service.reason}" if service.reason else ""
            yield Entry(at, "service", _LEVELS.get(service.state, "bad"), name, f"{held.state} → {service.state}{why}")


def _source(before: Snapshot, now: Snapshot, polled: seen.Polled) -> Iterator[Entry]:
    if polled.source in now.services:
        return
    held, source = before.sources.get(polled.source), now.sources[polled.source]
    if held is None or held.state == source.state or {held.state, source.state} <= {"live", "late"}:
        return
    words = f"{held.state} → {source.state}" + (f": {source.error}" if source.error else "")
    yield Entry(polled.at, "source", "ok" if source.state == "live" else "warn", polled.source, words)


def _lag(before: Snapshot, now: Snapshot, at: int) -> Iterator[Entry]:
    verdicts = {(each.group, each.topic): each.verdict for each in before.groups}
    for group in now.groups:
        was = verdicts.get((group.group, group.topic))
        if was is not None and was != group.verdict and "UNKNOWN" not in {was, group.verdict}:
            words = f"{was} → {group.verdict}: {group.reason}, lag {group.lag}"
            yield Entry(at, "verdict", _LEVELS.get(group.verdict, "bad"), group.group, words)
    claims: Counter[str] = Counter()
    for key, row in now.rows.items():
        held = before.rows.get(key)
        if held is None:
            continue
        if row.lineage > held.lineage > 0:  # 0: nobody had claimed it yet
            yield Entry(at, "rebalance", "bad", row.group, f"{key}: lineage raised to {row.lineage}")
        elif row.owner != held.owner:
            claims[row.group] += 1
    for group_name, count in claims.items():
        yield Entry(at, "rebalance", "note", group_name, f"{count} partitions have a new owner")


def _letters(before: Snapshot, now: Snapshot, at: int) -> Iterator[Entry]:
    known = {each.id for each in before.letters}
    new = Counter((each.code, each.stage) for each in now.letters if each.id not in known)
    for (code, stage), count in sorted(new.items()):
        yield Entry(at, "letter", "warn", code, f"{count} refused by {stage or 'somebody'}")


def _stream(before: Snapshot, now: Snapshot, at: int) -> Iterator[Entry]:
    held, stream = before.stream, now.stream
    if held is None or stream is None:
        return
    if stream.gaps > held.gaps:
        yield Entry(at, "stream", "warn", "stream", f"{stream.gaps - held.gaps} gaps, mended by subscribing again")
    if stream.connected != held.connected:
        words = "connected" if stream.connected else f"lost: {stream.trouble}"
        yield Entry(at, "stream", "ok" if stream.connected else "warn", "stream", words)
    if set(stream.stale) != set(held.stale):
        words = f"stale: {', '.join(stream.stale)}" if stream.stale else "fresh again"
        yield Entry(at, "stream", "bad" if stream.stale else "ok", "stream", words)


def _generator(before: Snapshot, now: seen.GeneratorSeen) -> Iterator[Entry]:
    held = before.generator
    if held is None:
        return
    said = []
    if now.state != held.state:
        said.append(f"{held.state} → {now.state}")
    if now.rate != held.rate:
        said.append(f"rate {held.rate:g} → {now.rate:g} a second")
    if now.scenario != held.scenario:
        said.append(f"scenario {held.scenario} → {now.scenario}")
    if now.faults != held.faults:
        said.append("faults " + (" ".join(f"{name}={rate:g}" for name, rate in now.faults.items() if rate) or "none"))
    if said:
        yield Entry(now.at, "generator", "note", "generator", ", ".join(said))


def _producers(before: Snapshot, now: Snapshot, at: int) -> Iterator[Entry]:
    held = {(each.provider, each.producer): each.state for each in before.producers}
    for each in now.producers:
        was = held.get((each.provider, each.producer))
        if was is not None and was != each.state:
            why = f": {each.reason}" if each.reason else ""
            words = f"{was} → {each.state}{why}"
            yield Entry(
                at, "producer", "ok" if each.state == "up" else "bad", f"{each.provider}:{each.producer}", words
            )
