-- Stations around a point are looked for in stripes of latitude, 0.05 degrees
-- high (there are 3,601), and within a stripe by longitude. What else is asked
-- stands in the stripe's number, a tenant and a type of charger, or decides
-- whether there is one: an index holds the few rows in the circle whatever is asked.
-- Each is asked for by its own expression, so that no planner mistakes one for the
-- other, even without statistics; hence also no WHERE deleted_at = 0, which
-- PostgreSQL believes to be rare then.
-- A charger carries the place of its station while that is shown.
ALTER TABLE chargers ADD COLUMN latitude BIGINT;
ALTER TABLE chargers ADD COLUMN longitude BIGINT;
UPDATE chargers SET
    latitude = (SELECT s.latitude FROM stations s WHERE s.id = chargers.station_id AND s.deleted_at = 0 AND s.status = 1),
    longitude = (SELECT s.longitude FROM stations s WHERE s.id = chargers.station_id AND s.deleted_at = 0 AND s.status = 1)
WHERE deleted_at = 0;

DROP INDEX stations_near;
CREATE INDEX stations_near ON stations ((CASE WHEN deleted_at = 0 AND status = 1 THEN (latitude + 900000000) / 500000 END), longitude, latitude)
    WHERE CASE WHEN deleted_at = 0 AND status = 1 THEN (latitude + 900000000) / 500000 END IS NOT NULL;
CREATE INDEX stations_near_tenant ON stations
    ((CASE WHEN deleted_at = 0 AND status = 1 THEN tenant_id * 100000 + (latitude + 900000000) / 500000 END), (longitude + 0), (latitude + 0))
    WHERE CASE WHEN deleted_at = 0 AND status = 1 THEN tenant_id * 100000 + (latitude + 900000000) / 500000 END IS NOT NULL;

CREATE INDEX chargers_near ON chargers ((CASE WHEN deleted_at = 0 THEN type * 10000 + (latitude + 900000000) / 500000 END), longitude, latitude)
    WHERE CASE WHEN deleted_at = 0 THEN type * 10000 + (latitude + 900000000) / 500000 END IS NOT NULL;
CREATE INDEX chargers_near_tenant ON chargers
    ((CASE WHEN deleted_at = 0 THEN tenant_id * 100000 + type * 10000 + (latitude + 900000000) / 500000 END), (longitude + 0), (latitude + 0))
    WHERE CASE WHEN deleted_at = 0 THEN tenant_id * 100000 + type * 10000 + (latitude + 900000000) / 500000 END IS NOT NULL;
CREATE INDEX chargers_idle ON chargers
    ((CASE WHEN deleted_at = 0 AND enabled AND status = 1 THEN type * 10000 + (latitude + 900000000) / 500000 END), longitude, latitude)
    WHERE CASE WHEN deleted_at = 0 AND enabled AND status = 1 THEN type * 10000 + (latitude + 900000000) / 500000 END IS NOT NULL;
CREATE INDEX chargers_idle_tenant ON chargers
    ((CASE WHEN deleted_at = 0 AND enabled AND status = 1 THEN tenant_id * 100000 + type * 10000 + (latitude + 900000000) / 500000 END), (longitude + 0), (latitude + 0))
    WHERE CASE WHEN deleted_at = 0 AND enabled AND status = 1 THEN tenant_id * 100000 + type * 10000 + (latitude + 900000000) / 500000 END IS NOT NULL;
