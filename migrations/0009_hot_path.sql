-- The mark counts every change of tenants, stations, chargers, connectors, plans
-- and cards: what is remembered of them is compared with it.
INSERT INTO sequences (name, next) VALUES ('assets', 1);

-- Running sessions by their id: a reading moves no index.
DROP INDEX sessions_open;
CREATE INDEX sessions_open ON sessions (id) WHERE state IN ('ACTIVE', 'SUSPENDED');
