"""The change log by day on MySQL, so that retention drops whole days; indexes for lists of one sport.

MySQL wants the partitioning column in every unique key, so `updated` joins both keys of `changes`, and they no longer keep
an event's rev from being given twice, in different ms. What keeps that from now on is the event's own row: `base_rev` is
the rev that a batch began at, and an upsert whose `base_rev` lies below the row's rev is refused (mysql_writes).
"""

import sqlalchemy as sa
from alembic import op

from sb_core.schema.tables import NUMBER, has_column, index, is_partitioned, on_mysql

revision = "2"
down_revision = "1"


def upgrade() -> None:
    """Part the change log, and add what lists of one sport go by."""
    start = "start_order" if on_mysql() else sa.text("ifnull(start, -1)")
    index("events_by_sport_start", "events", ["sport", start, "event"])
    index("participants_by_sport", "participants", ["sport", "id"])
    index("competitions_by_sport", "competitions", ["sport", "id"])
    if on_mysql():
        _guard()
        _part()


def _guard() -> None:
    if not has_column("events", "base_rev"):
        comment = "rev that the last batch began at"
        op.add_column("events", sa.Column("base_rev", NUMBER, nullable=False, server_default="0", comment=comment))


def _part() -> None:
    if is_partitioned("changes"):
        return
    # one statement: all of it or nothing. The days come with the first look after the house (mysql_days)
    op.execute(
        "ALTER TABLE changes DROP PRIMARY KEY, DROP KEY changes_by_event,"
        " ADD PRIMARY KEY (topic, `partition`, `offset`, event, lineage, updated),"
        " ADD UNIQUE KEY changes_by_event (event, lineage, rev, updated)"
        " PARTITION BY RANGE (updated) (PARTITION later VALUES LESS THAN MAXVALUE)"
    )
