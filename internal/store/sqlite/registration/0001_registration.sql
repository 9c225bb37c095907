-- The registration store, version 1. Times are microseconds since 1970, UTC; digests are BLOB.

-- Requests as the RA first saw them. A name is used once ever, with one digest.
CREATE TABLE opened (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    kind      TEXT    NOT NULL CHECK (length(kind) BETWEEN 1 AND 63),
    namespace TEXT    NOT NULL CHECK (length(namespace) <= 63),
    name      TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    digest    BLOB    NOT NULL CHECK (length(digest) = 32),
    applicant TEXT    NOT NULL CHECK (length(applicant) BETWEEN 1 AND 253),
    -- What recognises the identity values; NULL when there were none.
    identity_salt BLOB CHECK (length(identity_salt) = 16),
    identity_sum  BLOB CHECK (length(identity_sum) = 32),
    at        INTEGER NOT NULL,
    UNIQUE (kind, namespace, name),
    CHECK ((identity_salt IS NULL) = (identity_sum IS NULL))
) STRICT;

-- Decisions about them, in the order in which they were taken. A person decides once about a request.
CREATE TABLE approvals (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    namespace TEXT    NOT NULL CHECK (length(namespace) <= 63),
    name      TEXT    NOT NULL CHECK (length(name) BETWEEN 1 AND 253),
    opened    INTEGER NOT NULL REFERENCES opened (id),
    approver  TEXT    NOT NULL CHECK (length(approver) BETWEEN 1 AND 253),
    decision  TEXT    NOT NULL CHECK (decision IN ('Approve', 'Deny')),
    at        INTEGER NOT NULL,
    UNIQUE (namespace, name),
    UNIQUE (opened, approver)
) STRICT;
CREATE INDEX approvals_of ON approvals (opened, id);

-- What was recorded stays as it is.
CREATE TRIGGER opened_update BEFORE UPDATE ON opened BEGIN SELECT RAISE(ABORT, 'what was recorded is not changed'); END;
CREATE TRIGGER opened_delete BEFORE DELETE ON opened BEGIN SELECT RAISE(ABORT, 'what was recorded is not changed'); END;
CREATE TRIGGER approvals_update BEFORE UPDATE ON approvals BEGIN SELECT RAISE(ABORT, 'what was recorded is not changed'); END;
CREATE TRIGGER approvals_delete BEFORE DELETE ON approvals BEGIN SELECT RAISE(ABORT, 'what was recorded is not changed'); END;
