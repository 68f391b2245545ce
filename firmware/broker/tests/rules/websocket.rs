//! MQTT over WebSocket (MQTT 3.1.1 §6, RFC 6455): the same broker, in frames.

use espbroker_broker::{CloseReason, Network, Settings, Transport, WebSocketError};
use espbroker_mqtt::{Connect, Malformed, Packet, QoS};

use crate::{
    script::{connack, encoded, open, plain, publish, retained, will},
    steps::{accepted, at_least_once, exactly_once},
    world::{Accounts, REQUEST, Unit, World, frame, wrap},
};

const MASK: [u8; 4] = [1, 2, 3, 4];

fn world() -> World {
    World::new(open(), Accounts::default())
}

fn persistent(client_id: &str) -> Connect<'_> {
    Connect { clean_session: false, ..plain(client_id) }
}

/// A client with a will on connection 1 over WebSocket, watched by connection 2.
fn watched() -> World {
    let mut world = world();
    world.connect(2, plain("watch"));
    world.subscribe(2, &["w"], QoS::AtMostOnce, &[0]);
    world.connect_web(1, Connect { will: Some(will("w", b"gone")), ..plain("page") });
    world
}

#[test]
fn clients_of_both_transports_reach_each_other_at_every_qos() {
    let mut world = world();
    world.connect(1, plain("lamp"));
    world.connect_web(2, plain("page"));
    for connection in [1, 2] {
        world.subscribe(connection, &["t"], QoS::ExactlyOnce, &[2]);
    }
    let long = [7; 300];
    for (from, payload) in [(1, &b"x"[..]), (2, &long)] {
        let number = from * 10;
        world.send(
            from,
            &[
                publish("t", payload),
                at_least_once("t", payload, number, false),
                exactly_once("t", payload, number + 1, false),
            ],
        );
        for to in [1, 2] {
            let place = 2 * from - 1;
            let messages = [
                publish("t", payload),
                at_least_once("t", payload, place, false),
                exactly_once("t", payload, place + 1, false),
            ];
            let mut packets = world.packets(to);
            packets.retain(|packet| matches!(Packet::decode(packet), Ok(Packet::Publish(_))));
            assert_eq!(packets, messages.map(|message| encoded(&[message])));
        }
    }
}

#[test]
fn a_session_goes_on_over_the_other_transport() {
    let mut world = world();
    world.connect_web(1, persistent("sensor"));
    world.subscribe(1, &["t"], QoS::AtLeastOnce, &[1]);
    world.connect(2, plain("publisher"));
    world.send(2, &[at_least_once("t", b"1", 1, false)]);
    world.expect(1, &[at_least_once("t", b"1", 1, false)]);
    // Taken over while it is connected, and back.
    world.knock(3, persistent("sensor"));
    assert_eq!(world.end(1), Some(CloseReason::TakenOver));
    assert_eq!(world.arrived(1), [Unit::Closing(1008)]);
    world.expect(3, &[accepted(true), at_least_once("t", b"1", 1, true)]);
    world.open(4, Transport::WebSocket);
    world.arrived(4);
    world.send(4, &[Packet::Connect(persistent("sensor"))]);
    world.expect(4, &[accepted(true), at_least_once("t", b"1", 1, true)]);
}

#[test]
fn a_packet_may_lie_in_many_frames_and_many_packets_in_one() {
    let mut world = world();
    world.connect_web(1, plain("page"));
    world.subscribe(1, &["t"], QoS::AtMostOnce, &[0]);
    // Three fragments, with a ping between them.
    let bytes = encoded(&[publish("t", b"in fragments")]);
    world.bytes(1, &frame(0x02, &bytes[..1], MASK));
    world.bytes(1, &frame(0x89, b"still there?", MASK));
    world.bytes(1, &frame(0x00, &bytes[1..7], MASK));
    world.bytes(1, &frame(0x80, &bytes[7..], MASK));
    let packet = |payload| Unit::Packet(encoded(&[publish("t", payload)]));
    assert_eq!(world.arrived(1), [Unit::Pong(b"still there?".to_vec()), packet(b"in fragments")]);
    // Two messages in one frame, the second ends in the next one.
    let bytes = encoded(&[publish("t", b"1"), publish("t", b"2")]);
    world.bytes(1, &wrap(&bytes[..bytes.len() - 1]));
    assert_eq!(world.arrived(1), [packet(b"1")]);
    world.bytes(1, &wrap(&bytes[bytes.len() - 1..]));
    assert_eq!(world.arrived(1), [packet(b"2")]);
}

#[test]
fn a_connect_right_behind_the_opening_handshake_is_heard() {
    let mut world = world();
    world.link(1, Transport::WebSocket);
    world.handle(espbroker_broker::Input::Accepted {
        connection: espbroker_broker::ConnectionId(1),
        transport: Transport::WebSocket,
    });
    let bytes = [REQUEST.as_bytes(), &wrap(&encoded(&[Packet::Connect(plain("hasty"))]))].concat();
    world.bytes(1, &bytes);
    let units = world.arrived(1);
    assert!(matches!(&units[..], [Unit::Http(answer), Unit::Packet(connack)]
        if answer.starts_with(b"HTTP/1.1 101 ") && *connack == encoded(&[accepted(false)])));
}

#[test]
fn a_client_that_closes_its_websocket_leaves_its_will() {
    let mut world = watched();
    world.bytes(1, &frame(0x88, &1001_u16.to_be_bytes(), MASK));
    assert_eq!(world.end(1), Some(CloseReason::WebSocketClosed));
    assert_eq!(world.arrived(1), [Unit::Closing(1001)]);
    world.expect(2, &[publish("w", b"gone")]);
    assert_eq!(world.broker.counters().closed.websocket_closed, 1);
}

#[test]
fn disconnect_ends_the_websocket_without_the_will() {
    let mut world = watched();
    world.send(1, &[Packet::Disconnect]);
    assert_eq!(world.end(1), Some(CloseReason::Disconnected));
    assert_eq!(world.arrived(1), [Unit::Closing(1000)]);
    world.expect(2, &[]);
}

#[test]
fn the_closing_frame_says_what_was_wrong() {
    for (bytes, reason, code) in [
        (wrap(b"\0\0"), CloseReason::Malformed(Malformed::ReservedPacketType(0)), 1002),
        (wrap(&encoded(&[Packet::Connect(plain("x"))])), CloseReason::SecondConnect, 1002),
        (wrap(b"\x32\xff\xff\xff\x7f"), CloseReason::PacketTooLong, 1009),
        (frame(0x81, b"hello", MASK), CloseReason::WebSocket(WebSocketError::Text), 1003),
        (b"\x82\x02\xc0\x00".to_vec(), CloseReason::WebSocket(WebSocketError::Unmasked), 1002),
        (frame(0xc2, b"", MASK), CloseReason::WebSocket(WebSocketError::ReservedBits), 1002),
        (frame(0x80, b"", MASK), CloseReason::WebSocket(WebSocketError::Continuation), 1002),
        (
            frame(0x88, &[0x03, 0xe8, 0xff], MASK),
            CloseReason::WebSocket(WebSocketError::CloseReasonNotUtf8),
            1007,
        ),
    ] {
        let mut world = watched();
        world.bytes(1, &[bytes, wrap(&encoded(&[publish("w", b"never")]))].concat());
        assert_eq!(world.end(1), Some(reason));
        assert_eq!(world.arrived(1), [Unit::Closing(code)]);
        world.expect(2, &[publish("w", b"gone")]);
        let closed = &world.broker.counters().closed;
        assert_eq!(closed.websocket == 1, matches!(reason, CloseReason::WebSocket(_)));
    }
}

#[test]
fn a_request_for_something_else_is_answered_and_closed() {
    let mut world = world();
    for (from, to, status) in [
        ("GET /mqtt ", "GET / ", "404"),
        ("GET ", "POST ", "405"),
        ("Protocol: mqtt", "Protocol: other", "400"),
        ("Version: 13", "Version: 8", "426"),
    ] {
        world.link(1, Transport::WebSocket);
        world.handle(espbroker_broker::Input::Accepted {
            connection: espbroker_broker::ConnectionId(1),
            transport: Transport::WebSocket,
        });
        world.bytes(1, REQUEST.replace(from, to).as_bytes());
        assert!(matches!(world.end(1), Some(CloseReason::WebSocket(_))));
        let units = world.arrived(1);
        let start = format!("HTTP/1.1 {status} ");
        assert!(matches!(&units[..], [Unit::Http(answer)] if answer.starts_with(start.as_bytes())));
    }
    assert_eq!(world.broker.counters().closed.websocket, 4);
}

#[test]
fn the_time_for_a_connect_counts_from_the_first_byte() {
    let mut world = world();
    world.link(1, Transport::WebSocket);
    world.handle(espbroker_broker::Input::Accepted {
        connection: espbroker_broker::ConnectionId(1),
        transport: Transport::WebSocket,
    });
    world.pass(9_000);
    world.bytes(1, REQUEST.as_bytes());
    world.arrived(1);
    world.pass(999);
    world.bytes(1, &frame(0x89, b"", MASK));
    assert_eq!(world.end(1), None);
    world.pass(1);
    assert_eq!(world.end(1), Some(CloseReason::ConnectTimeout));
}

#[test]
fn pings_of_the_websocket_are_no_sign_of_life() {
    let mut world = watched();
    world.connect_web(1, Connect { keep_alive: 10, will: Some(will("w", b"gone")), ..plain("page") });
    world.pass(14_000);
    world.bytes(1, &frame(0x89, b"", MASK));
    world.pass(1_000);
    assert_eq!(world.end(1), Some(CloseReason::KeepAliveTimeout));
}

#[test]
fn a_slow_reader_gets_retained_messages_and_live_ones_in_whole_frames() {
    let network = Network { window: 100, in_flight: 200, segment: 64 };
    let mut world = World::new(Settings { network, ..open() }, Accounts::default());
    world.connect(1, plain("publisher"));
    for topic in ["1", "2", "3"] {
        world.send(1, &[retained(topic, &[7; 150])]);
    }
    world.connect_web(2, plain("page"));
    world.hold(2);
    world.subscribe_held(2, "#");
    world.send(1, &[publish("4", &[8; 150])]);
    let mut packets = Vec::new();
    for _ in 0..100 {
        world.take(2, 10);
        packets.extend(world.packets(2));
    }
    let expected = [
        retained("1", &[7; 150]),
        retained("2", &[7; 150]),
        retained("3", &[7; 150]),
        publish("4", &[8; 150]),
    ];
    assert_eq!(packets[1..].concat(), encoded(&expected));
}

#[test]
fn a_frame_full_of_requests_is_answered_whole_while_a_message_is_on_its_way() {
    let network = Network { window: 0, ..Network::default() };
    let mut world = World::new(Settings { network, ..open() }, Accounts::default());
    world.connect(1, plain("publisher"));
    world.connect_web(2, plain("page"));
    world.subscribe(2, &["t"], QoS::AtMostOnce, &[0]);
    world.hold(2);
    world.send(1, &[publish("t", &[7; 4000])]);
    // 2,048 bytes together with the frame around them.
    let requests = wrap(&encoded(&[Packet::Pingreq; 1020]));
    assert_eq!(requests.len(), 2048);
    world.bytes(2, &requests);
    assert_eq!(world.end(2), None);
    world.take(2, usize::MAX);
    let expected = [&[publish("t", &[7; 4000])][..], &[Packet::Pingresp; 1020]].concat();
    world.expect(2, &expected);
}

#[test]
fn the_longest_packet_passes_at_every_qos() {
    let settings = Settings {
        packet_size: 65_535,
        queue_bytes: 200_000,
        network: Network { window: 1 << 20, ..Network::default() },
        ..open()
    };
    let mut world = World::new(settings, Accounts::default());
    world.connect(1, plain("publisher"));
    world.connect_web(2, plain("page"));
    world.connect(3, plain("other"));
    let payload = vec![7; 65_535 - 4 - 3];
    assert_eq!(encoded(&[publish("t", &payload)]).len(), 65_535);
    for (granted, code) in [(QoS::AtMostOnce, 0), (QoS::ExactlyOnce, 2)] {
        for connection in [2, 3] {
            world.subscribe(connection, &["t"], granted, &[code]);
        }
        world.send(1, &[publish("t", &payload)]);
        let shorter = &payload[2..];
        world.send(1, &[at_least_once("t", shorter, 1, false)]);
        for connection in [2, 3] {
            let second = match granted {
                QoS::AtMostOnce => publish("t", shorter),
                _ => at_least_once("t", shorter, 1, false),
            };
            let packets = world.packets(connection);
            assert!(packets == [encoded(&[publish("t", &payload)]), encoded(&[second])], "{granted:?}");
        }
    }
}

#[test]
fn one_websocket_too_many_is_told_so_in_a_frame() {
    let mut world = World::new(Settings { clients: 1, ..open() }, Accounts::default());
    world.connect(1, plain("a"));
    world.open(2, Transport::WebSocket);
    world.arrived(2);
    world.send(2, &[Packet::Connect(plain("b"))]);
    let refused = espbroker_mqtt::ConnectReturnCode::ServerUnavailable;
    assert_eq!(world.arrived(2), [Unit::Packet(encoded(&[connack(refused)])), Unit::Closing(1008)]);
}
