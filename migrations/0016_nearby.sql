-- Stations around a point: everything that the choice needs stands in the index.
DROP INDEX stations_place;
CREATE INDEX stations_near ON stations (latitude, longitude, tenant_id, id) WHERE deleted_at = 0 AND status = 1;
