-- Running sessions by their id were found by sessions_running as well: one
-- index less to write at a start and at a stop.
DROP INDEX sessions_open;
