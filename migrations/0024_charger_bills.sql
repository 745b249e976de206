-- The zone in which an order is priced, as it was when the order was made. NULL:
-- made before there was this column; the station's present zone counts.
ALTER TABLE orders ADD COLUMN zone TEXT;

-- What chargers say themselves that sessions delivered and cost: the first word
-- of each order, never changed. It is compared with our bill when a day is
-- reconciled.
CREATE TABLE charger_bills (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    order_id BIGINT NOT NULL,
    charger_id BIGINT NOT NULL,
    energy BIGINT, -- NULL: not told
    amount BIGINT, -- fen, likewise
    periods TEXT NOT NULL, -- JSON, '' when none were told
    begun_at BIGINT NOT NULL, -- the charger's clock; 0: not told
    ended_at BIGINT NOT NULL,
    received_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX charger_bills_order ON charger_bills (order_id);
CREATE INDEX charger_bills_day ON charger_bills (tenant_id, received_at);

-- Energies on both sides, of differences between our bill and a charger's.
ALTER TABLE recon_differences ADD COLUMN local_energy BIGINT;
ALTER TABLE recon_differences ADD COLUMN channel_energy BIGINT;
