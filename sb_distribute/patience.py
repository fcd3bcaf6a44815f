"""Reads the updates on through an outage of the log, from where it was.

The rule: while the log can't be read the node keeps what it has, and the age of its picture tells clients that it is
stale; only when that takes too long does it begin anew.
"""

from typing import Final

import anyio

from sb_core.errors import UnavailableError
from sb_core.ports import Reader
from sb_core.records import Delivery
from sb_core.runtime import Context
from sb_distribute.producers import jittered

READ_RECORDS_MAX: Final = 500
READ_WAIT_S: Final = 1.0
RETRY_S: Final = 0.5
OUTAGE_S_MAX: Final = 60.0
READS_APART_S: Final = 0.001
"""Reads that bring something begin at least this far apart: waking up for each of 2,000 updates a second costs more than
handling it. What comes after a pause is read at once."""


class PatientReader:
    """Reads through one reader. A read that fails loses nothing, so the next one goes on."""

    def __init__(self, context: Context, reader: Reader) -> None:
        self._context = context
        self._reader = reader
        self._next_s = 0.0

    def __repr__(self) -> str:
        return f"<PatientReader {self._reader!r}>"

    async def read(self) -> Delivery:
        """Return what there is. Raises UnavailableError after OUTAGE_S_MAX, other errors at once."""
        if (early_s := self._next_s - anyio.current_time()) > 0:
            await anyio.sleep(early_s)
        begun_s = self._context.clock.monotonic_s()
        while True:
            try:
                delivery = await self._reader.read(records_max=READ_RECORDS_MAX, wait_s=READ_WAIT_S)
            except UnavailableError as error:
                if self._context.clock.monotonic_s() - begun_s > OUTAGE_S_MAX:
                    raise
                self._context.telemetry.warn("updates_read_failed", detail=str(error))
            else:
                self._next_s = anyio.current_time() + READS_APART_S if len(delivery.records) < READ_RECORDS_MAX else 0.0
                return delivery
            await anyio.sleep(jittered(RETRY_S, self._context.entropy))
