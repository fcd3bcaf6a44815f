"""Recordings: observations in order, in chunks that begin with a whole snapshot, so that any moment is a short way off.

A file is MAGIC, then chunks of a head (first and last time in ms, bytes of body) and a body: zstd of msgpack of
(snapshot before, observations). A chunk is written when CHUNK_MS have passed, so a crash costs that much at most, and a
file that ends within a chunk is read up to there.

The rules: the same observations give the same snapshots, bit by bit; memory and file have a limit; a file of strangers
can't make the reader take more than its limits.
"""

import struct
from bisect import bisect_right
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final, Protocol

import msgspec
import zstandard
from msgspec import Struct

from sb_console.model import Snapshot
from sb_console.observations import Observation
from sb_console.reduce import reduce

MAGIC: Final = b"SBREC1\n"
CHUNK_MS: Final = 10_000
CHUNK_OBSERVATIONS_MAX: Final = 20_000
BODY_BYTES_MAX: Final = 64 * 1024 * 1024
PLAIN_BYTES_MAX: Final = 512 * 1024 * 1024
MEMORY_BYTES_MAX: Final = 96 * 1024 * 1024
"""What the console remembers of its own past, compressed; the oldest goes first."""
_HEAD: Final = struct.Struct("<QQI")
_LEVEL: Final = 1


class RecordingError(Exception):
    """A file is no recording, or is broken before its end."""


class Chunk(Struct, frozen=True):
    """A stretch of time: a snapshot, and what was observed after it."""

    keyframe: Snapshot
    observations: list[Observation]


_encode: Final = msgspec.msgpack.Encoder()
_decode: Final = msgspec.msgpack.Decoder(Chunk)


class Sink(Protocol):
    """Where finished chunks go."""

    def put(self, first: int, last: int, body: bytes) -> None:
        """Take a chunk."""


class Recorder:
    """Takes observations as they are reduced, and gives chunks to its sinks."""

    def __init__(self, *sinks: Sink) -> None:
        self._sinks = list(sinks)
        self._keyframe: Snapshot | None = None
        self._first = 0
        self.failed: str | None = None
        """Why a sink was given up."""
        self._held: list[Observation] = []

    def __repr__(self) -> str:
        return f"<Recorder held={len(self._held)} {self._sinks}>"

    def note(self, before: Snapshot, observation: Observation) -> None:
        """Take an observation and the snapshot before it."""
        if self._keyframe is None:
            self._keyframe, self._first = before, observation.at
        self._held.append(observation)
        if observation.at - self._first >= CHUNK_MS or len(self._held) >= CHUNK_OBSERVATIONS_MAX:
            self.flush()

    def add(self, sink: Sink) -> None:
        """Give to one more sink from the next chunk on."""
        self.flush()
        self._sinks.append(sink)

    def flush(self) -> None:
        """Give away what is held."""
        if self._keyframe is None:
            return
        chunk = Chunk(self._keyframe, self._held)
        body = zstandard.ZstdCompressor(level=_LEVEL).compress(_encode.encode(chunk))
        last = max(each.at for each in self._held)
        for sink in tuple(self._sinks):
            try:
                sink.put(self._first, last, body)
            except OSError as error:
                # a full disk costs the recording, not the console
                self._sinks.remove(sink)
                self.failed = str(error)
        self._keyframe, self._held = None, []

    def pending(self) -> Chunk | None:
        """Return what no sink has yet."""
        return None if self._keyframe is None else Chunk(self._keyframe, list(self._held))


class FileSink:
    """Writes a recording to a file. Raises OSError."""

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("wb")
        self._write(MAGIC)

    def put(self, first: int, last: int, body: bytes) -> None:
        """Write a chunk."""
        self._write(_HEAD.pack(first, last, len(body)) + body)

    def _write(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; what can't be written any more was told before."""
        with suppress(OSError):
            self._file.close()


class Recording:
    """Chunks to seek in: those of a file, or those that the console remembers of itself (it is a sink, too)."""

    def __init__(self, bytes_max: int = MEMORY_BYTES_MAX) -> None:
        self._chunks: deque[tuple[int, int, bytes]] = deque()
        self._bytes = 0
        self._bytes_max = bytes_max
        self.cut = False
        """The file ended within a chunk."""

    def __repr__(self) -> str:
        return f"<Recording chunks={len(self._chunks)} bytes={self._bytes}>"

    @classmethod
    def read(cls, path: Path) -> "Recording":
        """Read a file. Raises RecordingError and OSError."""
        made = cls(bytes_max=2**40)
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise RecordingError(f"{path} is no recording")
            while head := file.read(_HEAD.size):
                if len(head) < _HEAD.size:
                    made.cut = True
                    break
                first, last, length = _HEAD.unpack(head)
                if length > BODY_BYTES_MAX:
                    raise RecordingError(f"{path}: a chunk of {length} bytes")
                body = file.read(length)
                if len(body) < length:
                    made.cut = True
                    break
                made.put(first, last, body)
        if not made._chunks:
            raise RecordingError(f"{path} holds nothing yet")
        return made

    def put(self, first: int, last: int, body: bytes) -> None:
        """Remember a chunk; the oldest are forgotten beyond the limit."""
        self._chunks.append((first, last, body))
        self._bytes += len(body)
        while self._bytes > self._bytes_max and len(self._chunks) > 1:
            self._bytes -= len(self._chunks.popleft()[2])

    @property
    def span(self) -> tuple[int, int] | None:
        """Return the first and last time held, in ms."""
        return (self._chunks[0][0], self._chunks[-1][1]) if self._chunks else None

    def chunk(self, number: int) -> Chunk:
        """Return a chunk. Raises RecordingError for one that can't be read."""
        try:
            body = self._chunks[number][2]
            if zstandard.frame_content_size(body) > PLAIN_BYTES_MAX:  # it says so itself, before a byte is unpacked
                raise RecordingError(f"chunk {number} is too large")
            plain = zstandard.ZstdDecompressor().decompress(body, max_output_size=PLAIN_BYTES_MAX)
            return _decode.decode(plain)
        except (zstandard.ZstdError, msgspec.MsgspecError, RecursionError, UnicodeDecodeError, MemoryError) as error:
            raise RecordingError(f"chunk {number} can't be read: {error}") from error

    def seek(self, at: int, pending: Chunk | None = None) -> Snapshot:
        """Return the snapshot at a time: after everything observed up to then. `pending` is what follows the chunks."""
        chunk = self._around(at, pending)
        return fold(chunk.keyframe, [each for each in chunk.observations if each.at <= at])

    def after(self, at: int, pending: Chunk | None = None) -> list[Observation]:
        """Return what was observed after a time, up to the end of the chunk that has the next of it."""
        number = self._number(at)
        while number < len(self._chunks):
            left = [each for each in self.chunk(number).observations if each.at > at]
            if left:
                return left
            number += 1
        return [] if pending is None else [each for each in pending.observations if each.at > at]

    def _number(self, at: int) -> int:
        return max(0, bisect_right([each[0] for each in self._chunks], at) - 1)

    def _around(self, at: int, pending: Chunk | None) -> Chunk:
        if pending is not None and pending.observations and (not self._chunks or at >= pending.observations[0].at):
            return pending
        if not self._chunks:
            raise RecordingError("nothing is recorded yet")
        return self.chunk(self._number(at))

    def observations(self) -> Iterator[Observation]:
        """Return everything observed, in order."""
        for number in range(len(self._chunks)):
            yield from self.chunk(number).observations

    def begin(self) -> Snapshot:
        """Return the snapshot that the recording begins with."""
        return self.chunk(0).keyframe


def fold(snapshot: Snapshot, observations: Sequence[Observation]) -> Snapshot:
    """Reduce observations in order."""
    for observation in observations:
        snapshot = reduce(snapshot, observation)
    return snapshot
