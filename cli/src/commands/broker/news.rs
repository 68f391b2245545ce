//! What a running broker says, in plain words and as JSON.

use std::{
    collections::BTreeMap,
    fmt::Display,
    net::{IpAddr, SocketAddr},
};

use espbroker_node::status::{BridgeReason, BridgeReport, ListenFailure, Service, Status};
use serde::{Serialize, Serializer};

use crate::{
    failure::bridge_hint,
    start_up::{listen_words, service_words},
};

/// Version of the JSON lines; raised when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// One thing that happened.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum News {
    /// Clients can connect.
    Listening {
        #[serde(serialize_with = "word")]
        service: Service,
        address: IpAddr,
        port: u16,
    },
    /// Clients cannot connect for now.
    ListenFailed {
        #[serde(serialize_with = "word")]
        service: Service,
        address: IpAddr,
        port: u16,
        #[serde(serialize_with = "word")]
        reason: ListenFailure,
    },
    /// The first attempt to reach another broker is under way.
    BridgeConnecting { name: String },
    /// The other broker has accepted the bridge.
    BridgeConnected { name: String },
    /// An attempt or a link has failed.
    BridgeFailed {
        name: String,
        #[serde(serialize_with = "word")]
        reason: BridgeReason,
    },
    /// Memory left for connections and messages.
    Heap { free: u32, lowest: u32 },
    /// Everything that the settings ask for is served.
    Ready,
    /// New settings are in use, apart from these fields.
    Configured { with_next_start: Vec<String> },
    /// New settings cannot be used; those before stay.
    NotConfigured { reason: String },
    /// A status that this program does not know.
    Other { kind: String, fields: BTreeMap<String, String> },
}

/// News with the version of their form.
#[derive(Serialize)]
pub(super) struct Versioned<'a> {
    version: u32,
    #[serde(flatten)]
    news: &'a News,
}

impl News {
    /// What a status means to somebody whose broker listens on `address`; `None` for what only a board has.
    pub(super) fn of(status: &Status, address: IpAddr) -> Option<Self> {
        Some(match status {
            &Status::Listening { service, port } => Self::Listening { service, address, port },
            &Status::ListenFailed { service, port, reason } => {
                Self::ListenFailed { service, address, port, reason }
            }
            Status::Bridge { name, report } => {
                let name = name.clone();
                match *report {
                    BridgeReport::Connecting => Self::BridgeConnecting { name },
                    BridgeReport::Connected => Self::BridgeConnected { name },
                    BridgeReport::Failed { reason } => Self::BridgeFailed { name, reason },
                }
            }
            &Status::Heap { free, lowest } => Self::Heap { free, lowest },
            Status::Ready { .. } => Self::Ready,
            Status::Unknown { kind, fields } => {
                let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
                let fields = fields.iter().map(|(key, value)| (key.clone(), text(value))).collect();
                Self::Other { kind: kind.clone(), fields }
            }
            Status::Boot { .. }
            | Status::Image(_)
            | Status::Config(_)
            | Status::Wifi(_)
            | Status::Address { .. }
            | Status::AccessPoint(_)
            | Status::Trial(_)
            | Status::Admin { .. }
            | Status::Relay { .. } => return None,
        })
    }

    /// In plain words; `None` for what nobody reads.
    pub(super) fn text(&self) -> Option<String> {
        Some(match self {
            Self::Listening { service, address, port } => {
                format!("{} on {}", service_words(*service), SocketAddr::new(*address, *port))
            }
            Self::ListenFailed { service, address, port, reason } => format!(
                "{} on {} is closed for now: the port is {}",
                service_words(*service),
                SocketAddr::new(*address, *port),
                listen_words(*reason)
            ),
            Self::BridgeConnecting { name } => format!("Bridge `{name}` is connecting."),
            Self::BridgeConnected { name } => format!("Bridge `{name}` is connected."),
            Self::BridgeFailed { name, reason } => {
                format!("bridge `{name}` {}; {}", bridge_words(*reason), bridge_hint(*reason))
            }
            Self::Heap { free, lowest } => format!("{free} bytes of heap free, {lowest} at the lowest"),
            Self::Ready => "The broker is ready.".to_owned(),
            Self::Configured { with_next_start } if with_next_start.is_empty() => {
                "The settings were read again and are in use.".to_owned()
            }
            Self::Configured { with_next_start } => format!(
                "The settings were read again and are in use, but for these, which need a new start: {}.",
                with_next_start.join(", ")
            ),
            Self::NotConfigured { reason } => format!("the settings stay as they were: {reason}"),
            Self::Other { .. } => return None,
        })
    }

    /// Whether somebody should read it twice.
    pub(super) const fn is_bad(&self) -> bool {
        matches!(self, Self::ListenFailed { .. } | Self::BridgeFailed { .. } | Self::NotConfigured { .. })
    }

    /// For JSON.
    pub(super) const fn versioned(&self) -> Versioned<'_> {
        Versioned { version: VERSION, news: self }
    }
}

/// What has become of a bridge, for people.
const fn bridge_words(reason: BridgeReason) -> &'static str {
    match reason {
        BridgeReason::NameNotFound => "does not find its host: the name has no address",
        BridgeReason::Refused => "finds its host, but nothing listens on the port",
        BridgeReason::Unreachable => "has no way to its host",
        BridgeReason::TimedOut => "gets no answer from its host",
        BridgeReason::ConnectionLost => "has lost its connection",
        BridgeReason::NoAnswer => "is hung up on before it is let in",
        BridgeReason::ProtocolViolated => "is answered with something that is not MQTT",
        BridgeReason::ProtocolRefused => "finds a broker that does not speak MQTT 3.1.1",
        BridgeReason::IdentifierRejected => "is refused for its client id",
        BridgeReason::ServerUnavailable => "finds a broker that has no room",
        BridgeReason::BadCredentials => "is refused for its user name or password",
        BridgeReason::NotAuthorized => "is not allowed to connect",
        BridgeReason::TlsNotSupported => "does not connect, since it cannot encrypt yet",
        BridgeReason::Other => "has failed",
    }
}

fn word<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn json(news: &News) -> String {
        serde_json::to_string(&news.versioned()).unwrap()
    }

    #[test]
    fn a_status_of_a_newer_device_is_passed_on_as_it_is() {
        let fields = vec![("name".to_owned(), b"cloud".to_vec()), ("state".to_owned(), b"up\xFF".to_vec())];
        let news = News::of(&Status::Unknown { kind: "tunnel".to_owned(), fields }, HERE).unwrap();
        assert_eq!(
            json(&news),
            r#"{"version":1,"event":"other","kind":"tunnel","fields":{"name":"cloud","state":"up�"}}"#
        );
        assert_eq!(news.text(), None);
    }

    #[test]
    fn a_bridge_that_fails_is_explained() {
        let report = BridgeReport::Failed { reason: BridgeReason::BadCredentials };
        let news = News::of(&Status::Bridge { name: "cloud".to_owned(), report }, HERE).unwrap();
        assert!(news.is_bad());
        assert_eq!(
            news.text().unwrap(),
            "bridge `cloud` is refused for its user name or password; check user and password of the bridge"
        );
        assert_eq!(
            json(&news),
            r#"{"version":1,"event":"bridge-failed","name":"cloud","reason":"bad-credentials"}"#
        );
    }

    #[test]
    fn a_port_that_closes_later_is_told_as_bad_news() {
        let (service, reason) = (Service::WebSocket, ListenFailure::Denied);
        let news = News::of(&Status::ListenFailed { service, port: 80, reason }, HERE).unwrap();
        assert!(news.is_bad());
        assert_eq!(
            news.text().unwrap(),
            "WebSocket on 127.0.0.1:80 is closed for now: the port is not allowed here"
        );
        assert_eq!(
            json(&news),
            r#"{"version":1,"event":"listen-failed","service":"websocket","address":"127.0.0.1","port":80,"reason":"denied"}"#
        );
    }
}
