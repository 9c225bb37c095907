-- The ledger. Times are microseconds since 1970, UTC; serials, digests and DER are BYTEA. Text compares by its bytes.
--
-- Rows are added, and hardly one is ever changed: what becomes of a serial
-- stands in a row of its own (issued, revocations). New rows go to the end of their tables
-- and, as serials begin with their time, of most indexes, so that the twenty
-- millionth certificate costs what the first did. Tables that grow with every certificate
-- have no foreign keys: their rows are inserted from a join with what they refer to.

-- Who opened the ledger to write. A process that is fenced writes nothing more.
CREATE TABLE processes (
    id       BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    instance TEXT COLLATE "C"    NOT NULL CHECK (length(instance) BETWEEN 1 AND 253),
    fenced   BIGINT NOT NULL CHECK (fenced IN (0, 1)),
    seen_at  BIGINT NOT NULL
);

-- The key generations of CAs, with the number of certificates that they issued.
CREATE TABLE issuers (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    authority  TEXT COLLATE "C"    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation BIGINT NOT NULL CHECK (generation >= 1),
    issued     BIGINT NOT NULL CHECK (issued >= 0),
    UNIQUE (authority, generation)
);

-- Where names are unique.
CREATE TABLE scopes (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      TEXT COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace TEXT COLLATE "C" NOT NULL CHECK (length(namespace) <= 63),
    UNIQUE (kind, namespace)
);

-- Every serial under which something may have been signed, for the identity
-- (scope, name, digest). An identity has a next attempt only when the one before was abandoned.
CREATE TABLE serials (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial      BYTEA    NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 20),
    issuer      BIGINT NOT NULL,
    shard       BIGINT NOT NULL CHECK (shard >= 0),
    scope       BIGINT NOT NULL,
    name        TEXT COLLATE "C"    NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest      BYTEA    NOT NULL CHECK (length(digest) = 32),
    attempt     BIGINT NOT NULL CHECK (attempt >= 1),
    not_after   BIGINT NOT NULL,
    intended_at BIGINT NOT NULL,
    tbs         BYTEA CHECK (length(tbs) > 0), -- null once archived
    UNIQUE (scope, name, attempt)
);

-- What a process is about to sign, or has signed and not recorded yet.
CREATE TABLE attempts (
    serial_id BIGINT PRIMARY KEY,
    process   BIGINT NOT NULL
);

-- Serials that were issued, with what stands behind the TBS in the certificate.
CREATE TABLE issued (
    serial_id BIGINT PRIMARY KEY,
    issued_at BIGINT NOT NULL,
    tail      BYTEA CHECK (length(tail) > 0) -- null once archived
);

-- Serials that are revoked, on hold, released (reason 8), or abandoned (reason
-- 5, and not issued); seq is the change that tells of it.
CREATE TABLE revocations (
    serial_id  BIGINT PRIMARY KEY,
    issuer     BIGINT NOT NULL,
    shard      BIGINT NOT NULL,
    serial     BYTEA    NOT NULL,
    not_after  BIGINT NOT NULL,
    revoked_at BIGINT NOT NULL,
    reason     BIGINT NOT NULL CHECK (reason IN (0, 1, 2, 3, 4, 5, 6, 8, 9)),
    seq        BIGINT NOT NULL CHECK (seq >= 1)
);
CREATE UNIQUE INDEX revocations_list ON revocations (issuer, shard, serial);
CREATE INDEX revocations_changed ON revocations (issuer, shard, seq);

-- What revocation objects asked for and what became of it. A name is used once ever.
CREATE TABLE acts (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        TEXT COLLATE "C"    NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace   TEXT COLLATE "C"    NOT NULL CHECK (length(namespace) <= 63),
    name        TEXT COLLATE "C"    NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest      BYTEA    NOT NULL CHECK (length(digest) = 32),
    authority   TEXT COLLATE "C"    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  BIGINT NOT NULL CHECK (generation >= 1),
    serial      BYTEA    NOT NULL REFERENCES serials (serial),
    verb        TEXT COLLATE "C"    NOT NULL CHECK (verb IN ('Revoke', 'Hold', 'Release')),
    reason      BIGINT NOT NULL CHECK (CASE verb WHEN 'Revoke' THEN reason IN (0, 1, 2, 3, 4, 5, 9) ELSE reason = 0 END),
    at          BIGINT NOT NULL,
    refusal     TEXT COLLATE "C"    NOT NULL CHECK (refusal IN ('', 'NotIssued', 'AlreadyRevoked', 'AlreadyOnHold', 'NotOnHold')),
    recorded_at BIGINT NOT NULL,
    operator    TEXT COLLATE "C"    NOT NULL CHECK (length(operator) <= 253), -- who asked; empty when nobody said
    UNIQUE (kind, namespace, name)
);
CREATE INDEX acts_of ON acts (serial, id);

CREATE TABLE crl_numbers (
    authority  TEXT COLLATE "C"    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation BIGINT NOT NULL CHECK (generation >= 1),
    shard      BIGINT NOT NULL CHECK (shard >= 0),
    last       BIGINT NOT NULL CHECK (last >= 1),
    PRIMARY KEY (authority, generation, shard)
);

-- base: 0 for a full list, else the number of the one whose changes it shows.
-- seen: the number of the feed up to which it shows everything. der is last, so
-- that the head of a list is read without walking through it.
CREATE TABLE crls (
    authority   TEXT COLLATE "C"    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  BIGINT NOT NULL CHECK (generation >= 1),
    shard       BIGINT NOT NULL CHECK (shard >= 0),
    number      BIGINT NOT NULL CHECK (number >= 1),
    base        BIGINT NOT NULL CHECK (base >= 0 AND base < number),
    seen        BIGINT NOT NULL CHECK (seen >= 0),
    point       TEXT    NOT NULL CHECK (length(point) <= 1000), -- URL in issuingDistributionPoint
    this_update BIGINT NOT NULL,
    next_update BIGINT NOT NULL CHECK (next_update > this_update),
    der         BYTEA    NOT NULL CHECK (length(der) > 0),
    PRIMARY KEY (authority, generation, shard, number)
);

CREATE TABLE device_keys (
    owner      TEXT COLLATE "C"    NOT NULL CHECK (length(owner) BETWEEN 1 AND 400),
    generation BIGINT NOT NULL CHECK (generation >= 1),
    device     TEXT COLLATE "C"    NOT NULL CHECK (length(device) BETWEEN 1 AND 400),
    label      TEXT COLLATE "C"    NOT NULL CHECK (length(label) BETWEEN 1 AND 500),
    public_key BYTEA    NOT NULL CHECK (length(public_key) > 0),
    PRIMARY KEY (owner, generation)
);

CREATE TABLE accepted (
    name TEXT COLLATE "C" PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 400),
    spec BYTEA NOT NULL CHECK (length(spec) > 0)
);

-- The highest numbers that were given: to changes of the feed, to audit leaves,
-- and to the change that last told of an accepted spec. Its row stays locked from the
-- giving of a number to the commit, so that numbers are seen in their order, without a gap.
-- restore says that a backup is being loaded, or was loaded and is not reconciled yet.
CREATE TABLE heads (
    one      BIGINT PRIMARY KEY CHECK (one = 1),
    feed     BIGINT NOT NULL CHECK (feed >= 0),
    audit    BIGINT NOT NULL CHECK (audit >= 0),
    accepted BIGINT NOT NULL CHECK (accepted >= 0),
    restore  TEXT COLLATE "C" NOT NULL DEFAULT '' CHECK (restore IN ('', 'Loading', 'Unreconciled'))
);
INSERT INTO heads (one, feed, audit, accepted) VALUES (1, 0, 0, 0);

-- What consumers are to look at; rows are never deleted.
CREATE TABLE feed (
    seq        BIGINT PRIMARY KEY CHECK (seq >= 1),
    kind       TEXT COLLATE "C"    NOT NULL CHECK (kind IN ('Serial', 'CRL', 'Delta', 'Accepted')),
    serial_id  BIGINT,
    authority  TEXT COLLATE "C",
    generation BIGINT,
    shard      BIGINT,
    name       TEXT COLLATE "C",
    created_at BIGINT NOT NULL,
    CHECK ((kind = 'Serial') = (serial_id IS NOT NULL)),
    CHECK ((kind IN ('CRL', 'Delta')) = (authority IS NOT NULL AND generation IS NOT NULL AND shard IS NOT NULL)),
    CHECK ((kind = 'Accepted') = (name IS NOT NULL))
);

-- What consumers confirmed.
CREATE TABLE feed_positions (
    consumer TEXT COLLATE "C" PRIMARY KEY CHECK (length(consumer) BETWEEN 1 AND 400),
    seq      BIGINT NOT NULL CHECK (seq >= 0)
);

-- One leaf for each act, written in its transaction; never changed.
CREATE TABLE audit_leaves (
    seq     BIGINT PRIMARY KEY CHECK (seq >= 1),
    at      BIGINT NOT NULL,
    act     TEXT COLLATE "C"    NOT NULL CHECK (length(act) BETWEEN 1 AND 63),
    subject TEXT COLLATE "C"    NOT NULL CHECK (length(subject) BETWEEN 1 AND 500),
    detail  TEXT COLLATE "C"    NOT NULL -- canonical JSON: an object of strings, keys sorted, no spaces
);
CREATE INDEX audit_leaves_at ON audit_leaves (at);
CREATE FUNCTION audit_leaves_refuse() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''audit records are append-only''; END';
CREATE TRIGGER audit_leaves_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION audit_leaves_refuse();

-- The full subtrees of the hash tree over the leaves (RFC 6962 section 2.1): the node
-- is over the 2^level leaves from number * 2^level, counted from 0. Made from the leaves
-- after their commits, and never changed.
CREATE TABLE audit_nodes (
    level  BIGINT NOT NULL CHECK (level BETWEEN 0 AND 62),
    number BIGINT NOT NULL CHECK (number >= 0),
    hash   BYTEA   NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (level, number)
);

-- Signed checkpoints of the tree: the newest, and the last of each hour before.
CREATE TABLE audit_checkpoints (
    size BIGINT PRIMARY KEY CHECK (size >= 1),
    at   BIGINT NOT NULL,
    text BYTEA   NOT NULL CHECK (length(text) BETWEEN 1 AND 1024)
);

-- What auditors marked as audited; seq is that of the mark's own leaf.
CREATE TABLE audit_marks (
    seq        BIGINT PRIMARY KEY CHECK (seq >= 1),
    auditor    TEXT COLLATE "C"    NOT NULL CHECK (length(auditor) BETWEEN 1 AND 63),
    first      BIGINT NOT NULL CHECK (first >= 1),
    last       BIGINT NOT NULL CHECK (last >= first),
    tree       BYTEA    NOT NULL CHECK (length(tree) = 32),
    size       BIGINT NOT NULL CHECK (size >= last),
    root       BYTEA    NOT NULL CHECK (length(root) = 32),
    at         BIGINT NOT NULL,
    note       TEXT COLLATE "C"    NOT NULL CHECK (length(note) <= 500),
    public_key BYTEA    NOT NULL CHECK (length(public_key) > 0),
    signature  BYTEA    NOT NULL CHECK (length(signature) > 0)
);
CREATE TRIGGER audit_marks_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_marks
    FOR EACH STATEMENT EXECUTE FUNCTION audit_leaves_refuse();
