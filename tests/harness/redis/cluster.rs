//! A Redis Cluster.

use redis::FromRedisValue;

use super::port::Port;
use super::{Reachable, Redis, owned};
use crate::harness::until_asked;

/// Three masters that share the slots, without replicas: with one of them down, the cluster is
/// down.
pub(crate) struct Cluster {
    pub(crate) nodes: Vec<Redis>,
    /// Where the nodes talk to each other.
    _bus: Vec<Port>,
}

impl Cluster {
    pub(crate) async fn start() -> Self {
        let slots = [("0", "5460"), ("5461", "10922"), ("10923", "16383")];
        let (mut nodes, mut bus) = (Vec::new(), Vec::new());
        for (epoch, (first, last)) in ["1", "2", "3"].into_iter().zip(slots) {
            let own_bus = Port::free();
            let node = Redis::builder()
                .config("cluster-enabled", "yes")
                .config("cluster-port", &own_bus.number().to_string())
                .config("cluster-announce-ip", "127.0.0.1")
                .config("cluster-node-timeout", "1000")
                .start()
                .await;
            let _: () = node.run(&["CLUSTER", "SET-CONFIG-EPOCH", epoch]).await;
            let slots = ["CLUSTER", "ADDSLOTSRANGE", first, last];
            let _: () = node.run(&slots).await;
            nodes.push(node);
            bus.push(own_bus);
        }
        for (one, other) in [(0, 1), (1, 2), (2, 0)] {
            let port = nodes[other].port().to_string();
            let bus = bus[other].number().to_string();
            let meet = ["CLUSTER", "MEET", "127.0.0.1", &port, &bus];
            let _: () = nodes[one].run(&meet).await;
        }
        let cluster = Self { nodes, _bus: bus };
        cluster.settled().await;
        cluster
    }

    /// Waits until every node finds that all of them are there.
    pub(crate) async fn settled(&self) {
        for node in &self.nodes {
            until_asked("the cluster settles", async || {
                let info: String = node.run(&["CLUSTER", "INFO"]).await;
                ["cluster_state:ok", "cluster_known_nodes:3"]
                    .iter()
                    .all(|line| info.contains(line))
            })
            .await;
        }
    }

    pub(crate) fn url(&self) -> String {
        let nodes = self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.port()));
        format!("redis-cluster://{}", nodes.collect::<Vec<_>>().join(","))
    }

    /// Kills a node. The others need a moment to find out.
    pub(crate) fn kill(&mut self, node: usize) {
        self.nodes[node].kill();
    }

    /// Starts it again, without its keys, and waits until the cluster is whole.
    pub(crate) async fn restart(&mut self, node: usize) {
        self.nodes[node].start_again().await;
        self.settled().await;
    }

    /// Runs a command about this key on the node that holds it.
    pub(crate) async fn run<T: FromRedisValue>(&self, key: &str, words: &[&str]) -> T {
        self.node_of(key).await.run(words).await
    }

    /// The node that holds this key.
    pub(crate) async fn node_of(&self, key: &str) -> &Redis {
        let slot: usize = self.nodes[0].run(&["CLUSTER", "KEYSLOT", key]).await;
        &self.nodes[slot / 5461]
    }

    /// The names of the keys of all nodes, sorted.
    pub(crate) async fn keys(&self, pattern: &str) -> Vec<String> {
        let mut keys = Vec::new();
        for node in &self.nodes {
            keys.extend(node.keys(pattern).await);
        }
        keys.sort();
        keys
    }
}

impl Reachable for Cluster {
    fn env(&self) -> Vec<(String, String)> {
        owned(&[("REDIS_ENABLED", "true"), ("REDIS_URL", &self.url())])
    }
}
