-- The second factor of a user: the sealed secret that his authenticator shares,
-- the time step of the last code taken, the hashes of the recovery codes left.
-- Zero in confirmed_at: enrolled, not yet asked for at a sign-in.
CREATE TABLE totp (
    user_id BIGINT NOT NULL PRIMARY KEY,
    tenant_id BIGINT NOT NULL,
    sealed TEXT NOT NULL,
    confirmed_at BIGINT NOT NULL,
    last_step BIGINT NOT NULL,
    recovery TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version BIGINT NOT NULL
);
