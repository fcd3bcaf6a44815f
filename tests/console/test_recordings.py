"""Recordings of a really running pipeline: a replay is the same snapshot bit by bit, from anywhere, whatever the file's end."""

import msgspec
import pytest

from sb_console.document import document
from sb_console.model import Snapshot
from sb_console.record import CHUNK_MS, FileSink, Recorder, Recording, RecordingError, fold
from sb_console.reduce import first, reduce

HOUR_MS = 3_600_000


def bits(snapshot):
    return msgspec.json.encode(snapshot)


@pytest.mark.e2e
def test_a_replay_is_what_was_live_bit_by_bit(recorded):
    path, snapshot = recorded
    recording = Recording.read(path)
    observations = list(recording.observations())
    assert len(observations) > 100
    assert bits(fold(recording.begin(), observations)) == bits(snapshot)
    assert bits(recording.seek(2**62)) == bits(snapshot)
    assert document(snapshot)["services"]["ok"] == 8
    assert msgspec.json.decode(bits(snapshot), type=Snapshot) == msgspec.json.decode(bits(snapshot), type=Snapshot)


@pytest.mark.e2e
def test_the_poisoned_letter_is_in_the_recording(recorded):
    _, snapshot = recorded
    assert any(letter.event == "bad:1" or "bad:1" in letter.body for letter in snapshot.letters)


@pytest.fixture
def hour(recorded, tmp_path):
    """An hour, made of the recorded seconds over and over, later each time."""
    observations = list(Recording.read(recorded[0]).observations())
    begun = observations[0].at
    span = observations[-1].at - begun + 1
    # a tenth of what was seen keeps the test short; an hour's length is kept
    seen = [each for number, each in enumerate(observations) if number % 10 == 0]
    path = tmp_path / "hour.sbrec"
    sink = FileSink(path)
    recorder, snapshot = Recorder(sink), first("local")
    checks = {}
    for turn in range(HOUR_MS // span):
        for each in seen:
            moved = msgspec.structs.replace(each, at=each.at + turn * span)
            recorder.note(snapshot, moved)
            snapshot = reduce(snapshot, moved)
        if turn % 100 == 50:
            checks[snapshot.at] = bits(snapshot)
    recorder.flush()
    sink.close()
    return path, checks, (begun, snapshot.at)


@pytest.mark.e2e
def test_seeking_finds_every_moment_of_an_hour_and_reads_one_chunk_for_it(hour, monkeypatch):
    path, checks, (begun, ended) = hour
    recording = Recording.read(path)
    assert recording.span == (begun, ended)
    assert len(checks) >= 5
    read = []
    real = Recording.chunk
    monkeypatch.setattr(Recording, "chunk", lambda self, number: read.append(number) or real(self, number))
    for at, expected in checks.items():
        read.clear()
        assert bits(recording.seek(at)) == expected
        assert len(read) == 1
    chunk = real(recording, 5)
    assert chunk.observations[-1].at - chunk.observations[0].at <= 2 * CHUNK_MS


@pytest.mark.e2e
def test_a_file_that_ends_anywhere_is_read_up_to_there(hour, tmp_path):
    path, _, (begun, ended) = hour
    data = path.read_bytes()
    cut = tmp_path / "cut.sbrec"
    for length in (len(data) // 2, len(data) - 1, 40_000):
        cut.write_bytes(data[:length])
        recording = Recording.read(cut)
        assert recording.cut
        assert recording.span[0] == begun
        assert recording.seek(ended).at < ended


def test_what_is_no_recording_is_refused(tmp_path):
    path = tmp_path / "file"
    for data in (b"", b"SBREC", b"SBREC1\n", b"SBREC1\n" + b"\xff" * 30, b"x" * 100):
        path.write_bytes(data)
        with pytest.raises(RecordingError):
            Recording.read(path)
    path.write_bytes(b"SBREC1\n" + b"\0" * 16 + b"\5\0\0\0" + b"12345")
    with pytest.raises(RecordingError):
        Recording.read(path).seek(0)


def test_memory_is_bounded_and_the_oldest_goes_first():
    recording = Recording(bytes_max=1_000)
    for number in range(100):
        recording.put(number, number, b"x" * 100)
    assert recording.span == (90, 99)
