//! Packets of any content encode to bytes that decode to the same packet, and any bytes decode or are refused.

use espbroker_mqtt::{
    Connack, Connect, ConnectReturnCode, Delivery, FilterList, FixedHeader, Packet, PacketId, Protocol,
    Publish, QoS, ReturnCodes, Suback, Subscribe, Subscription, SubscriptionList, TopicFilter, TopicName,
    Unsubscribe, Will,
};
use proptest::{
    collection::vec,
    option,
    prelude::*,
    sample::{Index, select},
};

/// Owned counterparts, because packets borrow.
#[derive(Clone, Debug)]
struct Parts {
    topic: String,
    filters: Vec<(String, QoS)>,
    texts: (String, String),
    payload: Vec<u8>,
    codes: Vec<u8>,
    id: u16,
    qos: QoS,
    flags: (bool, bool, bool),
    optional: (bool, bool, bool),
    code: u8,
}

fn qos() -> impl Strategy<Value = QoS> {
    select(vec![QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce])
}

fn parts() -> impl Strategy<Value = Parts> {
    let text = "[^\\x00]{0,8}";
    let topic = "[^\\x00+#]{1,12}";
    let filter = "([^\\x00+#/]{0,3}/|\\+/){0,3}([^\\x00+#/]{1,3}|\\+|#)";
    (
        (topic, vec((filter, qos()), 1..4), (text, text), vec(any::<u8>(), 0..200)),
        vec(select(vec![0_u8, 1, 2, 0x80]), 1..5),
        (1..=u16::MAX, qos(), any::<(bool, bool, bool)>(), any::<(bool, bool, bool)>(), 0..=5_u8),
    )
        .prop_map(|((topic, filters, texts, payload), codes, (id, qos, flags, optional, code))| Parts {
            topic,
            filters,
            texts,
            payload,
            codes,
            id,
            qos,
            flags,
            optional,
            code,
        })
}

/// Calls `check` with one packet of each of the 14 types.
fn each(parts: &Parts, mut check: impl FnMut(Packet<'_>)) {
    let packet_id = PacketId::new(parts.id).unwrap();
    let topic = TopicName::new(&parts.topic).unwrap();
    let (retain, duplicate, clean_session) = parts.flags;
    let delivery = match parts.qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id, duplicate },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id, duplicate },
    };
    check(Packet::Publish(Publish { topic, payload: &parts.payload, retain, delivery }));
    let (with_will, with_user, with_password) = parts.optional;
    let will = Will { topic, payload: &parts.payload, qos: parts.qos, retain };
    check(Packet::Connect(Connect {
        protocol: if duplicate { Protocol::Mqtt31 } else { Protocol::Mqtt311 },
        bridge: retain,
        client_id: &parts.texts.0,
        clean_session,
        keep_alive: parts.id,
        will: with_will.then_some(will),
        user_name: with_user.then_some(&parts.texts.1),
        password: (with_user && with_password).then_some(&parts.payload),
    }));
    let return_code = ConnectReturnCode::from_number(parts.code).unwrap();
    check(Packet::Connack(Connack { session_present: parts.code == 0 && retain, return_code }));
    let filters: Vec<_> = parts.filters.iter().map(|(text, _)| TopicFilter::new(text).unwrap()).collect();
    let subscriptions: Vec<_> =
        filters.iter().zip(&parts.filters).map(|(&filter, &(_, qos))| Subscription { filter, qos }).collect();
    check(Packet::Subscribe(Subscribe { packet_id, subscriptions: SubscriptionList::new(&subscriptions) }));
    check(Packet::Unsubscribe(Unsubscribe { packet_id, filters: FilterList::new(&filters) }));
    check(Packet::Suback(Suback { packet_id, return_codes: ReturnCodes::new(&parts.codes).unwrap() }));
    for packet in [
        Packet::Puback(packet_id),
        Packet::Pubrec(packet_id),
        Packet::Pubrel(packet_id),
        Packet::Pubcomp(packet_id),
        Packet::Unsuback(packet_id),
        Packet::Pingreq,
        Packet::Pingresp,
        Packet::Disconnect,
    ] {
        check(packet);
    }
}

proptest! {
    #[test]
    fn every_packet_decodes_to_what_was_encoded(parts in parts()) {
        each(&parts, |packet| {
            let mut bytes = Vec::new();
            packet.encode(&mut bytes).unwrap();
            assert_eq!(packet.encoded_length(), Ok(bytes.len()));
            assert_eq!(Packet::decode(&bytes), Ok(packet));
            let header = FixedHeader::parse(&bytes).unwrap().unwrap();
            assert_eq!(header.packet_length() as usize, bytes.len());
            assert_eq!(header.packet_type, packet.packet_type());
        });
    }

    #[test]
    fn a_cut_or_lengthened_packet_is_refused(parts in parts(), cut: Index) {
        each(&parts, |packet| {
            let mut bytes = Vec::new();
            packet.encode(&mut bytes).unwrap();
            assert!(Packet::decode(&bytes[..cut.index(bytes.len())]).is_err());
            bytes.push(0);
            assert!(Packet::decode(&bytes).is_err());
        });
    }

    #[test]
    fn what_is_decoded_from_a_damaged_packet_encodes_again(
        parts in parts(),
        damage in option::of((any::<Index>(), any::<u8>())),
    ) {
        each(&parts, |packet| {
            let mut bytes = Vec::new();
            packet.encode(&mut bytes).unwrap();
            if let Some((place, value)) = damage {
                let place = place.index(bytes.len());
                bytes[place] = value;
            }
            if let Ok(decoded) = Packet::decode(&bytes) {
                let mut again = Vec::new();
                decoded.encode(&mut again).unwrap();
                // Shorter only where the damage made a remaining length with needless bytes.
                assert!(again.len() <= bytes.len());
                assert_eq!(Packet::decode(&again), Ok(decoded));
            }
        });
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = Packet::decode(&bytes) {
            let mut again = Vec::new();
            packet.encode(&mut again).unwrap();
            prop_assert_eq!(Packet::decode(&again), Ok(packet));
        }
    }

    #[test]
    fn any_prefix_of_a_header_asks_for_more_or_agrees_with_the_whole(bytes in vec(any::<u8>(), 0..8)) {
        let whole = FixedHeader::parse(&bytes);
        for end in 0..bytes.len() {
            let part = FixedHeader::parse(&bytes[..end]);
            prop_assert!(part == Ok(None) || part == whole);
        }
    }
}
