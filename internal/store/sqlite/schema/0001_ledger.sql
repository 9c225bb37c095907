-- The ledger. Times are microseconds since 1970, UTC; serials, digests and DER are BLOB.
--
-- Rows are added, and hardly one is ever changed: what becomes of a serial
-- stands in a row of its own (issued, revocations). New rows go to the end of their tables
-- and, as serials begin with their time, of most indexes, so that the twenty
-- millionth certificate costs what the first did. Tables that grow with every certificate
-- have no foreign keys: their rows are inserted from a join with what they refer to.

-- Who opened the ledger to write. A process that is fenced writes nothing more.
CREATE TABLE processes (
    id       INTEGER PRIMARY KEY AUTOINCREMENT,
    instance TEXT    NOT NULL CHECK (length(instance) BETWEEN 1 AND 253),
    fenced   INTEGER NOT NULL CHECK (fenced IN (0, 1)),
    seen_at  INTEGER NOT NULL
) STRICT;

-- The key generations of CAs, with the number of certificates that they issued.
CREATE TABLE issuers (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    authority  TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    issued     INTEGER NOT NULL CHECK (issued >= 0),
    UNIQUE (authority, generation)
) STRICT;

-- Where names are unique.
CREATE TABLE scopes (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace TEXT NOT NULL CHECK (length(namespace) <= 63),
    UNIQUE (kind, namespace)
) STRICT;

-- Every serial under which something may have been signed, for the identity
-- (scope, name, digest). An identity has a next attempt only when the one before was abandoned.
CREATE TABLE serials (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    serial      BLOB    NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    issuer      INTEGER NOT NULL,
    shard       INTEGER NOT NULL CHECK (shard >= 0),
    scope       INTEGER NOT NULL,
    name        TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    attempt     INTEGER NOT NULL CHECK (attempt >= 1),
    not_after   INTEGER NOT NULL,
    intended_at INTEGER NOT NULL,
    tbs         BLOB CHECK (length(tbs) > 0), -- null once archived
    UNIQUE (scope, name, attempt)
) STRICT;

-- What a process is about to sign, or has signed and not recorded yet.
CREATE TABLE attempts (
    serial_id INTEGER PRIMARY KEY,
    process   INTEGER NOT NULL
) STRICT;

-- Serials that were issued, with what stands behind the TBS in the certificate.
CREATE TABLE issued (
    serial_id INTEGER PRIMARY KEY,
    issued_at INTEGER NOT NULL,
    tail      BLOB CHECK (length(tail) > 0) -- null once archived
) STRICT;

-- Serials that are revoked, on hold, released (reason 8), or abandoned (reason
-- 5, and not issued); seq is the change that tells of it.
CREATE TABLE revocations (
    serial_id  INTEGER PRIMARY KEY,
    issuer     INTEGER NOT NULL,
    shard      INTEGER NOT NULL,
    serial     BLOB    NOT NULL,
    not_after  INTEGER NOT NULL,
    revoked_at INTEGER NOT NULL,
    reason     INTEGER NOT NULL CHECK (reason IN (0, 1, 2, 3, 4, 5, 6, 8, 9)),
    seq        INTEGER NOT NULL CHECK (seq >= 1)
) STRICT;
CREATE UNIQUE INDEX revocations_list ON revocations (issuer, shard, serial);
CREATE INDEX revocations_changed ON revocations (issuer, shard, seq);

-- What revocation objects asked for and what became of it. A name is used once ever.
CREATE TABLE acts (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    kind        TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace   TEXT    NOT NULL CHECK (length(namespace) <= 63),
    name        TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    authority   TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  INTEGER NOT NULL CHECK (generation >= 1),
    serial      BLOB    NOT NULL REFERENCES serials (serial),
    verb        TEXT    NOT NULL CHECK (verb IN ('Revoke', 'Hold', 'Release')),
    reason      INTEGER NOT NULL CHECK (CASE verb WHEN 'Revoke' THEN reason IN (0, 1, 2, 3, 4, 5, 9) ELSE reason = 0 END),
    at          INTEGER NOT NULL,
    refusal     TEXT    NOT NULL CHECK (refusal IN ('', 'NotIssued', 'AlreadyRevoked', 'AlreadyOnHold', 'NotOnHold')),
    recorded_at INTEGER NOT NULL,
    operator    TEXT    NOT NULL CHECK (length(operator) <= 253), -- who asked; empty when nobody said
    UNIQUE (kind, namespace, name)
) STRICT;
CREATE INDEX acts_of ON acts (serial, id);

CREATE TABLE crl_numbers (
    authority  TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation INTEGER NOT NULL CHECK (generation >= 1),
    shard      INTEGER NOT NULL CHECK (shard >= 0),
    last       INTEGER NOT NULL CHECK (last >= 1),
    PRIMARY KEY (authority, generation, shard)
) STRICT, WITHOUT ROWID;

-- base: 0 for a full list, else the number of the one whose changes it shows.
-- seen: the number of the feed up to which it shows everything. der is last, so
-- that the head of a list is read without walking through it.
CREATE TABLE crls (
    authority   TEXT    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  INTEGER NOT NULL CHECK (generation >= 1),
    shard       INTEGER NOT NULL CHECK (shard >= 0),
    number      INTEGER NOT NULL CHECK (number >= 1),
    base        INTEGER NOT NULL CHECK (base >= 0 AND base < number),
    seen        INTEGER NOT NULL CHECK (seen >= 0),
    point       TEXT    NOT NULL CHECK (length(point) <= 1000), -- URL in issuingDistributionPoint
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

-- The highest numbers that were given: to changes of the feed, to audit leaves,
-- and to the change that last told of an accepted spec. Its row stays locked from the
-- giving of a number to the commit, so that numbers are seen in their order, without a gap.
-- restore says that a backup is being loaded, or was loaded and is not reconciled yet.
CREATE TABLE heads (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    feed     INTEGER NOT NULL CHECK (feed >= 0),
    audit    INTEGER NOT NULL CHECK (audit >= 0),
    accepted INTEGER NOT NULL CHECK (accepted >= 0),
    restore  TEXT NOT NULL DEFAULT '' CHECK (restore IN ('', 'Loading', 'Unreconciled'))
) STRICT;
INSERT INTO heads (one, feed, audit, accepted) VALUES (1, 0, 0, 0);

-- What consumers are to look at; rows are never deleted.
CREATE TABLE feed (
    seq        INTEGER PRIMARY KEY CHECK (seq >= 1),
    kind       TEXT    NOT NULL CHECK (kind IN ('Serial', 'CRL', 'Delta', 'Accepted')),
    serial_id  INTEGER,
    authority  TEXT,
    generation INTEGER,
    shard      INTEGER,
    name       TEXT,
    created_at INTEGER NOT NULL,
    CHECK ((kind = 'Serial') = (serial_id IS NOT NULL)),
    CHECK ((kind IN ('CRL', 'Delta')) = (authority IS NOT NULL AND generation IS NOT NULL AND shard IS NOT NULL)),
    CHECK ((kind = 'Accepted') = (name IS NOT NULL))
) STRICT;

-- What consumers confirmed.
CREATE TABLE feed_positions (
    consumer TEXT PRIMARY KEY CHECK (length(consumer) BETWEEN 1 AND 400),
    seq      INTEGER NOT NULL CHECK (seq >= 0)
) STRICT;

-- One leaf for each act, written in its transaction; never changed.
CREATE TABLE audit_leaves (
    seq     INTEGER PRIMARY KEY CHECK (seq >= 1),
    at      INTEGER NOT NULL,
    act     TEXT    NOT NULL CHECK (length(act) BETWEEN 1 AND 63),
    subject TEXT    NOT NULL CHECK (length(subject) BETWEEN 1 AND 500),
    detail  TEXT    NOT NULL -- canonical JSON: an object of strings, keys sorted, no spaces
) STRICT;
CREATE INDEX audit_leaves_at ON audit_leaves (at);
CREATE TRIGGER audit_leaves_update BEFORE UPDATE ON audit_leaves BEGIN SELECT RAISE(ABORT, 'audit leaves are append-only'); END;
CREATE TRIGGER audit_leaves_delete BEFORE DELETE ON audit_leaves BEGIN SELECT RAISE(ABORT, 'audit leaves are append-only'); END;

-- The full subtrees of the hash tree over the leaves (RFC 6962 section 2.1): the node
-- is over the 2^level leaves from number * 2^level, counted from 0. Made from the leaves
-- after their commits, and never changed.
CREATE TABLE audit_nodes (
    level  INTEGER NOT NULL CHECK (level BETWEEN 0 AND 62),
    number INTEGER NOT NULL CHECK (number >= 0),
    hash   BLOB   NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
) STRICT, WITHOUT ROWID;

-- Signed checkpoints of the tree: the newest, and the last of each hour before.
CREATE TABLE audit_checkpoints (
    size INTEGER PRIMARY KEY CHECK (size >= 1),
    at   INTEGER NOT NULL,
    text BLOB   NOT NULL CHECK (length(text) BETWEEN 1 AND 1024)
) STRICT;

-- What auditors marked as audited; seq is that of the mark's own leaf.
CREATE TABLE audit_marks (
    seq        INTEGER PRIMARY KEY CHECK (seq >= 1),
    auditor    TEXT    NOT NULL CHECK (length(auditor) BETWEEN 1 AND 63),
    first      INTEGER NOT NULL CHECK (first >= 1),
    last       INTEGER NOT NULL CHECK (last >= first),
    tree       BLOB    NOT NULL CHECK (length(tree) = 32),
    size       INTEGER NOT NULL CHECK (size >= last),
    root       BLOB    NOT NULL CHECK (length(root) = 32),
    at         INTEGER NOT NULL,
    note       TEXT    NOT NULL CHECK (length(note) <= 500),
    public_key BLOB    NOT NULL CHECK (length(public_key) > 0),
    signature  BLOB    NOT NULL CHECK (length(signature) > 0)
) STRICT;
CREATE TRIGGER audit_marks_update BEFORE UPDATE ON audit_marks BEGIN SELECT RAISE(ABORT, 'audit marks are append-only'); END;
CREATE TRIGGER audit_marks_delete BEFORE DELETE ON audit_marks BEGIN SELECT RAISE(ABORT, 'audit marks are append-only'); END;
