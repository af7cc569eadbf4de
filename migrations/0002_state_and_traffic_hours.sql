-- What this program has to remember between runs: the identifier of the installation, how far
-- synchronisations have come.
CREATE TABLE IF NOT EXISTS komandorr_state (
	name VARCHAR NOT NULL,
	value VARCHAR NOT NULL,
	PRIMARY KEY (name)
);

-- Bytes that a service has transferred in each hour (UTC, `2026-11-22T13`): the increase of its
-- agent's counters, which traffic_history holds as they were reported.
CREATE TABLE IF NOT EXISTS traffic_hours (
	service_id VARCHAR NOT NULL,
	hour VARCHAR NOT NULL,
	down_bytes INTEGER NOT NULL,
	up_bytes INTEGER NOT NULL,
	PRIMARY KEY (service_id, hour)
);
CREATE INDEX IF NOT EXISTS ix_traffic_hours_hour ON traffic_hours (hour);
