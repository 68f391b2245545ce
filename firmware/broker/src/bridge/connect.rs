//! What a bridge says to the other broker when it connects: CONNECT with its will, the notification, SUBSCRIBEs.
//!
//! Like mosquitto's bridges, but for UNSUBSCRIBE of what a persistent session may still hold, which is left out.

use alloc::{boxed::Box, format};

use espbroker_mqtt::{Connect, Protocol, QoS, Subscription, TopicName, Will};

use crate::bridge::{
    level::Level,
    settings::{BridgePassword, BridgeSettings},
};

/// Payload of a notification: the link is up.
pub(crate) const UP: &[u8] = b"1";
/// Payload of a notification: the link is down.
pub(crate) const DOWN: &[u8] = b"0";

/// Longest SUBSCRIBE with more than one filter in it, bytes: small brokers take no long packets, and the packet is in
/// memory in one piece.
pub(crate) const SUBSCRIBE_SIZE: usize = 512;

/// Longest fixed header of such a packet, and its packet identifier.
const SUBSCRIBE_OVERHEAD: usize = 3 + 2;

/// Where the state of the link is kept, on both brokers; `None` without notifications, and when that is not a topic
/// name, as with a wildcard in the client identifier.
pub(crate) fn notification_topic(settings: &BridgeSettings) -> Option<Box<str>> {
    if !settings.notifications {
        return None;
    }
    let topic = match &settings.notification_topic {
        Some(topic) => topic.clone(),
        None => format!("$SYS/broker/connection/{}/state", settings.client_id).into_boxed_str(),
    };
    TopicName::new(&topic).is_ok().then_some(topic)
}

/// The CONNECT, with [`notification_topic`] for its will.
pub(crate) fn connect<'a>(
    settings: &'a BridgeSettings,
    notification: Option<TopicName<'a>>,
    level: Level,
) -> Connect<'a> {
    let notification = notification.filter(|_| !settings.notifications_local_only);
    let user_name = settings.user.as_deref();
    Connect {
        protocol: Protocol::Mqtt311,
        bridge: level == Level::Private,
        client_id: &settings.client_id,
        clean_session: settings.clean_session,
        keep_alive: settings.keep_alive,
        will: notification.map(|topic| Will {
            topic,
            payload: DOWN,
            qos: QoS::AtLeastOnce,
            retain: settings.outgoing_retain,
        }),
        user_name,
        // MQTT 3.1.1 §3.1.2.9: none without a user name.
        password: user_name.and(settings.password.as_ref()).map(BridgePassword::expose),
    }
}

/// Cuts subscriptions into the lists of SUBSCRIBE packets of at most [`SUBSCRIBE_SIZE`]; a filter that is too long for
/// that has a packet to itself.
pub(crate) fn subscribe_lists<'s, 'a>(
    mut subscriptions: &'s [Subscription<'a>],
) -> impl Iterator<Item = &'s [Subscription<'a>]> {
    core::iter::from_fn(move || {
        let mut length = SUBSCRIBE_OVERHEAD;
        let fitting = subscriptions.iter().take_while(|entry| {
            // Two bytes in front of the filter, and one with the QoS (MQTT 3.1.1 §3.8.3).
            length += 2 + entry.filter.as_str().len() + 1;
            length <= SUBSCRIBE_SIZE
        });
        let (list, rest) = subscriptions.split_at_checked(fitting.count().max(1))?;
        subscriptions = rest;
        Some(list)
    })
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use espbroker_mqtt::{Packet, PacketId, Subscribe, SubscriptionList, TopicFilter};
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn settings() -> BridgeSettings {
        BridgeSettings::new("cloud", "example.org", "dev.cloud")
    }

    fn encoded(settings: &BridgeSettings, level: Level) -> Vec<u8> {
        let topic = notification_topic(settings);
        let topic = topic.as_deref().map(|topic| TopicName::new(topic).unwrap());
        let mut bytes = Vec::new();
        Packet::Connect(connect(settings, topic, level)).encode(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_bridge_connects_with_its_state_as_a_retained_will() {
        let settings = BridgeSettings {
            user: Some("u".into()),
            password: Some(BridgePassword::new(b"p\xff")),
            ..settings()
        };
        // Flags: user name, password, will retain, will QoS 1, will.
        let expected = b"\x10\x47\x00\x04MQTT\x84\xec\x00\x3c\x00\x09dev.cloud\
            \x00\x26$SYS/broker/connection/dev.cloud/state\x00\x010\x00\x01u\x00\x02p\xff";
        assert_eq!(encoded(&settings, Level::Private), expected);
        assert_eq!(encoded(&settings, Level::Plain)[8], 4);
    }

    #[test]
    fn the_other_broker_is_not_told_when_only_this_one_is_to_know() {
        let settings = BridgeSettings { notifications_local_only: true, clean_session: true, ..settings() };
        assert_eq!(
            encoded(&settings, Level::Plain),
            b"\x10\x15\x00\x04MQTT\x04\x02\x00\x3c\x00\x09dev.cloud"
        );
    }

    #[test]
    fn a_will_has_the_topic_of_the_settings_and_retain_only_where_that_may_go_out() {
        let mut settings = BridgeSettings { notification_topic: Some("state/dev".into()), ..settings() };
        for outgoing_retain in [true, false] {
            settings.outgoing_retain = outgoing_retain;
            let topic = notification_topic(&settings).unwrap();
            let topic = TopicName::new(&topic).unwrap();
            assert_eq!(topic.as_str(), "state/dev");
            let will = connect(&settings, Some(topic), Level::Plain).will.unwrap();
            assert_eq!((will.payload, will.retain), (DOWN, outgoing_retain));
        }
    }

    #[test]
    fn without_notifications_or_with_a_bad_topic_there_is_no_will() {
        for settings in [
            BridgeSettings { notifications: false, ..settings() },
            BridgeSettings { notification_topic: Some("a/#".into()), ..settings() },
            BridgeSettings { client_id: "a+b".into(), ..settings() },
        ] {
            assert_eq!(notification_topic(&settings), None);
            assert_eq!(connect(&settings, None, Level::Plain).will, None);
        }
    }

    #[test]
    fn a_password_without_a_user_is_not_sent() {
        let settings = BridgeSettings { password: Some(BridgePassword::new(b"p")), ..settings() };
        assert_eq!(connect(&settings, None, Level::Plain).password, None);
    }

    proptest! {
        #[test]
        fn subscribes_are_short_and_leave_nothing_out(filters in vec("[a-z]{1,300}", 0..20)) {
            let subscriptions: Vec<Subscription<'_>> = filters
                .iter()
                .map(|filter| Subscription { filter: TopicFilter::new(filter).unwrap(), qos: QoS::AtMostOnce })
                .collect();
            let lists: Vec<_> = subscribe_lists(&subscriptions).collect();
            prop_assert_eq!(lists.concat(), subscriptions.clone());
            for (place, list) in lists.iter().enumerate() {
                let length = |list| {
                    let subscriptions = SubscriptionList::new(list);
                    let packet_id = PacketId::new(1).unwrap();
                    Packet::Subscribe(Subscribe { packet_id, subscriptions }).encoded_length().unwrap()
                };
                prop_assert!(length(list) <= SUBSCRIBE_SIZE);
                // The first of the next list had no room, give or take the byte of a longer length field.
                if let Some(next) = lists.get(place + 1) {
                    prop_assert!(length(&[list, &next[..1]].concat()) >= SUBSCRIBE_SIZE);
                }
            }
        }
    }

    #[test]
    fn a_filter_too_long_for_a_short_packet_has_one_to_itself() {
        let long = "x".repeat(600);
        let entry = |filter| Subscription { filter: TopicFilter::new(filter).unwrap(), qos: QoS::AtMostOnce };
        let subscriptions = [entry("a"), entry(&long), entry("b"), entry("c")];
        let lists: Vec<usize> = subscribe_lists(&subscriptions).map(<[_]>::len).collect();
        assert_eq!(lists, [1, 1, 2]);
        assert_eq!(subscribe_lists(&[]).count(), 0);
    }
}
