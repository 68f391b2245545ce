//! Any bytes in any pieces: no panic, and the same outputs however they were cut.

use espbroker_broker::{Broker, ConnectionId, Counters, Input, Instant, Output, Settings, Transport};
use espbroker_mqtt::{
    Connect, Delivery, Packet, Publish, QoS, Subscribe, Subscription, SubscriptionList, TopicFilter,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use crate::script::{Users, encoded, id, message, open, plain, will};

/// A connection's number and bytes that it sends.
type Sending = (u16, Vec<u8>);

fn packet() -> impl Strategy<Value = Vec<u8>> {
    let topic = "[ab]/[ab]|a|\\$x";
    prop_oneof![
        3 => (topic, vec(any::<u8>(), 0..200), any::<bool>(), 0..3_u8, 1..4_u16).prop_map(
            |(topic, payload, retain, qos, number)| {
                let (packet_id, duplicate) = (id(number), false);
                let delivery = match qos {
                    0 => Delivery::AtMostOnce,
                    1 => Delivery::AtLeastOnce { packet_id, duplicate },
                    _ => Delivery::ExactlyOnce { packet_id, duplicate },
                };
                encoded(&[Packet::Publish(Publish { retain, delivery, ..message(&topic, &payload) })])
            }
        ),
        3 => ("[ab+]/[ab#]|#|\\$x", 1..4_u16).prop_map(|(filter, number)| {
            let filter = TopicFilter::new(&filter).unwrap();
            let subscriptions = [Subscription { filter, qos: QoS::AtLeastOnce }];
            let subscriptions = SubscriptionList::new(&subscriptions);
            encoded(&[Packet::Subscribe(Subscribe { packet_id: id(number), subscriptions })])
        }),
        1 => (1..4_u16).prop_map(|number| encoded(&[Packet::Pubrel(id(number))])),
        1 => Just(encoded(&[Packet::Pingreq])),
        1 => vec(any::<u8>(), 0..12),
    ]
}

fn sendings() -> impl Strategy<Value = Vec<Sending>> {
    let piece = (vec(packet(), 1..5), any::<bool>(), "[abc]").prop_map(|(packets, connect, name)| {
        let mut bytes = Vec::new();
        if connect {
            let connect = Connect { will: Some(will("a/b", b"gone")), ..plain(&name) };
            bytes.extend(encoded(&[Packet::Connect(connect)]));
        }
        packets.into_iter().for_each(|packet| bytes.extend(packet));
        bytes
    });
    vec((0..4_u16, piece), 1..12)
}

/// Every output and the counters after all of `sendings`, each cut at the sorted places that `cut` names for its
/// length.
fn run(
    sendings: &[Sending],
    cut: impl Fn(usize) -> Vec<usize>,
    settings: Settings,
) -> (Vec<Output>, Counters) {
    let mut broker = Broker::new(settings, Users);
    let now = Instant(5);
    let mut outputs = Vec::new();
    for number in 0..4 {
        broker.handle(Input::Accepted { connection: ConnectionId(number), transport: Transport::Tcp }, now);
    }
    for (number, bytes) in sendings {
        let connection = ConnectionId(*number);
        let mut start = 0;
        for end in cut(bytes.len()).into_iter().chain([bytes.len()]) {
            broker.handle(Input::Received { connection, bytes: &bytes[start..end] }, now);
            start = end;
        }
        let before = outputs.len();
        outputs.extend(core::iter::from_fn(|| broker.poll_output()));
        for output in &outputs[before..] {
            if let Output::Send { connection, bytes } = output {
                broker.handle(Input::Sent { connection: *connection, bytes: bytes.len() / 2 }, now);
            }
        }
        outputs.extend(core::iter::from_fn(|| broker.poll_output()));
    }
    (outputs, broker.counters().clone())
}

proptest! {
    #[test]
    fn outputs_do_not_depend_on_how_the_bytes_were_cut(
        sendings in sendings(),
        cuts in vec(any::<Index>(), 0..8),
        queue_bytes in 0..600_u32,
    ) {
        let settings = Settings { queue_bytes, packet_size: 190, ..open() };
        let whole = run(&sendings, |_| Vec::new(), settings.clone());
        let somewhere = |length| {
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
            places.sort_unstable();
            places
        };
        prop_assert_eq!(&run(&sendings, somewhere, settings.clone()), &whole);
        prop_assert_eq!(&run(&sendings, |length| (1..length).collect(), settings), &whole);
    }

    #[test]
    fn any_bytes_on_any_connection_do_not_panic(
        sendings in vec((0..4_u16, vec(any::<u8>(), 0..64)), 0..20),
    ) {
        run(&sendings, |_| Vec::new(), open());
    }
}
