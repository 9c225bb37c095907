-- What is held of the ledger's audit log: one row at most.
CREATE TABLE audit (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    text    BLOB NOT NULL CHECK (length(text) <= 1024),
    key     BLOB NOT NULL CHECK (length(key) <= 512),
    refused BLOB NOT NULL CHECK (length(refused) <= 1024),
    reason  TEXT NOT NULL,
    forked  INTEGER NOT NULL CHECK (forked IN (0, 1))
) STRICT;
