-- Accounts at real channels, refunds that wait for a second person, and work
-- that a killed node lets go.

-- By what a notification on the bare address may point at an account: Alipay's
-- application, the serials of WeChat's keys. They are not unique: two tenants
-- may have the same.
CREATE TABLE merchant_hints (
    tenant_id BIGINT NOT NULL,
    merchant_id BIGINT NOT NULL REFERENCES merchants (id),
    channel TEXT NOT NULL,
    hint TEXT NOT NULL,
    PRIMARY KEY (merchant_id, hint)
);
CREATE INDEX merchant_hints_hint ON merchant_hints (channel, hint);

ALTER TABLE payments ADD COLUMN claimed_by TEXT NOT NULL DEFAULT ''; -- the node that works on it
ALTER TABLE refunds ADD COLUMN claimed_by TEXT NOT NULL DEFAULT '';
CREATE INDEX payments_claimed ON payments (claimed_by) WHERE claimed_by <> '';
CREATE INDEX refunds_claimed ON refunds (claimed_by) WHERE claimed_by <> '';
CREATE INDEX payments_unfinished ON payments (merchant_id) WHERE status IN (0, 1, 4);

ALTER TABLE refunds ADD COLUMN approval TEXT NOT NULL DEFAULT ''; -- PENDING, APPROVED, REJECTED
ALTER TABLE refunds ADD COLUMN requested_user BIGINT NOT NULL DEFAULT 0;
ALTER TABLE refunds ADD COLUMN decided_by TEXT NOT NULL DEFAULT '';
ALTER TABLE refunds ADD COLUMN decided_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE refunds ADD COLUMN decision_note TEXT NOT NULL DEFAULT '';
CREATE INDEX refunds_waiting ON refunds (tenant_id, id) WHERE approval = 'PENDING';

-- What does not verify is bounded by account and hour, and let go after a month.
CREATE INDEX callbacks_forged ON callbacks (merchant_id, received_at) WHERE outcome = 'FORGED';
