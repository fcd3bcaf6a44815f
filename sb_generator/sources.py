"""Recorded files: opened by what they are (bzip2, gzip, zstandard, plain), read in chunks, cut into documents.

The rule: a compressed file that ends too early gives all that can be had of it, and then says so.
"""

import bz2
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePath
from typing import Any, Final, Protocol, cast

from sb_generator import split
from sb_generator.split import Document, SourceError

CHUNK_BYTES: Final = 262_144
ZSTANDARD_BYTES: Final = 16_384
"""Compressed bytes taken at a time, since what becomes of them is not bounded otherwise."""
SESSION_CHARS_MAX: Final = 90
_SUFFIXES: Final = (".bz2", ".gz", ".zst"), (".ndjson", ".jsonl", ".json", ".xml", ".txt", ".capture")
_NOT_IN_NAMES: Final = re.compile(r"[^A-Za-z0-9._\-]+")


class _Stream(Protocol):
    def read1(self, size: int, /) -> bytes: ...
    def close(self) -> None: ...


class Read:
    """How many bytes of files were read, compressed as they are."""

    def __init__(self) -> None:
        self.count = 0

    def __repr__(self) -> str:
        return f"<Read {self.count}>"


class _Counted(io.RawIOBase):
    """A file that counts what is read of it."""

    def __init__(self, path: Path, read: Read) -> None:
        self._file = path.open("rb", buffering=0)
        self._read = read

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        count = self._file.readinto(buffer) or 0
        self._read.count += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def size(path: Path) -> int:
    """Return a file's size; 0 where it can't be had."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def documents(path: Path, read: Read | None = None) -> Iterator[Document]:
    """Yield a file's documents in order. Raises SourceError when it can't be read (to its end), after what could.

    `read` counts its bytes.
    """
    return split.documents(chunks(path, read))


def chunks(path: Path, read: Read | None = None) -> Iterator[bytes]:
    """Yield a file's bytes, decompressed. Raises SourceError."""
    try:
        stream = _opened(path, read or Read())
    except OSError as error:
        raise SourceError(f"{path}: {error.strerror or error}") from error
    try:
        while chunk := stream.read1(CHUNK_BYTES):
            yield bytes(chunk)
    except (EOFError, OSError, zlib.error) as error:
        raise SourceError(f"{path}: {error}") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "zstandard":
            raise
        raise SourceError(f"{path}: {error}") from error
    finally:
        stream.close()


def _opened(path: Path, read: Read) -> _Stream:
    with path.open("rb") as file:
        magic = file.read(4)
    raw = cast("_Stream", io.BufferedReader(_Counted(path, read)))
    for mark, opener in _MAGIC.items():
        if magic.startswith(mark):
            return _Closing(opener(raw), raw)
    return raw


class _Closing:
    """A decompressed stream that closes the file beneath it too."""

    def __init__(self, stream: _Stream, file: _Stream) -> None:
        self._stream = stream
        self._file = file

    def read1(self, size: int, /) -> bytes:
        return self._stream.read1(size)

    def close(self) -> None:
        self._stream.close()
        self._file.close()


def _zstandard(raw: _Stream) -> _Stream:
    import zstandard  # noqa: PLC0415  a driver that only such files need

    return _Zstandard(raw, zstandard.ZstdDecompressor().decompressobj)


class _Zstandard:
    """Reads frame after frame; zstandard's own reader takes a file that ends too early for a whole one."""

    def __init__(self, file: _Stream, begin: Callable[[], Any]) -> None:
        self._file = file
        self._begin = begin
        self._frame: Any = None
        self._rest = b""

    def read1(self, size: int, /) -> bytes:
        while True:
            data = self._rest or self._file.read1(min(size, ZSTANDARD_BYTES))
            self._rest = b""
            if not data:
                if self._frame is not None:
                    raise EOFError("the file ends in the midst of a frame")
                return b""
            self._frame = self._frame or self._begin()
            read = bytes(self._frame.decompress(data))
            if self._frame.eof:
                self._rest, self._frame = bytes(self._frame.unused_data), None
            if read:
                return read

    def close(self) -> None:
        self._file.close()


_MAGIC: Final[dict[bytes, Callable[[Any], _Stream]]] = {
    b"BZh": lambda raw: cast("_Stream", bz2.BZ2File(raw)),
    b"\x1f\x8b": lambda raw: cast("_Stream", gzip.GzipFile(fileobj=raw)),
    b"\x28\xb5\x2f\xfd": _zstandard,
}


def session_names(files: tuple[str, ...]) -> tuple[str, ...]:
    """Name a session per file: its stem, with a number where two files of one replay have the same."""
    taken: dict[str, int] = {}
    names = []
    for file in files:
        name = PurePath(file).name
        for suffixes in _SUFFIXES:
            for suffix in suffixes:
                name = name.removesuffix(suffix)
        name = _NOT_IN_NAMES.sub("_", name)[:SESSION_CHARS_MAX] or "file"
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 else f"{name}-{taken[name]}")
    return tuple(names)
