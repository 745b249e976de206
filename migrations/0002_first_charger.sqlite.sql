-- The first charger is 10001.
INSERT INTO sqlite_sequence (name, seq) VALUES ('chargers', 10000);
