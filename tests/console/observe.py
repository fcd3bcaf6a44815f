"""Makes `observed.ndjson.zst`: what collectors see of a running pipeline with faults, an event followed, a letter looked at.

python tests/console/observe.py      (from the project's folder; then UPDATE_SHOWN=1 pytest tests/console/test_screens.py)
"""

import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parents[1]), str(HERE.parent), str(HERE.parent / "e2e"), str(HERE)]

import anyio  # noqa: E402
import msgspec  # noqa: E402
import zstandard  # noqa: E402
from console_parts import profile_of  # noqa: E402
from local_pipeline import running  # noqa: E402

from sb_console.collectors.run import Collectors  # noqa: E402
from sb_console.observations import LettersSeen, StreamSeen  # noqa: E402
from sb_console.requests import Follow, Patch, Replay, ShowLetter, Trace  # noqa: E402

SECONDS = 14


async def observe(profile):
    seen = []
    send, receive = anyio.create_memory_object_stream(20)
    async with anyio.create_task_group() as group:
        await group.start(Collectors(profile.settings, seen.append, receive).run)
        await anyio.sleep(4)
        item = next(each for o in seen if isinstance(o, StreamSeen) for each in o.items if each.kind == "odds")
        letter = next(each for o in seen if isinstance(o, LettersSeen) for each in o.letters)
        await send.send(Follow(item.event))
        await send.send(ShowLetter(letter.id))
        await send.send(Replay((letter.id,), dry_run=True))
        await send.send(Patch({"scenario": "evening"}, "http://127.0.0.1:4004"))
        await anyio.sleep(SECONDS - 6)
        await send.send(Trace(item.event, item.rev))
        await anyio.sleep(2)
        group.cancel_scope.cancel()
    return seen


def main():
    with tempfile.TemporaryDirectory() as folder, running(Path(folder) / "data") as pipeline:
        pipeline.http.patch(
            f"{pipeline.url(4004)}/v1/state", json={"rate": 30, "faults": {"corrupt": 0.04, "duplicate": 0.02}}
        )
        time.sleep(3)
        seen = anyio.run(observe, profile_of(pipeline.data, pipeline.offset), backend="trio")
    lines = b"\n".join(msgspec.json.encode(each) for each in seen)
    (HERE / "observed.ndjson.zst").write_bytes(zstandard.ZstdCompressor(level=19).compress(lines))
    sys.stdout.write(f"{len(seen)} observations\n")


if __name__ == "__main__":
    main()
