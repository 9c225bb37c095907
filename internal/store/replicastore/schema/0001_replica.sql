-- The replica of a validation node, version 1. Times are seconds since 1970,
-- UTC, but for pushed_at and revoked_at in microseconds.

CREATE TABLE node (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    position  INTEGER NOT NULL CHECK (position >= 0),
    head      INTEGER NOT NULL CHECK (head >= 0),
    serials   INTEGER NOT NULL CHECK (serials >= 0), -- counting ten million rows would take seconds
    filled    INTEGER NOT NULL CHECK (filled IN (0, 1)),
    pushed_at INTEGER,
    revision  INTEGER NOT NULL CHECK (revision >= 0),
    digest    BLOB,
    config    BLOB
) STRICT;
INSERT INTO node (one, position, head, serials, filled, revision) VALUES (1, 0, 0, 0, 0, 0);

CREATE TABLE issuers (
    id         INTEGER PRIMARY KEY,
    authority  TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    UNIQUE (authority, generation)
) STRICT;

-- One small row for each serial, in the order of its key: one look-up is one
-- descent of one tree. NULL in revoked_at: good.
CREATE TABLE statuses (
    issuer     INTEGER NOT NULL REFERENCES issuers (id),
    serial     BLOB    NOT NULL CHECK (length(serial) BETWEEN 1 AND 20),
    not_after  INTEGER NOT NULL,
    revoked_at INTEGER,
    reason     INTEGER,
    PRIMARY KEY (issuer, serial),
    CHECK ((revoked_at IS NULL) = (reason IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE crls (
    issuer      INTEGER NOT NULL REFERENCES issuers (id),
    shard       INTEGER NOT NULL CHECK (shard >= 0),
    number      INTEGER NOT NULL CHECK (number >= 1),
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    der         BLOB    NOT NULL CHECK (length(der) > 0),
    PRIMARY KEY (issuer, shard)
) STRICT;
