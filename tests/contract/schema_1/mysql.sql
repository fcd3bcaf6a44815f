-- The store on MySQL and MariaDB: what the fold made, for people and for the services. JSON is kept as text so that it
-- can be read here. Statements end with a semicolon at the end of a line, and bear repetition: DDL commits by itself.

CREATE TABLE IF NOT EXISTS events (
    event VARCHAR(200) NOT NULL,
    topic VARCHAR(200) NOT NULL,
    `partition` INT NOT NULL,
    sport VARCHAR(64) NOT NULL,
    lineage BIGINT NOT NULL,
    rev BIGINT NOT NULL,
    name TEXT,
    `start` BIGINT COMMENT 'ms; NULL: unknown',
    status VARCHAR(64) NOT NULL,
    competition VARCHAR(200),
    ts BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    search MEDIUMTEXT NOT NULL COMMENT 'folded names',
    shown LONGTEXT NOT NULL COMMENT 'the header as readers see it',
    state LONGTEXT NOT NULL COMMENT 'of the fold',
    start_order BIGINT GENERATED ALWAYS AS (IFNULL(`start`, -1)) STORED,
    PRIMARY KEY (event),
    KEY events_by_start (start_order, event),
    KEY events_by_sport_status_start (sport, status, start_order, event),
    KEY events_by_competition_start (competition, start_order, event)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS markets (
    event VARCHAR(200) NOT NULL,
    market VARCHAR(100) NOT NULL,
    line VARCHAR(200) NOT NULL,
    status VARCHAR(64) NOT NULL,
    `open` BOOLEAN NOT NULL,
    producer VARCHAR(401),
    ts BIGINT NOT NULL,
    shown LONGTEXT NOT NULL,
    state LONGTEXT NOT NULL,
    PRIMARY KEY (event, market, line)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS outcomes (
    event VARCHAR(200) NOT NULL,
    market VARCHAR(100) NOT NULL,
    line VARCHAR(200) NOT NULL,
    outcome VARCHAR(200) NOT NULL,
    name TEXT,
    odds BIGINT COMMENT 'ten-thousandths',
    active BOOLEAN NOT NULL,
    result VARCHAR(64),
    PRIMARY KEY (event, market, line, outcome)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- The change log, which is the outbox too: one row per rev of an event.
CREATE TABLE IF NOT EXISTS changes (
    topic VARCHAR(200) NOT NULL,
    `partition` INT NOT NULL,
    `offset` BIGINT NOT NULL,
    event VARCHAR(200) NOT NULL,
    lineage BIGINT NOT NULL,
    rev BIGINT NOT NULL,
    ts BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    type VARCHAR(64) NOT NULL,
    `update` LONGTEXT NOT NULL,
    PRIMARY KEY (topic, `partition`, `offset`, event, lineage),
    UNIQUE KEY changes_by_event (event, lineage, rev)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS participants (
    id VARCHAR(200) NOT NULL,
    sport VARCHAR(64) NOT NULL,
    name TEXT,
    search TEXT NOT NULL,
    ts BIGINT NOT NULL,
    event VARCHAR(200) NOT NULL COMMENT 'that this row is from',
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS competitions (
    id VARCHAR(200) NOT NULL,
    sport VARCHAR(64) NOT NULL,
    name TEXT,
    category TEXT,
    search TEXT NOT NULL,
    ts BIGINT NOT NULL,
    event VARCHAR(200) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Where the fold of each feed partition stands, and who may write it.
CREATE TABLE IF NOT EXISTS positions (
    topic VARCHAR(200) NOT NULL,
    `partition` INT NOT NULL,
    lineage BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    owner VARCHAR(200) NOT NULL,
    next_offset BIGINT NOT NULL,
    done_offset BIGINT NOT NULL,
    cache_generation BIGINT NOT NULL,
    state LONGTEXT NOT NULL,
    PRIMARY KEY (topic, `partition`)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS account (
    topic VARCHAR(200) NOT NULL,
    `partition` INT NOT NULL,
    name VARCHAR(200) NOT NULL,
    `count` BIGINT NOT NULL,
    PRIMARY KEY (topic, `partition`, name)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

-- Which events of a partition have had something from which producer.
CREATE TABLE IF NOT EXISTS listings (
    topic VARCHAR(100) NOT NULL,
    `partition` INT NOT NULL,
    producer VARCHAR(401) NOT NULL,
    event VARCHAR(200) NOT NULL,
    PRIMARY KEY (topic, `partition`, producer, event)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;
