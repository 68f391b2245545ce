//! [`BridgeSettings`]: what one bridge is told, in the words of mosquitto.conf(5).

use alloc::{boxed::Box, vec::Vec};
use core::fmt;

use espbroker_mqtt::QoS;

/// A link to another broker. Plain data, checked by whoever makes it; what cannot be sent or subscribed is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeSettings {
    /// `connection`: what the bridge is called here.
    pub name: Box<str>,
    /// `address`: host name or IPv4 address.
    pub host: Box<str>,
    /// TCP port.
    pub port: u16,
    /// The link is to be encrypted. There is no TLS here, so such a bridge never connects: nothing goes in the clear
    /// that was meant to be secret.
    pub tls: bool,
    /// `remote_username`.
    pub user: Option<Box<str>>,
    /// `remote_password`; without a user it is not sent.
    pub password: Option<BridgePassword>,
    /// `remote_clientid`. mosquitto's default, `<connection>.<host name>`, is for the maker of this value to apply.
    pub client_id: Box<str>,
    /// `keepalive_interval`, seconds; 0 turns the keep alive off.
    pub keep_alive: u16,
    /// `cleansession`: the other broker forgets subscriptions and messages when the link is down.
    pub clean_session: bool,
    /// `try_private`: says to the other broker that this is a bridge, so that it does not send the bridge's own
    /// messages back. Brokers that refuse this are asked again without it.
    pub try_private: bool,
    /// `notifications`: keeps the state of the link in a retained message, `1` for up and `0` for down.
    pub notifications: bool,
    /// `notification_topic`; `None` is `$SYS/broker/connection/<remote client id>/state`.
    pub notification_topic: Option<Box<str>>,
    /// `notifications_local_only`: the other broker is not told.
    pub notifications_local_only: bool,
    /// `bridge_outgoing_retain`: messages keep their RETAIN on the way out. Some cloud brokers close the connection
    /// over one.
    pub outgoing_retain: bool,
    /// First number of `restart_timeout`: shortest wait before connecting again, seconds; 0 counts as 1.
    pub restart_base: u16,
    /// Second number of `restart_timeout`: longest wait, seconds; below the shortest it counts as that.
    pub restart_cap: u16,
    /// `topic` lines in their order.
    pub topics: Vec<BridgeTopic>,
}

impl BridgeSettings {
    /// A bridge with mosquitto's defaults that carries nothing yet.
    pub fn new(name: &str, host: &str, client_id: &str) -> Self {
        Self {
            name: name.into(),
            host: host.into(),
            port: 1883,
            tls: false,
            user: None,
            password: None,
            client_id: client_id.into(),
            keep_alive: 60,
            clean_session: false,
            try_private: true,
            notifications: true,
            notification_topic: None,
            notifications_local_only: false,
            outgoing_retain: true,
            restart_base: 5,
            restart_cap: 30,
            topics: Vec::new(),
        }
    }
}

impl BridgeSettings {
    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        let text = |text: &Option<Box<str>>| text.as_ref().map_or(0, |text| text.len());
        let topics = self.topics.iter().map(|topic| {
            size_of::<BridgeTopic>()
                + topic.pattern.len()
                + topic.local_prefix.len()
                + topic.remote_prefix.len()
        });
        self.name.len()
            + self.host.len()
            + self.client_id.len()
            + text(&self.user)
            + text(&self.notification_topic)
            + self.password.as_ref().map_or(0, |password| password.expose().len())
            + topics.sum::<usize>()
    }
}

/// One `topic` line: `topic pattern direction qos local-prefix remote-prefix`.
///
/// Locally the line is about `local-prefix` + `pattern`, on the other broker about `remote-prefix` + `pattern`; a
/// message's topic has the one prefix replaced by the other. With an empty pattern the two prefixes are two topics
/// that stand for each other.
///
/// A line carries nothing when a prefix has a wildcard in it, when a prefix and the pattern together are not a topic
/// filter, or when the pattern and one prefix are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BridgeTopic {
    /// Topic filter, or the end of one; may be empty.
    pub pattern: Box<str>,
    /// Which way messages go.
    pub direction: Direction,
    /// Highest QoS of messages that this line carries.
    pub qos: QoS,
    /// In front of the topic here; may be empty.
    pub local_prefix: Box<str>,
    /// In front of the topic on the other broker; may be empty.
    pub remote_prefix: Box<str>,
}

/// Which way a `topic` line goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From here to the other broker.
    Out,
    /// From the other broker to here.
    In,
    /// Both ways.
    Both,
}

/// Password of a bridge at the other broker; any bytes. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct BridgePassword(Box<[u8]>);

impl BridgePassword {
    /// Wraps the password.
    pub fn new(password: &[u8]) -> Self {
        Self(password.into())
    }

    /// Hands out the password itself.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BridgePassword {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("****")
    }
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::*;

    #[test]
    fn settings_can_be_printed_without_the_password() {
        let password = BridgePassword::new(b"hunter2");
        assert_eq!(password.expose(), b"hunter2");
        let settings =
            BridgeSettings { password: Some(password), ..BridgeSettings::new("cloud", "example.org", "b") };
        let shown = format!("{settings:?}");
        assert!(shown.contains("password: Some(****)") && !shown.contains("hunter2"), "{shown}");
        assert!(!shown.contains("104, 117"), "{shown}");
    }
}
