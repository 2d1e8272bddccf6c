CREATE TABLE total (                     -- how much there is, kept by the triggers below: counting a million rows takes a second
    id INTEGER PRIMARY KEY CHECK (id = 1),
    messages INTEGER NOT NULL,
    recipients INTEGER NOT NULL,
    set_aside INTEGER NOT NULL,
    held INTEGER NOT NULL,
    held_bytes INTEGER NOT NULL          -- a content counts once, however many held recipients share it
);
INSERT INTO total SELECT 1,
    (SELECT count(*) FROM message),
    (SELECT count(*) FROM recipient),
    (SELECT count(*) FROM recipient WHERE state = 2),
    (SELECT count(*) FROM recipient WHERE state = 3),
    (SELECT coalesce(sum(c.size_bytes), 0) FROM content c WHERE c.id IN
        (SELECT m.content_id FROM message m JOIN recipient r ON r.message_id = m.id WHERE r.state = 3));
CREATE TRIGGER message_added AFTER INSERT ON message BEGIN
    UPDATE total SET messages = messages + 1;
END;
CREATE TRIGGER message_removed AFTER DELETE ON message BEGIN
    UPDATE total SET messages = messages - 1;
END;
CREATE TRIGGER recipient_added AFTER INSERT ON recipient BEGIN
    UPDATE total SET recipients = recipients + 1, set_aside = set_aside + (NEW.state = 2), held = held + (NEW.state = 3);
END;
CREATE TRIGGER recipient_removed AFTER DELETE ON recipient BEGIN
    UPDATE total SET recipients = recipients - 1, set_aside = set_aside - (OLD.state = 2), held = held - (OLD.state = 3);
END;
CREATE TRIGGER recipient_moved AFTER UPDATE OF state ON recipient WHEN OLD.state <> NEW.state AND (OLD.state > 1 OR NEW.state > 1) BEGIN
    UPDATE total SET set_aside = set_aside + (NEW.state = 2) - (OLD.state = 2), held = held + (NEW.state = 3) - (OLD.state = 3);
END;
CREATE TRIGGER held_added AFTER INSERT ON recipient WHEN NEW.state = 3 BEGIN
    UPDATE total SET held_bytes = held_bytes + (SELECT coalesce(max(c.size_bytes), 0) FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = NEW.message_id AND NOT EXISTS (
        SELECT 1 FROM message o JOIN recipient r ON r.message_id = o.id
        WHERE o.content_id = m.content_id AND r.state = 3 AND NOT (r.message_id = NEW.message_id AND r.n = NEW.n)));
END;
CREATE TRIGGER held_removed AFTER DELETE ON recipient WHEN OLD.state = 3 BEGIN
    UPDATE total SET held_bytes = held_bytes - (SELECT coalesce(max(c.size_bytes), 0) FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = OLD.message_id AND NOT EXISTS (
        SELECT 1 FROM message o JOIN recipient r ON r.message_id = o.id
        WHERE o.content_id = m.content_id AND r.state = 3 AND NOT (r.message_id = OLD.message_id AND r.n = OLD.n)));
END;
CREATE TRIGGER held_released AFTER UPDATE OF state ON recipient WHEN OLD.state = 3 AND NEW.state <> 3 BEGIN
    UPDATE total SET held_bytes = held_bytes - (SELECT coalesce(max(c.size_bytes), 0) FROM message m JOIN content c ON c.id = m.content_id WHERE m.id = OLD.message_id AND NOT EXISTS (
        SELECT 1 FROM message o JOIN recipient r ON r.message_id = o.id
        WHERE o.content_id = m.content_id AND r.state = 3 AND NOT (r.message_id = OLD.message_id AND r.n = OLD.n)));
END;
-- What is held has the end of its time in next_attempt_ms.
UPDATE recipient SET next_attempt_ms = (SELECT m.expires_ms FROM message m WHERE m.id = message_id)
    WHERE state = 3 AND message_id IN (SELECT id FROM message);
CREATE INDEX recipient_held_until ON recipient (next_attempt_ms) WHERE state = 3;
