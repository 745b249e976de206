-- What each node says of itself, and its request durations: one row per endpoint,
-- method and minute with a sparse histogram (buckets as in contract §14.2).
-- Durations are BIGINT nanoseconds. Rows are only added, so nodes never meet.

ALTER TABLE nodes ADD COLUMN port BIGINT NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN build TEXT NOT NULL DEFAULT '';
ALTER TABLE nodes ADD COLUMN state TEXT NOT NULL DEFAULT '';

CREATE TABLE request_minutes (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    minute BIGINT NOT NULL, -- its beginning
    node TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    method TEXT NOT NULL,
    requests BIGINT NOT NULL,
    succeeded BIGINT NOT NULL,
    client_errors BIGINT NOT NULL,
    server_errors BIGINT NOT NULL,
    timed BIGINT NOT NULL,
    total BIGINT NOT NULL,
    least BIGINT NOT NULL,
    most BIGINT NOT NULL,
    buckets BYTEA NOT NULL
);
CREATE INDEX request_minutes_minute ON request_minutes (minute);

-- What the figures of now are counted by.
CREATE INDEX orders_held_now ON orders (tenant_id) WHERE held;
CREATE INDEX sessions_orphaned ON sessions (tenant_id) WHERE state = 'ORPHAN';
CREATE INDEX payments_decided ON payments (tenant_id, updated_at) WHERE status >= 2;
