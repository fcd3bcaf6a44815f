"""The way in, without HTTP: a request's body becomes one append, and only then an answer.

The rule: an item is accepted when the log has acknowledged it, not before. What ingest remembers of a request (sessions,
sports of events, counts) it adopts in that step; after an unknown outcome the session is dropped, and the answer is 503
"send again with the same ids".
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import anyio
import anyio.lowlevel

from sb_core.errors import UnavailableError, UnknownOutcomeError
from sb_core.pressure import Pressure
from sb_core.records import Record
from sb_core.runtime import Context
from sb_core.telemetry import error_fields
from sb_ingest import documents, signals
from sb_ingest.answers import Failure, IntakeAnswer, IntakeRequest, answered, problem, refused_problem
from sb_ingest.assembly import Assembly, Terms
from sb_ingest.capture import Captures
from sb_ingest.documents import Body, BodyError, Captured
from sb_ingest.knowledge import Known, Trial
from sb_ingest.limits import Limits
from sb_ingest.producers import awaits
from sb_ingest.providers import Normaliser
from sb_ingest.rulebook import compile_books
from sb_ingest.sessions import NO_SESSION, Session, SessionBusyError, Sessions, SessionsFullError

TRACE_BYTES: Final = 16
YIELD_DOCUMENTS: Final = 200
"""Documents between two looks at other tasks."""
RECOVERY_WAIT_S: Final = 2.0
"""How long the first answers to a recovery wait for the producer's owner to announce it."""


class Intake:
    """Takes requests of any provider. `closed` is why they are refused."""

    def __init__(
        self,
        context: Context,
        known: Known,
        captures: Captures,
        normalisers: Mapping[str, Normaliser],
        *,
        limits: Limits,
        after_loss: Mapping[str, object],
        recovery_told: Callable[[str, str], Awaitable[None]],
        pressure: Pressure | None = None,
    ) -> None:
        settings = context.settings
        self._context = context
        self._known = known
        self._captures = captures
        self._normalisers = normalisers
        self._limits = limits
        self._after_loss = after_loss
        self._recovery_told = recovery_told
        self._telemetry = context.telemetry
        self._books = compile_books(context.config, lambda said: context.telemetry.warn("pipeline_rule", detail=said))
        self.sessions = Sessions(settings.sessions_max, settings.session_silent_s)
        self.closed: str | None = "starting"
        """Why no requests are taken; None: they are."""
        self._inflight: dict[int, anyio.Event] = {}
        self._numbers = 0
        self._pressure = pressure or Pressure()
        self.owed: Counter[str] = Counter()
        """Counts of units whose append has an unknown outcome, written with the next append."""
        self._meter(context)

    def __repr__(self) -> str:
        return f"<Intake inflight={len(self._inflight)} {self.sessions!r}{' ' + self.closed if self.closed else ''}>"

    def _meter(self, context: Context) -> None:
        telemetry = context.telemetry
        self._messages = telemetry.counter("messages_total", "Units by what became of them.", ("provider", "outcome"))
        self._codes = telemetry.counter("refused_total", "Refused pieces by code.", ("provider", "code"))
        self._limited = telemetry.counter("limit_hit_total", "Requests refused at a limit.", ("limit",))
        self._bytes = telemetry.counter("body_bytes_total", "Bytes of bodies as sent.", ("provider",))
        self._rounded = telemetry.counter("odds_rounded_total", "Odds that lost decimals.")
        self._seconds = telemetry.histogram("request_seconds", "Time of a request.", ("provider",))
        self._append_seconds = telemetry.histogram("append_seconds", "Time of an append.")
        self._busy = telemetry.gauge("inflight_requests", "Requests at work.")

    @property
    def providers(self) -> tuple[str, ...]:
        """The names of the providers that are taken."""
        return tuple(self._normalisers)

    @property
    def inflight(self) -> int:
        """How many requests are at work."""
        return len(self._inflight)

    async def accept(self, request: IntakeRequest) -> IntakeAnswer:
        """Take one request in. Never raises for input or for a log that fails."""
        if self.closed:
            return problem(request.provider, 503, "unavailable", f"not now: {self.closed}")
        if request.provider not in self._normalisers:
            return problem(request.provider, 404, "unknown_provider", f"known are {', '.join(self._normalisers)}")
        if len(self._inflight) >= self._context.settings.ingest_inflight_max:
            self._limited.labels("ingest_inflight_max").inc()
            return problem(request.provider, 429, "too_many_requests", f"{len(self._inflight)} requests are at work")
        self._numbers += 1
        number = self._numbers
        done = self._inflight[number] = anyio.Event()
        self._busy.set(len(self._inflight))
        started_s = self._context.clock.monotonic_s()
        try:
            return await self._with_session(request, number)
        finally:
            del self._inflight[number]
            done.set()
            self._busy.set(len(self._inflight))
            self._seconds.labels(request.provider).observe(self._context.clock.monotonic_s() - started_s)

    async def _with_session(self, request: IntakeRequest, number: int) -> IntakeAnswer:
        if request.session is None or not self._normalisers[request.provider].session_based:
            return await self._take(request, number, None)
        key = request.provider, request.session
        now_s = self._context.clock.monotonic_s()
        try:
            session = self.sessions.open(key, recorded=request.recorded, now_s=now_s)
        except SessionBusyError:
            self._limited.labels("session_busy").inc()
            return problem(
                request.provider, 409, "session_busy", f"session {request.session!r} takes one request at a time"
            )
        except SessionsFullError:
            self._limited.labels("sessions_max").inc()
            return problem(request.provider, 429, "too_many_sessions", "there is no room for another session")
        if request.begins and session.recorded:
            session.renew()
        try:
            return await self._take(request, number, session)
        finally:
            self.sessions.close(session, self._context.clock.monotonic_s())

    async def _take(self, request: IntakeRequest, number: int, session: Session | None) -> IntakeAnswer:
        assembly = self._assembly(request, self._known)
        self._bytes.labels(request.provider).inc(len(request.body))
        try:
            body = self._body(request)
        except BodyError as error:
            return await self._undecodable(request, assembly, error, number)
        self._captures.publish(assembly.terms.received, request.provider, request.key, body.captured)
        steps = await self._assemble(request, assembly, body, session)
        answer = answered(assembly, body)
        signs = signals.of_request(steps, assembly, session, self._context.clock.monotonic_s(), self._silent_s)
        failure = await self._append(assembly, signs, number)
        if failure is None:
            if session is not None:
                signals.adopt(session, steps, assembly, signs, self._context.clock.monotonic_s())
            return answer
        if session is not None and failure.unknown:
            session.lose("unknown_outcome")
        return failure.answer

    @property
    def _silent_s(self) -> float:
        return self._context.settings.session_silent_s

    def _assembly(self, request: IntakeRequest, known: Known) -> Assembly:
        settings = self._context.settings
        terms = Terms(
            provider=request.provider,
            received=self._context.clock.now_ms(),
            trace=self._context.entropy(TRACE_BYTES).hex(),
            sport_hint=request.sport,
            routing_key=request.key,
            ts_ahead_ms_max=settings.ts_ahead_ms_max,
            dead_letter_bytes_max=settings.dead_letter_bytes_max,
            limits=self._limits,
            only=request.only,
        )
        return Assembly(terms, known, self._books)

    def _body(self, request: IntakeRequest) -> Body:
        if request.documents is not None:
            return Body(request.documents, ())
        return documents.read(
            request.body, request.content_type, request.content_encoding, request.provider, self._limits
        )

    async def _assemble(
        self, request: IntakeRequest, assembly: Assembly, body: Body, session: Session | None
    ) -> signals.Steps:
        """Normalise document by document, chaining the session's state; a copy is worked on until the log has it all."""
        normaliser = self._normalisers[request.provider]
        named = request.session is not None and not request.recorded and normaliser.session_based
        producer = request.session if named and request.session is not None else NO_SESSION
        steps = signals.Steps(
            provider=request.provider,
            producer=producer,
            based=normaliser.session_based,
            state=self._state(session, producer),
            down=session.down or session.fresh if session is not None else True,
        )
        for index, document in enumerate(body.documents):
            if index % YIELD_DOCUMENTS == YIELD_DOCUMENTS - 1:
                await anyio.lowlevel.checkpoint()
            found = assembly.add(index, document, normaliser, steps.state, producer)
            steps.step(found, assembly.newest_ts)
        for fault in assembly.faults[:10]:
            self._telemetry.error("normaliser_fault", trace=assembly.terms.trace, **error_fields(fault))
        return steps

    def _state(self, session: Session | None, producer: str) -> object | None:
        """Return the state to go on with; what was lost, here or on another node, believes only a picture of its own."""
        if session is None or session.state is not None:
            return session.state if session is not None else None
        heard_elsewhere = session.fresh and not session.recorded
        known = heard_elsewhere and f"{session.key[0]}:{producer}" in self._known.producers()
        return self._after_loss.get(session.key[0]) if known or not session.fresh or session.down else None

    async def trial(self, request: IntakeRequest) -> Assembly | None:
        """Say what a request would come to, leaving no trace; None for an unknown provider. Raises BodyError."""
        if request.provider not in self._normalisers:
            return None
        known = Trial(self._known)
        assembly = self._assembly(request, known)
        await self._assemble(request, assembly, self._body(request), None)
        return assembly

    async def _undecodable(
        self, request: IntakeRequest, assembly: Assembly, error: BodyError, number: int
    ) -> IntakeAnswer:
        """Refuse a body as a whole; what could be read as bytes is a dead letter."""
        if error.status != 400 or not request.body:
            self._limited.labels(error.code).inc()
            return problem(request.provider, error.status, error.code, error.message)
        self._captures.publish(assembly.terms.received, request.provider, request.key, (Captured(request.body),))
        assembly.refuse_body(error.code, error.message, request.body)
        failure = await self._append(assembly, (), number)
        return refused_problem(error.code, error.message, assembly) if failure is None else failure.answer

    # the append

    async def _append(self, assembly: Assembly, signs: tuple[Record, ...], number: int) -> Failure | None:
        trace, provider = assembly.terms.trace, assembly.terms.provider
        if assembly.completes_snapshot and not await self._earlier_done(number):
            return Failure(problem(provider, 503, "unavailable", "earlier requests are still at work"), unknown=False)
        held_up = self._pressure.reason(
            {record.topic for record in assembly.records}, self._context.clock.monotonic_s()
        )
        if held_up is not None:
            # accepting on would only put off what senders must hear; nothing is appended, so all may come again
            self._limited.labels("pressure").inc()
            return Failure(problem(provider, 503, "unavailable", held_up), unknown=False)
        owed = self.owed.copy()
        self.owed.subtract(owed)
        counts = Counter(assembly.counts) + owed
        if signs:
            counts["system:alive"] += len(signs)
        failure: Failure | None = None
        try:
            await self._announce(assembly)
            await self.append([*signs, *assembly.records], counts)
        except UnavailableError as error:
            self.owed.update(owed)
            self._telemetry.warn("append_unavailable", trace=trace, units=assembly.units, detail=str(error))
            failure = Failure(problem(provider, 503, "unavailable", "the log does not answer now"), unknown=False)
        except UnknownOutcomeError as error:
            units = assembly.units
            self.owed.update(owed)
            self.owed.update({"received": units, "unknown": units})
            self._messages.labels(provider, "unknown").inc(units)
            self._telemetry.warn("append_unknown", trace=trace, units=units, detail=str(error))
            detail = "it is unknown whether this was accepted: send it again with the same ids"
            failure = Failure(problem(provider, 503, "unknown_outcome", detail), unknown=True)
        else:
            self._appended(assembly)
        return failure

    async def _announce(self, assembly: Assembly) -> None:
        """Have the owner of a producer say that answers to a recovery count, before the first of them is appended."""
        known = self._known.producers()
        for producer, request in assembly.requests.items():
            if not awaits(known.get(producer), request):
                continue
            record = signals.recovery_seen(producer, request, assembly.terms.received)
            await self.append([record], {"system:alive": 1})
            with anyio.move_on_after(RECOVERY_WAIT_S) as scope:
                await self._recovery_told(producer, request)
            if scope.cancelled_caught:
                self._limited.labels("recovery_wait_s").inc()
                self._telemetry.warn("recovery_untold", trace=assembly.terms.trace, producer=producer)

    async def append(self, records: list[Record], counts: Mapping[str, int]) -> None:
        """Append within the deadline, whatever becomes of who asked. Raises UnavailableError or UnknownOutcomeError."""
        started_s = self._context.clock.monotonic_s()
        deadline_s = self._context.settings.append_deadline_ms / 1000
        with anyio.CancelScope(deadline=anyio.current_time() + deadline_s, shield=True) as scope:
            await self._context.log.append(records, counts)
        if scope.cancelled_caught:
            self._limited.labels("append_deadline_ms").inc()
            raise UnknownOutcomeError(f"the log did not acknowledge within {deadline_s:g} s")
        self._append_seconds.observe(self._context.clock.monotonic_s() - started_s)

    def _appended(self, assembly: Assembly) -> None:
        provider = assembly.terms.provider
        self._known.written(assembly.learnt)
        for key, document in assembly.reference:
            self._known.keep(key, document)
        self._messages.labels(provider, "accepted").inc(assembly.counts.get("accepted", 0))
        if assembly.refused:
            self._messages.labels(provider, "refused").inc(len(assembly.refused))
            for code, number in Counter(each.code for each in assembly.refused).items():
                self._codes.labels(provider, code).inc(number)
        if assembly.rounded:
            self._rounded.inc(assembly.rounded)
        self._telemetry.debug(
            "accepted",
            trace=assembly.terms.trace,
            provider=provider,
            accepted=assembly.accepted,
            refused=len(assembly.refused),
        )

    async def _earlier_done(self, number: int) -> bool:
        """Wait for the requests that came before; a snapshot is complete when all that it holds is acknowledged."""
        earlier = [done for other, done in self._inflight.items() if other < number]
        with anyio.move_on_after(self._context.settings.append_deadline_ms / 1000) as scope:
            for done in earlier:
                await done.wait()
        return not scope.cancelled_caught

    async def sweep(self) -> None:
        """Tell of lost sessions; what can't be told now is told later. Called every second."""
        for session in self.sessions.lost(self._context.clock.monotonic_s()):
            reason = session.owed or "lost"
            record = signals.down(session.producer, reason, session.newest_ts, self._context.clock.now_ms())
            try:
                await self.append([record], {"system:alive": 1})
            except (UnavailableError, UnknownOutcomeError) as error:
                self._telemetry.warn("session_loss_untold", provider=session.key[0], detail=str(error))
                self.sessions.close(session, session.used_s)
                return
            self._telemetry.info("session_lost", provider=session.key[0], session=session.key[1], reason=reason)
            self.sessions.close(session, session.used_s)
            self.sessions.forget(session)

    async def drained(self) -> None:
        """Wait until no request is at work."""
        while self._inflight:
            await next(iter(self._inflight.values())).wait()
            await anyio.lowlevel.checkpoint()
