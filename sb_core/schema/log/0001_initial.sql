-- The embedded log. A record's id is (partition's id << 40) + offset, so that a partition is one range of the table.

CREATE TABLE topics (
    name TEXT PRIMARY KEY,
    partitions INTEGER NOT NULL,
    retention_ms INTEGER, -- NULL: for ever
    compacted INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE partitions (
    id INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    start_offset INTEGER NOT NULL DEFAULT 0, -- the oldest kept; what is below was pruned, and is never given again
    UNIQUE (topic, partition)
);

CREATE TABLE records (
    id INTEGER PRIMARY KEY,
    ts INTEGER NOT NULL,
    key TEXT NOT NULL,
    value BLOB, -- NULL: a tombstone
    headers BLOB -- JSON [[name, base64], …]; NULL: none
);

-- Every so many records: the highest ts below that record, which finds times without an index on them.
CREATE TABLE times (
    id INTEGER PRIMARY KEY, -- of the record
    ts_max INTEGER NOT NULL
);

CREATE TABLE counts (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE committed (
    consumers TEXT NOT NULL, -- the group
    topic TEXT NOT NULL,
    partition INTEGER NOT NULL,
    next_offset INTEGER NOT NULL,
    PRIMARY KEY (consumers, topic, partition)
) WITHOUT ROWID;

CREATE VIEW log AS
    SELECT p.topic, p.partition, r.id & 0xFFFFFFFFFF AS "offset", r.ts, r.key, CAST(r.value AS TEXT) AS value, r.headers
    FROM records r JOIN partitions p ON p.id = r.id >> 40;
