//! The TOML form of settings: every field optional, unknown fields refused by name.
//!
//! The same types are read and printed, so that what `config show` prints is what `--settings` takes.

use std::path::PathBuf;

use espbroker_config::model;
use serde::{Deserialize, Serialize};

use super::{secret_source::HiddenText, word::Word};

/// A settings file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    /// Folder that relative paths count from.
    #[serde(skip)]
    pub(super) folder: PathBuf,
    pub(crate) name: Option<String>,
    pub(crate) role: Option<Word<model::Role>>,
    pub(crate) profile: Option<String>,
    pub(crate) wifi: Option<WifiSettings>,
    pub(crate) access_point: Option<AccessPointSettings>,
    pub(crate) broker: Option<BrokerSettings>,
    pub(crate) bridges: Option<Vec<BridgeSettings>>,
    pub(crate) plug: Option<PlugSettings>,
    pub(crate) cluster: Option<ClusterSettings>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WifiSettings {
    /// The network's name; `ssid_hex` is for names that are not text.
    pub(crate) ssid: Option<String>,
    pub(crate) ssid_hex: Option<String>,
    /// 8-63 ASCII characters or 64 hex digits; left out with an `ssid`, the network is open.
    pub(crate) passphrase: Option<HiddenText>,
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Drops a passphrase that the device has.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) open: bool,
    pub(crate) hidden: Option<bool>,
    pub(crate) bssid: Option<String>,
    pub(crate) channel: Option<u8>,
    pub(crate) ipv4: Option<Ipv4Settings>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ipv4Settings {
    /// `192.168.1.5/24`
    pub(crate) address: String,
    pub(crate) gateway: String,
    pub(crate) dns: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccessPointSettings {
    pub(crate) policy: Option<Word<model::AccessPointPolicy>>,
    pub(crate) ssid: Option<String>,
    pub(crate) passphrase: Option<HiddenText>,
    pub(crate) passphrase_file: Option<PathBuf>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BrokerSettings {
    pub(crate) mqtt_port: Option<u16>,
    pub(crate) websocket_port: Option<u16>,
    pub(crate) anonymous: Option<bool>,
    /// Seconds; 0 publishes nothing under `$SYS`.
    pub(crate) sys_interval: Option<u16>,
    pub(crate) anonymous_permissions: Option<Vec<PermissionSettings>>,
    pub(crate) users: Option<Vec<UserSettings>>,
    pub(crate) limits: Option<LimitSettings>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UserSettings {
    pub(crate) name: String,
    pub(crate) password: Option<HiddenText>,
    pub(crate) password_file: Option<PathBuf>,
    /// `$7$...` as mosquitto_passwd writes it.
    pub(crate) password_hash: Option<HiddenText>,
    /// Left out, the user may do everything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) permissions: Vec<PermissionSettings>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PermissionSettings {
    /// `house/%u/#`
    pub(crate) pattern: String,
    pub(crate) access: Word<model::Access>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitSettings {
    pub(crate) clients: Option<u16>,
    pub(crate) subscriptions_per_client: Option<u16>,
    pub(crate) retained_messages: Option<u16>,
    pub(crate) retained_bytes: Option<u32>,
    pub(crate) packet_size: Option<u32>,
    pub(crate) queue_bytes: Option<u32>,
    pub(crate) sessions: Option<u16>,
    pub(crate) queue_messages: Option<u16>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BridgeSettings {
    pub(crate) name: String,
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    #[serde(default)]
    pub(crate) tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<HiddenText>,
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) client_id: Option<String>,
    pub(crate) keep_alive: Option<u16>,
    pub(crate) clean_session: Option<bool>,
    pub(crate) try_private: Option<bool>,
    pub(crate) notifications: Option<bool>,
    pub(crate) notification_topic: Option<String>,
    pub(crate) notifications_local_only: Option<bool>,
    pub(crate) outgoing_retain: Option<bool>,
    /// Seconds.
    pub(crate) restart_base: Option<u16>,
    /// Seconds.
    pub(crate) restart_cap: Option<u16>,
    #[serde(default)]
    pub(crate) topics: Vec<BridgeTopicSettings>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BridgeTopicSettings {
    #[serde(default)]
    pub(crate) pattern: String,
    pub(crate) direction: Option<Word<model::Direction>>,
    #[serde(default)]
    pub(crate) qos: u8,
    #[serde(default)]
    pub(crate) local_prefix: String,
    #[serde(default)]
    pub(crate) remote_prefix: String,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlugSettings {
    pub(crate) power_on: Option<Word<model::PowerOn>>,
    pub(crate) led: Option<Word<model::LedUse>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterSettings {
    pub(crate) name: String,
    /// 64 hex digits.
    pub(crate) key: Option<HiddenText>,
    pub(crate) key_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) priority: u8,
    pub(crate) virtual_ipv4: Option<String>,
}

impl BridgeSettings {
    /// Nothing but name and host; all else is as on a new bridge.
    pub(crate) fn new(name: &str, host: &str) -> Self {
        Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port: None,
            tls: false,
            user: None,
            password: None,
            password_file: None,
            client_id: None,
            keep_alive: None,
            clean_session: None,
            try_private: None,
            notifications: None,
            notification_topic: None,
            notifications_local_only: None,
            outgoing_retain: None,
            restart_base: None,
            restart_cap: None,
            topics: Vec::new(),
        }
    }
}

impl Settings {
    /// Folder that relative paths count from.
    pub(crate) fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Whether the broker has a user.
    pub(crate) fn has_user(&self) -> bool {
        self.broker.as_ref().and_then(|broker| broker.users.as_ref()).is_some_and(|users| !users.is_empty())
    }

    /// Whether a secret stands in the file itself.
    pub(crate) fn holds_secrets(&self) -> bool {
        let wifi = self.wifi.iter().filter_map(|wifi| wifi.passphrase.as_ref());
        let access_point =
            self.access_point.iter().filter_map(|access_point| access_point.passphrase.as_ref());
        let users = self.broker.iter().flat_map(|broker| broker.users.iter().flatten());
        let users = users.flat_map(|user| [user.password.as_ref(), user.password_hash.as_ref()]).flatten();
        let bridges = self.bridges.iter().flatten().filter_map(|bridge| bridge.password.as_ref());
        let cluster = self.cluster.iter().filter_map(|cluster| cluster.key.as_ref());
        wifi.chain(access_point).chain(users).chain(bridges).chain(cluster).any(|secret| !secret.is_masked())
    }
}
