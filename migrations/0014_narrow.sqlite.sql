-- Running sessions by their id were found by sessions_running as well: one
-- index less to write at a start and at a stop.
DROP INDEX sessions_open;

-- Readings, bill lines and postings lie in the order of their keys: a table and
-- an index become one. PostgreSQL has no such tables. Rows are copied
-- once.

CREATE TABLE samples_narrow (
    session_id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    tenant_id BIGINT NOT NULL,
    have BIGINT NOT NULL,
    register BIGINT NOT NULL,
    energy BIGINT NOT NULL,
    power BIGINT NOT NULL,
    voltage BIGINT NOT NULL,
    current BIGINT NOT NULL,
    soc BIGINT NOT NULL,
    temperature BIGINT NOT NULL,
    PRIMARY KEY (session_id, at)
) WITHOUT ROWID;
INSERT INTO samples_narrow (session_id, at, tenant_id, have, register, energy, power, voltage, current, soc, temperature)
SELECT session_id, at, tenant_id, have, register, energy, power, voltage, current, soc, temperature FROM samples;
DROP TABLE samples;
ALTER TABLE samples_narrow RENAME TO samples;

CREATE TABLE order_lines_narrow (
    order_id BIGINT NOT NULL REFERENCES orders (id),
    line_no BIGINT NOT NULL,
    tenant_id BIGINT NOT NULL,
    kind TEXT NOT NULL,
    period_kind TEXT,
    from_at BIGINT NOT NULL,
    to_at BIGINT NOT NULL,
    energy BIGINT,
    energy_price BIGINT,
    service_price BIGINT,
    minutes BIGINT,
    minute_price BIGINT,
    electricity_amount BIGINT NOT NULL,
    service_amount BIGINT NOT NULL,
    amount BIGINT NOT NULL,
    reason TEXT,
    PRIMARY KEY (order_id, line_no)
) WITHOUT ROWID;
INSERT INTO order_lines_narrow (order_id, line_no, tenant_id, kind, period_kind, from_at, to_at, energy, energy_price, service_price, minutes, minute_price, electricity_amount, service_amount, amount, reason)
SELECT order_id, line_no, tenant_id, kind, period_kind, from_at, to_at, energy, energy_price, service_price, minutes, minute_price, electricity_amount, service_amount, amount, reason FROM order_lines;
DROP TABLE order_lines;
ALTER TABLE order_lines_narrow RENAME TO order_lines;

CREATE TABLE postings_narrow (
    entry_id BIGINT NOT NULL REFERENCES journal (id),
    line_no BIGINT NOT NULL,
    tenant_id BIGINT NOT NULL,
    account_id BIGINT NOT NULL REFERENCES accounts (id),
    amount BIGINT NOT NULL, -- debit positive, credit negative
    PRIMARY KEY (entry_id, line_no)
) WITHOUT ROWID;
INSERT INTO postings_narrow (entry_id, line_no, tenant_id, account_id, amount)
SELECT entry_id, line_no, tenant_id, account_id, amount FROM postings;
DROP TABLE postings;
ALTER TABLE postings_narrow RENAME TO postings;
CREATE INDEX postings_account ON postings (account_id);
