-- Whether a podcast is served over https at this address, as a probe found; believed for a week.
CREATE TABLE https_probes (
    url        TEXT    NOT NULL PRIMARY KEY,
    works      INTEGER NOT NULL CHECK (works IN (0, 1)),
    checked_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX https_probes_checked ON https_probes (checked_at);
