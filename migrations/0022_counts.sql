-- The figures of a fleet are counted from indexes alone; deleted_at stands in
-- them, or SQLite looks it up in the row.
CREATE INDEX chargers_counts ON chargers (tenant_id, enabled, status, deleted_at) WHERE deleted_at = 0;
CREATE INDEX chargers_out ON chargers (tenant_id) WHERE deleted_at <> 0 OR NOT enabled;
CREATE INDEX stations_counts ON stations (tenant_id, status, deleted_at) WHERE deleted_at = 0;
