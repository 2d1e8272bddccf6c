CREATE INDEX srs_sender_made ON srs_sender (made_ms);
