use tempfile::TempDir;

use super::*;
use crate::monitor::edit;
use crate::monitor::model::{Form, ResponsePoint, STORED_POINTS, StoragePoint, TrafficPoint};
use crate::monitor::registry::Watched;
use crate::settings::Environment;

async fn app() -> (TempDir, AppState) {
    let directory = tempfile::tempdir().unwrap();
    let app = AppState::for_test(directory.path(), Environment::default()).await;
    traffic_hours::seed(&app.store).await.unwrap();
    (directory, app)
}

async fn add(app: &AppState, name: &str) -> Arc<Watched> {
    let form = Form {
        name: name.to_owned(),
        url: String::new(),
        kind: "server".to_owned(),
        description: None,
        icon: None,
        group: None,
    };
    edit::add(app, form).await.unwrap()
}

fn at(second: u32) -> Stamp {
    let (minutes, seconds) = (second / 60, second % 60);
    Stamp::from_sql(&format!("2099-11-22 13:{minutes:02}:{seconds:02}")).unwrap()
}

/// A report of traffic, as an agent makes it.
fn report(watched: &Watched, second: u32, gigabytes: f64) {
    let mut state = watched.lock();
    let point = TrafficPoint {
        timestamp: at(second),
        bandwidth_up: 1.5,
        bandwidth_down: 38.538_000_000_000_004,
        total_up: 0.1,
        total_down: gigabytes,
    };
    state.service.traffic = Some(TrafficMetrics {
        bandwidth_up: point.bandwidth_up,
        bandwidth_down: point.bandwidth_down,
        total_up: point.total_up,
        total_down: point.total_down,
        max_bandwidth: None,
        cpu_percent: Some(1.0),
        memory_percent: None,
        last_updated: Some(at(second)),
    });
    state.unsaved.traffic = true;
    Unsaved::keep(&mut state.unsaved.traffic_points, point);
}

async fn number(app: &AppState, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(app.store.reader())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_written_is_what_a_restart_finds() {
    let (_directory, app) = app().await;
    let watched = add(&app, "nas").await;
    report(&watched, 1, 2.0);
    {
        let mut state = watched.lock();
        state.service.status = Status::Problem;
        state.service.last_check = Some(at(2));
        state.service.response_time = Some(12.345);
        state.unsaved.check = true;
        let point = ResponsePoint {
            timestamp: at(2),
            response_time: 12.345,
        };
        Unsaved::keep(&mut state.unsaved.responses, point);
        state.service.storage = Some(StorageMetrics {
            hostname: "nas".to_owned(),
            storage_paths: Vec::new(),
            raid_arrays: Vec::new(),
            zfs_pools: Vec::new(),
            disks: Vec::new(),
            last_updated: Some(at(3)),
        });
        state.unsaved.storage = true;
        let point = StoragePoint {
            timestamp: at(3),
            hostname: "nas".to_owned(),
            total_capacity: 3.0,
            total_used: 1.1,
            total_free: 1.9,
            average_usage_percent: 36.67,
            raid_healthy: 1,
            raid_degraded: 0,
            raid_failed: 2,
        };
        Unsaved::keep(&mut state.unsaved.storage_points, point);
    }
    let mut expected = watched.lock().service.clone();
    let points = |watched: &Watched| {
        let unsaved = &watched.lock().unsaved;
        (
            unsaved.responses.clone(),
            unsaved.traffic_points.clone(),
            unsaved.storage_points.clone(),
        )
    };
    let (responses, traffic, storage) = points(&watched);
    expected.response_history.extend(responses);
    expected.traffic_history.extend(traffic);
    expected.storage_history.extend(storage);
    // It has no column.
    expected.traffic.as_mut().unwrap().cpu_percent = None;
    save(&app).await.unwrap();
    assert!(watched.lock().unsaved.is_empty());
    let loaded = crate::monitor::load(&app.store).await;
    assert_eq!(*loaded.all()[0].lock().service, expected);
}

#[tokio::test]
async fn a_batch_that_was_written_after_all_is_not_written_twice() {
    let (_directory, app) = app().await;
    let watched = add(&app, "nas").await;
    report(&watched, 1, 2.0);
    let batch = Arc::new(Batch::collect(&app.monitor).unwrap());
    let again = Arc::clone(&batch);
    app.store
        .write(move |c| Box::pin(async move { again.write(c).await }))
        .await
        .unwrap();
    // Its end was not heard of, so it is tried again; what came meanwhile follows.
    app.monitor.recorder.lock().await.pending = Some(batch);
    report(&watched, 2, 3.0);
    save(&app).await.unwrap();
    assert_eq!(
        number(&app, "SELECT count(*) FROM traffic_history").await,
        2
    );
}

#[tokio::test]
async fn a_batch_that_fails_is_kept_and_waits_longer_each_time() {
    let (_directory, app) = app().await;
    let watched = add(&app, "nas").await;
    report(&watched, 1, 2.0);
    let rename = async |from: &'static str| {
        app.store
            .write(move |c| Box::pin(async move { sqlx::query(from).execute(c).await }))
            .await
            .unwrap();
    };
    rename("ALTER TABLE traffic_history RENAME TO elsewhere").await;
    let mut waits = Vec::new();
    for _ in 0..7 {
        waits.push(save(&app).await.unwrap_err().1.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 30, 30]);
    report(&watched, 2, 3.0);
    rename("ALTER TABLE elsewhere RENAME TO traffic_history").await;
    save_rest(&app).await;
    let rows = "SELECT count(*) FROM traffic_history WHERE total_down IN (2.0, 3.0)";
    assert_eq!(number(&app, rows).await, 2);
}

#[tokio::test]
async fn what_belongs_to_a_service_that_is_gone_is_not_written() {
    let (_directory, app) = app().await;
    let (gone, kept) = (add(&app, "gone").await, add(&app, "kept").await);
    report(&gone, 1, 2.0);
    report(&kept, 1, 2.0);
    let batch = Batch::collect(&app.monitor).unwrap();
    let id = gone.lock().service.id.clone();
    edit::remove(&app, id).await.unwrap();
    app.store
        .write(move |c| Box::pin(async move { batch.write(c).await }))
        .await
        .unwrap();
    assert_eq!(number(&app, "SELECT count(*) FROM services").await, 1);
    assert_eq!(
        number(&app, "SELECT count(*) FROM traffic_history").await,
        1
    );
}

#[tokio::test]
async fn all_traffic_is_counted_although_only_the_newest_rows_are_kept() {
    let (_directory, app) = app().await;
    let services = [add(&app, "one").await, add(&app, "two").await];
    let seconds: Vec<u32> = (0..2_500).collect();
    for batch in seconds.chunks(600) {
        for second in batch {
            for watched in &services {
                report(watched, *second, f64::from(*second));
            }
        }
        save(&app).await.unwrap();
    }
    assert_eq!(
        number(&app, "SELECT count(*) FROM traffic_history").await,
        2 * i64::try_from(STORED_POINTS).unwrap()
    );
    let oldest = "SELECT CAST(min(total_down) AS INTEGER) FROM traffic_history";
    assert_eq!(number(&app, oldest).await, 1_500);
    let sum = "SELECT sum(down_bytes) / (1 << 30) FROM traffic_hours";
    assert_eq!(number(&app, sum).await, 2 * 2_499);
}

#[tokio::test]
async fn rows_that_were_not_counted_yet_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let app = AppState::for_test(directory.path(), Environment::default()).await;
    let watched = add(&app, "one").await;
    for second in 0..1_900 {
        report(&watched, second, f64::from(second));
    }
    save(&app).await.unwrap();
    let rows = "SELECT count(*) FROM traffic_history";
    assert_eq!(
        number(&app, rows).await,
        1_900,
        "nobody knows where to begin"
    );
    traffic_hours::seed(&app.store).await.unwrap();
    report(&watched, 1_900, 1_900.0);
    save(&app).await.unwrap();
    assert_eq!(number(&app, rows).await, 1_000);
    let sum = "SELECT sum(down_bytes) / (1 << 30) FROM traffic_hours";
    assert_eq!(number(&app, sum).await, 1_900);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recorder_writes_soon_and_goes_on() {
    let (_directory, app) = app().await;
    let tasks = Tasks::new(app.stop.clone());
    start_recorder(&app, &tasks);
    let watched = add(&app, "one").await;
    for second in 1..4 {
        report(&watched, second, 1.0);
        app.monitor.unsaved.notify_one();
        let reported = tokio::time::Instant::now();
        while number(&app, "SELECT count(*) FROM traffic_history").await < i64::from(second) {
            assert!(reported.elapsed() < Duration::from_secs(20));
            sleep(Duration::from_millis(5)).await;
        }
    }
    tasks.stop(Duration::from_secs(2)).await;
}

#[tokio::test]
async fn a_service_that_goes_makes_no_traffic_of_others_count_twice() {
    let (_directory, app) = app().await;
    let (kept, gone) = (add(&app, "kept").await, add(&app, "gone").await);
    for (second, gigabytes) in [(1, 0.0), (10, 5.0)] {
        report(&kept, second, gigabytes);
        // Its row is the last one, and not the youngest.
        report(&gone, second / 2, gigabytes);
        save(&app).await.unwrap();
    }
    let id = gone.lock().service.id.clone();
    edit::remove(&app, id).await.unwrap();
    report(&kept, 11, 6.0);
    save(&app).await.unwrap();
    let sum = "SELECT sum(down_bytes) / (1 << 30) FROM traffic_hours";
    assert_eq!(number(&app, sum).await, 6);
}
