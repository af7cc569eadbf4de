-- What 3.3.0 creates in a new database (a dump of it).
CREATE TABLE services (
	id VARCHAR NOT NULL,
	name VARCHAR NOT NULL,
	url VARCHAR NOT NULL,
	type VARCHAR NOT NULL,
	status VARCHAR,
	last_check DATETIME,
	response_time FLOAT,
	description VARCHAR,
	icon VARCHAR,
	"group" VARCHAR,
	enabled BOOLEAN,
	bandwidth_up FLOAT,
	bandwidth_down FLOAT,
	total_up FLOAT,
	total_down FLOAT,
	max_bandwidth FLOAT,
	traffic_last_updated DATETIME,
	storage_hostname VARCHAR,
	storage_data VARCHAR,
	storage_last_updated DATETIME,
	PRIMARY KEY (id)
);
CREATE TABLE response_history (
	id INTEGER NOT NULL,
	service_id VARCHAR NOT NULL,
	timestamp DATETIME NOT NULL,
	response_time FLOAT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(service_id) REFERENCES services (id)
);
CREATE TABLE traffic_history (
	id INTEGER NOT NULL,
	service_id VARCHAR NOT NULL,
	timestamp DATETIME NOT NULL,
	bandwidth_up FLOAT NOT NULL,
	bandwidth_down FLOAT NOT NULL,
	total_up FLOAT NOT NULL,
	total_down FLOAT NOT NULL,
	PRIMARY KEY (id),
	FOREIGN KEY(service_id) REFERENCES services (id)
);
CREATE TABLE storage_history (
	id INTEGER NOT NULL,
	service_id VARCHAR NOT NULL,
	timestamp DATETIME NOT NULL,
	hostname VARCHAR NOT NULL,
	total_capacity FLOAT NOT NULL,
	total_used FLOAT NOT NULL,
	total_free FLOAT NOT NULL,
	average_usage_percent FLOAT NOT NULL,
	raid_healthy INTEGER,
	raid_degraded INTEGER,
	raid_failed INTEGER,
	PRIMARY KEY (id),
	FOREIGN KEY(service_id) REFERENCES services (id)
);
CREATE TABLE plex_stats (
	id INTEGER NOT NULL,
	peak_concurrent INTEGER,
	last_updated DATETIME, total_users INTEGER DEFAULT 0, total_movies INTEGER DEFAULT 0, total_tv_shows INTEGER DEFAULT 0,
	PRIMARY KEY (id)
);
CREATE TABLE invites (
	id INTEGER NOT NULL,
	code VARCHAR NOT NULL,
	created_at DATETIME NOT NULL,
	created_by VARCHAR,
	expires_at DATETIME,
	usage_limit INTEGER,
	used_count INTEGER,
	allow_sync BOOLEAN,
	allow_camera_upload BOOLEAN,
	allow_channels BOOLEAN,
	plex_home BOOLEAN,
	libraries VARCHAR,
	is_active BOOLEAN,
	PRIMARY KEY (id)
);
CREATE UNIQUE INDEX ix_invites_code ON invites (code);
CREATE TABLE plex_users (
	id INTEGER NOT NULL,
	email VARCHAR NOT NULL,
	username VARCHAR,
	plex_id VARCHAR,
	thumb VARCHAR,
	invite_id INTEGER NOT NULL,
	created_at DATETIME NOT NULL,
	last_seen DATETIME,
	expires_at DATETIME,
	is_active BOOLEAN,
	PRIMARY KEY (id),
	FOREIGN KEY(invite_id) REFERENCES invites (id)
);
CREATE UNIQUE INDEX ix_plex_users_email ON plex_users (email);
CREATE TABLE watch_history (
	id INTEGER NOT NULL,
	user_id VARCHAR,
	email VARCHAR,
	username VARCHAR,
	type VARCHAR NOT NULL,
	title VARCHAR NOT NULL,
	grandparent_title VARCHAR,
	parent_index INTEGER,
	"index" INTEGER,
	rating_key VARCHAR,
	viewed_at DATETIME NOT NULL,
	duration INTEGER NOT NULL,
	view_offset INTEGER,
	progress FLOAT,
	view_count INTEGER,
	rating FLOAT,
	year INTEGER,
	thumb VARCHAR,
	content_rating VARCHAR,
	studio VARCHAR,
	summary VARCHAR,
	genres VARCHAR,
	created_at DATETIME NOT NULL,
	PRIMARY KEY (id),
	CONSTRAINT _watch_history_uc UNIQUE (user_id, rating_key, viewed_at)
);
CREATE INDEX ix_watch_history_user_id ON watch_history (user_id);
CREATE INDEX ix_watch_history_email ON watch_history (email);
CREATE INDEX ix_watch_history_rating_key ON watch_history (rating_key);
CREATE INDEX ix_watch_history_viewed_at ON watch_history (viewed_at);
