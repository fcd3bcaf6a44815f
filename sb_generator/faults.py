"""Faults put into a stream of documents, as networks and providers have them. Pure, and the same for the same seed.

The rule: a fault changes which bytes are sent, when, and how often; a document that no fault strikes is never touched, and
whatever is struck is counted and carries the marks of what struck it. A text like `drop=0.01,duplicate=0.02` says how
likely each is, per document.

Some faults last: from the document that they strike, a producer is silent, flaps, or has a wrong clock for a while of the
stream's own time, and a burst holds everything back to send it at once.
"""

from collections.abc import Callable, Iterable, Mapping
from heapq import heappop, heappush
from typing import Final, Generic, TypeVar

from msgspec import Struct, structs

from sb_generator import rewrite
from sb_generator.chance import Chance
from sb_generator.poison import poison

LATER_MAX: Final = 20
"""How many documents may overtake one that is reordered."""
REPEATS_MAX: Final = 3
DELAY_MS: Final = (100, 5_000)
STALE_MS: Final = (60_000, 3_600_000)
SKEW_MS: Final = 600_000
"""How far a producer's clock is ahead or behind."""
SKEWED_MS: Final = 30_000
SILENT_MS: Final = 25_000
"""Beyond the 20 s after which a producer counts as down."""
FLAPPING_MS: Final = 150_000
FLAP_MS: Final = 25_000
"""Of silence, and of talk, in turn."""
BURST_MS: Final = 10_000
"""Held back for so long, then sent at once: BURST_MS / 1 s times the rate for a second."""

TAKEN: Final = frozenset({"drop", "silence", "flapping"})
"""Faults after which a document is never sent."""
ADDED: Final = frozenset({"duplicate", "poison"})
"""Faults that send more than there was."""

T = TypeVar("T")


class Rates(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How likely each fault is, per document, from 0 to 1."""

    drop: float = 0.0
    """It is never sent."""
    duplicate: float = 0.0
    """It is sent again, up to REPEATS_MAX times, at once or later."""
    reorder: float = 0.0
    """Up to LATER_MAX others overtake it."""
    delay: float = 0.0
    """It comes later, by up to 5 s of the stream's time."""
    corrupt: float = 0.0
    """One of its bytes is another."""
    truncate: float = 0.0
    """It ends too early."""
    stale: float = 0.0
    """Its time is up to an hour old."""
    skew: float = 0.0
    """Its producer's clock is ten minutes ahead or behind, for 30 s."""
    silence: float = 0.0
    """Its producer says nothing for 25 s."""
    flapping: float = 0.0
    """Its producer comes and goes, 25 s each, for two and a half minutes."""
    burst: float = 0.0
    """Nothing comes for 10 s, then all of it at once."""
    poison: float = 0.0
    """Something follows it that no reader should survive reading carelessly."""

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


class Handle(Generic[T]):
    """What faults know of the things of a stream: subclasses say where a thing's parts are."""

    def bytes_of(self, thing: T) -> bytes:
        """Return a thing's bytes."""
        raise NotImplementedError

    def ms_of(self, thing: T) -> int | None:
        """Return a thing's place in the stream's time (ms); None: where the one before it was."""
        raise NotImplementedError

    def provider_of(self, thing: T) -> str | None:
        """Return the provider in whose format a thing is."""
        raise NotImplementedError

    def struck(self, thing: T, name: str, data: bytes, ms: int | None, *, broken: bool) -> T:
        """Return a thing with a mark, other bytes and another time; `broken`: not its syntax any more."""
        raise NotImplementedError


class Faults(Generic[T]):
    """A stream's faults. `tell` hears of every strike, before it changes anything."""

    def __init__(
        self, rates: Rates, chance: Chance, handle: Handle[T], tell: Callable[[str, T], None] | None = None
    ) -> None:
        self.rates = rates
        self._chance = chance
        self._handle = handle
        self._tell = tell
        self._later: list[tuple[int, int, T]] = []
        self._timed: list[tuple[int, int, T]] = []
        self._count = 0
        self._order = 0
        self._now = 0
        self._silent: dict[str, int] = {}
        self._flapping: dict[str, int] = {}
        self._skewed: dict[str, tuple[int, int]] = {}
        self._burst_ms = 0
        self.struck: dict[str, int] = dict.fromkeys(Rates.__struct_fields__, 0)
        self.offered = 0
        self.sent = 0

    def __repr__(self) -> str:
        return f"<Faults {self.struck} held={self.held}>"

    @property
    def held(self) -> int:
        """How many documents wait to be sent later: offered + added = sent + taken + held."""
        return len(self._later) + len(self._timed)

    def apply(self, things: Iterable[T]) -> list[T]:
        """Return what is sent for these things now."""
        sent: list[T] = []
        for thing in things:
            self._count += 1
            self.offered += 1
            self._now = max(self._now, self._handle.ms_of(thing) or 0)
            sent += self._due()
            sent += self._one(thing)
        self.sent += len(sent)
        return sent

    def flush(self) -> list[T]:
        """Return what is still held back, at the end of the stream."""
        held = [thing for _, _, thing in sorted(self._later, key=_place)]
        held += [thing for _, _, thing in sorted(self._timed, key=_place)]
        self._later, self._timed = [], []
        self.sent += len(held)
        return held

    def passed(self, now_ms: int) -> list[T]:
        """Return what was held back until a time; nothing else came."""
        self._now = max(self._now, now_ms)
        due: list[T] = []
        while self._timed and self._timed[0][0] <= self._now:
            due.append(heappop(self._timed)[2])
        self.sent += len(due)
        return due

    def _one(self, thing: T) -> list[T]:
        taken = self._taken(thing)
        if taken is not None:
            self._strike(taken, thing)
            return []
        made = self._changed(thing)
        more: list[T] = []
        if self._strikes("poison", self.rates.poison):
            self._noted("poison", thing)
            data = poison(self._handle.provider_of(thing), self._now, self._chance)
            more.append(self._handle.struck(thing, "poison", data, None, broken=True))
        if self._strikes("duplicate", self.rates.duplicate):
            self._noted("duplicate", thing)
            repeats = 1 + self._chance.below(REPEATS_MAX)
            # each of the repeats is one document more
            self.struck["duplicate"] += repeats - 1
            data = self._handle.bytes_of(made)
            changed = data != self._handle.bytes_of(thing)
            for _ in range(repeats):
                # what struck the first counts there
                again = self._handle.struck(thing, "duplicate", data, None, broken=changed)
                self._hold(self._later, self._count + self._chance.below(LATER_MAX), again)
        return self._sent_when(made) + more

    def _taken(self, thing: T) -> str | None:
        """Say which fault takes a thing away, if any does."""
        rates, now = self.rates, self._now
        if rates.silence or rates.flapping:
            who = rewrite.producer(self._handle.bytes_of(thing), self._handle.provider_of(thing))
            if now >= self._silent.get(who, 0) and self._strikes("silence", rates.silence):
                self._silent[who] = now + SILENT_MS
            if now >= self._flapping.get(who, 0) + FLAPPING_MS and self._strikes("flapping", rates.flapping):
                self._flapping[who] = now
            if now < self._silent.get(who, 0):
                return "silence"
            since = now - self._flapping.get(who, -FLAPPING_MS)
            if since < FLAPPING_MS and since // FLAP_MS % 2 == 0:
                return "flapping"
        return "drop" if self._strikes("drop", rates.drop) else None

    def _changed(self, thing: T) -> T:
        """Strike a thing's bytes."""
        rates, chance = self.rates, self._chance
        if rates.skew:
            who = rewrite.producer(self._handle.bytes_of(thing), self._handle.provider_of(thing))
            until, shift = self._skewed.get(who, (0, 0))
            if self._now >= until and self._strikes("skew", rates.skew):
                until, shift = self._now + SKEWED_MS, SKEW_MS if chance.happens(0.5) else -SKEW_MS
                self._skewed[who] = until, shift
            if self._now < until:
                thing = self._retimed(thing, "skew", shift)
        if self._strikes("stale", rates.stale):
            thing = self._retimed(thing, "stale", -int(chance.between(*STALE_MS)))
        if self._strikes("corrupt", rates.corrupt):
            thing = self._broken(thing, "corrupt", corrupted(self._handle.bytes_of(thing), chance))
        if self._strikes("truncate", rates.truncate):
            thing = self._broken(thing, "truncate", truncated(self._handle.bytes_of(thing), chance))
        return thing

    def _sent_when(self, thing: T) -> list[T]:
        """Send a thing now, or hold it."""
        rates, chance, now = self.rates, self._chance, self._now
        if now >= self._burst_ms and self._strikes("burst", rates.burst):
            self._burst_ms = now + BURST_MS
        if now < self._burst_ms:
            self._noted("burst", thing)
            self.struck["burst"] += 1
            self._hold(self._timed, self._burst_ms, self._marked(thing, "burst", self._burst_ms))
        elif self._strikes("delay", rates.delay):
            self._noted("delay", thing)
            self.struck["delay"] += 1
            due = now + int(chance.between(*DELAY_MS))
            self._hold(self._timed, due, self._marked(thing, "delay", due))
        elif self._strikes("reorder", rates.reorder):
            self._noted("reorder", thing)
            self.struck["reorder"] += 1
            self._hold(self._later, self._count + 1 + chance.below(LATER_MAX), self._marked(thing, "reorder"))
        else:
            return [thing]
        return []

    # strikes

    def _strikes(self, name: str, rate: float) -> bool:
        strikes = rate > 0 and self._chance.happens(rate)
        if strikes and name in ADDED:
            self.struck[name] += 1
        return strikes

    def _noted(self, name: str, thing: T) -> None:
        if self._tell is not None:
            self._tell(name, thing)

    def _strike(self, name: str, thing: T) -> None:
        self.struck[name] += 1
        self._noted(name, thing)

    def _marked(self, thing: T, name: str, ms: int | None = None) -> T:
        return self._handle.struck(thing, name, self._handle.bytes_of(thing), ms, broken=False)

    def _retimed(self, thing: T, name: str, shift_ms: int) -> T:
        self._strike(name, thing)
        data = rewrite.later(self._handle.bytes_of(thing), self._handle.provider_of(thing), shift_ms)
        return self._handle.struck(thing, name, data, None, broken=False)

    def _broken(self, thing: T, name: str, data: bytes) -> T:
        self._strike(name, thing)
        return self._handle.struck(thing, name, data, None, broken=True)

    def _hold(self, held: list[tuple[int, int, T]], place: int, thing: T) -> None:
        self._order += 1
        heappush(held, (place, self._order, thing))

    def _due(self) -> list[T]:
        due: list[T] = []
        for held, reached in ((self._later, self._count), (self._timed, self._now)):
            while held and held[0][0] <= reached:
                due.append(heappop(held)[2])
        return due


def _place(held: tuple[int, int, object]) -> tuple[int, int]:
    return held[0], held[1]


def corrupted(data: bytes, chance: Chance) -> bytes:
    """Change one byte; none becomes a line's end, which would make two documents of one."""
    changed = bytearray(data)
    if changed:
        changed[chance.below(len(changed))] = 32 + chance.below(95)
    return bytes(changed)


def truncated(data: bytes, chance: Chance) -> bytes:
    """Cut the end off; at least a byte stays."""
    return data[: max(1, chance.below(len(data)))]
