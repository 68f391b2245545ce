//! Floods of everything that takes memory: the heap stays above its floor, what does not fit is refused and counted,
//! and all of it comes back when the clients leave.

use espbroker_broker::{Anonymous, Broker, CloseReason, Counters, Network, Settings, Transport};
use espbroker_mqtt::{
    Connect, ConnectReturnCode, Delivery, Packet, PacketId, Protocol, Publish, QoS, Subscribe, Subscription,
    SubscriptionList, TopicFilter, TopicName, Will,
};

use crate::{
    heap::{self, FLOOR},
    world::{Accounts, Platform, Unit, World, frame},
};

/// What the chip's port tells the broker of its network.
const NETWORK: Network = Network { window: 1_072, in_flight: 8_192, segment: 296 };

pub(crate) fn settings() -> Settings {
    Settings {
        anonymous: Anonymous::Allowed,
        network: NETWORK,
        heap_floor: FLOOR,
        clients: 64,
        sessions: 64,
        ..Settings::default()
    }
}

/// A chip that measures its heap before it tells the broker anything.
pub(crate) fn chip(settings: Settings) -> World {
    let platform = Platform {
        run: heap::count,
        before: |broker| broker.set_free(heap::free()),
        after: |broker: &Broker<Accounts>| {
            let lowest = heap::lowest();
            assert!(
                lowest >= usize::try_from(FLOOR).unwrap(),
                "{lowest} bytes free, {:?}",
                broker.counters()
            );
        },
    };
    heap::lowest();
    World::on(platform, settings, Accounts::default())
}

fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

pub(crate) fn plain(client_id: &str) -> Connect<'_> {
    Connect {
        protocol: Protocol::Mqtt311,
        bridge: false,
        client_id,
        clean_session: true,
        keep_alive: 0,
        will: None,
        user_name: None,
        password: None,
    }
}

fn persistent(client_id: &str) -> Connect<'_> {
    Connect { clean_session: false, ..plain(client_id) }
}

pub(crate) fn publish<'a>(topic: &'a str, payload: &'a [u8], delivery: Delivery) -> Packet<'a> {
    Packet::Publish(Publish { topic: TopicName::new(topic).unwrap(), payload, retain: false, delivery })
}

pub(crate) fn at_least_once(number: u16) -> Delivery {
    Delivery::AtLeastOnce { packet_id: id(number), duplicate: false }
}

fn exactly_once(number: u16) -> Delivery {
    Delivery::ExactlyOnce { packet_id: id(number), duplicate: false }
}

/// Opens a connection and sends CONNECT; whether the client was let in.
pub(crate) fn join(world: &mut World, connection: u16, transport: Transport, connect: Connect<'_>) -> bool {
    world.open(connection, transport);
    world.send(connection, &[Packet::Connect(connect)]);
    let accepted =
        |unit: &Unit| matches!(unit, Unit::Packet(packet) if packet[..] == [0x20, 2, packet[2], 0]);
    world.arrived(connection).iter().any(accepted) && world.end(connection).is_none()
}

/// Subscribes; how many of the filters were granted.
fn subscribe(world: &mut World, connection: u16, filters: &[String], qos: QoS) -> usize {
    let list: Vec<_> =
        filters.iter().map(|text| Subscription { filter: TopicFilter::new(text).unwrap(), qos }).collect();
    let subscriptions = SubscriptionList::new(&list);
    world.send(connection, &[Packet::Subscribe(Subscribe { packet_id: id(1), subscriptions })]);
    let units = world.arrived(connection);
    let codes = units.iter().find_map(|unit| match unit {
        Unit::Packet(packet) if packet[0] == 0x90 => Some(packet[4..].to_vec()),
        _ => None,
    });
    codes.unwrap_or_default().iter().filter(|code| **code != 0x80).count()
}

/// Ends every connection and forgets every session and retained message; nothing may be left.
pub(crate) fn leave(mut world: World, start: usize) -> Counters {
    let connections: Vec<u16> = world.links.keys().copied().collect();
    connections.into_iter().for_each(|connection| world.lose(connection));
    // A client whose session is here is let in, whatever the memory.
    for client in 0..200 {
        if world.broker.sessions_away() > 0 {
            join(&mut world, 5_001, Transport::Tcp, plain(&name(client)));
            world.lose(5_001);
        }
    }
    let retained = (0..3_000).map(topic);
    assert!(join(&mut world, 5_000, Transport::Tcp, plain("cleaner")));
    for topic in retained {
        if world.broker.retained_message(&topic).is_some() {
            let cleared = Publish {
                topic: TopicName::new(&topic).unwrap(),
                payload: b"",
                retain: true,
                delivery: Delivery::AtMostOnce,
            };
            world.send(5_000, &[Packet::Publish(cleared)]);
        }
    }
    world.lose(5_000);
    assert_eq!((world.broker.sessions_away(), world.broker.retained_messages()), (0, 0));
    assert_eq!(heap::held(), start);
    world.broker.counters().clone()
}

/// Takes memory down to the floor with messages of QoS 1 for a client that does not read.
pub(crate) fn fill(world: &mut World) {
    let sizes = [1_000, 300, 100, 30, 10, 0];
    assert!(join(world, 2_000, Transport::Tcp, plain("reader")));
    assert_eq!(subscribe(world, 2_000, &["fill".into()], QoS::AtLeastOnce), 1);
    world.hold(2_000);
    let writers = 2_001..2_001 + u16::try_from(sizes.len()).unwrap();
    for writer in writers.clone() {
        assert!(join(world, writer, Transport::Tcp, plain(&format!("writer {writer}"))));
    }
    for (writer, size) in writers.zip(sizes) {
        for number in 1..1_000 {
            // Each ends with the message that finds no memory.
            if world.end(writer).is_none() {
                world.send(writer, &[publish("fill", &vec![7; size], at_least_once(number))]);
            }
        }
    }
    // Less than growth would leave.
    assert!(heap::free() < FLOOR + FLOOR / 8, "{}", heap::free());
}

pub(crate) fn name(client: u16) -> String {
    format!("client-{client:04}")
}

fn topic(number: u16) -> String {
    format!("site/room/{number}/state")
}

const BOTH: [Transport; 2] = [Transport::Tcp, Transport::WebSocket];

#[test]
fn unfinished_packets_of_4_kb_from_all_connections() {
    for transport in BOTH {
        for chunk in [7, 100, 536, 1_460] {
            let mut world = chip(settings());
            let start = heap::held();
            for client in 0..68 {
                join(&mut world, client, transport, plain(&name(client)));
            }
            let clients = world.broker.clients();
            assert!(clients >= 36, "{clients}");
            let mut packet = vec![0x32, 0xfd, 0x1f, 0, 1, b't', 0, 1];
            packet.resize(4_000, 7);
            // In turn, as a network would bring them.
            for piece in packet.chunks(chunk) {
                for client in 0..68 {
                    if world.end(client).is_none() {
                        world.stream(client, piece);
                    }
                }
            }
            let closed = (0..68).filter(|client| world.end(*client) == Some(CloseReason::NoMemory)).count();
            assert!(closed > 0 && closed < 68, "{closed}");
            let counters = leave(world, start);
            assert!(usize::try_from(counters.closed.no_memory).unwrap() >= closed);
        }
    }
}

#[test]
fn clients_with_long_names_and_wills() {
    for transport in BOTH {
        let mut world = chip(Settings { clients: 200, sessions: 200, ..settings() });
        let start = heap::held();
        let mut refused = 0;
        for client in 0..200 {
            let name = format!("{}{}", name(client), "x".repeat(100));
            let topic = topic(client);
            let will = Will {
                topic: TopicName::new(&topic).unwrap(),
                payload: &[7; 1_000],
                qos: QoS::AtLeastOnce,
                retain: false,
            };
            let connect = Connect { will: Some(will), ..plain(&name) };
            if !join(&mut world, client, transport, connect) {
                refused += 1;
                // At once, or after its CONNECT.
                let code = ConnectReturnCode::ServerUnavailable;
                let end = world.end(client);
                assert!(
                    matches!(end, Some(CloseReason::NoMemory)) || end == Some(CloseReason::Refused(code)),
                    "{end:?}"
                );
            }
        }
        assert!(refused > 0 && world.broker.clients() > 10, "{refused}");
        assert_eq!(world.broker.counters().no_memory, refused);
        leave(world, start);
    }
}

#[test]
fn sessions_that_stay_when_their_clients_go() {
    let mut world = chip(Settings { clients: 200, sessions: 200, ..settings() });
    let start = heap::held();
    let mut refused = 0;
    for client in 0..200 {
        if join(&mut world, client, Transport::Tcp, persistent(&name(client))) {
            let filters: Vec<_> = (0..16).map(|filter| format!("filter/{filter}/{}", name(client))).collect();
            subscribe(&mut world, client, &filters, QoS::AtLeastOnce);
        } else {
            refused += 1;
        }
        world.lose(client);
    }
    assert!(refused > 0 && world.broker.sessions_away() > 10, "{refused}");
    leave(world, start);
}

#[test]
fn subscriptions_to_long_topics() {
    let mut world =
        chip(Settings { clients: 64, subscriptions_per_client: 64, packet_size: 8_192, ..settings() });
    let start = heap::held();
    let (mut granted, mut refused) = (0, 0);
    for client in 0..40 {
        if join(&mut world, client, Transport::Tcp, plain(&name(client))) {
            let filters: Vec<_> = (0..64).map(|number| format!("{number:03}{}", "y".repeat(57))).collect();
            let count = subscribe(&mut world, client, &filters, QoS::AtLeastOnce);
            granted += count;
            refused += filters.len() - count;
        }
    }
    assert!(granted > 64 && refused > 64, "{granted} {refused}");
    assert_eq!(usize::try_from(world.broker.counters().subscriptions_refused).unwrap(), refused);
    leave(world, start);
}

#[test]
fn a_subscribe_with_more_filters_than_fit_anywhere() {
    let mut world = chip(Settings {
        subscriptions_per_client: 64,
        queue_bytes: 65_535,
        queue_messages: 1_000,
        ..settings()
    });
    let start = heap::held();
    for client in 0..10 {
        assert!(join(&mut world, client, BOTH[usize::from(client % 2)], plain(&name(client))));
    }
    fill(&mut world);
    for client in 0..10 {
        let filters: Vec<_> = (0..800_u16).map(|number| format!("{number:x}")).collect();
        subscribe(&mut world, client, &filters, QoS::AtLeastOnce);
    }
    leave(world, start);
}

#[test]
fn whatever_clients_do_when_the_floor_is_near() {
    for first in 0..12_usize {
        let settings =
            Settings { queue_bytes: 65_535, queue_messages: 1_000, system_interval: 1, ..settings() };
        let mut world = chip(settings);
        let start = heap::held();
        for client in 0..12 {
            let transport = BOTH[usize::from(client % 2)];
            assert!(join(&mut world, client, transport, persistent(&name(client))));
            subscribe(&mut world, client, &["t".into()], QoS::ExactlyOnce);
        }
        fill(&mut world);
        for client in 0..12 {
            let what = (first + usize::from(client)) % 12;
            let web = client % 2 == 1;
            match what {
                0 => world.send(client, &[Packet::Pingreq; 900]),
                1 if web => world.bytes(client, &frame(0x89, &[7; 125], [1, 2, 3, 4])),
                2 if web => world.bytes(client, &frame(0x89, &[7; 125], [1, 2, 3, 4])[..100]),
                3 => {
                    subscribe(&mut world, client, &["$SYS/#".into(), "y".repeat(100)], QoS::AtMostOnce);
                }
                4 => world.send(client, &[publish("t", &[7; 500], Delivery::AtMostOnce)]),
                5 => world.send(client, &[publish("t", &[7; 500], at_least_once(1))]),
                6 => (1..=128)
                    .for_each(|number| world.send(client, &[publish("t", b"", exactly_once(number))])),
                7 => world.stream(client, &[&[0x32, 0xfd, 0x1f, 0, 1, b't', 0, 1][..], &[0; 1_000]].concat()),
                8 => world.stream(client, b"\0"),
                9 => world.send(client, &[Packet::Disconnect]),
                10 => world.lose(client),
                _ => {
                    world.open(100 + client, if web { Transport::WebSocket } else { Transport::Tcp });
                    if world.end(100 + client).is_none() {
                        let name = name(client);
                        world.send(100 + client, &[Packet::Connect(persistent(&name))]);
                    }
                }
            }
            world.pass(400);
        }
        leave(world, start);
    }
}

#[test]
fn retained_messages() {
    for size in [10, 100, 1_000] {
        let mut world = chip(Settings { retained_messages: 1_024, retained_bytes: 65_535, ..settings() });
        let start = heap::held();
        join(&mut world, 0, Transport::Tcp, plain(&name(0)));
        for number in 0..3_000 {
            let topic = topic(number);
            let topic = TopicName::new(&topic).unwrap();
            let delivery = Delivery::AtMostOnce;
            let kept = Publish { topic, payload: &vec![7; size], retain: true, delivery };
            world.send(0, &[Packet::Publish(kept)]);
        }
        let counters = world.broker.counters().clone();
        let kept = world.broker.retained_messages();
        assert!(kept > 5, "{kept}");
        let lost = u64::from(counters.retained_refused) + counters.messages_dropped;
        assert!(lost + u64::try_from(kept).unwrap() >= 3_000, "{lost} {kept}");
        leave(world, start);
    }
}

#[test]
fn messages_for_sessions_of_clients_that_are_away() {
    for (size, number) in [(10, 1_000_u16), (400, 1_000), (3_000, 100)] {
        let mut world = chip(Settings { queue_messages: 1_000, queue_bytes: 65_535, ..settings() });
        let start = heap::held();
        for client in 0..16 {
            join(&mut world, client, Transport::Tcp, persistent(&name(client)));
            let filter = if client < 8 { "all".into() } else { format!("own/{client}") };
            subscribe(&mut world, client, &[filter], QoS::ExactlyOnce);
            world.lose(client);
        }
        assert!(join(&mut world, 100, Transport::Tcp, plain("publisher")));
        let (mut taken, mut connection) = (0_u64, 100);
        for number in 1..=number {
            let topic = if number % 2 == 0 { "all".into() } else { format!("own/{}", 8 + number % 8) };
            world.send(connection, &[publish(&topic, &vec![7; size], at_least_once(number))]);
            if world.end(connection) == Some(CloseReason::NoMemory) {
                // Not acknowledged, so the client keeps it; it comes back.
                connection = if connection == 100 { 101 } else { 100 };
                world.lose(connection);
                join(&mut world, connection, Transport::Tcp, plain("publisher"));
            } else {
                taken += 1;
            }
        }
        let counters = world.broker.counters();
        assert!(taken > 8 && counters.messages_dropped + u64::from(counters.closed.no_memory) > 0);
        leave(world, start);
    }
}

#[test]
fn messages_of_qos_2_that_are_never_released() {
    for transport in BOTH {
        let mut world = chip(Settings { clients: 64, ..settings() });
        let start = heap::held();
        for client in 0..64 {
            join(&mut world, client, transport, plain(&name(client)));
        }
        for number in 1..=128 {
            for client in 0..64 {
                if world.end(client).is_none() {
                    world.send(client, &[publish("t", b"", exactly_once(number))]);
                }
            }
        }
        leave(world, start);
    }
}

#[test]
fn opening_handshakes_and_pings_that_are_never_finished() {
    let mut world = chip(Settings { clients: 200, ..settings() });
    let start = heap::held();
    for client in 0..200 {
        world.link(client, Transport::WebSocket);
        let connection = espbroker_broker::ConnectionId(client);
        let transport = Transport::WebSocket;
        world.handle(espbroker_broker::Input::Accepted { connection, transport });
        if world.end(client).is_none() {
            let request = crate::world::REQUEST.as_bytes();
            world.bytes(client, if client % 2 == 0 { request } else { &request[..100] });
            // The first half of a ping.
            if client % 2 == 0 {
                world.bytes(client, &[&[0x89, 0x80 | 125, 1, 2, 3, 4][..], &[0; 60]].concat());
            }
        }
    }
    assert!(world.broker.counters().no_memory > 0);
    leave(world, start);
}

#[test]
fn a_piece_full_of_the_shortest_messages_for_everybody() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        for transport in BOTH {
            let mut world = chip(settings());
            let start = heap::held();
            for client in 0..30 {
                join(&mut world, client, transport, plain(&name(client)));
                subscribe(&mut world, client, &["t".into()], qos);
                world.hold(client);
            }
            assert!(join(&mut world, 100, Transport::Tcp, plain("publisher")));
            let mut connection = 100;
            for round in 0..20 {
                let delivery = |number| match qos {
                    QoS::AtMostOnce => Delivery::AtMostOnce,
                    QoS::AtLeastOnce => at_least_once(number),
                    QoS::ExactlyOnce => exactly_once(number),
                };
                // As a broken client would, without waiting for an answer.
                let packets: Vec<_> = (1..=200)
                    .flat_map(|number| {
                        let message = publish("t", b"", delivery(number));
                        let release = (qos == QoS::ExactlyOnce).then(|| Packet::Pubrel(id(number)));
                        [Some(message), release]
                    })
                    .flatten()
                    .collect();
                world.send(connection, &packets);
                if world.end(connection).is_some() {
                    connection += 1;
                    join(&mut world, connection, Transport::Tcp, plain("publisher"));
                }
                for client in 0..30 {
                    world.take(client, 100 * (round % 3));
                }
            }
            leave(world, start);
        }
    }
}

#[test]
fn answers_that_are_not_read() {
    for transport in BOTH {
        let mut world = chip(settings());
        let start = heap::held();
        for client in 0..40 {
            join(&mut world, client, transport, plain(&name(client)));
            world.hold(client);
        }
        for client in 0..40 {
            for _ in 0..20 {
                world.send(client, &[Packet::Pingreq; 500]);
            }
        }
        assert!(world.broker.counters().closed.answers_unread > 0);
        leave(world, start);
    }
}

#[test]
fn values_of_the_broker_for_everybody() {
    let mut world = chip(Settings { system_interval: 1, ..settings() });
    let start = heap::held();
    for client in 0..40 {
        if join(&mut world, client, BOTH[usize::from(client % 2)], plain(&name(client))) {
            subscribe(&mut world, client, &["$SYS/#".into()], QoS::AtMostOnce);
        }
        if client % 4 == 0 && world.end(client).is_none() {
            world.hold(client);
        }
    }
    for _ in 0..30 {
        world.pass(1_000);
    }
    leave(world, start);
}
