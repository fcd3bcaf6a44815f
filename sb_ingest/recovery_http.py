"""Asking a provider for a recovery over HTTP, as Sportradar's interface has it and the simulator answers it.

The rule: every end but a 2xx within ASK_S is UnavailableError with words, and a token goes to its own host alone.
"""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import anyio
import httpx

from sb_core.errors import RefusedForNowError, UnavailableError
from sb_core.ports import Recovery
from sb_core.settings import Settings, recovery_targets

ASK_S: Final = 7.0
OWN: Final = "sim"
"""The provider that is our own simulator: it gets the key of our own clients."""
_SECONDS: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_PRODUCTS: Final[Mapping[str, str]] = {"1": "liveodds", "3": "pre"}
"""What producers are called in paths; the others by their number."""


class HttpRecovery:
    """A provider's recovery interface."""

    def __init__(self, url: str, token: str = "") -> None:
        self._url = url
        self._headers = {"x-access-token": token, "authorization": f"Bearer {token}"} if token else {}

    def __repr__(self) -> str:
        return f"<HttpRecovery {self._url}>"

    async def ask(self, producer: str, request: str, after: int | None) -> None:
        """Ask for what was said since `after` (ms, the source's clock), or for all that stands."""
        product = _PRODUCTS.get(producer) or quote(producer, safe="")
        query = {"request_id": request} | ({"after": str(after)} if after is not None else {})
        url = f"{self._url}/v1/{product}/recovery/initiate_request"
        try:
            with anyio.fail_after(ASK_S):
                async with httpx.AsyncClient(timeout=ASK_S, trust_env=False, headers=self._headers) as client:
                    answer = await client.post(url, params=query)
        except (httpx.HTTPError, TimeoutError) as error:
            raise UnavailableError(f"{type(error).__name__}: {error}") from error
        if answer.is_success:
            return
        said, wait_ms = f"{answer.status_code} {answer.text[:200]}", _retry_after_ms(answer)
        if wait_ms:
            raise RefusedForNowError(f"{said} (not for {wait_ms // 1000} s)", wait_ms)
        raise UnavailableError(said)


def _retry_after_ms(answer: httpx.Response) -> int:
    """Return for how long the provider takes no request: seconds or a date, by its own clock; 0 if it didn't say."""
    told = answer.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(told):
        return int(told) * 1000
    try:
        wait = parsedate_to_datetime(told) - parsedate_to_datetime(answer.headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return 0
    return max(0, int(wait.total_seconds() * 1000))


def recoveries(settings: Settings) -> dict[str, Recovery]:
    """Return whom to ask, by provider."""
    found: dict[str, Recovery] = {}
    for provider, url in recovery_targets(settings.recovery_urls).items():
        parts = urlsplit(url)
        token = parts.password or (settings.api_key if provider == OWN else "")
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        found[provider] = HttpRecovery(plain, token)
    return found
