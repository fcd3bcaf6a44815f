"""Replaying recorded files into ingest: in order, file after file, each in a session of its own.

The rule: the bytes of a document are never touched, but by faults and, with `loop` or `scale`, for ids and times of its
own; a request that was not judged is sent again as it is; whatever could not be delivered is in the report, never silent.

A loop's rounds have times that begin now, and events of their own (see copies.py); a file's session begins anew with each.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import anyio
import msgspec
from anyio import to_thread
from msgspec import Struct

from sb_core.ports import Clock
from sb_generator import sources
from sb_generator.chance import Chance
from sb_generator.copies import Times, copies
from sb_generator.delivery import Answer, Send, deliver
from sb_generator.explained import Explained
from sb_generator.faults import Faults, Rates
from sb_generator.pace import Batch, UnrecognisedError, batches, timed, within
from sb_generator.split import Document, SourceError
from sb_generator.struck import DocumentHandle

PROBLEMS_MAX: Final = 100
"""Texts kept in a report; the counts go on."""


class ReplayOptions(Struct, frozen=True, kw_only=True):
    """What to replay. `speed` None is as fast as ingest takes it; `start` and `end` bound documents' own times in ms.

    `loop`: again and again, for ever or `rounds` times; `scale`: so many copies of every event at once.
    """

    files: tuple[str, ...]
    provider: str | None = None
    sport: str | None = None
    key: str | None = None
    speed: float | None = None
    start: int | None = None
    end: int | None = None
    loop: bool = False
    rounds: int | None = None
    scale: int = 1
    faults: Rates = Rates()
    seed: int = 1

    @property
    def copied(self) -> bool:
        """Whether documents get ids and times of their own."""
        return self.loop or self.scale > 1


class ReplayReport(Struct, frozen=True, kw_only=True):
    """What came of it. `refused` counts by code; `failed` are documents that nobody judged; `problems` say why.

    `faults` is the account by kind of fault (explained.py); {} without faults. `read_bytes` of the `total_bytes` that the
    files have (of this round, compressed as they are) were read.
    """

    files: int = 0
    documents: int = 0
    requests: int = 0
    accepted: int = 0
    refused: dict[str, int] = {}
    retried: int = 0
    failed: int = 0
    bytes: int = 0
    read_bytes: int = 0
    total_bytes: int = 0
    rounds: int = 0
    seconds: float = 0.0
    faults: dict[str, dict[str, int]] = {}
    problems: tuple[str, ...] = ()


async def replay(
    options: ReplayOptions, send: Send, clock: Clock, progress: Callable[[ReplayReport], None] | None = None
) -> ReplayReport:
    """Replay files in the order given; with `loop`, for ever (until cancelled). `progress` sees each request's report."""
    run = _Run(options, send, clock, progress)
    names = sources.session_names(options.files)
    while True:
        run.begin_round()
        for file, session in zip(options.files, names, strict=True):
            await run.file(file, session)
        if not options.loop or run.rounds == options.rounds:
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
        self.rounds = 0
        self._read = sources.Read()
        self._total_bytes = sum(sources.size(Path(file)) for file in options.files)
        self._begins: set[str] = set()
        """Sessions that begin anew with their next request."""
        self._last: dict[str, int] = {}
        """Of each file the newest time in it, once it was played."""
        self._faults: list[Faults[Document]] = []
        self._struck: Counter[str] = Counter()
        self._explained = Explained()

    def begin_round(self) -> None:
        """Begin a round: its events have ids of their own."""
        self.rounds += 1
        self._read = sources.Read()
        self._begins = set(sources.session_names(self._options.files)) if self._options.loop else set()

    def report(self) -> ReplayReport:
        """Return what came of it so far."""
        return ReplayReport(
            **self._counts,
            refused=dict(sorted(self._refused.items())),
            rounds=self.rounds,
            read_bytes=self._read.count,
            total_bytes=self._total_bytes,
            faults=self._explained.told(self._strikes()) if self._options.faults else {},
            seconds=round(self._clock.monotonic_s() - self._begun_s, 3),
            problems=tuple(self._problems),
        )

    async def file(self, file: str, session: str) -> None:
        """Send one file."""
        self._counts["files"] += 1
        options = self._options
        last = self._last.get(file) if options.loop else None
        times = Times(self._clock.now_ms(), options.speed if options.loop else None, last)
        planned = self._planned(file, times)
        begun_s = self._clock.monotonic_s()
        while True:
            try:
                # reading and cutting a file takes its time, and the loop may be a whole pipeline's
                batch = await to_thread.run_sync(next, planned, None)
            except (SourceError, UnrecognisedError) as error:
                self._problem(f"{file}: {error}")
                return
            if batch is None:
                self._last[file] = times.last
                return
            if batch.due_ms is not None:
                await anyio.sleep(max(0.0, begun_s + batch.due_ms / 1000 - self._clock.monotonic_s()))
            await self._deliver(file, batch, session)
            if self._progress is not None:
                self._progress(self.report())

    def _strikes(self) -> Counter[str]:
        """Add up the faults of all files."""
        return self._struck + Counter(self._faults[-1].struck if self._faults else {})

    def _planned(self, file: str, times: Times) -> Iterator[Batch]:
        options = self._options
        documents = within(sources.documents(Path(file), self._read), options.start, options.end)
        if options.copied:
            numbers = range((self.rounds - 1) * options.scale, self.rounds * options.scale)
            documents = copies(documents, times, numbers, options.provider)
        if options.faults:
            self._struck = self._strikes()
            chance = Chance(f"replay {options.seed} {self.rounds} {Path(file).name}")
            self._faults = [Faults(options.faults, chance, DocumentHandle(options.provider))]
            documents = faulty(documents, self._faults[0])
        return batches(timed(documents, options.speed), options.provider, options.key)

    async def _deliver(self, file: str, batch: Batch, session: str) -> None:
        body = batch.body
        # `recorded`: a session that neither silence nor a restart ends
        query = {"session": session, "recorded": "1"}
        if self._options.sport is not None:
            query["sport"] = self._options.sport
        if batch.key is not None:
            query["key"] = batch.key
        if session in self._begins:
            # the session of the round before had other markets
            query["begin"] = "1"
        delivered = await deliver(self._send, batch.provider, body, batch.content_type, query)
        answer = delivered.answer
        if answer.is_judged:
            self._begins.discard(session)
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
        self._explained.judged(batch.marks, answer.refused_at, failed=not answer.is_judged)
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


def faulty(documents: Iterable[Document], faults: Faults[Document]) -> Iterator[Document]:
    """Put faults into a file's documents."""
    for document in documents:
        yield from faults.apply((document,))
    yield from faults.flush()


def encode(report: ReplayReport) -> bytes:
    """Write a report as one JSON object."""
    return msgspec.json.encode(report)
