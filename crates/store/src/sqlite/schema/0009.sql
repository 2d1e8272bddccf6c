-- Of the whole content; NULL: committed before this column.
ALTER TABLE content ADD COLUMN crc32 INTEGER;
