CREATE INDEX recipient_set_aside ON recipient (lane) WHERE state = 2;
