//! Sentinels, and a master whose place another takes.

use std::collections::HashMap;

use super::{Reachable, Redis, owned};
use crate::harness::until_asked;

/// Three Sentinels, two of which have to agree, over a master and its replica.
pub(crate) struct Sentinels {
    pub(crate) sentinels: Vec<Redis>,
    /// The master and the replica of the beginning.
    pub(crate) servers: Vec<Redis>,
}

impl Sentinels {
    /// The name by which the Sentinels know the master.
    pub(crate) const MASTER: &str = "mymaster";

    pub(crate) async fn start() -> Self {
        // By default a replica waits 5 s for others that may want the same copy.
        let server = || Redis::builder().config("repl-diskless-sync-delay", "0");
        let master = server().start().await;
        let place = format!("127.0.0.1 {}", master.port());
        let replica = server().config("replicaof", &place).start().await;
        // A Sentinel that misses the replica at its first look looks again only 10 s later.
        until_asked("the replica has its copy", async || {
            let info: String = replica.run(&["INFO", "replication"]).await;
            info.contains("master_link_status:up")
        })
        .await;
        let name = Self::MASTER;
        let lines = format!(
            "sentinel monitor {name} {place} 2\n\
             sentinel down-after-milliseconds {name} 500\n\
             sentinel failover-timeout {name} 2000\n"
        );
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let sentinel = Redis::builder().sentinel(&lines).await;
            // They introduce themselves every 2 s; tests need not wait for that.
            let quicker = ["SENTINEL", "DEBUG", "publish-period", "100"];
            let _: () = sentinel.run(&quicker).await;
            sentinels.push(sentinel);
        }
        let sentinels = Self {
            sentinels,
            servers: vec![master, replica],
        };
        sentinels.acquainted().await;
        sentinels
    }

    /// Waits until every Sentinel knows the two others and a replica fit to be master.
    async fn acquainted(&self) {
        for sentinel in &self.sentinels {
            until_asked("the Sentinels find each other", async || {
                let master: HashMap<String, String> =
                    sentinel.run(&["SENTINEL", "MASTER", Self::MASTER]).await;
                let replicas: Vec<HashMap<String, String>> =
                    sentinel.run(&["SENTINEL", "REPLICAS", Self::MASTER]).await;
                master["num-other-sentinels"] == "2"
                    && replicas.len() == 1
                    && replicas[0]["master-link-status"] == "ok"
            })
            .await;
        }
    }

    pub(crate) fn url(&self) -> String {
        let ports = self.sentinels.iter().map(Redis::port);
        let nodes: Vec<_> = ports.map(|port| format!("127.0.0.1:{port}")).collect();
        format!("redis-sentinel://{}/{}/0", nodes.join(","), Self::MASTER)
    }

    /// The master that all Sentinels name, if they agree.
    async fn named(&self) -> Option<usize> {
        let mut named = Vec::new();
        for sentinel in self.sentinels.iter().filter(|one| one.is_running()) {
            let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", Self::MASTER];
            let (_, port): (String, u16) = sentinel.run(&question).await;
            named.push(self.servers.iter().position(|one| one.port() == port)?);
        }
        named.dedup();
        match named[..] {
            [one] => Some(one),
            _ => None,
        }
    }

    /// Waits until all Sentinels name the same running server, and it is a master.
    pub(crate) async fn master(&self) -> &Redis {
        let mut found = None;
        until_asked("the Sentinels agree on a master", async || {
            found = self.named().await.map(|index| &self.servers[index]);
            let Some(server) = found.filter(|server| server.is_running()) else {
                return false;
            };
            let info: String = server.run(&["INFO", "replication"]).await;
            info.contains("role:master")
        })
        .await;
        found.expect("just found")
    }

    /// Kills the master. `master` waits for its successor.
    pub(crate) async fn kill_master(&mut self) {
        let port = self.master().await.port();
        let master = self.servers.iter_mut().find(|one| one.port() == port);
        master.expect("one of them").kill();
    }
}

impl Reachable for Sentinels {
    fn env(&self) -> Vec<(String, String)> {
        owned(&[("REDIS_ENABLED", "true"), ("REDIS_URL", &self.url())])
    }
}
