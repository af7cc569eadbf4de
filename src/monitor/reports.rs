//! What agents' reports of traffic and of storage have in common.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::Serialize;
use utoipa::ToSchema;

use super::model::SHOWN_POINTS;
use super::registry::NOT_FOUND;
use crate::compat::validation::{QueryParameters, ValidationError};
use crate::web::error::ApiError;

/// What an agent is told when its report was taken.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReportTaken)]
pub(super) struct Done {
    /// `success`.
    status: &'static str,
    /// For people.
    message: &'static str,
}

impl Done {
    pub(super) const fn saying(message: &'static str) -> Self {
        Self {
            status: "success",
            message,
        }
    }
}

/// How many points of a history are asked for: `limit`, 0 or more (contract 08, item 77).
#[derive(Clone, Copy, Debug)]
pub(super) struct Limit(usize);

impl Limit {
    /// The last points, oldest first.
    pub(super) fn newest<T: Clone>(self, history: &VecDeque<T>) -> Vec<T> {
        let first = history.len().saturating_sub(self.0);
        history.range(first..).cloned().collect()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Limit {
    type Rejection = ValidationError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ValidationError> {
        let Ok(query) = QueryParameters::from_request_parts(parts, state).await;
        query.count_or("limit", SHOWN_POINTS).map(Self)
    }
}

/// Agents that report for services which are not there. One that was forgotten does so every two
/// seconds, so each is worth one warning.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    named: Mutex<HashSet<String>>,
}

impl Strangers {
    /// How many the log names.
    const MOST: usize = 256;
    /// A UUID has 36 characters; whoever sends more is no agent.
    const LONGEST_ID: usize = 64;

    /// What an agent is told that reports its `subject` for a service which is not there: 404.
    pub(super) fn refuse(&self, id: &str, subject: &str) -> ApiError {
        if self.is_new(id) {
            tracing::warn!("Service not found for {subject} update: {id:?}");
        } else {
            tracing::debug!("Service not found for {subject} update");
        }
        ApiError::missing(NOT_FOUND)
    }

    fn is_new(&self, id: &str) -> bool {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = named.len() < Self::MOST && id.len() <= Self::LONGEST_ID;
        has_room && named.insert(id.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stranger_is_named_once_and_not_all_of_them_are() {
        let strangers = Strangers::default();
        assert!(strangers.is_new("a"));
        assert!(!strangers.is_new("a"));
        assert!(!strangers.is_new(&"x".repeat(65)));
        let named = (0..1000).filter(|n| strangers.is_new(&n.to_string()));
        assert_eq!(named.count(), 255);
    }

    #[test]
    fn the_newest_points_are_the_last_ones() {
        let history = VecDeque::from([1, 2, 3]);
        assert!(Limit(0).newest(&history).is_empty());
        assert_eq!(Limit(2).newest(&history), [2, 3]);
        assert_eq!(Limit(9).newest(&history), [1, 2, 3]);
    }
}
