-- Invitations, one-time tokens and the letters that carry them.

CREATE TABLE invitations (
    id           TEXT    NOT NULL PRIMARY KEY,
    token_digest BLOB    NOT NULL UNIQUE,
    email        TEXT,
    role         TEXT    NOT NULL REFERENCES roles (name),
    uses         INTEGER NOT NULL,
    uses_left    INTEGER NOT NULL CHECK (uses_left >= 0),
    created_by   TEXT,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    withdrawn_at INTEGER
) STRICT;

CREATE INDEX invitations_expiry ON invitations (expires_at);
CREATE INDEX invitations_role ON invitations (role);

-- Bound to purpose, account and address; consumed by one UPDATE.
CREATE TABLE one_time_tokens (
    digest      BLOB    NOT NULL PRIMARY KEY,
    purpose     TEXT    NOT NULL,
    account_id  TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    address     TEXT    NOT NULL,
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER NOT NULL,
    consumed_at INTEGER
) STRICT, WITHOUT ROWID;

CREATE INDEX one_time_tokens_account ON one_time_tokens (account_id, purpose);
CREATE INDEX one_time_tokens_expiry ON one_time_tokens (expires_at);

-- Letters wait here until they are sent; link is wiped then. client is the address that caused it,
-- empty for the command line and for tests of the mail server.
CREATE TABLE outbox (
    id              INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    purpose         TEXT    NOT NULL,
    recipient       TEXT    NOT NULL,
    account_id      TEXT    REFERENCES accounts (id) ON DELETE CASCADE,
    invitation_id   TEXT    REFERENCES invitations (id) ON DELETE CASCADE,
    client          TEXT    NOT NULL,
    link            TEXT,
    status          TEXT    NOT NULL CHECK (status IN ('waiting', 'held', 'sent', 'failed')),
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    last_error      TEXT,
    created_at      INTEGER NOT NULL,
    expires_at      INTEGER NOT NULL,
    sent_at         INTEGER
) STRICT;

CREATE INDEX outbox_recipient ON outbox (recipient, purpose, created_at);
CREATE INDEX outbox_client ON outbox (client, created_at);
CREATE INDEX outbox_account ON outbox (account_id);
CREATE INDEX outbox_invitation ON outbox (invitation_id);
CREATE INDEX outbox_due ON outbox (next_attempt_at) WHERE status = 'waiting';
CREATE INDEX outbox_expiry ON outbox (expires_at);

-- An account elsewhere that signs in here, known by issuer and subject only.
CREATE TABLE identities (
    id           TEXT    NOT NULL PRIMARY KEY,
    account_id   TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    provider     TEXT    NOT NULL,
    issuer       TEXT    NOT NULL,
    subject      TEXT    NOT NULL,
    email        TEXT,
    created_at   INTEGER NOT NULL,
    last_used_at INTEGER,
    UNIQUE (issuer, subject)
) STRICT;

CREATE INDEX identities_account ON identities (account_id);
