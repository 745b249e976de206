-- The keys that secrets in the store may be sealed with, by name. A program
-- writes its key here before it seals with it, and refuses to serve without one
-- of those listed; a key leaves when nothing is sealed with it any more.
CREATE TABLE sealing_keys (
    name TEXT NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);
