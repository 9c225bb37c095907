-- The replica of a validation node, version 3: delta CRLs.

CREATE TABLE delta_crls (
    issuer      INTEGER NOT NULL REFERENCES issuers (id),
    shard       INTEGER NOT NULL CHECK (shard >= 0),
    number      INTEGER NOT NULL CHECK (number > base),
    base        INTEGER NOT NULL CHECK (base >= 1),
    this_update INTEGER NOT NULL,
    next_update INTEGER NOT NULL,
    fill        INTEGER NOT NULL,
    der         BLOB    NOT NULL CHECK (length(der) > 0),
    PRIMARY KEY (issuer, shard)
) STRICT;
