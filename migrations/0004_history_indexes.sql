-- The histories of a service are read, cut and deleted by service: without these, each of that
-- reads whole tables. SQLite adds the `id` to every entry, so they also give a service's newest rows.
CREATE INDEX IF NOT EXISTS ix_response_history_service_id ON response_history (service_id);
CREATE INDEX IF NOT EXISTS ix_traffic_history_service_id ON traffic_history (service_id);
CREATE INDEX IF NOT EXISTS ix_storage_history_service_id ON storage_history (service_id);
