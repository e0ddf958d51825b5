-- What happened, for the people who look after the house. No foreign keys: an event outlives
-- the account that it speaks of.

CREATE TABLE events (
    id         INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    at         INTEGER NOT NULL,
    kind       TEXT    NOT NULL,
    account_id TEXT,
    actor_id   TEXT,
    address    TEXT    NOT NULL,
    dialect    TEXT    NOT NULL,
    detail     TEXT    NOT NULL
) STRICT;

CREATE INDEX events_account ON events (account_id, id);
CREATE INDEX events_kind ON events (kind, id);
CREATE INDEX events_at ON events (at);
