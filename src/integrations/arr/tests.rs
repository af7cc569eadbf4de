//! What servers are asked for.

use axum::Router;
use axum::extract::FromRequestParts as _;
use axum::http::{Request, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::settings::Environment;

/// A server that answers every question with the question.
async fn echo() -> String {
    let router = Router::new().fallback(async |uri: Uri| {
        let asked = uri.path_and_query().unwrap().as_str().to_owned();
        json!({"records": [asked]}).to_string()
    });
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn asked(answer: Response) -> Vec<String> {
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await;
    let body: Value = serde_json::from_slice(&body.unwrap()).unwrap();
    let servers = body.as_object().unwrap().values();
    let asked = servers.map(|one| one["records"][0].as_str().unwrap().to_owned());
    asked.collect()
}

#[tokio::test]
async fn each_kind_is_asked_for_what_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let url = echo().await;
    let kinds = ["sonarr", "radarr", "lidarr"];
    let instances = kinds.map(
        |kind| json!({"id": kind, "type": kind, "url": format!("{url}/{kind}"), "api_key": "k"}),
    );
    let config = json!({"arr": {"instances": instances}}).to_string();
    std::fs::write(directory.path().join("config.json"), config).unwrap();
    let app = AppState::for_test(directory.path(), Environment::default()).await;

    let all = asked(queue(app.clone()).await.unwrap()).await;
    let every = "api/v3/queue?pageSize=10000&page=1";
    assert_eq!(
        all,
        [
            format!("/sonarr/{every}&includeUnknownSeriesItems=true"),
            format!("/radarr/{every}&includeUnknownMovieItems=true"),
            format!("/lidarr/{every}"),
        ]
    );
    for (query, page, size) in [
        ("", 1, 50),
        ("page=7&page_size=25", 7, 25),
        ("page=0&page_size=-3", 1, 1),
        ("page=99999999&page_size=5000", 1_000_000, 1000),
    ] {
        let request = Request::builder()
            .uri(format!("/?{query}"))
            .body(())
            .unwrap();
        let (mut parts, ()) = request.into_parts();
        let query = QueryParameters::from_request_parts(&mut parts, &()).await;
        let answer = history(app.clone(), query.unwrap()).await.unwrap();
        assert_eq!(
            asked(answer).await[1],
            format!(
                "/radarr/api/v3/history?page={page}&pageSize={size}&sortKey=date\
                 &sortDirection=descending&includeSeries=true&includeEpisode=true&includeMovie=true"
            )
        );
    }
}
