"""Errors say whose fault it is, and that is their type.

`FeedError` is theirs: a piece of input that breaks a rule becomes a dead letter with a code and the pipeline goes on.
`ContractError` is ours: a promise between our own parts was broken, so the service stops loudly.
`DependencyError` is nobody's: a log, store or cache did not do what was asked; its subclasses say what is known about it.
Adapters map every foreign exception to one of these, so that nothing foreign leaks upwards.
"""

from typing import Final

CODES: Final = frozenset(
    {
        "malformed",
        "schema",
        "unsupported_type",
        "unknown_sport",
        "unsupported_sport",
        "unknown_event",
        "bad_odds",
        "bad_id",
        "bad_time",
        "too_large",
        "too_deep",
        "doctype",
        "no_image",
    }
)
"""The refusal codes of the wire contract; `rule_<name>` codes come beside them."""


class FeedError(Exception):
    """A piece of a provider's input is refused.

    `code` is one of CODES or `rule_<name>`; `event` and `market` (a display key "market|line") say what it was about.
    """

    def __init__(self, code: str, message: str, *, event: str | None = None, market: str | None = None) -> None:
        super().__init__(message)
        if code not in CODES and not code.startswith("rule_"):
            raise ContractError(f"unknown refusal code {code!r}")
        self.code = code
        self.message = message
        self.event = event
        self.market = market


class ContractError(Exception):
    """Our own code broke a promise; never raised for input."""


class SchemaError(ContractError):
    """The database's schema is not the one that this code works with; the message says what to do."""


class DependencyError(Exception):
    """A log, store or cache failed."""


class UnavailableError(DependencyError):
    """It did not happen, and may succeed when tried again."""


class RefusedForNowError(UnavailableError):
    """It was refused, by somebody who says for how long: `retry_after_ms`."""

    def __init__(self, message: str, retry_after_ms: int) -> None:
        super().__init__(message)
        self.retry_after_ms = retry_after_ms


class BusyError(UnavailableError):
    """It did not happen because others were at work there; what was asked is well."""


class UnknownOutcomeError(DependencyError):
    """It may or may not have happened; only reading back or sending again with the same ids can tell."""


class FencedError(DependencyError):
    """Another owner holds the partition: forget everything about it and be assigned again."""


class LogTruncatedError(DependencyError):
    """The position asked for lies outside of what the log holds; nobody resets it silently.

    `partition` is the (topic, partition) concerned, so that a reader can pause it and go on with the others.
    """

    def __init__(self, message: str, partition: tuple[str, int] | None = None) -> None:
        super().__init__(message)
        self.partition = partition
