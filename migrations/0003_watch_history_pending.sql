-- Rows of watch_history that this program has inserted and whose details (duration, genres, …) have
-- still to be asked for, by the server that knows them. A row leaves this table when its details
-- are in, or when the server has none.
CREATE TABLE IF NOT EXISTS watch_history_pending (
	history_id INTEGER NOT NULL,
	server VARCHAR NOT NULL,
	rating_key VARCHAR NOT NULL,
	tries INTEGER NOT NULL DEFAULT 0,
	PRIMARY KEY (history_id)
);
CREATE INDEX IF NOT EXISTS ix_watch_history_pending_key
	ON watch_history_pending (server, rating_key);
