-- The store: what the fold made, for people and for the services. JSON is kept as text so that it can be read here.

CREATE TABLE events (
    event TEXT PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    sport TEXT NOT NULL,
    lineage INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    name TEXT,
    start INTEGER, -- ms; NULL: unknown
    status TEXT NOT NULL,
    competition TEXT,
    ts INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    search TEXT NOT NULL, -- folded names
    shown TEXT NOT NULL, -- the header as readers see it
    state TEXT NOT NULL -- the fold's own
);
CREATE INDEX events_by_start ON events (ifnull(start, -1), event);
CREATE INDEX events_by_sport_status_start ON events (sport, status, ifnull(start, -1), event);
CREATE INDEX events_by_competition_start ON events (competition, ifnull(start, -1), event);

CREATE TABLE markets (
    event TEXT NOT NULL,
    market TEXT NOT NULL,
    line TEXT NOT NULL,
    status TEXT NOT NULL,
    open INTEGER NOT NULL,
    producer TEXT,
    ts INTEGER NOT NULL,
    shown TEXT NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (event, market, line)
) WITHOUT ROWID;

CREATE TABLE outcomes (
    event TEXT NOT NULL,
    market TEXT NOT NULL,
    line TEXT NOT NULL,
    outcome TEXT NOT NULL,
    name TEXT,
    odds INTEGER, -- ten-thousandths
    active INTEGER NOT NULL,
    result TEXT,
    PRIMARY KEY (event, market, line, outcome)
) WITHOUT ROWID;

-- The change log, which is the outbox too: one row per rev of an event.
CREATE TABLE changes (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    "offset" INTEGER NOT NULL,
    event TEXT NOT NULL,
    lineage INTEGER NOT NULL,
    rev INTEGER NOT NULL,
    ts INTEGER NOT NULL,
    updated INTEGER NOT NULL,
    type TEXT NOT NULL,
    "update" TEXT NOT NULL
);
CREATE UNIQUE INDEX changes_by_event ON changes (event, lineage, rev);
CREATE INDEX changes_by_offset ON changes (topic, partition, "offset", event);

CREATE TABLE participants (
    id TEXT PRIMARY KEY,
    sport TEXT NOT NULL,
    name TEXT,
    search TEXT NOT NULL,
    ts INTEGER NOT NULL,
    event TEXT NOT NULL -- that this row is from
) WITHOUT ROWID;

CREATE TABLE competitions (
    id TEXT PRIMARY KEY,
    sport TEXT NOT NULL,
    name TEXT,
    category TEXT,
    search TEXT NOT NULL,
    ts INTEGER NOT NULL,
    event TEXT NOT NULL
) WITHOUT ROWID;

-- Where the fold of each feed partition stands, and who may write it.
CREATE TABLE positions (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    lineage INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    owner TEXT NOT NULL,
    next_offset INTEGER NOT NULL,
    done_offset INTEGER NOT NULL,
    cache_generation INTEGER NOT NULL,
    state TEXT NOT NULL,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;

CREATE TABLE account (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    name TEXT NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (topic, partition, name)
) WITHOUT ROWID;

-- Which events of a partition have had something from which producer.
CREATE TABLE listings (
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    producer TEXT NOT NULL,
    event TEXT NOT NULL,
    PRIMARY KEY (topic, partition, producer, event)
) WITHOUT ROWID;
