use super::*;

const GB: i64 = 1 << 30;

async fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path()).await.unwrap();
    let service = sqlx::query(
        "INSERT INTO services (id, name, url, type) VALUES ('a', 'a', 'u', 'server'), \
         ('b', 'b', 'u', 'server')",
    );
    store
        .write(|c| Box::pin(async move { service.execute(c).await }))
        .await
        .unwrap();
    (directory, store)
}

/// Rows of 3.3.0: service, hours ago, gigabytes down and up.
async fn report(store: &Store, rows: &[(&str, i64, Option<f64>, Option<f64>)]) {
    let rows: Vec<_> = rows
        .iter()
        .map(|(service, hours, down, up)| {
            let at = datetime::sql((Utc::now() - TimeDelta::hours(*hours)).naive_utc());
            (service.to_string(), at, *down, *up)
        })
        .collect();
    store
        .write(|c| {
            Box::pin(async move {
                // As an odd old database may have it: without NOT NULL.
                for (service, at, down, up) in rows {
                    sqlx::query(
                        "INSERT INTO traffic_history (service_id, timestamp, bandwidth_up, \
                         bandwidth_down, total_up, total_down) VALUES (?, ?, 0, 0, ?, ?)",
                    )
                    .bind(service)
                    .bind(at)
                    .bind(up.map_or("nothing".to_owned(), |value| value.to_string()))
                    .bind(down.map_or("nothing".to_owned(), |value| value.to_string()))
                    .execute(&mut *c)
                    .await?;
                }
                Ok(())
            })
        })
        .await
        .unwrap();
}

async fn sums(store: &Store) -> (i64, i64) {
    let totals = totals(store, Utc::now()).await.unwrap();
    let gigabytes = |bytes: u64| i64::try_from(bytes).unwrap() / GB;
    (
        gigabytes(totals.last_24h_download_bytes),
        gigabytes(totals.last_30d_download_bytes),
    )
}

#[tokio::test]
async fn a_row_with_bytes_that_are_no_text_hides_no_other() {
    let (_directory, store) = store().await;
    report(&store, &[("a", 3, Some(1.0), None)]).await;
    let odd = sqlx::query(
        "INSERT INTO traffic_history (service_id, timestamp, bandwidth_up, bandwidth_down, \
         total_up, total_down) VALUES (CAST(x'ff61' AS TEXT), CAST(x'ff' AS TEXT), 0, 0, 1, 1)",
    );
    store
        .write(|c| Box::pin(async move { odd.execute(c).await }))
        .await
        .unwrap();
    report(&store, &[("a", 1, Some(4.0), None)]).await;
    seed(&store).await.unwrap();
    assert_eq!(sums(&store).await, (3, 3));
}

#[tokio::test]
async fn increases_are_added_up_and_a_counter_may_begin_anew() {
    let (_directory, store) = store().await;
    let (down, up) = (Some(200.5), Some(1.0));
    report(
        &store,
        &[
            ("a", 24 * 40, Some(10.0), up),
            ("a", 24 * 20, Some(110.0), up),
            ("b", 5, down, up),
            ("a", 5, Some(115.0), up),
            ("b", 4, Some(203.5), Some(3.0)),
            ("a", 4, None, None),
            ("a", 3, Some(7.0), up),
            ("a", 2, Some(7.0), up),
            ("a", 1, Some(f64::INFINITY), Some(-4.0)),
            ("b", 0, Some(204.5), Some(3.0)),
        ],
    )
    .await;
    seed(&store).await.unwrap();
    let expected = TrafficTotals {
        // a: 5, then 7 after beginning anew; b: 3 and 1.
        last_24h_download_bytes: 16 << 30,
        last_24h_upload_bytes: 2 << 30,
        last_30d_download_bytes: 116 << 30,
        last_30d_upload_bytes: 2 << 30,
    };
    assert_eq!(totals(&store, Utc::now()).await.unwrap(), expected);
}

#[tokio::test]
async fn each_row_counts_once_and_later_ones_go_on_from_it() {
    let (directory, store) = store().await;
    report(
        &store,
        &[("a", 3, Some(1.0), None), ("a", 2, Some(4.0), None)],
    )
    .await;
    seed(&store).await.unwrap();
    seed(&store).await.unwrap();
    assert_eq!(sums(&store).await, (3, 3));
    store.close().await;
    let store = Store::open(directory.path()).await.unwrap();
    report(
        &store,
        &[("a", 1, Some(6.0), None), ("b", 1, Some(9.0), None)],
    )
    .await;
    seed(&store).await.unwrap();
    assert_eq!(
        sums(&store).await,
        (5, 5),
        "what 3.3.0 wrote meanwhile is added"
    );
}

#[tokio::test]
async fn more_rows_than_one_batch() {
    let (_directory, store) = store().await;
    let fill = sqlx::query(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12001) \
         INSERT INTO traffic_history (service_id, timestamp, bandwidth_up, bandwidth_down, \
         total_up, total_down) SELECT CASE WHEN i % 2 THEN 'a' ELSE 'b' END, \
         strftime('%Y-%m-%d %H:%M:%f000', 'now'), 0, 0, 0, i FROM n",
    );
    store
        .write(|c| Box::pin(async move { fill.execute(c).await }))
        .await
        .unwrap();
    seed(&store).await.unwrap();
    assert_eq!(sums(&store).await.0, 12_000 + 11_998);
}

#[tokio::test]
async fn identifiers_that_are_given_out_again_do_not_hide_rows() {
    let (_directory, store) = store().await;
    report(
        &store,
        &[
            ("a", 5, Some(1.0), None),
            ("b", 4, Some(1.0), None),
            ("b", 3, Some(2.0), None),
        ],
    )
    .await;
    seed(&store).await.unwrap();
    let delete = sqlx::query("DELETE FROM traffic_history WHERE service_id = 'b'");
    store
        .write(|c| Box::pin(async move { delete.execute(c).await }))
        .await
        .unwrap();
    report(&store, &[("a", 1, Some(8.0), None)]).await;
    seed(&store).await.unwrap();
    assert_eq!(sums(&store).await, (8, 8));
}

#[tokio::test]
async fn old_hours_and_those_of_deleted_services_are_removed() {
    let (_directory, store) = store().await;
    let now = Utc::now().naive_utc();
    store
        .write(move |c| {
            Box::pin(async move {
                add(c, "a", now, 1, 2).await?;
                add(c, "a", now, 10, 20).await?;
                add(c, "a", now - TimeDelta::days(32), 100, 100).await?;
                add(c, "gone", now, 1_000, 1_000).await
            })
        })
        .await
        .unwrap();
    prune(&store).await.unwrap();
    let rows: Vec<(String, i64, i64)> =
        sqlx::query_as("SELECT service_id, down_bytes, up_bytes FROM traffic_hours")
            .fetch_all(store.reader())
            .await
            .unwrap();
    assert_eq!(rows, [("a".to_owned(), 11, 22)]);
}
