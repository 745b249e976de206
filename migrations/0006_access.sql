-- How long each tenant's bulk data stay, as its settings and those of its
-- ancestors say: what is older than the moments goes.
CREATE TABLE retention (
    tenant_id BIGINT NOT NULL PRIMARY KEY,
    frames_before BIGINT NOT NULL,
    samples_before BIGINT NOT NULL,
    audit_before BIGINT NOT NULL
);

-- Where the kept part of an audit chain begins: number and hash of the last row
-- that retention let go. The first kept row is chained to it.
CREATE TABLE audit_anchors (
    tenant_id BIGINT NOT NULL PRIMARY KEY,
    chain_no BIGINT NOT NULL,
    hash TEXT NOT NULL,
    at BIGINT NOT NULL
);
