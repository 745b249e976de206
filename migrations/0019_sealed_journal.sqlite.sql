-- The journal is only added to. An entry says when it was booked (at says when
-- it happened), whether it is a promise, and which entry it settles or takes
-- back; a seal closes a day of a tenant's journal with a hash over its entries
-- and the seal before.
ALTER TABLE journal ADD COLUMN booked_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE journal ADD COLUMN phase TEXT NOT NULL DEFAULT 'POSTED'; -- PENDING, POSTED or VOID
ALTER TABLE journal ADD COLUMN refers TEXT NOT NULL DEFAULT ''; -- the key of the entry that this one settles, corrects or takes back
UPDATE journal SET booked_at = at;
UPDATE journal SET phase = 'PENDING' WHERE kind = 'REFUND_BEGUN';
UPDATE journal SET phase = 'VOID' WHERE kind = 'REFUND_FAILED';

CREATE TABLE journal_seals (
    tenant_id BIGINT NOT NULL,
    no BIGINT NOT NULL, -- from 1, without a gap
    day TEXT NOT NULL, -- yyyy-MM-dd in Asia/Shanghai
    after_id BIGINT NOT NULL, -- the id behind which the day of the installation began
    upto BIGINT NOT NULL, -- the last journal id that it covers; it begins behind that of the seal before
    entries BIGINT NOT NULL,
    debit BIGINT NOT NULL,
    previous TEXT NOT NULL,
    hash TEXT NOT NULL,
    marks BYTEA NOT NULL, -- 16 bytes an entry: its id and the beginning of its hash
    sealed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, no)
);
CREATE UNIQUE INDEX journal_seals_day ON journal_seals (tenant_id, day);
INSERT INTO sequences (name, next) VALUES ('ledger/sealed', 0), ('ledger/checked', 0);

CREATE TRIGGER journal_no_update BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'journal is only added to'); END;
CREATE TRIGGER journal_no_delete BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'journal is only added to'); END;
CREATE TRIGGER postings_no_update BEFORE UPDATE ON postings BEGIN SELECT RAISE(ABORT, 'postings is only added to'); END;
CREATE TRIGGER postings_no_delete BEFORE DELETE ON postings BEGIN SELECT RAISE(ABORT, 'postings is only added to'); END;
CREATE TRIGGER accounts_no_update BEFORE UPDATE ON accounts BEGIN SELECT RAISE(ABORT, 'accounts is only added to'); END;
CREATE TRIGGER accounts_no_delete BEFORE DELETE ON accounts BEGIN SELECT RAISE(ABORT, 'accounts is only added to'); END;
CREATE TRIGGER journal_seals_no_update BEFORE UPDATE ON journal_seals BEGIN SELECT RAISE(ABORT, 'journal_seals is only added to'); END;
CREATE TRIGGER journal_seals_no_delete BEFORE DELETE ON journal_seals BEGIN SELECT RAISE(ABORT, 'journal_seals is only added to'); END;
