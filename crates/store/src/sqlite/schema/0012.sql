CREATE TABLE alias_options (
    source TEXT PRIMARY KEY,             -- an alias, in the database or in the virtual file
    options TEXT NOT NULL                -- JSON
) WITHOUT ROWID;
INSERT INTO alias_options SELECT source, json_object('strict_domain', setting) FROM strict_domain;
DROP TABLE strict_domain;
