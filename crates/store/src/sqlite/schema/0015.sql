CREATE TABLE journal (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    salt INTEGER NOT NULL                -- batches with another salt are void: these tables have what they say
);
INSERT INTO journal VALUES (1, random());
