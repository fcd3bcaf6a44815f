"""One line a second about the whole pipeline, for those who watch it without a console. Pure."""

from collections.abc import Mapping


def line(before: Mapping[str, object], now: Mapping[str, object], seconds: float, *, lag_ms: int | None) -> str:
    """Write a status line from two accounts `seconds` apart: rates, what is waiting, whether the account balances."""
    accepted = _rate(before, now, "accepted", seconds)
    changes = _rate(before, now, "changes", seconds)
    refused = _total(now, "refused")
    dead = _total(now, "dead_lettered")
    lag = "-" if lag_ms is None else f"{lag_ms} ms"
    balance = "balanced" if now["balanced"] else "not balanced yet"
    return (
        f"accepted {now['accepted']} (+{accepted:.0f}/s)  changes {now['changes']} (+{changes:.0f}/s)  "
        f"pending {now['pending']}  refused {refused}  dead {dead}  lag {lag}  {balance}"
    )


def _total(account: Mapping[str, object], name: str) -> int:
    value = account[name]
    if isinstance(value, Mapping):
        return sum(int(each) for each in value.values())
    return value if isinstance(value, int) else 0


def _rate(before: Mapping[str, object], now: Mapping[str, object], name: str, seconds: float) -> float:
    return (_total(now, name) - _total(before, name)) / seconds if seconds > 0 else 0.0
