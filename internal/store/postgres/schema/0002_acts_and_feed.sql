-- The ledger, version 2: acts once ever, and the feed of changes in place of the outbox.

-- What revocation objects asked for and what became of it. A name is used once ever.
CREATE TABLE acts (
    id          BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind        TEXT COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace   TEXT COLLATE "C" NOT NULL CHECK (length(namespace) <= 63),
    name        TEXT COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest      BYTEA  NOT NULL CHECK (length(digest) = 32),
    authority   TEXT COLLATE "C" NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation  BIGINT NOT NULL CHECK (generation >= 1),
    serial      TEXT COLLATE "C" NOT NULL REFERENCES serials (serial),
    verb        TEXT COLLATE "C" NOT NULL CHECK (verb IN ('Revoke', 'Hold', 'Release')),
    reason      BIGINT NOT NULL CHECK (CASE verb WHEN 'Revoke' THEN reason IN (0, 1, 2, 3, 4, 5, 9) ELSE reason = 0 END),
    at          BIGINT NOT NULL,
    refusal     TEXT COLLATE "C" NOT NULL CHECK (refusal IN ('', 'NotIssued', 'AlreadyRevoked', 'AlreadyOnHold', 'NotOnHold')),
    recorded_at BIGINT NOT NULL,
    UNIQUE (kind, namespace, name)
);

-- What consumers are to look at. A row is written in the transaction of the
-- change and gets its number once that is committed; rows are never deleted.
CREATE TABLE feed (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    seq        BIGINT CHECK (seq >= 1), -- null: no number yet
    kind       TEXT COLLATE "C" NOT NULL CHECK (kind IN ('Serial', 'CRL', 'Accepted')),
    serial     TEXT COLLATE "C" REFERENCES serials (serial),
    authority  TEXT COLLATE "C",
    generation BIGINT,
    shard      BIGINT,
    name       TEXT COLLATE "C" REFERENCES accepted (name),
    created_at BIGINT NOT NULL,
    CHECK ((kind = 'Serial') = (serial IS NOT NULL)),
    CHECK ((kind = 'CRL') = (authority IS NOT NULL AND generation IS NOT NULL AND shard IS NOT NULL)),
    CHECK ((kind = 'Accepted') = (name IS NOT NULL))
);
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
    one  BIGINT PRIMARY KEY CHECK (one = 1),
    last BIGINT NOT NULL CHECK (last >= 0)
);
INSERT INTO feed_head (one, last) VALUES (1, 0);

-- What consumers confirmed.
CREATE TABLE feed_positions (
    consumer TEXT COLLATE "C" PRIMARY KEY CHECK (length(consumer) BETWEEN 1 AND 400),
    seq      BIGINT NOT NULL CHECK (seq >= 0)
);

-- Issued serials of an issuer: the sum over a few rows, so that transactions at the same time do not wait for one.
CREATE TABLE issued_counts (
    authority  TEXT COLLATE "C" NOT NULL CHECK (length(authority) BETWEEN 1 AND 400),
    generation BIGINT NOT NULL CHECK (generation >= 1),
    slot       BIGINT NOT NULL CHECK (slot >= 0),
    issued     BIGINT NOT NULL CHECK (issued >= 1),
    PRIMARY KEY (authority, generation, slot)
);
INSERT INTO issued_counts (authority, generation, slot, issued)
    SELECT authority, generation, 0, COUNT(*) FROM serials WHERE state = 'Issued' GROUP BY authority, generation;
DROP INDEX serials_issued;

-- More acts leave an audit leaf.
ALTER TABLE audit_leaves DROP CONSTRAINT audit_leaves_act_check;
ALTER TABLE audit_leaves ADD CONSTRAINT audit_leaves_act_check CHECK (act IN
    ('takeover', 'begin', 'withdraw', 'intent', 'issue', 'abandon', 'revoke', 'hold', 'release', 'act-refused', 'crl-number', 'crl', 'key', 'accept'));
