"""The store: what the fold made, for people and for the services."""

import sqlalchemy as sa
from alembic import op

from sb_core.schema.tables import FLAG, LONG, MEDIUM, NUMBER, PLACE, TEXT, column, index, key, on_mysql, table

revision = "1"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    _events()
    _markets()
    _changes()
    _named()
    _positions()


def _events() -> None:
    # SQLite indexes the expression itself
    order = [sa.Column("start_order", sa.BigInteger(), sa.Computed("IFNULL(`start`, -1)", persisted=True))]
    table(
        "events",
        column("event", key(200)),
        column("topic", key(200)),
        column("partition", PLACE),
        column("sport", key(64)),
        column("lineage", NUMBER),
        column("rev", NUMBER),
        column("name", TEXT, null=True),
        column("start", NUMBER, "ms; NULL: unknown", null=True),
        column("status", key(64)),
        column("competition", key(200), null=True),
        column("ts", NUMBER),
        column("updated", NUMBER),
        column("search", MEDIUM, "folded names"),
        column("shown", LONG, "the header as readers see it"),
        column("state", LONG, "of the fold"),
        *(order if on_mysql() else ()),
        sa.PrimaryKeyConstraint("event"),
        rowid=True,
    )
    start = "start_order" if on_mysql() else sa.text("ifnull(start, -1)")
    index("events_by_start", "events", [start, "event"])
    index("events_by_sport_status_start", "events", ["sport", "status", start, "event"])
    index("events_by_competition_start", "events", ["competition", start, "event"])


def _markets() -> None:
    table(
        "markets",
        column("event", key(200)),
        column("market", key(100)),
        column("line", key(200)),
        column("status", key(64)),
        column("open", FLAG),
        column("producer", key(401), null=True),
        column("ts", NUMBER),
        column("shown", LONG),
        column("state", LONG),
        sa.PrimaryKeyConstraint("event", "market", "line"),
    )
    table(
        "outcomes",
        column("event", key(200)),
        column("market", key(100)),
        column("line", key(200)),
        column("outcome", key(200)),
        column("name", TEXT, null=True),
        column("odds", NUMBER, "ten-thousandths", null=True),
        column("active", FLAG),
        column("result", key(64), null=True),
        sa.PrimaryKeyConstraint("event", "market", "line", "outcome"),
    )


def _changes() -> None:
    """Make the change log, which is the outbox too: one row per rev of an event."""
    keys = [sa.PrimaryKeyConstraint("topic", "partition", "offset", "event", "lineage")]
    table(
        "changes",
        column("topic", key(200)),
        column("partition", PLACE),
        column("offset", NUMBER),
        column("event", key(200)),
        column("lineage", NUMBER),
        column("rev", NUMBER),
        column("ts", NUMBER),
        column("updated", NUMBER),
        column("type", key(64)),
        column("update", LONG),
        *(keys if on_mysql() else ()),
        rowid=True,
    )
    index("changes_by_event", "changes", ["event", "lineage", "rev"], unique=True)
    if not on_mysql():
        op.create_index("changes_by_offset", "changes", ["topic", "partition", "offset", "event"])


def _named() -> None:
    table(
        "participants",
        column("id", key(200)),
        column("sport", key(64)),
        column("name", TEXT, null=True),
        column("search", TEXT),
        column("ts", NUMBER),
        column("event", key(200), "that this row is from"),
        sa.PrimaryKeyConstraint("id"),
    )
    table(
        "competitions",
        column("id", key(200)),
        column("sport", key(64)),
        column("name", TEXT, null=True),
        column("category", TEXT, null=True),
        column("search", TEXT),
        column("ts", NUMBER),
        column("event", key(200)),
        sa.PrimaryKeyConstraint("id"),
    )


def _positions() -> None:
    """Make where the fold of each feed partition stands and who may write it, its account and its listings."""
    table(
        "positions",
        column("topic", key(200)),
        column("partition", PLACE),
        column("lineage", NUMBER),
        column("epoch", NUMBER),
        column("owner", key(200)),
        column("next_offset", NUMBER),
        column("done_offset", NUMBER),
        column("cache_generation", NUMBER),
        column("state", LONG),
        sa.PrimaryKeyConstraint("topic", "partition"),
    )
    table(
        "account",
        column("topic", key(200)),
        column("partition", PLACE),
        column("name", key(200)),
        column("count", NUMBER),
        sa.PrimaryKeyConstraint("topic", "partition", "name"),
    )
    table(
        "listings",
        column("topic", key(100)),
        column("partition", PLACE),
        column("producer", key(401)),
        column("event", key(200)),
        sa.PrimaryKeyConstraint("topic", "partition", "producer", "event"),
    )
