//! From the config to the broker's settings: the broker knows nothing of the config partition.

use alloc::{format, vec::Vec};

use espbroker_broker::{Anonymous, BridgePassword, BridgeSettings, BridgeTopic, Direction, Settings};
use espbroker_config::model;
use espbroker_mqtt::QoS;

use crate::interface::BootInfo;

pub(crate) const fn broker_settings(config: &model::Broker, info: &BootInfo) -> Settings {
    let model::Limits {
        clients,
        sessions,
        subscriptions_per_client,
        retained_messages,
        retained_bytes,
        packet_size,
        queue_bytes,
        queue_messages,
        unknown: _,
    } = config.limits;
    Settings {
        clients,
        sessions,
        subscriptions_per_client,
        retained_messages,
        retained_bytes,
        packet_size,
        queue_bytes,
        queue_messages,
        anonymous: anonymous(config),
        system_interval: config.sys_interval,
        network: info.network,
        heap_floor: info.heap_floor,
        seed: info.seed,
    }
}

pub(crate) const fn anonymous(config: &model::Broker) -> Anonymous {
    match config.anonymous {
        model::Anonymous::Refused => Anonymous::Refused,
        model::Anonymous::Allowed => Anonymous::Allowed,
    }
}

/// The bridges, with the client identifiers that mosquitto would give them.
pub(crate) fn bridge_settings(config: &model::Config) -> Vec<BridgeSettings> {
    let bridge = |bridge: &model::Bridge| BridgeSettings {
        name: bridge.name.as_str().into(),
        host: bridge.host.as_str().into(),
        port: bridge.port,
        tls: bridge.tls,
        user: bridge.user.as_deref().map(Into::into),
        password: bridge.password.as_ref().map(|password| BridgePassword::new(password.expose().as_bytes())),
        client_id: match &bridge.client_id {
            Some(client_id) => client_id.as_str().into(),
            None => format!("{}.{}", config.name, bridge.name).into(),
        },
        keep_alive: bridge.keep_alive,
        clean_session: bridge.clean_session,
        try_private: bridge.try_private,
        notifications: bridge.notifications,
        notification_topic: bridge.notification_topic.as_deref().map(Into::into),
        notifications_local_only: bridge.notifications_local_only,
        outgoing_retain: bridge.outgoing_retain,
        restart_base: bridge.restart_base,
        restart_cap: bridge.restart_cap,
        topics: bridge.topics.iter().map(bridge_topic).collect(),
    };
    config.bridges.iter().map(bridge).collect()
}

fn bridge_topic(topic: &model::BridgeTopic) -> BridgeTopic {
    BridgeTopic {
        pattern: topic.pattern.as_str().into(),
        direction: match topic.direction {
            model::Direction::Out => Direction::Out,
            model::Direction::In => Direction::In,
            model::Direction::Both => Direction::Both,
        },
        // 0-2 in every valid config.
        qos: QoS::from_number(topic.qos).unwrap_or(QoS::AtMostOnce),
        local_prefix: topic.local_prefix.as_str().into(),
        remote_prefix: topic.remote_prefix.as_str().into(),
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use espbroker_config::{image::Target, secret::Secret};

    use super::*;
    use crate::{
        interface::{Heap, Network},
        status::ResetCause,
    };

    const INFO: BootInfo = BootInfo {
        reset: ResetCause::External,
        mac: [2, 0, 0, 0, 0, 1],
        target: Target::Virtual,
        heap: Heap::Budget(45_000),
        heap_floor: 11,
        network: Network { window: 12, in_flight: 13, segment: 14 },
        seed: 15,
    };

    #[test]
    fn both_crates_have_the_same_defaults() {
        let expected = Settings { heap_floor: 11, network: INFO.network, seed: 15, ..Settings::default() };
        assert_eq!(broker_settings(&model::Broker::default(), &INFO), expected);
    }

    #[test]
    fn every_limit_arrives_at_its_place() {
        let config = model::Broker {
            anonymous: model::Anonymous::Allowed,
            sys_interval: 9,
            limits: model::Limits {
                clients: 1,
                subscriptions_per_client: 2,
                retained_messages: 3,
                retained_bytes: 4,
                packet_size: 5,
                queue_bytes: 6,
                sessions: 7,
                queue_messages: 8,
                ..model::Limits::default()
            },
            ..model::Broker::default()
        };
        let expected = Settings {
            clients: 1,
            subscriptions_per_client: 2,
            retained_messages: 3,
            retained_bytes: 4,
            packet_size: 5,
            queue_bytes: 6,
            sessions: 7,
            queue_messages: 8,
            system_interval: 9,
            anonymous: Anonymous::Allowed,
            heap_floor: 11,
            network: INFO.network,
            seed: 15,
        };
        assert_eq!(broker_settings(&config, &INFO), expected);
    }

    #[test]
    fn a_bridge_with_nothing_but_a_host_has_the_defaults_of_both_crates() {
        let mut config = model::Config::new("kitchen");
        config.bridges.push(model::Bridge::new("cloud", "example.org"));
        assert_eq!(bridge_settings(&config), [BridgeSettings::new("cloud", "example.org", "kitchen.cloud")]);
    }

    #[test]
    fn every_setting_of_a_bridge_arrives_at_its_place() {
        let mut config = model::Config::new("kitchen");
        config.bridges.push(model::Bridge {
            port: 1,
            tls: true,
            user: Some("u".into()),
            password: Some(Secret::new("p".into())),
            client_id: Some("c".into()),
            keep_alive: 2,
            notifications: false,
            clean_session: true,
            try_private: false,
            notification_topic: Some("n".into()),
            notifications_local_only: true,
            outgoing_retain: false,
            restart_base: 3,
            restart_cap: 4,
            topics: vec![model::BridgeTopic {
                qos: 2,
                local_prefix: "l/".into(),
                remote_prefix: "r/".into(),
                ..model::BridgeTopic::new("#", model::Direction::Both)
            }],
            ..model::Bridge::new("cloud", "example.org")
        });
        let expected = BridgeSettings {
            port: 1,
            tls: true,
            user: Some("u".into()),
            password: Some(BridgePassword::new(b"p")),
            keep_alive: 2,
            notifications: false,
            clean_session: true,
            try_private: false,
            notification_topic: Some("n".into()),
            notifications_local_only: true,
            outgoing_retain: false,
            restart_base: 3,
            restart_cap: 4,
            topics: vec![BridgeTopic {
                pattern: "#".into(),
                direction: Direction::Both,
                qos: QoS::ExactlyOnce,
                local_prefix: "l/".into(),
                remote_prefix: "r/".into(),
            }],
            ..BridgeSettings::new("cloud", "example.org", "c")
        };
        assert_eq!(bridge_settings(&config), [expected]);
    }
}
