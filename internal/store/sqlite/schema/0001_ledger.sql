-- The ledger, version 1. Times are microseconds since 1970, UTC; digests and DER are BLOB.

CREATE TABLE ledger_epoch (
    one   INTEGER PRIMARY KEY CHECK (one = 1),
    epoch INTEGER NOT NULL CHECK (epoch >= 0)
) STRICT;
INSERT INTO ledger_epoch (one, epoch) VALUES (1, 0);

-- A name is used once ever, with one digest.
CREATE TABLE identities (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace TEXT NOT NULL CHECK (length(namespace) <= 63),
    name      TEXT NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest    BLOB NOT NULL CHECK (length(digest) = 32),
    UNIQUE (kind, namespace, name)
) STRICT;

-- Every serial that was ever drawn. Rows are never deleted.
CREATE TABLE serials (
    id           INTEGER PRIMARY KEY AUTOINCREMENT,
    serial       TEXT    NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 40),
    identity     INTEGER NOT NULL REFERENCES identities (id),
    authority    TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation   INTEGER NOT NULL CHECK (generation >= 1),
    shard        INTEGER NOT NULL CHECK (shard >= 0),
    state        TEXT    NOT NULL CHECK (state IN ('Reserved', 'Intended', 'Issued', 'Abandoned')),
    epoch        INTEGER NOT NULL CHECK (epoch >= 1), -- of the last fenced write
    tbs          BLOB    CHECK (length(tbs) > 0),
    certificate  BLOB    CHECK (length(certificate) > 0),
    not_after    INTEGER,
    reserved_at  INTEGER NOT NULL,
    withdrawn_at INTEGER, -- a reservation that gave way to one under another issuer
    intended_at  INTEGER,
    issued_at    INTEGER,
    revoked_at   INTEGER, -- of an abandoned serial: when it was abandoned
    reason       INTEGER CHECK (reason IN (0, 1, 2, 3, 4, 5, 6, 9)),
    CHECK ((revoked_at IS NULL) = (reason IS NULL)),
    CHECK (CASE state
        WHEN 'Reserved'  THEN tbs IS NULL AND certificate IS NULL AND not_after IS NULL AND intended_at IS NULL AND issued_at IS NULL AND revoked_at IS NULL
        WHEN 'Intended'  THEN tbs IS NOT NULL AND certificate IS NULL AND not_after IS NOT NULL AND intended_at IS NOT NULL AND issued_at IS NULL AND revoked_at IS NULL AND withdrawn_at IS NULL
        WHEN 'Issued'    THEN tbs IS NULL AND certificate IS NOT NULL AND not_after IS NOT NULL AND intended_at IS NOT NULL AND issued_at IS NOT NULL AND withdrawn_at IS NULL
        WHEN 'Abandoned' THEN tbs IS NOT NULL AND certificate IS NULL AND not_after IS NOT NULL AND intended_at IS NOT NULL AND issued_at IS NULL AND revoked_at IS NOT NULL AND reason = 5 AND withdrawn_at IS NULL
    END)
) STRICT;
-- One identity has at most one live serial, whatever the code does.
CREATE UNIQUE INDEX serials_live ON serials (identity) WHERE state <> 'Abandoned' AND withdrawn_at IS NULL;
CREATE INDEX serials_newest ON serials (identity, id);
CREATE INDEX serials_intended ON serials (epoch) WHERE state = 'Intended';
CREATE INDEX serials_issued ON serials (authority, generation) WHERE state = 'Issued';
CREATE INDEX serials_revoked ON serials (authority, generation, shard, serial) WHERE revoked_at IS NOT NULL;

CREATE TABLE crl_numbers (
    authority  TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    shard      INTEGER NOT NULL CHECK (shard >= 0),
    last       INTEGER NOT NULL CHECK (last >= 1),
    PRIMARY KEY (authority, generation, shard)
) STRICT, WITHOUT ROWID;

CREATE TABLE crls (
    authority   TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  INTEGER NOT NULL CHECK (generation >= 1),
    shard       INTEGER NOT NULL CHECK (shard >= 0),
    number      INTEGER NOT NULL CHECK (number >= 1),
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL CHECK (next_update > this_update),
    der         BLOB    NOT NULL CHECK (length(der) > 0),
    PRIMARY KEY (authority, generation, shard, number)
) STRICT;

CREATE TABLE device_keys (
    owner      TEXT    NOT NULL CHECK (length(owner) BETWEEN 1 AND 400),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    device     TEXT    NOT NULL CHECK (length(device) BETWEEN 1 AND 400),
    label      TEXT    NOT NULL CHECK (length(label) BETWEEN 1 AND 500),
    public_key BLOB    NOT NULL CHECK (length(public_key) > 0),
    PRIMARY KEY (owner, generation)
) STRICT;

CREATE TABLE accepted (
    name TEXT PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 400),
    spec BLOB NOT NULL CHECK (length(spec) > 0)
) STRICT;

-- What is to be told to others. Readers claim rows by state, never by id > cursor.
CREATE TABLE outbox (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    kind       TEXT    NOT NULL CHECK (kind IN ('CertificateIssued')),
    serial     TEXT    NOT NULL REFERENCES serials (serial),
    state      TEXT    NOT NULL CHECK (state IN ('Pending', 'Done')),
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_pending ON outbox (id) WHERE state = 'Pending';

-- One leaf for each act, written in its transaction; never changed.
CREATE TABLE audit_leaves (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    at      INTEGER NOT NULL,
    act     TEXT    NOT NULL CHECK (act IN ('takeover', 'begin', 'withdraw', 'intent', 'issue', 'abandon', 'revoke', 'crl-number', 'crl', 'key', 'accept')),
    subject TEXT    NOT NULL CHECK (length(subject) BETWEEN 1 AND 500),
    detail  TEXT    NOT NULL -- canonical JSON: an object of strings, keys sorted, no spaces
) STRICT;
CREATE TRIGGER audit_leaves_update BEFORE UPDATE ON audit_leaves BEGIN SELECT RAISE(ABORT, 'audit leaves are append-only'); END;
CREATE TRIGGER audit_leaves_delete BEFORE DELETE ON audit_leaves BEGIN SELECT RAISE(ABORT, 'audit leaves are append-only'); END;
