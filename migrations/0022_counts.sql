-- The figures of a fleet are counted from indexes alone.
CREATE INDEX chargers_counts ON chargers (tenant_id, enabled, status) WHERE deleted_at = 0;
CREATE INDEX chargers_out ON chargers (tenant_id) WHERE deleted_at <> 0 OR NOT enabled;
CREATE INDEX stations_counts ON stations (tenant_id, status) WHERE deleted_at = 0;
