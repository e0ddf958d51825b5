-- What podcast clients keep in step. Texts are stored once and referred to by small numbers: one
-- account may have 200,000 episode actions, and the file may lie on an SD card.

-- One row for each account that synchronises. clock is the stamp of its last change, in seconds
-- since 1970, and only moves forward; actions is how many rows episode_actions has of it.
CREATE TABLE listeners (
    id         INTEGER NOT NULL PRIMARY KEY,
    account_id TEXT    NOT NULL UNIQUE REFERENCES accounts (id) ON DELETE CASCADE,
    clock      INTEGER NOT NULL,
    actions    INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A set of subscriptions. Devices that are synchronised have the same one.
CREATE TABLE podcast_sets (
    id          INTEGER NOT NULL PRIMARY KEY,
    listener_id INTEGER NOT NULL REFERENCES listeners (id) ON DELETE CASCADE
) STRICT;

CREATE INDEX podcast_sets_listener ON podcast_sets (listener_id);

CREATE TABLE podcast_devices (
    id          INTEGER NOT NULL PRIMARY KEY,
    listener_id INTEGER NOT NULL REFERENCES listeners (id) ON DELETE CASCADE,
    set_id      INTEGER NOT NULL REFERENCES podcast_sets (id),
    name        TEXT    NOT NULL,
    caption     TEXT    NOT NULL,
    kind        TEXT    NOT NULL
                CHECK (kind IN ('desktop', 'laptop', 'mobile', 'server', 'other')),
    UNIQUE (listener_id, name)
) STRICT;

CREATE INDEX podcast_devices_set ON podcast_devices (set_id);

-- The address first: "does anybody subscribe to this one" is asked too.
CREATE TABLE podcasts (
    id          INTEGER NOT NULL PRIMARY KEY,
    listener_id INTEGER NOT NULL REFERENCES listeners (id) ON DELETE CASCADE,
    url         TEXT    NOT NULL,
    title       TEXT,
    UNIQUE (url, listener_id)
) STRICT;

CREATE INDEX podcasts_listener ON podcasts (listener_id);

-- A subscription that has ended stays as a row, so that other devices learn of it.
CREATE TABLE subscriptions (
    set_id     INTEGER NOT NULL REFERENCES podcast_sets (id) ON DELETE CASCADE,
    podcast_id INTEGER NOT NULL REFERENCES podcasts (id) ON DELETE CASCADE,
    subscribed INTEGER NOT NULL CHECK (subscribed IN (0, 1)),
    stamp      INTEGER NOT NULL,
    PRIMARY KEY (set_id, podcast_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX subscriptions_stamp ON subscriptions (set_id, stamp);
CREATE INDEX subscriptions_podcast ON subscriptions (podcast_id);

-- digest is the beginning of the address's SHA-256: an index of it takes a fraction of what an
-- index of the addresses would.
CREATE TABLE episodes (
    id         INTEGER NOT NULL PRIMARY KEY,
    podcast_id INTEGER NOT NULL REFERENCES podcasts (id) ON DELETE CASCADE,
    digest     BLOB    NOT NULL CHECK (length(digest) = 16),
    url        TEXT    NOT NULL,
    guid       TEXT,
    UNIQUE (podcast_id, digest)
) STRICT;

-- In the order in which they came, so that what is new since a stamp lies together. place counts
-- within a stamp. at is when it happened, by the client; 0 for a device that was not named.
-- device_id has no foreign key: devices go with their listener, and an index for it would cost
-- more than it holds together.
CREATE TABLE episode_actions (
    listener_id INTEGER NOT NULL REFERENCES listeners (id) ON DELETE CASCADE,
    stamp       INTEGER NOT NULL,
    place       INTEGER NOT NULL,
    episode_id  INTEGER NOT NULL REFERENCES episodes (id) ON DELETE CASCADE,
    device_id   INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    at          INTEGER NOT NULL,
    started     INTEGER,
    position    INTEGER,
    total       INTEGER,
    PRIMARY KEY (listener_id, stamp, place)
) STRICT, WITHOUT ROWID;

-- What is sent again is the same row again; the latest of an episode is found here too.
CREATE UNIQUE INDEX episode_actions_same ON episode_actions (episode_id, at, kind, device_id);
