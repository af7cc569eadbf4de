//! Black-box tests: each starts the real binary with a data directory of its own, against a
//! simulated Plex server of its own, on free ports. One file per promise.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and its client needs no time-outs of ours"
)]

mod activities;
mod api_description;
mod arr;
mod auth;
mod backup;
mod browser;
mod caching;
mod command_line;
mod connection;
mod dashboard;
mod database;
mod demo;
mod documents;
mod fields;
mod friends;
mod frontend;
mod harness;
mod history_sync;
mod http;
mod icons;
mod image;
mod images;
mod invites;
mod lifecycle;
mod monitoring;
mod notifications;
mod oauth;
mod origin;
mod overseerr;
mod proxies;
mod recent_media;
mod redeeming;
mod redis;
mod redis_faults;
mod redis_harness;
mod redis_kinds;
mod redis_notes;
mod secrets;
mod services;
mod sessions;
mod settings;
mod settings_api;
mod stats;
mod storage;
mod tls;
mod traffic;
mod traffic_ws;
mod trouble;
mod users;
mod version;
mod warming;
mod watch_history;
