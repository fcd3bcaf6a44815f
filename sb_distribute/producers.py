"""What the producers' liveness owner last said of each producer, from the compacted topic sports-producers.

The rule: for display only; what closes markets came in band, as updates.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import anyio
import msgspec
from msgspec import Struct

from sb_core import topics
from sb_core.errors import DependencyError
from sb_core.records import Fetched
from sb_core.runtime import Context

READ_RECORDS_MAX: Final = 200
READ_WAIT_S: Final = 1.0
RETRY_S_MAX: Final = 5.0


class ProducerRow(Struct, frozen=True, kw_only=True):
    """What sports-producers last said of a producer; times in ms."""

    provider: str
    producer: str
    state: str
    reason: str | None = None
    since: int | None = None
    last_alive: int | None = None
    recovery: str | None = None


_decoder: Final = msgspec.json.Decoder(ProducerRow)


def jittered(most_s: float, entropy: Callable[[int], bytes]) -> float:
    """Return a time between none and `most_s` seconds (full jitter)."""
    return most_s * int.from_bytes(entropy(2), "big") / 65_535


class Producers:
    """Follows sports-producers."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._rows: dict[tuple[str, str], ProducerRow] = {}

    def __repr__(self) -> str:
        return f"<Producers {' '.join(f'{row.provider}:{row.producer}={row.state}' for row in self.rows())}>"

    def rows(self) -> Sequence[ProducerRow]:
        """Return them ordered by (provider, producer)."""
        return [self._rows[key] for key in sorted(self._rows)]

    async def run(self) -> None:
        """Follow until cancelled, whatever fails meanwhile."""
        while True:
            try:
                await self._read()
            except (DependencyError, TimeoutError) as error:
                self._context.telemetry.warn("producers_failed", detail=str(error))
            await anyio.sleep(jittered(RETRY_S_MAX, self._context.entropy))

    async def _read(self) -> None:
        starts = await self._context.admin.starts([topics.PRODUCERS])
        reader = self._context.log.reader([topics.PRODUCERS])
        try:
            while True:
                delivery = await reader.read(records_max=READ_RECORDS_MAX, wait_s=READ_WAIT_S)
                for place in delivery.assigned:
                    reader.seek(place, starts.get(place, 0))
                for record in delivery.records:
                    self._take(record)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await reader.aclose()

    def _take(self, record: Fetched) -> None:
        if record.value is None:
            provider, _, producer = record.key.partition(":")
            self._rows.pop((provider, producer), None)
            return
        with suppress(msgspec.MsgspecError):
            row = _decoder.decode(record.value)
            self._rows[row.provider, row.producer] = row
