//! Figures about all services.

use crate::store::{Store, StoreError};

/// How many services there are, and in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ServiceCounts {
    /// All of them; those in a state that nobody knows are counted only here.
    pub total: u64,
    /// Those that answer as they should.
    pub online: u64,
    /// Those that do not answer, and those without a state: they were never checked.
    pub offline: u64,
    /// Those that answer slowly or with an error.
    pub problem: u64,
}

/// Counts the services by the state in the database.
///
/// # Errors
/// The database can't be read.
pub async fn count_services(store: &Store) -> Result<ServiceCounts, StoreError> {
    let query =
        "SELECT coalesce(CAST(status AS TEXT), 'offline'), count(*) FROM services GROUP BY 1";
    let states: Vec<(String, i64)> = sqlx::query_as(query).fetch_all(store.reader()).await?;
    let mut counts = ServiceCounts::default();
    for (state, services) in states {
        let services = services.unsigned_abs();
        counts.total += services;
        match state.as_str() {
            "online" => counts.online += services,
            "offline" => counts.offline += services,
            "problem" => counts.problem += services,
            _ => {}
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_service_without_a_state_is_offline_and_an_unknown_state_only_counts() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        assert_eq!(
            count_services(&store).await.unwrap(),
            ServiceCounts::default()
        );
        let fill = "INSERT INTO services (id, name, url, type, status) VALUES \
            ('a', 'a', 'u', 'website', 'online'), ('b', 'b', 'u', 'website', 'online'), \
            ('c', 'c', 'u', 'website', 'offline'), ('d', 'd', 'u', 'website', NULL), \
            ('e', 'e', 'u', 'website', 'problem'), ('f', 'f', 'u', 'website', 'asleep')";
        store
            .write(move |c| Box::pin(async move { sqlx::query(fill).execute(c).await }))
            .await
            .unwrap();
        let expected = ServiceCounts {
            total: 6,
            online: 2,
            offline: 2,
            problem: 1,
        };
        assert_eq!(count_services(&store).await.unwrap(), expected);
    }
}
