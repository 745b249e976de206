-- Stations around a point are looked for in stripes of latitude, 0.05 degrees
-- high (there are 3,601), and within a stripe by longitude. What else is asked, a
-- tenant or a type of charger, is part of the stripe's number, so that an index holds
-- the few rows in the circle whatever is asked, and no planner has a choice.
-- A charger carries the place of its station while that is shown.
ALTER TABLE chargers ADD COLUMN latitude BIGINT;
ALTER TABLE chargers ADD COLUMN longitude BIGINT;
UPDATE chargers SET
    latitude = (SELECT s.latitude FROM stations s WHERE s.id = chargers.station_id AND s.deleted_at = 0 AND s.status = 1),
    longitude = (SELECT s.longitude FROM stations s WHERE s.id = chargers.station_id AND s.deleted_at = 0 AND s.status = 1)
WHERE deleted_at = 0;

DROP INDEX stations_near;
CREATE INDEX stations_near ON stations (((latitude + 900000000) / 500000), longitude, latitude, tenant_id, id) WHERE deleted_at = 0 AND status = 1;
CREATE INDEX stations_near_tenant ON stations ((tenant_id * 100000 + (latitude + 900000000) / 500000), longitude, latitude, id)
    WHERE deleted_at = 0 AND status = 1;

CREATE INDEX chargers_near ON chargers ((type * 10000 + (latitude + 900000000) / 500000), longitude, latitude, tenant_id, station_id)
    WHERE deleted_at = 0;
CREATE INDEX chargers_near_tenant ON chargers ((tenant_id * 100000 + type * 10000 + (latitude + 900000000) / 500000), longitude, latitude, station_id)
    WHERE deleted_at = 0;
CREATE INDEX chargers_idle ON chargers ((type * 10000 + (latitude + 900000000) / 500000), longitude, latitude, tenant_id, station_id)
    WHERE deleted_at = 0 AND enabled = TRUE AND status = 1;
CREATE INDEX chargers_idle_tenant ON chargers ((tenant_id * 100000 + type * 10000 + (latitude + 900000000) / 500000), longitude, latitude, station_id)
    WHERE deleted_at = 0 AND enabled = TRUE AND status = 1;
