"""Asking a provider for a recovery over HTTP, as Sportradar's interface has it and the simulator answers it.

The rule: every end but a 2xx within ASK_S is UnavailableError with words, and a token goes to its own host alone.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import quote, urlsplit, urlunsplit

import anyio
import httpx

from sb_core.errors import UnavailableError
from sb_core.ports import Recovery
from sb_core.settings import Settings, recovery_targets

ASK_S: Final = 7.0
OWN: Final = "sim"
"""The provider that is our own simulator: it gets the key of our own clients."""
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
        if not answer.is_success:
            raise UnavailableError(f"{answer.status_code} {answer.text[:200]}")


def recoveries(settings: Settings) -> dict[str, Recovery]:
    """Return whom to ask, by provider."""
    found: dict[str, Recovery] = {}
    for provider, url in recovery_targets(settings.recovery_urls).items():
        parts = urlsplit(url)
        token = parts.password or (settings.api_key if provider == OWN else "")
        plain = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        found[provider] = HttpRecovery(plain, token)
    return found
