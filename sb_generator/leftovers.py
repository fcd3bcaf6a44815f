"""Ending what earlier runs left: events that the simulator will never speak of again.

The rule: it asks as any client does, and does what can be done; a distribution service that isn't there is no error.
"""

from typing import Final

import anyio
import httpx
import msgspec
from msgspec import Struct

from sb_core.messages import EventStatus
from sb_generator.driver import Driver

ASK_S: Final = 5.0
WAIT_S: Final = 3.0
"""After the first start, so that the feed comes first."""
PAGES_MAX: Final = 20
UNFINISHED: Final = "not_started,live,suspended,delayed,interrupted,ended"
_ENDS: Final[dict[str, EventStatus]] = {"not_started": "cancelled", "delayed": "cancelled"}


class _Item(Struct):
    event: str
    sport: str
    status: str


class _Page(Struct):
    items: list[_Item]
    next: str | None = None


_page: Final = msgspec.json.Decoder(_Page)


async def end_leftovers(driver: Driver, distribute_url: str, api_key: str) -> None:
    """Whenever a world begins, tell of the end of simulated events of other runs; for ever."""
    run: str | None = None
    while True:
        run = await driver.another_run(run)
        await anyio.sleep(WAIT_S)
        await _end(driver, distribute_url, api_key)


async def _end(driver: Driver, distribute_url: str, api_key: str) -> None:
    headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
    cursor: str | None = None
    async with httpx.AsyncClient(base_url=distribute_url, headers=headers, timeout=ASK_S, trust_env=False) as client:
        for _ in range(PAGES_MAX):
            query = {"status": UNFINISHED, "limit": "1000", **({"cursor": cursor} if cursor else {})}
            try:
                answer = await client.get("/v1/events", params=query)
                page = _page.decode(answer.content) if answer.status_code == httpx.codes.OK else _Page([])
            except (httpx.HTTPError, msgspec.MsgspecError):
                return
            driver.end_events([(item.event, item.sport, _ENDS.get(item.status, "abandoned")) for item in page.items])
            cursor = page.next
            if cursor is None:
                return
