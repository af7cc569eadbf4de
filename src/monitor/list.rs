//! `GET /api/services/`: all services with their histories, the largest body of all, which every
//! tab asks for every 5 to 10 s.

use axum::http::HeaderMap;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::registry::{Monitor, State};
use super::rendered::{NotRendered, Rendered};
use super::shown::{Shown, live_until};
use crate::app::AppState;
use crate::compat::Stamp;
use crate::web::error::ApiResult;

/// All services, in the order in which they were created. One whose agent has not reported its
/// traffic for 30 s has none.
#[utoipa::path(get, path = "/api/services", tag = "services",
    responses((status = 200, body = Vec<Shown<'static>>), (status = 304)))]
async fn list_services(app: AppState, headers: HeaderMap) -> ApiResult<Response> {
    app.monitor.list.respond(&app, &headers, render).await
}

pub(super) fn render(monitor: &Monitor, now: Stamp) -> Result<Rendered, NotRendered> {
    let revision = monitor.revision();
    let (mut pieces, mut until) = (Vec::new(), None);
    for watched in monitor.all() {
        let mut state = watched.lock();
        let State {
            service, listed, ..
        } = &mut *state;
        let piece = listed.piece(service, now, |service| Shown::listed(service, now))?;
        let ends = live_until(service, now);
        drop(state);
        pieces.push(piece);
        until = [until, ends].into_iter().flatten().min();
    }
    Rendered::new("[", pieces, "]", (revision, now, until))
}

/// The routes of this file.
pub(super) fn router() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list_services))
}
