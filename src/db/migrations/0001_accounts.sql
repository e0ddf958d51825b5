-- Who lives here: roles, and one row for each person or service.

-- Secrets and counters of this database itself: master_secret, generation.
CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- permissions is a JSON array of names; the role admin has all of them whatever stands here.
CREATE TABLE roles (
    name        TEXT    NOT NULL PRIMARY KEY,
    description TEXT    NOT NULL,
    permissions TEXT    NOT NULL,
    built_in    INTEGER NOT NULL DEFAULT 0,
    created_at  INTEGER NOT NULL,
    updated_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

INSERT INTO roles (name, description, permissions, built_in, created_at, updated_at) VALUES
    ('admin',      'May do everything',                          '[]', 1, 0, 0),
    ('maintainer', 'Looks after people and invitations',
     '["users-read","invitations-read","invitations-write","events-read","system-health"]', 1, 0, 0),
    ('reader',     'Signs in and looks after their own account', '[]', 1, 0, 0),
    ('developer',  'Signs in and looks after their own account', '[]', 1, 0, 0);

-- username_key is the one canonical form of a name (NFKC, case folded); email is lower-case.
-- epoch is random and changes whenever every bearer of the account has to end at once.
CREATE TABLE accounts (
    id             TEXT    NOT NULL PRIMARY KEY,
    username       TEXT    NOT NULL,
    username_key   TEXT    NOT NULL UNIQUE,
    email          TEXT    UNIQUE,
    display_name   TEXT    NOT NULL,
    role           TEXT    NOT NULL REFERENCES roles (name),
    status         TEXT    NOT NULL CHECK (status IN ('active', 'pending', 'disabled')),
    email_verified INTEGER NOT NULL,
    password_hash  TEXT,
    pin_hash       TEXT,
    epoch          TEXT    NOT NULL,
    pending_until  INTEGER,
    last_login_at  INTEGER,
    created_at     INTEGER NOT NULL,
    updated_at     INTEGER NOT NULL
) STRICT;

CREATE INDEX accounts_role ON accounts (role);
-- "Is there an active account, an active admin" without reading a million rows.
CREATE INDEX accounts_active ON accounts (role) WHERE status = 'active';
CREATE INDEX accounts_pending ON accounts (pending_until) WHERE status = 'pending';
-- The login pad asks for the few that have a PIN.
CREATE INDEX accounts_pin ON accounts (username_key) WHERE pin_hash IS NOT NULL;

-- Wrong PINs are counted where a restart does not forget them.
CREATE TABLE pin_guards (
    account_id        TEXT    NOT NULL PRIMARY KEY REFERENCES accounts (id) ON DELETE CASCADE,
    window_started_at INTEGER NOT NULL,
    failures          INTEGER NOT NULL,
    locked_until      INTEGER NOT NULL,
    day_started_at    INTEGER NOT NULL,
    locks             INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
