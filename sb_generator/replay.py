"""Replaying recorded files into ingest: in order, file after file, each in a session of its own.

The rule: the bytes of a document are never touched; a request that was not judged is sent again as it is; whatever
could not be delivered is in the report, never silent.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import anyio
import msgspec
from anyio import to_thread
from msgspec import Struct, structs

from sb_core.ports import Clock
from sb_generator import sources
from sb_generator.chance import Chance
from sb_generator.delivery import Answer, Send, deliver
from sb_generator.faults import Damage, Faults, Rates
from sb_generator.pace import Batch, UnrecognisedError, batches, timed, within
from sb_generator.split import Document, Form, SourceError

PROBLEMS_MAX: Final = 100
"""Texts kept in a report; the counts go on."""


class ReplayOptions(Struct, frozen=True, kw_only=True):
    """What to replay. `speed` None is as fast as ingest takes it; `start` and `end` bound documents' own times in ms."""

    files: tuple[str, ...]
    provider: str | None = None
    sport: str | None = None
    key: str | None = None
    speed: float | None = None
    start: int | None = None
    end: int | None = None
    loop: bool = False
    faults: Rates = Rates()
    seed: int = 1


class ReplayReport(Struct, frozen=True, kw_only=True):
    """What came of it. `refused` counts by code; `failed` are documents that nobody judged; `problems` say why."""

    files: int = 0
    documents: int = 0
    requests: int = 0
    accepted: int = 0
    refused: dict[str, int] = {}
    retried: int = 0
    failed: int = 0
    bytes: int = 0
    seconds: float = 0.0
    problems: tuple[str, ...] = ()


async def replay(
    options: ReplayOptions, send: Send, clock: Clock, progress: Callable[[ReplayReport], None] | None = None
) -> ReplayReport:
    """Replay files in the order given; with `loop`, for ever (until cancelled). `progress` sees each request's report."""
    run = _Run(options, send, clock, progress)
    names = sources.session_names(options.files)
    while True:
        for file, session in zip(options.files, names, strict=True):
            await run.file(file, session)
        if not options.loop:
            return run.report()
        # a file that is empty or unreadable must not turn the loop into a busy one
        await anyio.sleep(0.1)


class _Run:
    def __init__(
        self, options: ReplayOptions, send: Send, clock: Clock, progress: Callable[[ReplayReport], None] | None
    ) -> None:
        self._options = options
        self._send = send
        self._clock = clock
        self._progress = progress
        self._begun_s = clock.monotonic_s()
        self._counts = dict.fromkeys(("files", "documents", "requests", "accepted", "retried", "failed", "bytes"), 0)
        self._refused: dict[str, int] = {}
        self._problems: list[str] = []

    def report(self) -> ReplayReport:
        """Return what came of it so far."""
        return ReplayReport(
            **self._counts,
            refused=dict(sorted(self._refused.items())),
            seconds=round(self._clock.monotonic_s() - self._begun_s, 3),
            problems=tuple(self._problems),
        )

    async def file(self, file: str, session: str) -> None:
        """Send one file."""
        self._counts["files"] += 1
        planned = self._planned(file)
        begun_s = self._clock.monotonic_s()
        while True:
            try:
                # reading and cutting a file takes its time, and the loop may be a whole pipeline's
                batch = await to_thread.run_sync(next, planned, None)
            except (SourceError, UnrecognisedError) as error:
                self._problem(f"{file}: {error}")
                return
            if batch is None:
                return
            if batch.due_ms is not None:
                await anyio.sleep(max(0.0, begun_s + batch.due_ms / 1000 - self._clock.monotonic_s()))
            await self._deliver(file, batch, session)
            if self._progress is not None:
                self._progress(self.report())

    def _planned(self, file: str) -> Iterator[Batch]:
        options = self._options
        documents = within(sources.documents(Path(file)), options.start, options.end)
        if options.faults:
            documents = faulty(documents, Faults(options.faults, Chance(f"replay {options.seed} {Path(file).name}")))
        return batches(timed(documents, options.speed), options.provider, options.key)

    async def _deliver(self, file: str, batch: Batch, session: str) -> None:
        body = batch.body
        # `recorded`: a session that neither silence nor a restart ends
        query = {"session": session, "recorded": "1"}
        if self._options.sport is not None:
            query["sport"] = self._options.sport
        if batch.key is not None:
            query["key"] = batch.key
        delivered = await deliver(self._send, batch.provider, body, batch.content_type, query)
        answer = delivered.answer
        self._counts["requests"] += 1
        self._counts["retried"] += delivered.retried
        if answer.status == 413 and len(batch.documents) > 1:
            for half in batch.halves():
                await self._deliver(file, half, session)
            return
        self._counts["documents"] += len(batch.documents)
        self._counts["bytes"] += len(body)
        self._judge(file, batch, answer)

    def _judge(self, file: str, batch: Batch, answer: Answer) -> None:
        self._counts["accepted"] += answer.accepted
        if not answer.is_judged:
            self._counts["failed"] += len(batch.documents)
            self._problem(f"{file}: {len(batch.documents)} documents: {answer.status} {answer.code}: {answer.detail}")
            return
        refused = answer.refused or ({answer.code: len(batch.documents)} if answer.status in {400, 413} else {})
        for code, count in refused.items():
            self._refused[code] = self._refused.get(code, 0) + count

    def _problem(self, text: str) -> None:
        if len(self._problems) < PROBLEMS_MAX:
            self._problems.append(text)


class _Damage(Damage[Document]):
    def bytes_of(self, thing: Document) -> bytes:
        return thing.data

    def with_bytes(self, thing: Document, data: bytes) -> Document:
        # what is broken must not take others of its request along
        form: Form = "line" if thing.form == "line" else "alone_xml" if "xml" in thing.form else "alone_json"
        return structs.replace(thing, data=data, form=form)


def faulty(documents: Iterable[Document], faults: Faults[Document]) -> Iterator[Document]:
    """Put faults into a file's documents."""
    damage = _Damage()
    for document in documents:
        yield from faults.apply((document,), damage)
    yield from faults.flush()


def encode(report: ReplayReport) -> bytes:
    """Write a report as one JSON object."""
    return msgspec.json.encode(report)
