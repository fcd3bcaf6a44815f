"""Ingest over real HTTP on a free port, and `sb deadletters` against it."""

import gzip
import io
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import anyio
import httpx
import pytest
import trio
from intake_driver import market, odds
from ports import free_offset

from sb_core import topics
from sb_core.adapters.memory_log import MemoryLog
from sb_core.config import PipelineConfig
from sb_core.runtime import Context, SystemClock
from sb_core.settings import PORTS, Settings
from sb_core.telemetry import Telemetry
from sb_ingest import deadletters_cli
from sb_ingest.service import IngestService


@asynccontextmanager
async def serving(**more: Any) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    clock = SystemClock()
    log = MemoryLog(clock)
    await log.create(topics.specs())
    settings = Settings(data="unused", port_offset=free_offset(PORTS["feed-ingestion"]), **more)
    context = Context(
        settings=settings,
        log=log,
        admin=log,
        store=None,  # type: ignore[arg-type]
        cache=None,  # type: ignore[arg-type]
        clock=clock,
        telemetry=Telemetry("feed-ingestion", stream=io.StringIO(), now_ms=clock.now_ms),
        entropy=os.urandom,
        config=PipelineConfig(),
    )
    stop = anyio.Event()
    async with anyio.create_task_group() as group:
        await group.start(IngestService(context).run, stop)
        async with httpx.AsyncClient(base_url=settings.ingest_url, trust_env=False, timeout=10) as client:
            yield client, settings.ingest_url
        stop.set()


def now() -> int:
    return SystemClock().now_ms()


def fresh(event: str = "acme:1", **more: Any) -> dict[str, Any]:
    return odds(event, ts=now(), **more)


def test_feeds_are_taken_over_http(run) -> None:
    async def main() -> None:
        async with serving() as (client, _):
            answer = await client.post("/v1/feeds/canonical", json=[fresh(), fresh("acme:2")])
            assert (answer.status_code, answer.json()) == (202, {"accepted": 2, "refused": []})
            packed = gzip.compress(json.dumps(fresh("acme:3")).encode())
            headers = {"content-type": "application/json", "content-encoding": "gzip"}
            assert (await client.post("/v1/feeds/canonical", content=packed, headers=headers)).status_code == 202
            stop = f'<bet_stop product="1" event_id="sr:match:5" timestamp="{now()}" groups="all"/>'
            xml = {"content-type": "application/xml"}
            answer = await client.post("/v1/feeds/uof?sport=football", content=stop, headers=xml)
            assert (answer.status_code, answer.json()["accepted"]) == (202, 1)
            answer = await client.post("/v1/feeds/canonical", json=fresh(markets=[market(home="0.5")]))
            assert (answer.status_code, answer.json()["refused"][0]["code"]) == (422, "bad_odds")
            account = (await client.get("/v1/account")).json()
            assert (account["received"], account["accepted"], account["refused"]) == (6, 5, {"bad_odds": 1})
            assert (await client.get("/ready")).status_code == 200
            assert (await client.get("/health")).json()["status"] == "ok"
            metrics = (await client.get("/metrics")).text
            assert 'sb_feed_ingestion_refused_total{code="bad_odds",provider="canonical"} 1.0' in metrics

    run(main)


@pytest.mark.parametrize(
    ("path", "content", "headers", "status", "code"),
    [
        ("/v1/feeds/nobody", b"{}", {"content-type": "application/json"}, 404, "unknown_provider"),
        ("/v1/feeds/canonical", b"{}", {"content-type": "text/html"}, 415, "unsupported_media_type"),
        ("/v1/feeds/canonical", b"{}", {}, 415, "unsupported_media_type"),
        ("/v1/feeds/canonical", b"", {"content-type": "application/json"}, 400, "malformed"),
        ("/v1/feeds/canonical", b"{", {"content-type": "application/json"}, 400, "malformed"),
        ("/v1/feeds/canonical", b" " * 10_000_000, {"content-type": "application/json"}, 413, "too_large"),
        ("/v1/feeds/betfair?session=a%20b", b"{}", {"content-type": "application/json"}, 400, "bad_parameter"),
        ("/v1/feeds/betfair?recorded=maybe", b"{}", {"content-type": "application/json"}, 400, "bad_parameter"),
        ("/v1/deadletters/replay", b"{}", {"content-type": "application/json"}, 400, "malformed"),
    ],
)
def test_errors_are_problems(run, path, content, headers, status, code) -> None:
    async def main() -> None:
        async with serving() as (client, _):
            answer = await client.post(path, content=content, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (status, code)
            assert answer.headers["content-type"] == "application/problem+json"
            assert {"type", "title", "status", "detail", "code", "instance"} <= answer.json().keys()

    run(main)


def test_other_methods_and_paths(run) -> None:
    async def main() -> None:
        async with serving() as (client, _):
            assert (await client.get("/v1/feeds/canonical")).status_code == 405
            assert (await client.get("/v1/deadletters?limit=0")).json()["code"] == "bad_parameter"
            assert (await client.get("/v1/deadletters?cursor=x")).json()["code"] == "bad_cursor"
            assert (await client.get("/v1/deadletters/0-99")).status_code == 404
            assert (await client.get("/v1/capture?provider=nobody")).json()["code"] == "unknown_provider"

    run(main)


def test_keys_and_scopes(run) -> None:
    keys = ";".join(
        f"{name}:{sha256(name.encode()).hexdigest()}:{scopes}"
        for name, scopes in (("feeder", "feed:canonical"), ("reader", "read"), ("operator", "operate"))
    )
    asked = [
        ("POST", "/v1/feeds/canonical", {"feeder": 202, "reader": 403, "operator": 403, "": 401}),
        ("POST", "/v1/feeds/uof", {"feeder": 403, "": 401}),
        ("GET", "/v1/deadletters", {"feeder": 403, "reader": 200, "operator": 200, "": 401}),
        ("POST", "/v1/deadletters/replay", {"feeder": 403, "reader": 403, "operator": 200, "": 401}),
        ("GET", "/v1/account", {"feeder": 403, "reader": 200, "": 401}),
        ("GET", "/ready", {"": 200}),
    ]

    async def main() -> None:
        async with serving(api_keys=keys) as (client, _):
            for method, path, expected in asked:
                body = {"ids": []} if "replay" in path else fresh()
                for name, status in expected.items():
                    headers = {"authorization": f"Bearer {name}"} if name else {}
                    answer = await client.request(method, path, json=body, headers=headers)
                    assert answer.status_code == status, (path, name)

    run(main)


def test_capture_streams_until_the_service_stops(run) -> None:
    async def main() -> None:
        lines: list[dict[str, Any]] = []
        begun, heard = trio.Event(), trio.Event()

        async def listen(url: str) -> None:
            async with (
                httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as own,
                own.stream("GET", "/v1/capture?provider=canonical") as answer,
            ):
                assert answer.headers["content-type"] == "application/x-ndjson"
                begun.set()
                async for line in answer.aiter_lines():
                    lines.append(json.loads(line))
                    heard.set()

        async with trio.open_nursery() as nursery, serving() as (client, url):
            nursery.start_soon(listen, url)
            await begun.wait()
            raw = json.dumps(fresh())
            headers = {"content-type": "application/json"}
            await client.post("/v1/feeds/canonical?key=a.b", content=raw, headers=headers)
            await heard.wait()
        assert [(line["provider"], line["key"], line["body"]) for line in lines] == [("canonical", "a.b", raw)]

    run(main)


def test_the_command_lists_shows_and_replays(run, capsys) -> None:
    async def main() -> None:
        async with serving() as (client, url):

            async def command(*arguments: str) -> tuple[int, str]:
                code = await trio.to_thread.run_sync(lambda: deadletters_cli.main([*arguments, "--url", url]))
                return code, capsys.readouterr().out

            bare = {key: value for key, value in fresh().items() if key != "sport"}
            await client.post("/v1/feeds/canonical", json=bare)
            await client.post("/v1/feeds/canonical", json=fresh("acme:2", markets=[market(home="0.5")]))
            code, out = await command("list")
            assert code == 0
            assert [line.split()[1] for line in out.splitlines()] == ["unknown_sport", "bad_odds"]
            code, out = await command("list", "--code", "bad_odds", "--json")
            assert [item["event"] for item in json.loads(out)["items"]] == ["acme:2"]
            code, out = await command("show", "0-0", "--json")
            assert json.loads(json.loads(out)["body"]) == bare
            assert (await command("show", "0-0"))[0] == 0
            assert (await command("show", "0-9"))[0] == 1
            assert (await command("replay", "0-0", "--dry-run"))[0] == 1
            await client.post("/v1/feeds/canonical", json={**bare, "type": "bet_stop", "sport": "football"})
            code, out = await command("replay", "0-0", "--dry-run", "--json")
            item = json.loads(out)["items"][0]
            assert (code, item["result"], item["messages"][0]["type"]) == (0, "accepted", "odds")
            code, out = await command("replay", "--code", "unknown_sport")
            assert (code, out.split()[:2]) == (0, ["0-0", "accepted"])

    run(main)


def test_the_command_says_what_it_cannot_do(capsys) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        assert deadletters_cli.main(["list", "--url", url]) == 1
    assert "does not answer" in capsys.readouterr().err
    for wrong in (["replay"], ["list", "--url", "file:///x"], []):
        with pytest.raises(SystemExit) as ended:
            deadletters_cli.main(wrong)
        assert ended.value.code == 2
