"""Faults put into a stream of documents, as networks and providers have them. Pure, and the same for the same seed.

The rule: a fault changes which bytes are sent, when, and how often; a document that no fault strikes is never touched.
A text like `drop=0.01,duplicate=0.02` says how likely each is, per document.
"""

from collections.abc import Iterable, Mapping
from typing import Final, Generic, TypeVar

from msgspec import Struct, structs

from sb_generator.chance import Chance

LATER_MAX: Final = 20
"""How many documents may overtake one that is reordered."""
REPEATS_MAX: Final = 3

T = TypeVar("T")


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How likely each fault is, per document, from 0 to 1."""

    drop: float = 0.0
    """It is never sent."""
    duplicate: float = 0.0
    """It is sent again, up to REPEATS_MAX times, at once or later."""
    reorder: float = 0.0
    """Up to LATER_MAX others overtake it."""
    corrupt: float = 0.0
    """One of its bytes is another."""
    truncate: float = 0.0
    """It ends too early."""

    def __bool__(self) -> bool:
        return any(structs.astuple(self))


def parse(text: str) -> Rates:
    """Read `name=probability,…`. Raises ValueError that says what is wrong."""
    rates: dict[str, float] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = part.partition("=")
        try:
            rates[name.strip()] = float(value)
        except ValueError as error:
            raise ValueError(f"{part!r} is not name=probability") from error
    return checked(rates)


def checked(rates: Mapping[str, float]) -> Rates:
    """Make rates of a mapping. Raises ValueError for an unknown fault, or a probability that is none."""
    for name, value in rates.items():
        if name not in Rates.__struct_fields__:
            raise ValueError(f"there is no fault {name!r}; there are {', '.join(Rates.__struct_fields__)}")
        if not 0 <= value <= 1:
            raise ValueError(f"{name}={value} is no probability")
    return Rates(**rates)


class Faults(Generic[T]):
    """A stream's faults. Things are of any kind; `damage` says how to make one with other bytes."""

    def __init__(self, rates: Rates, chance: Chance) -> None:
        self.rates = rates
        self._chance = chance
        self._later: list[tuple[int, T]] = []
        self._count = 0
        self.struck: dict[str, int] = dict.fromkeys(Rates.__struct_fields__, 0)

    def __repr__(self) -> str:
        return f"<Faults {self.struck} held={len(self._later)}>"

    def apply(self, things: Iterable[T], damage: "Damage[T]") -> list[T]:
        """Return what is sent for these things now."""
        sent: list[T] = []
        for thing in things:
            self._count += 1
            sent += self._one(thing, damage)
            sent += self._due()
        return sent

    def flush(self) -> list[T]:
        """Return what is still held back, at the end of the stream."""
        held = [thing for _, thing in sorted(self._later, key=_place)]
        self._later = []
        return held

    def _one(self, thing: T, damage: "Damage[T]") -> list[T]:
        rates, chance = self.rates, self._chance
        if self._strikes("drop", rates.drop):
            return []
        if self._strikes("corrupt", rates.corrupt):
            thing = damage.corrupted(thing, chance)
        if self._strikes("truncate", rates.truncate):
            thing = damage.truncated(thing, chance)
        if self._strikes("duplicate", rates.duplicate):
            for _ in range(1 + chance.below(REPEATS_MAX)):
                self._later.append((self._count + chance.below(LATER_MAX), thing))
        if self._strikes("reorder", rates.reorder):
            self._later.append((self._count + 1 + chance.below(LATER_MAX), thing))
            return []
        return [thing]

    def _strikes(self, name: str, rate: float) -> bool:
        if rate <= 0 or not self._chance.happens(rate):
            return False
        self.struck[name] += 1
        return True

    def _due(self) -> list[T]:
        due = [thing for place, thing in self._later if place <= self._count]
        if due:
            self._later = [each for each in self._later if each[0] > self._count]
        return due


def _place(held: tuple[int, object]) -> int:
    return held[0]


class Damage(Generic[T]):
    """How things get other bytes: subclasses say where a thing's bytes are."""

    def bytes_of(self, thing: T) -> bytes:
        """Return a thing's bytes."""
        raise NotImplementedError

    def with_bytes(self, thing: T, data: bytes) -> T:
        """Return the thing with other bytes."""
        raise NotImplementedError

    def corrupted(self, thing: T, chance: Chance) -> T:
        """Change one byte; none becomes a line's end, which would make two documents of one."""
        data = bytearray(self.bytes_of(thing))
        if data:
            data[chance.below(len(data))] = 32 + chance.below(95)
        return self.with_bytes(thing, bytes(data))

    def truncated(self, thing: T, chance: Chance) -> T:
        """Cut the end off; at least a byte stays."""
        data = self.bytes_of(thing)
        return self.with_bytes(thing, data[: max(1, chance.below(len(data)))])


class PlainDamage(Damage[bytes]):
    """Damage to bytes themselves."""

    def bytes_of(self, thing: bytes) -> bytes:
        """Return the bytes."""
        return thing

    def with_bytes(self, thing: bytes, data: bytes) -> bytes:  # noqa: ARG002  nothing else is in a thing
        """Return the other bytes."""
        return data
