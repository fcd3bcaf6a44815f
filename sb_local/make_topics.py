"""`python -m sb_local.make_topics`: makes the topics; a one-shot job before the services start."""

import sys

import anyio

from sb_core import settings as settings_module
from sb_core import topics
from sb_core.adapters.kafka_log import open_kafka_log
from sb_core.errors import ContractError, DependencyError
from sb_core.runtime import SystemClock


async def _make(url: str) -> None:
    async with open_kafka_log(url, SystemClock()) as log:
        await log.create(topics.specs())


def main() -> int:
    """Make what is missing; exit 1 where a topic has another number of partitions."""
    try:
        anyio.run(_make, settings_module.load().log_url, backend="trio")
    except (ContractError, DependencyError, ValueError) as error:
        sys.stderr.write(f"make_topics: {error}\n")
        return 1
    sys.stdout.write(f"{len(topics.specs())} topics are there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
