"""HTTP for the collectors: one client, the key of the settings, limits on what an answer may be.

The rule: whatever goes wrong is one AskError in words.
"""

from types import TracebackType
from typing import Any, Final, Self

import httpx
import msgspec

ANSWER_BYTES_MAX: Final = 32 * 1024 * 1024
CONNECTIONS_MAX: Final = 40


class AskError(Exception):
    """A service could not be asked, or refused; `status` is the HTTP status, None when it did not answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class Asker:
    """Asks services over HTTP."""

    def __init__(self, api_key: str, deadline_s: float) -> None:
        headers = {"authorization": f"Bearer {api_key}"} if api_key else {}
        limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
        self._client = httpx.AsyncClient(headers=headers, timeout=deadline_s, limits=limits, trust_env=False)

    async def __aenter__(self) -> Self:
        """Begin."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._client.aclose()

    async def ask(
        self,
        method: str,
        url: str,
        body: object = None,
        *,
        ok: tuple[int, ...] = (200,),
        timeout_s: float | None = None,
    ) -> bytes:
        """Return the body of an answer. Raises AskError."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"content-type": "application/json"}
        more: dict[str, Any] = {} if timeout_s is None else {"timeout": timeout_s}
        try:
            async with self._client.stream(method, url, content=content, headers=headers, **more) as answer:
                taken = bytearray()
                async for piece in answer.aiter_bytes():
                    taken += piece
                    if len(taken) > ANSWER_BYTES_MAX:
                        raise AskError(f"more than {ANSWER_BYTES_MAX} bytes")
                if answer.status_code not in ok:
                    raise AskError(_refusal(answer.status_code, bytes(taken)), answer.status_code)
                return bytes(taken)
        except httpx.TimeoutException as error:
            raise AskError("no answer in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise AskError(str(error) or type(error).__name__) from error

    async def json(self, url: str, kind: Any, *, ok: tuple[int, ...] = (200,)) -> Any:
        """GET and decode. Raises AskError."""
        return decoded(await self.ask("GET", url, ok=ok), kind)


def decoded(data: bytes, kind: Any) -> Any:
    """Decode JSON to a type. Raises AskError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise AskError(f"an answer that isn't in the contract: {error}"[:200]) from error


def _refusal(status: int, body: bytes) -> str:
    try:
        told = msgspec.json.decode(body)
        words = told.get("detail") or told.get("title")
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError, RecursionError):
        words = body[:120].decode("utf-8", "replace")
    return f"{status}: {words}"[:300]
