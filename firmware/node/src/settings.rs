//! From the config to the broker's settings: the broker knows nothing of the config partition.

use espbroker_broker::{Anonymous, Settings};
use espbroker_config::model;

pub(crate) const fn broker_settings(config: &model::Broker) -> Settings {
    let model::Limits {
        clients,
        subscriptions_per_client,
        retained_messages,
        retained_bytes,
        packet_size,
        queue_bytes,
        sessions: _,
        queue_messages: _,
        unknown: _,
    } = config.limits;
    Settings {
        clients,
        subscriptions_per_client,
        retained_messages,
        retained_bytes,
        packet_size,
        queue_bytes,
        anonymous: match config.anonymous {
            model::Anonymous::Refused => Anonymous::Refused,
            model::Anonymous::Allowed => Anonymous::Allowed,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_crates_have_the_same_defaults() {
        assert_eq!(broker_settings(&model::Broker::default()), Settings::default());
    }

    #[test]
    fn every_limit_arrives_at_its_place() {
        let mut config = model::Broker { anonymous: model::Anonymous::Allowed, ..model::Broker::default() };
        config.limits = model::Limits {
            clients: 1,
            subscriptions_per_client: 2,
            retained_messages: 3,
            retained_bytes: 4,
            packet_size: 5,
            queue_bytes: 6,
            ..model::Limits::default()
        };
        let expected = Settings {
            clients: 1,
            subscriptions_per_client: 2,
            retained_messages: 3,
            retained_bytes: 4,
            packet_size: 5,
            queue_bytes: 6,
            anonymous: Anonymous::Allowed,
        };
        assert_eq!(broker_settings(&config), expected);
    }
}
