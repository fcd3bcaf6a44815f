"""What is done to services, engines and wires, in an order that one seed decides; each comes back before the next goes.

The rule: every kind of fault has its turn at everything it can be done to, before any has its second.
"""

import signal
from typing import NamedTuple

import trio
from sim_watch import see_silence
from tortured import ENGINES, NAMES

LASTS_S = {
    "kill": (0.2, 3.0),
    "stop": (7.0, 12.0),  # a group's lease is 6 s
    "leave": (0.2, 2.0),
    "killed engine": (0.2, 4.0),
    "stopped engine": (3.0, 16.0),
    "cut": (0.5, 6.0),
    "hold": (2.0, 16.0),
    "deaf": (1.0, 8.0),
    "slow": (5.0, 10.0),
}
"""How long each lasts, in seconds."""
OF_SERVICES = ("kill", "stop", "leave")
OF_ENGINES = ("killed engine", "stopped engine")
OF_WIRES = ("cut", "hold", "deaf", "slow")
UNREAD = {"killed engine", "stopped engine", "cut", "hold"}
"""While these last, nobody behind the wire reads anything of an engine."""
SLOW_S_MAX = 0.15
SILENCE_S = 45.0
BACK_S = 120
SLIP_SHARE = 0.15
RECOVERY_SHARE = 0.15


class Fault(NamedTuple):
    what: str
    whom: str
    seconds: float

    def __str__(self):
        return f"{self.what} {self.whom}" + (f" for {self.seconds:.1f} s" if self.seconds else "")


def planned(chance, *, silences):
    """Give faults for ever."""
    pairs = [(what, whom) for what in OF_SERVICES for whom in NAMES]
    pairs += [(what, whom) for what in (*OF_ENGINES, *OF_WIRES) for whom in ENGINES]
    pairs += [("silence", producer) for producer in silences]
    while True:
        for what, whom in chance.shuffled_within(pairs, len(pairs)):
            if chance.happens(SLIP_SHARE):
                yield Fault("slip", "football", 0.0)
            if chance.happens(RECOVERY_SHARE):
                yield Fault("recovery", "any producer", 0.0)
            seconds = SILENCE_S if what == "silence" else chance.between(*LASTS_S[what])
            yield Fault(what, whom, seconds)


def drawn(chance, pairs):
    """Give these (what, whom), in order, about as short as they may be."""
    return [Fault(what, whom, LASTS_S[what][0] * chance.between(1, 1.5)) for what, whom in pairs]


class Torturer:
    """Does what is planned, and tells it."""

    def __init__(self, ground, stack, providers, chance):
        self.ground, self.stack, self.providers, self.chance = ground, stack, providers, chance
        self.services = ground.services
        self.done = []

    async def run(self, faults, until_s):
        """Do one after the other until then, with everything back after each; then it is enough for everybody."""
        for fault in faults:
            if trio.current_time() > until_s:
                break
            self.ground.trace.note("FAULT", fault)
            print(f"{trio.current_time():8.1f} s  {fault}", flush=True)
            self.done.append(fault)
            await self._do(fault)
            await self.all_back()
            await trio.sleep(self.chance.between(0.3, 3))
        for each in (self.ground, *self.providers):
            each.enough = True

    async def _do(self, fault):
        if fault.what in OF_SERVICES:
            await self._service(fault)
        elif fault.what in OF_ENGINES or fault.what in OF_WIRES:
            await self._engine(fault)
        elif fault.what == "silence":
            await self._silence(next(each for each in self.providers if each.producer == fault.whom), fault.seconds)
        elif fault.what == "slip":
            await self.ground.slip()
        else:
            self.ground.nursery.start_soon(self.chance.pick(self.providers).recover)

    async def _service(self, fault):
        services, name = self.services, fault.whom
        self.ground.away.add(name)
        if fault.what == "stop":
            services.signal(name, signal.SIGSTOP)
            await trio.sleep(fault.seconds)
            services.signal(name, signal.SIGCONT)
        else:
            await trio.to_thread.run_sync(services.kill_one if fault.what == "kill" else services.stop_one, name)
            await trio.sleep(fault.seconds)
            services.spawn(name)
        self.ground.away.discard(name)

    async def _engine(self, fault):
        begin, end = self._acts(fault)
        await trio.to_thread.run_sync(begin)
        if fault.whom == "kafka" and fault.what in UNREAD:
            self.ground.unread_since_ms = self.ground.clock.now_ms()
        await trio.sleep(fault.seconds)
        self.ground.unread_since_ms = None
        await trio.to_thread.run_sync(end)

    def _acts(self, fault):
        stack, name, wire = self.stack, fault.whom, self.services.wires[fault.whom]

        def slow():
            wire.slow_s = self.chance.between(0.01, SLOW_S_MAX)

        def deaf():
            wire.deaf = True

        return {
            "killed engine": (lambda: stack.kill(name), lambda: stack.start(name, wait=False)),
            "stopped engine": (lambda: stack.pause(name), lambda: stack.resume(name)),
            "cut": (wire.cut, wire.mend),
            "hold": (wire.hold, wire.mend),
            "deaf": (deaf, wire.mend),
            "slow": (slow, wire.mend),
        }[fault.what]

    async def _silence(self, provider, seconds):
        """Nothing else is broken meanwhile: by the end whatever was open of the producer is closed."""
        provider.silent = True
        await trio.sleep(seconds)
        see_silence(self.ground.oracle, provider.producer)
        await provider.recover()
        provider.silent = False

    async def all_back(self):
        """Wait until everything serves."""
        with trio.move_on_after(BACK_S) as scope:
            for name in ENGINES:
                await trio.to_thread.run_sync(self.stack.await_healthy, name, BACK_S, abandon_on_cancel=True)
            while lacking := [name for name in NAMES if not await self._ready(name)]:  # noqa: ASYNC110  they don't call
                await trio.sleep(0.2)
        if scope.cancelled_caught:
            self.ground.oracle.violated(f"not back {BACK_S} s after the fault: {lacking or 'an engine'}")

    async def _ready(self, name):
        return await trio.to_thread.run_sync(self.services.ready, name)
