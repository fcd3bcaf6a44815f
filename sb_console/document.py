"""The snapshot as `--json` prints it and `--assert` asks it: plain names, counts first, nothing that only screens need.

The rule: extend freely, but what stands here keeps its meaning, as scripts go by it. Pure.
"""

from typing import Any, Final

import msgspec

from sb_console.model import Snapshot

STATES: Final = {"OK": "ok", "DEGRADED": "degraded", "NOT READY": "not_ready", "DOWN": "down", "UNKNOWN": "unknown"}


def document(snapshot: Snapshot) -> dict[str, Any]:
    """Make the document."""
    services = snapshot.services.values()
    counted = {word: sum(each.state == state for each in services) for state, word in STATES.items()}
    plain = msgspec.to_builtins
    stream = snapshot.stream
    return {
        "at": snapshot.at,
        "profile": snapshot.profile,
        "verdict": headline(snapshot)[0],
        "why": headline(snapshot)[1],
        "bottleneck": snapshot.bottleneck,
        "services": {
            "total": len(snapshot.services),
            **counted,
            **{
                each.name: {
                    "state": each.state,
                    "port": each.port,
                    "version": each.version,
                    "uptime_s": each.uptime_s,
                    "reason": each.reason,
                    "restarts": each.restarts,
                    "checks": plain(each.checks),
                }
                for each in services
            },
        },
        "sources": plain(snapshot.sources),
        "stages": {each.name: plain(each) for each in snapshot.stages},
        "lag": {
            "verdict": snapshot.verdict,
            "total": sum(each.lag for each in snapshot.groups),
            "worst": max((each.lag for each in snapshot.rows.values()), default=0),
            "groups": {each.group: _without(plain(each)) for each in snapshot.groups},
            "partitions": [_without(plain(row)) for row in snapshot.rows.values()],
        },
        "stream": {
            "connected": bool(stream and stream.connected),
            "per_s": snapshot.stream_rate,
            "updates": stream.updates if stream else 0,
            "events": stream.events if stream else 0,
            "gaps": stream.gaps if stream else 0,
            "repeats": stream.repeats if stream else 0,
            "losses": stream.losses if stream else 0,
            "stale": list(stream.stale) if stream else [],
        },
        "dead_letters": {
            "total": snapshot.letters_total,
            "by_code": _by_code(snapshot),
        },
        "account": account(snapshot),
        "generator": plain(snapshot.generator),
        "producers": {f"{each.provider}:{each.producer}": plain(each) for each in snapshot.producers},
        "timeline": plain(snapshot.timeline),
    }


def _without(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out what only verdicts and plots are made of."""
    return {name: value for name, value in row.items() if name not in {"window", "lags"}}


def _by_code(snapshot: Snapshot) -> dict[str, int]:
    counts: dict[str, int] = {}
    for letter in snapshot.letters:
        counts[letter.code] = counts.get(letter.code, 0) + 1
    return dict(sorted(counts.items()))


def account(snapshot: Snapshot) -> dict[str, int]:
    """Add the services' accounts up."""
    total: dict[str, int] = {}
    for service in snapshot.services.values():
        for name, count in service.counts.items():
            if name != "balanced":
                total[name] = total.get(name, 0) + count
    return total


def headline(snapshot: Snapshot) -> tuple[str, str]:
    """Return the verdict on everything, OK, WARN or BAD (UNKNOWN while nothing was seen), and why in a few words."""
    services = snapshot.services.values()
    down = [each.name for each in services if each.state == "DOWN"]
    if down and len(down) == len(snapshot.services):
        return "BAD", "no service answers"
    if all(each.state == "UNKNOWN" for each in services):
        return "UNKNOWN", "nothing was seen yet"
    bad = [f"{len(down)} down: {', '.join(down)}"] if down else []
    if snapshot.verdict in {"STALLED", "AT RISK"}:
        bad.append(f"lag {snapshot.verdict}")
    stale = list(snapshot.stream.stale) if snapshot.stream else []
    if stale:
        bad.append(f"stale: {', '.join(stale)}")
    if snapshot.bottleneck and bad:
        bad.append(f"bottleneck {snapshot.bottleneck}")
    if bad:
        return "BAD", "; ".join(bad)
    warn = [f"{each.name} {each.state}" for each in services if each.state in {"DEGRADED", "NOT READY"}]
    if snapshot.verdict in {"GROWING", "DRAINING"}:
        warn.append(f"lag {snapshot.verdict}")
    warn += [f"{each.name} {each.state}" for each in snapshot.sources.values() if each.state in {"down", "late"}]
    warn += [
        f"producer {each.provider}:{each.producer} {each.state}"
        for each in snapshot.producers
        if each.state in {"down", "recovering"}
    ]
    if warn:
        return "WARN", "; ".join(warn)
    unknown = [each.name for each in services if each.state == "UNKNOWN"]
    if snapshot.verdict == "UNKNOWN":
        unknown.append("lag")
    return ("UNKNOWN", f"not known yet: {', '.join(unknown)}") if unknown else ("OK", "everything keeps up")
