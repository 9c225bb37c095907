-- The ledger, version 2: acts once ever, and the feed of changes in place of the outbox.

-- What revocation objects asked for and what became of it. A name is used once ever.
CREATE TABLE acts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace   TEXT    NOT NULL CHECK (length(namespace) <= 63),
    name        TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    authority   TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  INTEGER NOT NULL CHECK (generation >= 1),
    serial      TEXT    NOT NULL REFERENCES serials (serial),
    verb        TEXT    NOT NULL CHECK (verb IN ('Revoke', 'Hold', 'Release')),
    reason      INTEGER NOT NULL CHECK (CASE verb WHEN 'Revoke' THEN reason IN (0, 1, 2, 3, 4, 5, 9) ELSE reason = 0 END),
    at          INTEGER NOT NULL,
    refusal     TEXT    NOT NULL CHECK (refusal IN ('', 'NotIssued', 'AlreadyRevoked', 'AlreadyOnHold', 'NotOnHold')),
    recorded_at INTEGER NOT NULL,
    UNIQUE (kind, namespace, name)
) STRICT;

-- What consumers are to look at. A row is written in the transaction of the
-- change and gets its number once that is committed; rows are never deleted.
CREATE TABLE feed (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    seq        INTEGER CHECK (seq >= 1), -- null: no number yet
    kind       TEXT    NOT NULL CHECK (kind IN ('Serial', 'CRL', 'Accepted')),
    serial     TEXT    REFERENCES serials (serial),
    authority  TEXT,
    generation INTEGER,
    shard      INTEGER,
    name       TEXT    REFERENCES accepted (name),
    created_at INTEGER NOT NULL,
    CHECK ((kind = 'Serial') = (serial IS NOT NULL)),
    CHECK ((kind = 'CRL') = (authority IS NOT NULL AND generation IS NOT NULL AND shard IS NOT NULL)),
    CHECK ((kind = 'Accepted') = (name IS NOT NULL))
) STRICT;
CREATE UNIQUE INDEX feed_seq ON feed (seq) WHERE seq IS NOT NULL;
CREATE INDEX feed_pending ON feed (id) WHERE seq IS NULL;

-- A consumer begins at 0, so the feed also tells of what had no outbox entry.
INSERT INTO feed (kind, name, created_at) SELECT 'Accepted', name, 0 FROM accepted ORDER BY name;
INSERT INTO feed (kind, serial, created_at) SELECT 'Serial', serial, created_at FROM outbox ORDER BY id;
INSERT INTO feed (kind, serial, created_at) SELECT 'Serial', serial, revoked_at FROM serials WHERE state = 'Abandoned' ORDER BY id;
INSERT INTO feed (kind, authority, generation, shard, created_at)
    SELECT 'CRL', authority, generation, shard, MAX(this_update) FROM crls GROUP BY authority, generation, shard;
DROP TABLE outbox;

-- The highest number of the feed.
CREATE TABLE feed_head (
    one  INTEGER PRIMARY KEY CHECK (one = 1),
    last INTEGER NOT NULL CHECK (last >= 0)
) STRICT;
INSERT INTO feed_head (one, last) VALUES (1, 0);

-- What consumers confirmed.
CREATE TABLE feed_positions (
    consumer TEXT PRIMARY KEY CHECK (length(consumer) BETWEEN 1 AND 400),
    seq      INTEGER NOT NULL CHECK (seq >= 0)
) STRICT;

-- Issued serials of an issuer: the sum over a few rows, so that transactions at the same time do not wait for one.
CREATE TABLE issued_counts (
    authority  TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    slot       INTEGER NOT NULL CHECK (slot >= 0),
    issued     INTEGER NOT NULL CHECK (issued >= 1),
    PRIMARY KEY (authority, generation, slot)
) STRICT, WITHOUT ROWID;
INSERT INTO issued_counts (authority, generation, slot, issued)
    SELECT authority, generation, 0, COUNT(*) FROM serials WHERE state = 'Issued' GROUP BY authority, generation;
DROP INDEX serials_issued;

-- More acts leave an audit leaf. SQLite changes a CHECK only with its table.
CREATE TABLE audit_leaves_next (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    act     TEXT    NOT NULL CHECK (act IN ('takeover', 'begin', 'withdraw', 'intent', 'issue', 'abandon', 'revoke', 'hold', 'release', 'act-refused', 'crl-number', 'crl', 'key', 'accept')),
    subject TEXT    NOT NULL CHECK (length(subject) BETWEEN 1 AND 500),
    detail  TEXT    NOT NULL -- canonical JSON: an object of strings, keys sorted, no spaces
) STRICT;
INSERT INTO audit_leaves_next (id, at, act, subject, detail) SELECT id, at, act, subject, detail FROM audit_leaves ORDER BY id;
DROP TABLE audit_leaves; -- its triggers go with it
ALTER TABLE audit_leaves_next RENAME TO audit_leaves;
CREATE TRIGGER audit_leaves_update BEFORE UPDATE ON audit_leaves BEGIN SELECT RAISE(ABORT, 'audit leaves are append-only'); END;
CREATE TRIGGER audit_leaves_delete BEFORE DELETE ON audit_leaves BEGIN SELECT RAISE(ABORT, 'audit leaves are append-only'); END;
