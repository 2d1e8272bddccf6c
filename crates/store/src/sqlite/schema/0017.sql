CREATE TABLE shared (                    -- small values that every node of a cluster needs
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL,
    changed_ms INTEGER NOT NULL
) WITHOUT ROWID;
