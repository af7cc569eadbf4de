-- Uses of invites that were counted, and of which it is not settled yet whether plex.tv has sent the
-- invitation. A row is written before plex.tv is asked and removed with the outcome, so what is found
-- here at start was cut off in between.
CREATE TABLE IF NOT EXISTS redemptions (
	id INTEGER NOT NULL,
	invite_id INTEGER NOT NULL,
	email VARCHAR NOT NULL,
	-- The identifier of the Plex server that the invitation is to.
	machine VARCHAR NOT NULL,
	plex_home BOOLEAN NOT NULL,
	-- What plex.tv has said of the account; NULL for somebody who has only named an address.
	username VARCHAR,
	plex_id VARCHAR,
	thumb VARCHAR,
	started_at DATETIME NOT NULL,
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX IF NOT EXISTS ix_redemptions_email ON redemptions (email);
