-- The registration store, version 1. Times are microseconds since 1970, UTC; digests are BYTEA. Text compares by its bytes.

-- Requests as the RA first saw them. A name is used once ever, with one digest.
CREATE TABLE opened (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      TEXT COLLATE "C" NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace TEXT COLLATE "C" NOT NULL CHECK (length(namespace) <= 63),
    name      TEXT COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest    BYTEA  NOT NULL CHECK (length(digest) = 32),
    applicant TEXT COLLATE "C" NOT NULL CHECK (length(applicant) BETWEEN 1 AND 253),
    -- What recognises the identity values; NULL when there were none.
    identity_salt BYTEA CHECK (length(identity_salt) = 16),
    identity_sum  BYTEA CHECK (length(identity_sum) = 32),
    at        BIGINT NOT NULL,
    UNIQUE (kind, namespace, name),
    CHECK ((identity_salt IS NULL) = (identity_sum IS NULL))
);

-- Decisions about them, in the order in which they were taken. A person decides once about a request.
CREATE TABLE approvals (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    namespace TEXT COLLATE "C" NOT NULL CHECK (length(namespace) <= 63),
    name      TEXT COLLATE "C" NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    opened    BIGINT NOT NULL REFERENCES opened (id),
    approver  TEXT COLLATE "C" NOT NULL CHECK (length(approver) BETWEEN 1 AND 253),
    decision  TEXT COLLATE "C" NOT NULL CHECK (decision IN ('Approve', 'Deny')),
    at        BIGINT NOT NULL,
    UNIQUE (namespace, name),
    UNIQUE (opened, approver)
);
CREATE INDEX approvals_of ON approvals (opened, id);

-- What was recorded stays as it is.
CREATE FUNCTION registration_refuse() RETURNS trigger LANGUAGE plpgsql AS
    'BEGIN RAISE EXCEPTION ''what was recorded is not changed''; END';
CREATE TRIGGER opened_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON opened
    FOR EACH STATEMENT EXECUTE FUNCTION registration_refuse();
CREATE TRIGGER approvals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON approvals
    FOR EACH STATEMENT EXECUTE FUNCTION registration_refuse();
