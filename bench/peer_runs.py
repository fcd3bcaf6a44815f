"""Runs the peers of `bench/peers` on a topic that was filled for the processing loop, each installed beside this Python.

The rule: a peer whose runtime or packages can't be had is left out with a word; it never fails a measurement.
"""

import os
import shutil
import subprocess
import sys
from typing import Final

import msgspec
from msgspec import Struct

from bench.engine_parts import Cost, Parts, spent
from bench.peer_builds import PeerError, folder_of, install

RUN_S: Final = 180


class Peer(Struct, frozen=True):
    """A way of doing it; of slow ones fewer messages are asked."""

    what: str
    runtime: str
    arguments: tuple[str, ...]
    warm_up: int
    messages: int


class Told(Struct, frozen=True):
    """What a peer says of itself: `cpu_s` over its whole life, in which it handled `all` messages."""

    messages: int
    per_s: float
    cpu_s: float
    all: int
    peak_mb: float


class Run(Struct, frozen=True):
    """One run: what the peer said, and what the engines used meanwhile."""

    told: Told
    engines: dict[str, Cost]


PEERS: Final = (
    Peer("kafkajs eachBatch, multi-row inserts, six partitions at once", "node", ("each-batch",), 40_000, 150_000),
    Peer("the same, writing of each price the batch's last only", "node", ("each-batch-coalesced",), 40_000, 150_000),
    Peer("kafkajs eachMessage", "node", ("each-message",), 1_000, 5_000),
    Peer("FastStream, one message at a time", "python", (), 1_000, 4_000),
)


def run(parts: Parts, peer: Peer) -> Run:
    """Run one peer over the feed that `parts` holds. Raises PeerError."""
    command = _node(peer) if peer.runtime == "node" else _python()
    updates = f"{parts.name}.peer-{'-'.join(peer.arguments) or 'faststream'}"
    parts.stack.kafka_tool("kafka-topics.sh", "--create", "--topic", updates, "--partitions", "12")
    environment = os.environ | {
        "PEER_KAFKA": parts.kafka,
        "PEER_FEED": f"{parts.name}.sports-feed-football",
        "PEER_UPDATES": updates,
        "PEER_MYSQL": parts.store_url,
        "PEER_REDIS": parts.stack.cache_url,
        "KAFKAJS_NO_PARTITIONER_WARNING": "1",
    }
    before = parts.costs()
    given = [*command, str(peer.warm_up), str(peer.messages)]
    try:
        done = subprocess.run(given, env=environment, capture_output=True, text=True, timeout=RUN_S, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"{peer.what}: {error}\n{(error.stderr or b'')[-2000:]!r}") from error
    line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith("{"))
    told = msgspec.json.decode(line, type=Told)
    return Run(told, spent(before, parts.costs()))


def _node(peer: Peer) -> list[str]:
    folder = folder_of("node", "package.json", "loop.js")
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise PeerError("there is no Node.js here")
    if not (folder / "node_modules" / "kafkajs").exists():
        install(["npm", "install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"], folder)
    return ["node", str(folder / "loop.js"), *peer.arguments]


def _python() -> list[str]:
    folder = folder_of("python", "requirements.txt", "faststream_loop.py")
    python = folder / "bin" / "python"
    if not (folder / "installed").exists():
        install([sys.executable, "-m", "venv", str(folder)], folder)
        install([str(python), "-m", "pip", "-q", "install", "-r", "requirements.txt"], folder)
        (folder / "installed").touch()
    return [str(python), str(folder / "faststream_loop.py")]
