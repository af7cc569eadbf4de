//! A connection to Redis, whatever its kind: one for commands, one for messages.

use std::time::Duration;

use futures_util::future::select_ok;
use redis::aio::{MultiplexedConnection, PubSub};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::sentinel::{SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, ConnectionInfo, FromRedisValue,
    IntoConnectionInfo as _, RedisConnectionInfo, RedisResult, TlsMode, Value,
};
use tokio::time::timeout;

use super::trouble::Trouble;
use crate::settings::{RedisNode, RedisNodes, RedisPlace, Secret};

/// Nothing that is sent waits longer for its answer; most callers wait less.
const LONGEST_ANSWER: Duration = Duration::from_secs(2);

/// Where commands are sent; clones share one connection.
#[derive(Clone)]
pub(super) enum Commands {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Commands {
    /// Whether keys live on several servers.
    pub(super) const fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Sends `command` and waits `patience` for the answer.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        command: &Cmd,
        patience: Duration,
    ) -> Result<T, Trouble> {
        let asked = async {
            match self {
                Self::Server(one) => command.query_async(&mut one.clone()).await,
                Self::Cluster(many) => command.query_async(&mut many.clone()).await,
            }
        };
        Ok(timeout(patience, asked).await??)
    }

    /// Sends `command` to every server that holds keys: their names and answers.
    pub(super) async fn ask_all(
        &self,
        command: &Cmd,
        patience: Duration,
    ) -> Result<Vec<(Option<RedisNode>, Value)>, Trouble> {
        let Self::Cluster(many) = self else {
            return Ok(vec![(None, self.ask(command, patience).await?)]);
        };
        let masters = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
        let mut many = many.clone();
        let asked = many.route_command(command.clone(), masters);
        let Value::Map(answers) = timeout(patience, asked).await?? else {
            return Err(Trouble::Protocol);
        };
        let named = answers.into_iter().map(|(name, answer)| {
            let name: String = redis::from_redis_value(name).map_err(|_| Trouble::Protocol)?;
            let (host, port) = name.rsplit_once(':').ok_or(Trouble::Protocol)?;
            let node = RedisNode {
                host: host.to_owned(),
                port: port.parse().map_err(|_| Trouble::Protocol)?,
            };
            Ok((Some(node), answer))
        });
        named.collect()
    }

    /// Sends `command` to one of the servers that [`Self::ask_all`] named.
    pub(super) async fn ask_one(
        &self,
        node: Option<&RedisNode>,
        command: &Cmd,
        patience: Duration,
    ) -> Result<Value, Trouble> {
        let (Self::Cluster(many), Some(node)) = (self, node) else {
            return self.ask(command, patience).await;
        };
        let (host, port) = (node.host.clone(), node.port);
        let there = RoutingInfo::SingleNode(SingleNodeRoutingInfo::ByAddress { host, port });
        let mut many = many.clone();
        let asked = many.route_command(command.clone(), there);
        Ok(timeout(patience, asked).await??)
    }
}

/// Connects for commands and for messages.
///
/// # Errors
/// It can't be reached, does not let us in, or does not answer.
pub(super) async fn connect(place: &RedisPlace) -> Result<(Commands, PubSub), Trouble> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(Some(LONGEST_ANSWER));
    let client = match &place.nodes {
        RedisNodes::Cluster(nodes) => return connect_cluster(place, nodes).await,
        RedisNodes::Server(node) => Client::open(info(place, address(node, place.tls))?)?,
        RedisNodes::Socket(path) => Client::open(info(place, ConnectionAddr::Unix(path.clone()))?)?,
        RedisNodes::Sentinel { .. } => master(place).await?,
    };
    let commands = client.get_multiplexed_async_connection_with_config(&config);
    let (commands, messages) = tokio::try_join!(commands, client.get_async_pubsub())?;
    Ok((Commands::Server(commands), messages))
}

async fn connect_cluster(
    place: &RedisPlace,
    nodes: &[RedisNode],
) -> Result<(Commands, PubSub), Trouble> {
    let known: RedisResult<Vec<ConnectionInfo>> = nodes
        .iter()
        .map(|node| info(place, address(node, place.tls)))
        .collect();
    let known = known?;
    let mut builder = ClusterClientBuilder::new(known.clone())
        // One, to follow a key to the node that it has moved to.
        .retries(1)
        .max_retry_wait(20)
        .min_retry_wait(1)
        .connection_timeout(LONGEST_ANSWER)
        .response_timeout(LONGEST_ANSWER);
    if !place.username.is_empty() {
        builder = builder.username(&place.username);
    }
    if let Some(password) = password(&place.username, &place.password) {
        builder = builder.password(password);
    }
    if place.tls {
        builder = builder.tls(TlsMode::Secure);
    }
    // A message reaches all nodes, whichever it was sent to: the first that lets us in will do.
    // Asked before the rest, as this tells why, should none of them.
    let messages = known
        .into_iter()
        .map(|node| Box::pin(async move { Client::open(node)?.get_async_pubsub().await }));
    let client = builder.build()?;
    let (messages, _) = select_ok(messages).await?;
    let commands = client.get_async_connection().await?;
    Ok((Commands::Cluster(commands), messages))
}

/// The present master, as the Sentinels tell.
async fn master(place: &RedisPlace) -> RedisResult<Client> {
    let RedisNodes::Sentinel {
        sentinels,
        master,
        username,
        password,
    } = &place.nodes
    else {
        return Err((redis::ErrorKind::InvalidClientConfig, "no Sentinels").into());
    };
    let sentinels = sentinels.iter().map(|node| address(node, place.tls));
    let mut builder = SentinelClientBuilder::new(sentinels, master, SentinelServerType::Master)?
        .set_client_to_redis_db(place.db.into());
    if place.tls {
        builder = builder
            .set_client_to_redis_tls_mode(TlsMode::Secure)
            .set_client_to_sentinel_tls_mode(TlsMode::Secure);
    }
    if !place.username.is_empty() {
        builder = builder.set_client_to_redis_username(&place.username);
    }
    if let Some(password) = self::password(&place.username, &place.password) {
        builder = builder.set_client_to_redis_password(password);
    }
    if !username.is_empty() {
        builder = builder.set_client_to_sentinel_username(username);
    }
    if let Some(password) = self::password(username, password) {
        builder = builder.set_client_to_sentinel_password(password);
    }
    builder.build()?.async_get_client().await
}

fn address(node: &RedisNode, tls: bool) -> ConnectionAddr {
    let (host, port) = (node.host.clone(), node.port);
    if tls {
        ConnectionAddr::TcpTls {
            host,
            port,
            insecure: false,
            tls_params: None,
        }
    } else {
        ConnectionAddr::Tcp(host, port)
    }
}

fn info(place: &RedisPlace, address: ConnectionAddr) -> RedisResult<ConnectionInfo> {
    // Its name is one more thing that a user would need the right to tell.
    let mut login = RedisConnectionInfo::default()
        .set_db(place.db.into())
        .set_skip_set_lib_name();
    if !place.username.is_empty() {
        login = login.set_username(&place.username);
    }
    if let Some(password) = password(&place.username, &place.password) {
        login = login.set_password(password);
    }
    Ok(address.into_connection_info()?.set_redis_settings(login))
}

/// Without one nobody logs in, and a user that needs none would be taken for the default one.
fn password<'a>(username: &str, password: &'a Secret) -> Option<&'a str> {
    let password = password.expose();
    (!username.is_empty() || !password.is_empty()).then_some(password)
}
