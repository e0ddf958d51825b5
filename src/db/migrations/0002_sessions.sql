-- What people and programs carry after signing in.

-- One row for each sign-in of each dialect. An ended row stays until it would have expired anyway,
-- so that a restored copy can be told what had ended.
CREATE TABLE sessions (
    id             TEXT    NOT NULL PRIMARY KEY,
    account_id     TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    dialect        TEXT    NOT NULL,
    method         TEXT    NOT NULL,
    cookie_digest  BLOB    UNIQUE,
    refresh_digest BLOB,
    -- Only the refresh token that was rotated last may come again for a moment.
    rotated_digest BLOB,
    rotated_at     INTEGER,
    address        TEXT    NOT NULL,
    user_agent     TEXT    NOT NULL,
    created_at     INTEGER NOT NULL,
    last_seen_at   INTEGER NOT NULL,
    expires_at     INTEGER NOT NULL,
    ended_at       INTEGER
) STRICT;

CREATE INDEX sessions_live ON sessions (account_id, last_seen_at) WHERE ended_at IS NULL;
CREATE INDEX sessions_account ON sessions (account_id);
CREATE INDEX sessions_expiry ON sessions (expires_at);

-- permissions is a JSON array, or null for "all of the owner's".
CREATE TABLE api_keys (
    id           TEXT    NOT NULL PRIMARY KEY,
    account_id   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    name         TEXT    NOT NULL,
    key_prefix   TEXT    NOT NULL,
    digest       BLOB    NOT NULL UNIQUE,
    permissions  TEXT,
    expires_at   INTEGER,
    last_used_at INTEGER,
    created_at   INTEGER NOT NULL,
    revoked_at   INTEGER
) STRICT;

CREATE INDEX api_keys_account ON api_keys (account_id);
CREATE INDEX api_keys_revoked ON api_keys (revoked_at) WHERE revoked_at IS NOT NULL;
