"""Posting to ingest over HTTP: one kept connection, deadlines on everything, every end an Answer.

The rule: what a network can do is an answer of status 0 with words, not an exception.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import Final, Self

import httpx
import msgspec
from msgspec import Struct

from sb_generator.delivery import NO_ANSWER, Answer

CONNECT_S: Final = 5.0
ANSWER_S: Final = 60.0
"""Beyond ingest's own deadlines, so that its answer comes first."""
_CODES_MAX: Final = 50


class _Refused(Struct):
    code: str = "unknown"
    index: int = 0
    market: str | None = None


class _Body(Struct):
    accepted: int = 0
    refused: list[_Refused] = []
    code: str = ""
    detail: str = ""


_body: Final = msgspec.json.Decoder(_Body)


class HttpSender:
    """A client of one ingest service; an async context manager."""

    def __init__(self, base_url: str, api_key: str | None = None) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        self._base_url = base_url.rstrip("/")
        self._client = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(ANSWER_S, connect=CONNECT_S),
            # environment proxies have no business between our own services
            trust_env=False,
        )

    def __repr__(self) -> str:
        return f"<HttpSender {self._base_url}>"

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def post(self, provider: str, body: bytes, content_type: str, query: Mapping[str, str], /) -> Answer:
        """Post one body to a provider's feed."""
        url = f"{self._base_url}/v1/feeds/{provider}"
        try:
            response = await self._client.post(
                url, content=body, params=dict(query), headers={"content-type": content_type}
            )
        except httpx.HTTPError as error:
            return Answer(status=NO_ANSWER, code="no_answer", detail=f"{type(error).__name__}: {error}")
        return read_answer(response.status_code, response.content, response.headers.get("retry-after"))


def read_answer(status: int, content: bytes, retry_after: str | None) -> Answer:
    """Read an answer's body, whatever it is."""
    try:
        body = _body.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        body = _Body(code="no_json", detail=content[:200].decode("utf-8", "replace"))
    refused: dict[str, int] = {}
    at: dict[int, bool] = {}
    for each in body.refused:
        at[each.index] = at.get(each.index, False) or each.market is None
        code = each.code if each.code in refused or len(refused) < _CODES_MAX else "other"
        refused[code] = refused.get(code, 0) + 1
    return Answer(
        status=status,
        accepted=body.accepted,
        refused=refused,
        refused_at=at,
        code=body.code,
        detail=body.detail,
        retry_after_s=float(retry_after) if retry_after and retry_after.isdecimal() else None,
    )
