//! The bound on what the network holds for all connections together: fan-outs wait, nobody is lost, the dead go.

use espbroker_broker::{CloseReason, Network, Settings, Transport};
use espbroker_mqtt::{Connect, Packet, QoS};

use crate::{
    script::{encoded, id, open, plain, publish, will},
    steps::at_least_once,
    world::{Accounts, World},
};

const PUBLISHER: u16 = 999;

/// The SDK's lwIP: as delivered, and with a short maximum segment size.
const SEGMENTS: [u16; 2] = [1_632, 296];

fn chip(segment: u16) -> Network {
    Network { window: 1_072, in_flight: 8_192, segment }
}

/// `count` subscribers to `t`, each with a will, none of which reads, and a publisher who hears the wills.
fn crowd(network: Network, count: u16, qos: QoS) -> World {
    let mut world = World::new(Settings { clients: 200, network, ..open() }, Accounts::default());
    world.connect(PUBLISHER, plain("publisher"));
    world.subscribe(PUBLISHER, &["w"], QoS::AtMostOnce, &[0]);
    for connection in 0..count {
        let name = format!("subscriber {connection}");
        let connect = Connect { will: Some(will("w", b"gone")), ..plain(&name) };
        if connection % 8 == 7 {
            world.connect_web(connection, connect);
        } else {
            world.connect(connection, connect);
        }
        world.subscribe(connection, &["t"], qos, &[qos.number()]);
        world.hold(connection);
    }
    world
}

/// Every subscriber reads and acknowledges until nothing is on its way.
fn read_all(world: &mut World, count: u16) -> Vec<Vec<Vec<u8>>> {
    let mut streams = vec![Vec::new(); usize::from(count)];
    loop {
        let mut moved = false;
        for connection in 0..count {
            world.take(connection, usize::MAX);
            for packet in world.packets(connection) {
                if let Packet::Publish(publish) = Packet::decode(&packet).unwrap()
                    && let espbroker_mqtt::Delivery::AtLeastOnce { packet_id, .. } = publish.delivery
                {
                    world.send(connection, &[Packet::Puback(packet_id)]);
                }
                streams[usize::from(connection)].push(packet);
                moved = true;
            }
        }
        if !moved {
            return streams;
        }
    }
}

#[test]
fn a_fan_out_to_64_that_do_not_read_for_5_seconds_loses_nobody_and_nothing() {
    for segment in SEGMENTS {
        for qos in [QoS::AtMostOnce, QoS::AtLeastOnce] {
            let mut world = crowd(chip(segment), 64, qos);
            let payloads: Vec<[u8; 24]> = (0..50).map(|number| [number; 24]).collect();
            for payload in &payloads {
                world.send(PUBLISHER, &[at_least_once("t", payload, 1, false)]);
                world.pass(100);
            }
            assert!(world.charged > 6_144, "{}", world.charged);
            assert_eq!(world.broker.clients(), 65);
            let streams = read_all(&mut world, 64);
            for stream in &streams {
                let expected: Vec<_> = (1..)
                    .zip(&payloads)
                    .map(|(number, payload)| match qos {
                        QoS::AtMostOnce => encoded(&[publish("t", payload)]),
                        _ => encoded(&[at_least_once("t", payload, number, false)]),
                    })
                    .collect();
                assert_eq!(*stream, expected);
            }
            assert_eq!(world.broker.counters().messages_dropped, 0);
            assert_eq!((world.broker.clients(), world.charged), (65, 0));
        }
    }
}

#[test]
fn what_is_beyond_the_queues_is_dropped_and_counted_and_the_rest_arrives() {
    let network = chip(296);
    let settings = Settings { clients: 200, network, queue_messages: 10, ..open() };
    let mut world = World::new(settings, Accounts::default());
    world.connect(PUBLISHER, plain("publisher"));
    for connection in 0..64 {
        world.connect(connection, plain(&format!("subscriber {connection}")));
        world.subscribe(connection, &["t"], QoS::AtMostOnce, &[0]);
        world.hold(connection);
    }
    for number in 0..100_u8 {
        world.send(PUBLISHER, &[publish("t", &[number; 24])]);
    }
    let streams = read_all(&mut world, 64);
    let arrived: usize = streams.iter().map(Vec::len).sum();
    let dropped = usize::try_from(world.broker.counters().messages_dropped).unwrap();
    assert!(dropped > 0 && streams.iter().all(|stream| stream.len() >= 10));
    assert_eq!(arrived + dropped, 6_400);
}

#[test]
fn the_dead_that_hold_what_others_wait_for_are_closed_after_10_seconds_with_their_wills() {
    for segment in SEGMENTS {
        let network = chip(segment);
        let mut world = crowd(network, 64, QoS::AtMostOnce);
        world.send(PUBLISHER, &[publish("t", b"x")]);
        let dead: Vec<u16> = (0..64).filter(|connection| world.links[connection].unsent > 0).collect();
        assert!((4..=27).contains(&dead.len()), "{}", dead.len());
        // Whoever lives reads at once.
        for connection in (0..64).filter(|connection| !dead.contains(connection)) {
            world.links.get_mut(&connection).unwrap().pace = crate::world::Pace::AtOnce;
        }
        world.pass(9_999);
        assert_eq!(world.broker.clients(), 65);
        world.pass(1);
        for connection in &dead {
            assert_eq!(world.end(*connection), Some(CloseReason::Stalled));
        }
        assert_eq!(world.broker.clients(), 65 - dead.len());
        world.expect(PUBLISHER, &vec![publish("w", b"gone"); dead.len()]);
        for connection in (0..64).filter(|connection| !dead.contains(connection)) {
            world.expect(connection, &[publish("t", b"x")]);
        }
        assert_eq!((world.charged, world.broker.counters().messages_dropped), (0, 0));
    }
}

#[test]
fn the_dead_that_are_in_nobody_s_way_have_60_seconds() {
    let mut world = crowd(chip(296), 20, QoS::AtMostOnce);
    world.send(PUBLISHER, &[publish("t", b"x")]);
    world.pass(59_999);
    assert_eq!(world.broker.clients(), 21);
    world.pass(1);
    assert_eq!(world.broker.clients(), 1);
    world.expect(PUBLISHER, &[publish("w", b"gone"); 20]);
}

#[test]
fn need_that_comes_late_shortens_the_time_and_need_that_ends_gives_it_back() {
    // Room for the messages of two subscribers.
    let network = Network { window: 1_072, in_flight: 650, segment: 296 };
    let mut world = crowd(network, 3, QoS::AtMostOnce);
    world.hold(PUBLISHER);
    world.subscribe_held(PUBLISHER, "later");
    world.take(PUBLISHER, usize::MAX);
    world.lose(2);
    world.take(PUBLISHER, usize::MAX);
    world.send(PUBLISHER, &[publish("t", b"x")]);
    assert_eq!((world.links[&0].unsent > 0, world.links[&1].unsent > 0), (true, true));
    // Nobody waits for 40 s, then somebody does, for a moment.
    world.pass(40_000);
    assert_eq!(world.broker.clients(), 3);
    world.take(1, 1);
    world.take(0, 1);
    world.pass(5_000);
    world.send(PUBLISHER, &[publish("later", b"x")]);
    assert_eq!(world.links[&PUBLISHER].unsent, 0);
    world.pass(4_000);
    world.take(0, usize::MAX);
    world.take(PUBLISHER, usize::MAX);
    // The other one is not in the way any more.
    world.pass(50_999);
    assert_eq!(world.end(1), None);
    world.pass(1);
    assert_eq!(world.end(1), Some(CloseReason::Stalled));
    // And with somebody waiting from the start of its silence it goes at once when the need arises late.
    let mut world = crowd(network, 2, QoS::AtMostOnce);
    world.send(PUBLISHER, &[publish("t", b"x")]);
    world.pass(30_000);
    world.hold(PUBLISHER);
    world.subscribe_held(PUBLISHER, "t");
    world.send(PUBLISHER, &[publish("t", &[7; 400])]);
    assert_eq!((world.end(0), world.end(1)), (Some(CloseReason::Stalled), Some(CloseReason::Stalled)));
}

#[test]
fn a_reader_that_takes_a_little_now_and_then_is_not_dead() {
    let mut world = crowd(chip(1_632), 64, QoS::AtMostOnce);
    world.send(PUBLISHER, &[publish("t", &[7; 200])]);
    let slow: Vec<u16> = (0..64).filter(|connection| world.links[connection].unsent > 0).collect();
    for _ in 0..20 {
        world.pass(9_000);
        for connection in &slow {
            world.take(*connection, 1);
        }
    }
    assert_eq!(world.broker.clients(), 65);
}

#[test]
fn everybody_gets_a_share_of_a_room_that_is_too_small() {
    // Room for one message at a time.
    let network = Network { window: 1_072, in_flight: 300, segment: 296 };
    let mut world = crowd(network, 16, QoS::AtMostOnce);
    for _ in 0..20 {
        world.send(PUBLISHER, &[publish("t", &[7; 200])]);
    }
    let mut counts = [0_usize; 16];
    for _ in 0..16 * 10 {
        let busy: Vec<u16> = (0..16).filter(|connection| world.links[connection].unsent > 0).collect();
        assert_eq!(busy.len(), 1);
        world.take(busy[0], usize::MAX);
        counts[usize::from(busy[0])] += world.packets(busy[0]).len();
    }
    assert!(counts.iter().all(|count| (9..=11).contains(count)), "{counts:?}");
}

#[test]
fn a_message_longer_than_all_the_room_passes_when_nothing_else_is_on_its_way() {
    let network = Network { window: 1_072, in_flight: 1_000, segment: 296 };
    let mut world = crowd(network, 3, QoS::AtMostOnce);
    world.send(PUBLISHER, &[publish("t", &[7; 3_000])]);
    assert_eq!((0..3).filter(|connection| world.links[connection].unsent > 0).count(), 1);
    let streams = read_all(&mut world, 3);
    assert!(streams.iter().all(|stream| *stream == [encoded(&[publish("t", &[7; 3_000])])]));
}

#[test]
fn answers_do_not_wait_for_room() {
    let mut world = crowd(chip(1_632), 64, QoS::AtMostOnce);
    world.send(PUBLISHER, &[publish("t", b"x")]);
    world.send(PUBLISHER, &[Packet::Pingreq, at_least_once("other", b"", 7, false)]);
    world.expect(PUBLISHER, &[Packet::Pingresp, Packet::Puback(id(7))]);
    world.connect(100, plain("late"));
    world.open(101, Transport::WebSocket);
    assert_eq!(world.arrived(101).len(), 1);
}

#[test]
fn a_window_of_one_connection_is_not_filled_by_others() {
    // The first subscriber's window is full; the second is served all the same.
    let network = Network { window: 100, in_flight: u32::MAX, segment: 0 };
    let mut world = crowd(network, 2, QoS::AtMostOnce);
    world.links.get_mut(&1).unwrap().pace = crate::world::Pace::AtOnce;
    for number in 0..10 {
        world.send(PUBLISHER, &[publish("t", &[number; 60])]);
    }
    assert_eq!(world.packets(1).len(), 10);
    assert_eq!(world.links[&0].unsent, encoded(&[publish("t", &[0; 60])]).len());
    assert_eq!(read_all(&mut world, 1)[0].len(), 10);
}
