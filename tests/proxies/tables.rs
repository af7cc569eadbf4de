//! The paths that are passed on, and answers that may not be passed on as they are.

/// A path of ours, that of the simulator behind it, and the answer while nothing is configured.
pub(super) const ROUTES: &[(&str, &str, &str)] = &[
    (
        "posterizarr/dashboard",
        "/posterizarr/api/dashboard/all",
        NO_POSTERS,
    ),
    (
        "posterizarr/system-info",
        "/posterizarr/api/system-info",
        NO_POSTERS,
    ),
    (
        "posterizarr/version",
        "/posterizarr/api/version",
        NO_POSTERS,
    ),
    (
        "posterizarr/execution-status",
        "/posterizarr/api/status",
        NO_POSTERS,
    ),
    (
        "posterizarr/scheduler",
        "/posterizarr/api/scheduler/status",
        NO_POSTERS,
    ),
    (
        "posterizarr/runtime-history",
        "/posterizarr/api/runtime-history",
        NO_RUNS,
    ),
    (
        "posterizarr/assets/overview",
        "/posterizarr/api/assets/overview",
        NO_POSTERS,
    ),
    (
        "posterizarr/assets/stats",
        "/posterizarr/api/assets/stats",
        NO_POSTERS,
    ),
    (
        "posterizarr/plex-export/statistics",
        "/posterizarr/api/plex-export/statistics",
        NO_POSTERS,
    ),
    (
        "posterizarr/plex-export/runs",
        "/posterizarr/api/plex-export/runs",
        NO_RUNS,
    ),
    (
        "uploader/queue",
        "/uploader/srv/api/jobs/queue.php",
        r#"{"files":[],"not_configured":true}"#,
    ),
    (
        "uploader/inprogress",
        "/uploader/srv/api/jobs/inprogress.php",
        r#"{"jobs":[],"not_configured":true}"#,
    ),
    (
        "uploader/completed",
        "/uploader/srv/api/jobs/completed.php",
        NO_PAGE,
    ),
    (
        "uploader/queue_stats",
        "/uploader/srv/api/jobs/queue_stats.php",
        NO_COUNT,
    ),
    (
        "uploader/completed_today_stats",
        "/uploader/srv/api/jobs/completed_today_stats.php",
        NO_COUNT,
    ),
    (
        "uploader/failed",
        "/uploader/srv/api/jobs/failed.php",
        NO_PAGE,
    ),
    (
        "uploader/failed_count",
        "/uploader/srv/api/jobs/failed_count.php",
        NO_COUNT,
    ),
    ("vpn-proxy/containers", "/vpn/api/containers", "[]"),
    (
        "vpn-proxy/containers/vpn-info-batch",
        "/vpn/api/containers/vpn-info-batch",
        "{}",
    ),
    (
        "vpn-proxy/containers/dependents",
        "/vpn/api/containers/dependents",
        "[]",
    ),
    ("vpn-proxy/containers/2", "/vpn/api/containers/2", NO_VPN),
    (
        "vpn-proxy/containers/2/vpn-info",
        "/vpn/api/containers/2/vpn-info",
        NO_VPN,
    ),
    (
        "vpn-proxy/system/docker-status",
        "/vpn/api/system/docker-status",
        NO_VPN,
    ),
    ("vpn-proxy/monitoring", "/vpn/api/monitoring", "{}"),
    (
        "vpn-proxy/monitoring/network-usage",
        "/vpn/api/monitoring/network-usage",
        "{}",
    ),
    (MONITORS, "/vpn/api/monitoring/status", UNWATCHED),
];
const NO_POSTERS: &str = r#"{"not_configured":true}"#;
const NO_RUNS: &str = r#"{"not_configured":true,"runs":[]}"#;
const NO_PAGE: &str = r#"{"jobs":[],"total":0,"not_configured":true}"#;
const NO_COUNT: &str = r#"{"count":0,"not_configured":true}"#;
const NO_VPN: &str = r#"{"error":"Not configured"}"#;
/// It fails with no status but 200.
pub(super) const MONITORS: &str = "vpn-proxy/monitoring/status";
pub(super) const UNWATCHED: &str = r#"{"configured":false}"#;

/// These say whether a service is there, and fail with no status but 200 either.
pub(super) const STATES: &[(&str, &str)] = &[
    ("posterizarr", "/posterizarr/api"),
    ("uploader", "/uploader/srv/api/system/status.php"),
    ("vpn-proxy", "/vpn/api/health"),
];
/// Where whatever JSON is passed on.
pub(super) const ANYTHING: [&str; 5] = [
    "posterizarr/plex-export/runs",
    "vpn-proxy/containers/2",
    "vpn-proxy/containers/2/vpn-info",
    "vpn-proxy/system/docker-status",
    MONITORS,
];

pub(super) const REFUSED: &str = "";
/// A path, what the service says, and what becomes of it.
pub(super) const MENDED: &[(&str, &str, &str)] = &[
    (
        "uploader/queue",
        r#"{"files":[{"filesize":"12","x":1.50}]}"#,
        r#"{"files":[{"filesize":12,"x":1.50}]}"#,
    ),
    ("uploader/queue", r#"{"files":{"1":{}}}"#, REFUSED),
    ("uploader/inprogress", r#"{"jobs":null}"#, r#"{"jobs":[]}"#),
    ("uploader/inprogress", r#"{"jobs":{}}"#, REFUSED),
    ("uploader/completed", r#"{"jobs":"none"}"#, REFUSED),
    (
        "uploader/failed",
        r#"{"jobs":[null,{}]}"#,
        r#"{"jobs":[{}]}"#,
    ),
    (
        "uploader/queue_stats",
        r#"{"total_size":"7"}"#,
        r#"{"total_size":7}"#,
    ),
    (
        "uploader/failed_count",
        r#"{"count":"7"}"#,
        r#"{"count":7}"#,
    ),
    (
        "uploader/status",
        r#"{"connected":false,"status":{},"uptime":5,"storage":1.50,"x":[]}"#,
        r#"{"connected":true,"storage":"1.50","uptime":"5","x":[]}"#,
    ),
    (
        "uploader/status",
        r#"{"uptime":"5 h","connected":0}"#,
        r#"{"connected":true,"uptime":"5 h"}"#,
    ),
    ("uploader/status", "[]", r#"{"connected":true}"#),
    ("vpn-proxy/containers", r#"{"detail":"no"}"#, REFUSED),
    (
        "vpn-proxy/containers",
        r#"[{"id": 1}, null]"#,
        r#"[{"id": 1}]"#,
    ),
    ("vpn-proxy/containers/vpn-info-batch", "[1]", REFUSED),
    (
        "vpn-proxy/containers/vpn-info-batch",
        r#"{"1":{},"2":"x"}"#,
        r#"{"1":{}}"#,
    ),
    (
        "vpn-proxy/containers/dependents",
        r#"[{"network_mode":5}]"#,
        r#"[{"network_mode":"5"}]"#,
    ),
    (
        "vpn-proxy/monitoring",
        r#"{"TotalBwIn":5,"TotalBwOut":[]}"#,
        r#"{"TotalBwIn":"5"}"#,
    ),
    ("vpn-proxy/monitoring", r#"{"Readers":{}}"#, REFUSED),
    (
        "vpn-proxy/monitoring/network-usage",
        r#"{"Usage":{"Script":{"Proxy":{"u":{"Mbps":"1.5"}}},"Media":{"Proxy":null}}}"#,
        r#"{"Usage":{"Media":{"Proxy":{}},"Script":{"Proxy":{"u":{"Mbps":1.5}}}}}"#,
    ),
    (
        "posterizarr/dashboard",
        r#"{"scheduler_status":{"next_run":{}}}"#,
        r#"{"scheduler_status":{}}"#,
    ),
    (
        "posterizarr/scheduler",
        r#"{"next_run":{},"last_run":[],"active_jobs":[{"next_run":{}}]}"#,
        r#"{"active_jobs":[{}]}"#,
    ),
    ("posterizarr/scheduler", r#"{"schedules":{}}"#, REFUSED),
    (
        "posterizarr/runtime-history",
        r#"{"history":[{"timestamp":{}}]}"#,
        r#"{"history":[{}]}"#,
    ),
    (
        "posterizarr/runtime-history",
        r#"[{"timestamp":{}}, {"timestamp": 5}]"#,
        r#"[{},{"timestamp": 5}]"#,
    ),
    (
        "posterizarr/assets/stats",
        r#"{"stats":{"folders":null}}"#,
        r#"{"stats":{"folders":[]}}"#,
    ),
    (
        "posterizarr/plex-export/statistics",
        r#"{"statistics":{"latest_run":{}}}"#,
        r#"{"statistics":{}}"#,
    ),
];
