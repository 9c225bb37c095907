-- The replica of a validation node, version 2: what tells that the ledger was
-- restored from an older backup, and since when the statuses are right.

ALTER TABLE node ADD COLUMN anchor BLOB;
ALTER TABLE node ADD COLUMN ledger BLOB;
ALTER TABLE node ADD COLUMN fill INTEGER NOT NULL DEFAULT 0 CHECK (fill >= 0); -- counts refills
ALTER TABLE node ADD COLUMN refilling INTEGER NOT NULL DEFAULT 0 CHECK (refilling IN (0, 1));
ALTER TABLE node ADD COLUMN as_of INTEGER; -- microseconds
UPDATE node SET as_of = pushed_at WHERE filled = 1 AND position >= head;

-- The fill in which a row was written last: an older one was not confirmed since.
ALTER TABLE statuses ADD COLUMN fill INTEGER NOT NULL DEFAULT 0;
ALTER TABLE crls ADD COLUMN fill INTEGER NOT NULL DEFAULT 0;
