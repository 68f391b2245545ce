//! What a config holds before anybody has asked for anything else.

use alloc::{string::String, vec::Vec};

use crate::{
    codec::Unknown,
    model::{
        Access, AccessPoint, AccessPointPolicy, Anonymous, Bridge, BridgeTopic, Broker, Cluster, Config,
        Direction, FixedIpv4, LedUse, Limits, PasswordHash, Permission, Plug, PowerOn, Profile, Role, User,
        Wifi,
    },
    secret::Secret,
};

/// MQTT over TCP (IANA).
pub const MQTT_PORT: u16 = 1883;

/// MQTT over TLS (IANA `secure-mqtt`).
pub const MQTT_TLS_PORT: u16 = 8883;

impl Config {
    /// A broker without network, users or bridges.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            role: Role::Broker,
            wifi: None,
            access_point: AccessPoint::default(),
            broker: Broker::default(),
            bridges: Vec::new(),
            profile: None,
            plug: Plug::default(),
            admin_key: None,
            cluster: None,
            unknown: Unknown::default(),
        }
    }
}

impl Wifi {
    /// An open network that announces its name and hands out addresses.
    pub fn new(ssid: impl Into<Vec<u8>>) -> Self {
        Self {
            ssid: ssid.into(),
            passphrase: None,
            hidden: false,
            bssid: None,
            channel: None,
            ipv4: None,
            unknown: Unknown::default(),
        }
    }
}

impl FixedIpv4 {
    /// An address whose gateway is also the name server.
    pub fn new(address: [u8; 4], prefix: u8, gateway: [u8; 4]) -> Self {
        Self { address, prefix, gateway, dns: None, unknown: Unknown::default() }
    }
}

impl Default for AccessPoint {
    /// Opened when the network is gone, with a name made of the MAC address and no passphrase.
    fn default() -> Self {
        Self {
            policy: AccessPointPolicy::Fallback,
            ssid: None,
            passphrase: None,
            unknown: Unknown::default(),
        }
    }
}

impl Default for Broker {
    /// MQTT on port 1883, no WebSocket, no users, nobody anonymous, `$SYS` every ten seconds.
    fn default() -> Self {
        Self {
            mqtt_port: MQTT_PORT,
            websocket_port: 0,
            anonymous: Anonymous::Refused,
            anonymous_permissions: Vec::new(),
            users: Vec::new(),
            sys_interval: 10,
            limits: Limits::default(),
            unknown: Unknown::default(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 32,
            subscriptions_per_client: 16,
            retained_messages: 64,
            retained_bytes: 8192,
            packet_size: 4096,
            queue_bytes: 4096,
            sessions: 16,
            queue_messages: 100,
            unknown: Unknown::default(),
        }
    }
}

impl User {
    /// An account that may do everything.
    pub fn new(name: impl Into<String>, password: PasswordHash) -> Self {
        Self { name: name.into(), password, permissions: Vec::new(), unknown: Unknown::default() }
    }
}

impl Permission {
    /// What is allowed with the topics that `pattern` covers.
    pub fn new(pattern: impl Into<String>, access: Access) -> Self {
        Self { pattern: pattern.into(), access, unknown: Unknown::default() }
    }
}

impl Bridge {
    /// A link without TLS, credentials or topics on port 1883.
    pub fn new(name: impl Into<String>, host: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            host: host.into(),
            port: MQTT_PORT,
            tls: false,
            user: None,
            password: None,
            client_id: None,
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
            unknown: Unknown::default(),
        }
    }
}

impl BridgeTopic {
    /// A topic at QoS 0 without prefixes.
    pub fn new(pattern: impl Into<String>, direction: Direction) -> Self {
        Self {
            pattern: pattern.into(),
            direction,
            qos: 0,
            local_prefix: String::new(),
            remote_prefix: String::new(),
            unknown: Unknown::default(),
        }
    }
}

impl Profile {
    /// A board with no pins in use.
    pub fn new(id: impl Into<String>) -> Self {
        Self { id: id.into(), pins: Vec::new(), unknown: Unknown::default() }
    }
}

impl Default for Plug {
    /// Comes back as it was, with an LED that shows the state of the network.
    fn default() -> Self {
        Self { power_on: PowerOn::Last, led: LedUse::Status, unknown: Unknown::default() }
    }
}

impl Cluster {
    /// Membership with the lowest priority and no shared address.
    pub fn new(name: impl Into<String>, key: Secret<[u8; 32]>) -> Self {
        Self { name: name.into(), key, priority: 0, virtual_ipv4: None, unknown: Unknown::default() }
    }
}
