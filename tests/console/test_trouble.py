"""Trouble around the console: strangers on ports, a pipeline that is killed and comes back with other files, full disks."""

import http.server
import resource
import shutil
import socket
import threading
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest
from console_parts import observed, profile_of
from driver import drive
from local_pipeline import PORTS, Pipeline
from ports import free_offset

from sb_console import headless
from sb_console.record import FileSink, Recorder, Recording
from sb_console.reduce import first, reduce


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers everything with what nobody asked for."""

    bodies = (b"<html>hello</html>", b"\xff\xfe\x00", b"[" * 5_000, b'{"status": 7}', b"")
    asked = 0

    def do_GET(self):
        Stranger.asked += 1
        body = self.bodies[Stranger.asked % len(self.bodies)]
        self.send_response((200, 500, 302)[Stranger.asked % 3])
        self.send_header("content-length", str(len(body) + Stranger.asked % 2))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def strangers(tmp_path):
    """Ports on which others listen: one talks nonsense, one never answers, one hangs up."""
    offset = free_offset(*PORTS)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 4000 + offset), Stranger)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    silent = socket.create_server(("127.0.0.1", 4002 + offset))
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 4003 + offset), Stranger)
    other = threading.Thread(target=rest.serve_forever)
    other.start()
    yield profile_of(tmp_path / "absent", offset)
    for each in (server, rest):
        each.shutdown()
        each.server_close()
    silent.close()
    thread.join()
    other.join()


def test_strangers_on_the_ports_are_down_and_cost_nothing_else(strangers):
    snapshot = anyio.run(headless.look, strangers, 3.0, backend="trio")
    states = {name: service.state for name, service in snapshot.services.items()}
    assert states["data-distribution"] == "DOWN"
    assert states["feed-ingestion"] == "DOWN"
    assert snapshot.sources["data-distribution"].error.startswith("no answer")
    assert snapshot.stream is not None
    assert not snapshot.stream.connected
    assert all(source.tried_at for source in snapshot.sources.values())


@pytest.mark.e2e
def test_a_pipeline_that_is_killed_and_comes_back_with_other_files(tmp_path):
    pipeline = Pipeline(tmp_path / "data").start()
    profile = profile_of(tmp_path / "data", pipeline.offset)

    async def work(see):
        await see.begun()
        await see.press("3")
        await see.until("in 48 partitions")
        pipeline.kill()
        await see.until("no service answers")
        shutil.rmtree(tmp_path / "data")
        await see.until("there is no /")
        await anyio.to_thread.run_sync(pipeline.start)
        await see.until(lambda: all(each.state != "DOWN" for each in see.app.live.services.values()))
        await see.until(lambda: see.app.live.sources["positions"].state == "live")
        await see.press("8")
        await see.until("DOWN → ")
        assert any("→ DOWN" in entry.text for entry in see.app.live.timeline)

    try:
        drive(profile, work)
    finally:
        if pipeline.process.poll() is None:
            pipeline.kill()


def test_a_full_disk_costs_the_recording_and_nothing_else(tmp_path):
    with pytest.raises(OSError, match="No space left"):
        FileSink(Path("/dev/full"))
    file = tmp_path / "small.sbrec"
    past, sink = Recording(), FileSink(file)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, was := resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    recorder = Recorder(sink, past)
    snapshot = first("local")
    for each in observed():
        recorder.note(snapshot, each)
        snapshot = reduce(snapshot, each)
    recorder.flush()
    resource.setrlimit(resource.RLIMIT_FSIZE, (was, was))
    assert "File too large" in recorder.failed
    assert past.seek(snapshot.at).at == snapshot.at


def test_the_reducer_keeps_its_limits():
    seen = observed()
    begun, span = seen[0].at, seen[-1].at - seen[0].at + 1
    snapshot, sizes = first("local"), []
    for turn in range(24):
        for each in seen:
            snapshot = reduce(snapshot, msgspec.structs.replace(each, at=each.at - begun + turn * span))
        sizes.append(len(msgspec.json.encode(snapshot)))
    assert max(sizes[12:]) < 1.25 * sizes[11], sizes
