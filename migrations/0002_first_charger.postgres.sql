-- The first charger is 10001.
ALTER TABLE chargers ALTER COLUMN id RESTART WITH 10001;
