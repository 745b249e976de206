-- Plans with prices for days of the week and holidays (calendars: JSON, NULL
-- when every day is alike), with a start fee, and with bounds of a session's
-- amount in fen (NULL: none).
ALTER TABLE plans ADD COLUMN calendars TEXT;
ALTER TABLE plans ADD COLUMN start_fee BIGINT;
ALTER TABLE plans ADD COLUMN min_amount BIGINT;
ALTER TABLE plans ADD COLUMN max_amount BIGINT;

-- The special days of a tenant: what a date counts as instead of its day of the
-- week. A row is replaced, never changed; the frozen prices hold their own copy.
CREATE TABLE holidays (
    tenant_id BIGINT NOT NULL,
    day TEXT NOT NULL, -- yyyy-MM-dd
    name TEXT NOT NULL,
    counts_as TEXT NOT NULL, -- MON to SUN, HOLIDAY
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, day)
);
