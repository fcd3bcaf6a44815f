"""A raised lineage on real engines: the end-to-end tests word for word, only that Kafka and the database are told."""

import json
from functools import partial

import anyio.to_thread
import pytest
from test_lineage_raised import *  # noqa: F403  the same tests
from test_lineage_raised import FEED

pytestmark = pytest.mark.engines


@pytest.fixture
def let_go(engines, tmp_path):
    async def let_go(context):
        ends = await context.admin.ends([FEED])
        prefix = engines.names[tmp_path / "data"]
        rows = [{"topic": f"{prefix}.{topic}", "partition": n, "offset": end} for (topic, n), end in ends.items()]
        told = tmp_path / "let_go.json"
        told.write_text(json.dumps({"partitions": rows, "version": 1}))
        tool = partial(engines.stack.kafka_tool, "kafka-delete-records.sh", "--offset-json-file", str(told))
        await anyio.to_thread.run_sync(tool)

    return let_go


@pytest.fixture
def saved(engines):
    def saved(pipeline):
        name = engines.database(pipeline.data)
        dump = engines.stack.mysql_tool("dump", "--databases", name)
        return lambda: engines.stack.mysql_tool("", given=f"DROP DATABASE {name};\n{dump}")

    return saved
