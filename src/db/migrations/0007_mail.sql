-- Letters that go out, and the places that people sign in from.

-- message_id stays the same however often a letter is tried, so that a server can tell that it has
-- it already. details holds what the letter tells besides its link, as a JSON object of texts, and
-- is wiped with it. sending_since stands while the letter is being handed over.
ALTER TABLE outbox ADD COLUMN message_id TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN details TEXT NOT NULL DEFAULT '{}';
ALTER TABLE outbox ADD COLUMN sending_since INTEGER;
UPDATE outbox SET message_id = lower(hex(randomblob(16)));

CREATE INDEX outbox_status ON outbox (status, id);

-- Networks from which somebody has signed in: a sign-in from another one is told to its owner.
CREATE TABLE places (
    account_id TEXT    NOT NULL REFERENCES accounts (id) ON DELETE CASCADE,
    place      TEXT    NOT NULL,
    seen_at    INTEGER NOT NULL,
    PRIMARY KEY (account_id, place)
) STRICT, WITHOUT ROWID;

CREATE INDEX places_seen ON places (seen_at);
