"""The steps of an event's life, and when each is due. Pure."""

from typing import Literal, TypeAlias

from msgspec import Struct

Step: TypeAlias = Literal[
    "announce",
    "join",
    "delay",
    "move",
    "rename",
    "call_off",
    "reinstate",
    "kick_off",
    "moment",
    "resume",
    "score",
    "settle",
    "reopen",
    "rollback",
    "resettle",
    "unvoid",
    "confirm",
    "close",
]


class Due(Struct, frozen=True, gc=False):
    """A step of an event's agenda; `ms` is since 1970."""

    ms: int
    step: Step
    number: int = 0
