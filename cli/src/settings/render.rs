//! Prints a config as settings, every secret masked.

use espbroker_config::model;

use super::{
    file::{
        AccessPointSettings, BridgeSettings, BridgeTopicSettings, BrokerSettings, ClusterSettings,
        Ipv4Settings, LimitSettings, PermissionSettings, PlugSettings, Settings, UserSettings, WifiSettings,
    },
    secret_source::HiddenText,
    word::Word,
};
use crate::hex::to_hex;

/// Turns `config` into settings whose secrets are all masks.
pub(crate) fn render(config: &model::Config) -> Settings {
    Settings {
        folder: std::path::PathBuf::new(),
        name: Some(config.name.clone()),
        role: Some(Word(config.role)),
        profile: config.profile.as_ref().map(|profile| profile.id.clone()),
        wifi: config.wifi.as_ref().map(wifi),
        access_point: Some(access_point(&config.access_point)),
        broker: Some(broker(&config.broker)),
        bridges: (!config.bridges.is_empty()).then(|| config.bridges.iter().map(bridge).collect()),
        plug: (config.role != model::Role::Broker || config.plug != model::Plug::default()).then_some(
            PlugSettings { power_on: Some(Word(config.plug.power_on)), led: Some(Word(config.plug.led)) },
        ),
        cluster: config.cluster.as_ref().map(|cluster| ClusterSettings {
            name: cluster.name.clone(),
            key: Some(HiddenText::masked()),
            key_file: None,
            priority: cluster.priority,
            virtual_ipv4: cluster.virtual_ipv4.map(ipv4),
        }),
    }
}

fn ipv4(address: [u8; 4]) -> String {
    std::net::Ipv4Addr::from(address).to_string()
}

fn wifi(wifi: &model::Wifi) -> WifiSettings {
    let text = String::from_utf8(wifi.ssid.clone()).ok();
    WifiSettings {
        ssid_hex: text.is_none().then(|| to_hex(&wifi.ssid, "")),
        ssid: text,
        passphrase: wifi.passphrase.as_ref().map(|_| HiddenText::masked()),
        passphrase_file: None,
        open: false,
        hidden: Some(wifi.hidden),
        bssid: wifi.bssid.map(|bssid| to_hex(&bssid, ":")),
        channel: wifi.channel,
        ipv4: wifi.ipv4.as_ref().map(|fixed| Ipv4Settings {
            address: format!("{}/{}", ipv4(fixed.address), fixed.prefix),
            gateway: ipv4(fixed.gateway),
            dns: fixed.dns.map(ipv4),
        }),
    }
}

fn access_point(access_point: &model::AccessPoint) -> AccessPointSettings {
    AccessPointSettings {
        policy: Some(Word(access_point.policy)),
        ssid: access_point.ssid.as_ref().map(|ssid| String::from_utf8_lossy(ssid).into_owned()),
        passphrase: access_point.passphrase.as_ref().map(|_| HiddenText::masked()),
        passphrase_file: None,
    }
}

fn broker(broker: &model::Broker) -> BrokerSettings {
    let limits = &broker.limits;
    BrokerSettings {
        mqtt_port: Some(broker.mqtt_port),
        websocket_port: Some(broker.websocket_port),
        anonymous: Some(broker.anonymous == model::Anonymous::Allowed),
        sys_interval: Some(broker.sys_interval),
        anonymous_permissions: Some(permissions(&broker.anonymous_permissions)),
        users: Some(
            broker
                .users
                .iter()
                .map(|user| UserSettings {
                    name: user.name.clone(),
                    password: Some(HiddenText::masked()),
                    password_file: None,
                    password_hash: None,
                    permissions: permissions(&user.permissions),
                })
                .collect(),
        ),
        limits: Some(LimitSettings {
            clients: Some(limits.clients),
            subscriptions_per_client: Some(limits.subscriptions_per_client),
            retained_messages: Some(limits.retained_messages),
            retained_bytes: Some(limits.retained_bytes),
            packet_size: Some(limits.packet_size),
            queue_bytes: Some(limits.queue_bytes),
            sessions: Some(limits.sessions),
            queue_messages: Some(limits.queue_messages),
        }),
    }
}

fn permissions(permissions: &[model::Permission]) -> Vec<PermissionSettings> {
    permissions
        .iter()
        .map(|permission| PermissionSettings {
            pattern: permission.pattern.clone(),
            access: Word(permission.access),
        })
        .collect()
}

fn bridge(bridge: &model::Bridge) -> BridgeSettings {
    BridgeSettings {
        name: bridge.name.clone(),
        host: bridge.host.clone(),
        port: Some(bridge.port),
        tls: bridge.tls,
        user: bridge.user.clone(),
        password: bridge.password.as_ref().map(|_| HiddenText::masked()),
        password_file: None,
        client_id: bridge.client_id.clone(),
        keep_alive: Some(bridge.keep_alive),
        clean_session: Some(bridge.clean_session),
        try_private: Some(bridge.try_private),
        notifications: Some(bridge.notifications),
        notification_topic: bridge.notification_topic.clone(),
        notifications_local_only: Some(bridge.notifications_local_only),
        outgoing_retain: Some(bridge.outgoing_retain),
        restart_base: Some(bridge.restart_base),
        restart_cap: Some(bridge.restart_cap),
        topics: bridge
            .topics
            .iter()
            .map(|topic| BridgeTopicSettings {
                pattern: topic.pattern.clone(),
                direction: Some(Word(topic.direction)),
                qos: topic.qos,
                local_prefix: topic.local_prefix.clone(),
                remote_prefix: topic.remote_prefix.clone(),
            })
            .collect(),
    }
}
