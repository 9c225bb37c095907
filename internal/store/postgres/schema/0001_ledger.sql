-- The ledger, version 1. Times are microseconds since 1970, UTC; digests and DER are BYTEA. Text compares by its bytes.

CREATE TABLE ledger_epoch (
    one   BIGINT PRIMARY KEY CHECK (one = 1),
    epoch BIGINT NOT NULL CHECK (epoch >= 0)
);
INSERT INTO ledger_epoch (one, epoch) VALUES (1, 0);

-- A name is used once ever, with one digest.
CREATE TABLE identities (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      TEXT COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace TEXT COLLATE "C" NOT NULL CHECK (length(namespace) <= 63),
    name      TEXT COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest    BYTEA NOT NULL CHECK (length(digest) = 32),
    UNIQUE (kind, namespace, name)
);

-- Every serial that was ever drawn. Rows are never deleted.
CREATE TABLE serials (
    id           BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    serial       TEXT COLLATE "C"    NOT NULL UNIQUE CHECK (length(serial) BETWEEN 1 AND 40),
    identity     BIGINT NOT NULL REFERENCES identities (id),
    authority    TEXT COLLATE "C"    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation   BIGINT NOT NULL CHECK (generation >= 1),
    shard        BIGINT NOT NULL CHECK (shard >= 0),
    state        TEXT COLLATE "C"    NOT NULL CHECK (state IN ('Reserved', 'Intended', 'Issued', 'Abandoned')),
    epoch        BIGINT NOT NULL CHECK (epoch >= 1), -- of the last fenced write
    tbs          BYTEA    CHECK (length(tbs) > 0),
    certificate  BYTEA    CHECK (length(certificate) > 0),
    not_after    BIGINT,
    reserved_at  BIGINT NOT NULL,
    withdrawn_at BIGINT, -- a reservation that gave way to one under another issuer
    intended_at  BIGINT,
    issued_at    BIGINT,
    revoked_at   BIGINT, -- of an abandoned serial: when it was abandoned
    reason       BIGINT CHECK (reason IN (0, 1, 2, 3, 4, 5, 6, 9)),
    CHECK ((revoked_at IS NULL) = (reason IS NULL)),
    CHECK (CASE state
        WHEN 'Reserved'  THEN tbs IS NULL AND certificate IS NULL AND not_after IS NULL AND intended_at IS NULL AND issued_at IS NULL AND revoked_at IS NULL
        WHEN 'Intended'  THEN tbs IS NOT NULL AND certificate IS NULL AND not_after IS NOT NULL AND intended_at IS NOT NULL AND issued_at IS NULL AND revoked_at IS NULL AND withdrawn_at IS NULL
        WHEN 'Issued'    THEN tbs IS NULL AND certificate IS NOT NULL AND not_after IS NOT NULL AND intended_at IS NOT NULL AND issued_at IS NOT NULL AND withdrawn_at IS NULL
        WHEN 'Abandoned' THEN tbs IS NOT NULL AND certificate IS NULL AND not_after IS NOT NULL AND intended_at IS NOT NULL AND issued_at IS NULL AND revoked_at IS NOT NULL AND reason = 5 AND withdrawn_at IS NULL
    END)
);
-- One identity has at most one live serial, whatever the code does.
CREATE UNIQUE INDEX serials_live ON serials (identity) WHERE state <> 'Abandoned' AND withdrawn_at IS NULL;
CREATE INDEX serials_newest ON serials (identity, id);
CREATE INDEX serials_intended ON serials (epoch) WHERE state = 'Intended';
CREATE INDEX serials_issued ON serials (authority, generation) WHERE state = 'Issued';
CREATE INDEX serials_revoked ON serials (authority, generation, shard, serial) WHERE revoked_at IS NOT NULL;

CREATE TABLE crl_numbers (
    authority  TEXT COLLATE "C"    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation BIGINT NOT NULL CHECK (generation >= 1),
    shard      BIGINT NOT NULL CHECK (shard >= 0),
    last       BIGINT NOT NULL CHECK (last >= 1),
    PRIMARY KEY (authority, generation, shard)
);

CREATE TABLE crls (
    authority   TEXT COLLATE "C"    NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  BIGINT NOT NULL CHECK (generation >= 1),
    shard       BIGINT NOT NULL CHECK (shard >= 0),
    number      BIGINT NOT NULL CHECK (number >= 1),
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

-- What is to be told to others. Readers claim rows by state, never by id > cursor.
CREATE TABLE outbox (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind       TEXT COLLATE "C"    NOT NULL CHECK (kind IN ('CertificateIssued')),
    serial     TEXT COLLATE "C"    NOT NULL REFERENCES serials (serial),
    state      TEXT COLLATE "C"    NOT NULL CHECK (state IN ('Pending', 'Done')),
    created_at BIGINT NOT NULL
);
CREATE INDEX outbox_pending ON outbox (id) WHERE state = 'Pending';

-- One leaf for each act, written in its transaction; never changed.
CREATE TABLE audit_leaves (
    id      BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at      BIGINT NOT NULL,
    act     TEXT COLLATE "C"    NOT NULL CHECK (act IN ('takeover', 'begin', 'withdraw', 'intent', 'issue', 'abandon', 'revoke', 'crl-number', 'crl', 'key', 'accept')),
    subject TEXT COLLATE "C"    NOT NULL CHECK (length(subject) BETWEEN 1 AND 500),
    detail  TEXT COLLATE "C"    NOT NULL -- canonical JSON: an object of strings, keys sorted, no spaces
);
CREATE FUNCTION audit_leaves_refuse() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''audit leaves are append-only''; END';
CREATE TRIGGER audit_leaves_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_leaves
    FOR EACH STATEMENT EXECUTE FUNCTION audit_leaves_refuse();
