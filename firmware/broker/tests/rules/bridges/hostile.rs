//! Servers that do not keep to the standard.

use espbroker_broker::{BridgeFailure::*, BridgeSettings, BridgeState, CloseReason, Direction::*, Settings};
use espbroker_mqtt::PacketType;
use proptest::{collection::vec, prelude::*};

use super::lan::{ALL, Lan, bridge_to, roomy};

const CONNACK: &[u8] = b"\x20\x02\x00\x00";

/// A broker whose bridge asks a server that has not answered yet.
fn asking() -> (Lan, usize) {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", roomy()), lan.add_server("cloud"));
    lan.set_bridges(a, vec![BridgeSettings { try_private: false, ..bridge_to("cloud", ALL) }]);
    (lan, cloud)
}

#[test]
fn packets_that_a_server_never_sends_end_the_link() {
    let only_client = [
        (PacketType::Connect, &b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"[..]),
        (PacketType::Subscribe, b"\x82\x06\x00\x01\x00\x01#\x00"),
        (PacketType::Unsubscribe, b"\xa2\x05\x00\x01\x00\x01#"),
        (PacketType::Pingreq, b"\xc0\x00"),
        (PacketType::Disconnect, b"\xe0\x00"),
    ];
    for (packet_type, bytes) in only_client {
        for before in [&b""[..], CONNACK] {
            let (mut lan, cloud) = asking();
            lan.answer_bytes(cloud, &[before, bytes].concat());
            lan.expect_failed(0, ProtocolViolated);
            assert_eq!(lan.host(0).closed, [CloseReason::ClientPacket(packet_type)]);
            assert!(!lan.is_connected(cloud));
        }
    }
}

#[test]
fn bytes_that_are_no_packet_and_packets_out_of_turn_end_the_link() {
    let malformed: [&[u8]; 5] = [b"\xf0\x00", b"\x00\x00", b"\x40\x00", b"\x36\x00", b"\x30\xff\xff\xff\xff"];
    for bytes in malformed {
        for before in [&b""[..], CONNACK] {
            let (mut lan, cloud) = asking();
            lan.answer_bytes(cloud, &[before, bytes].concat());
            lan.expect_failed(0, ProtocolViolated);
            assert!(matches!(lan.host(0).closed[..], [CloseReason::Malformed(_)]));
        }
    }
    let too_early: [&[u8]; 6] = [
        b"\x30\x03\x00\x01t",
        b"\x40\x02\x00\x01",
        b"\x62\x02\x00\x01",
        b"\x90\x03\x00\x01\x00",
        b"\xb0\x02\x00\x01",
        b"\xd0\x00",
    ];
    for bytes in too_early {
        let (mut lan, cloud) = asking();
        lan.answer_bytes(cloud, bytes);
        lan.expect_failed(0, ProtocolViolated);
        assert_eq!(lan.received(cloud).len(), 1, "no answer but the CONNECT");
    }
    let (mut lan, cloud) = asking();
    lan.answer_bytes(cloud, &[CONNACK, CONNACK].concat());
    lan.expect_failed(0, ProtocolViolated);
    // CONNACK with a code that there is not.
    let (mut lan, cloud) = asking();
    lan.answer_bytes(cloud, b"\x20\x02\x00\x06");
    lan.expect_failed(0, ProtocolViolated);
}

#[test]
fn answers_to_what_was_never_sent_are_counted_and_harmless() {
    let (mut lan, cloud) = asking();
    lan.answer_bytes(cloud, CONNACK);
    let _ = lan.received(cloud);
    lan.answer_bytes(
        cloud,
        b"\x40\x02\x00\x63\x50\x02\x00\x63\x70\x02\x00\x63\x62\x02\x00\x63\x90\x03\x00\x63\x00\xd0\x00",
    );
    // MQTT 3.1.1 §4.3.3: PUBREL for the PUBREC, PUBCOMP for the PUBREL.
    assert_eq!(lan.received(cloud), [b"\x62\x02\x00\x63", b"\x70\x02\x00\x63"]);
    assert_eq!(lan.counters(0).unexpected_acknowledgements, 3);
    lan.expect_up(0, false);
}

#[test]
fn a_message_longer_than_a_packet_may_be_does_not_end_the_link() {
    // A server that keeps a session would send it again over every new link.
    let (mut lan, cloud) = asking();
    let here = lan.client(0, "here", &[("#", 2)]);
    lan.answer_bytes(cloud, CONNACK);
    let _ = lan.received(cloud);
    for (head, answer) in [
        (&b"\x30\xc3\x3e\x00\x01t"[..], None),
        (b"\x32\xc5\x3e\x00\x01t\x00\x05", Some(&b"\x40\x02\x00\x05"[..])),
        (b"\x3c\xc5\x3e\x00\x01t\x00\x06", Some(b"\x50\x02\x00\x06")),
    ] {
        for piece in [usize::MAX, 1000, 7, 1] {
            lan.piece = piece;
            lan.answer_bytes(cloud, &[head, &[b'x'; 8000]].concat());
            assert_eq!(lan.received(cloud), answer.as_slice(), "{piece}");
        }
    }
    lan.piece = usize::MAX;
    assert_eq!(lan.counters(0).messages_too_long, 12);
    lan.answer_bytes(cloud, b"\x62\x02\x00\x06\x30\x04\x00\x01tx");
    assert_eq!(lan.received(cloud), [b"\x70\x02\x00\x06"]);
    lan.expect(here, &["t x"]);
    lan.expect_up(0, false);
}

#[test]
fn a_message_that_its_local_topic_makes_too_long_does_not_end_the_link() {
    let mut lan = Lan::new();
    let a = lan.add_broker("a", Settings { packet_size: 65_535, ..roomy() });
    let cloud = lan.add_server("cloud");
    let here = lan.client(a, "here", &[("#", 0)]);
    lan.set_bridges(a, vec![bridge_to("cloud", &[("#", In, 1, "cloud/", "")])]);
    lan.answer_bytes(cloud, CONNACK);
    let _ = lan.received(cloud);
    // 65,535 bytes, and six more under the local topic.
    let longest = [&b"\x32\xfb\xff\x03\x00\x01t\x00\x05"[..], &[b'x'; 65_526]].concat();
    lan.answer_bytes(cloud, &longest);
    assert_eq!(lan.received(cloud), [b"\x40\x02\x00\x05"]);
    assert_eq!(lan.counters(a).messages_too_long, 1);
    lan.answer_bytes(cloud, b"\x30\x04\x00\x01tx");
    lan.expect(here, &["cloud/t x"]);
}

#[test]
fn a_packet_that_is_too_long_and_no_message_ends_the_link() {
    let (mut lan, cloud) = asking();
    lan.answer_bytes(cloud, CONNACK);
    lan.answer_bytes(cloud, &[&b"\x90\xc2\x3e\x00\x01"[..], &[0; 8000]].concat());
    assert!(!lan.is_connected(cloud));
    assert!(matches!(lan.news(0).last(), Some(BridgeState::Failed(_))));
}

#[test]
fn what_comes_for_no_line_is_acknowledged_and_dropped() {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", roomy()), lan.add_server("cloud"));
    let here = lan.client(a, "here", &[("#", 0)]);
    lan.set_bridges(a, vec![bridge_to("cloud", &[("in/#", In, 1, "", ""), ("out", Out, 1, "", "")])]);
    lan.answer_bytes(cloud, CONNACK);
    let _ = lan.received(cloud);
    lan.answer_bytes(
        cloud,
        b"\x32\x07\x00\x03out\x00\x01\x32\x09\x00\x05$SYS/\x00\x02\x32\x08\x00\x04in/x\x00\x03",
    );
    assert_eq!(lan.received(cloud), [b"\x40\x02\x00\x01", b"\x40\x02\x00\x02", b"\x40\x02\x00\x03"]);
    lan.expect(here, &["in/x "]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_in_any_split_leave_a_bridge_that_works(
        accepted: bool,
        bytes in vec(prop_oneof![any::<u8>(), prop::sample::select(vec![0, 1, 2, 0x20, 0x30, 0x32, 0x34, 0x40, 0x62])], 0..60),
        cuts in vec(1..8_usize, 60),
    ) {
        let run = |cuts: &[usize]| {
            let (mut lan, cloud) = asking();
            let here = lan.client(0, "here", &[("#", 2)]);
            if accepted {
                lan.answer_bytes(cloud, CONNACK);
            }
            let mut rest = &bytes[..];
            for cut in cuts {
                let (piece, left) = rest.split_at((*cut).min(rest.len()));
                if !piece.is_empty() && lan.is_connected(cloud) {
                    lan.answer_bytes(cloud, piece);
                }
                rest = left;
            }
            let said = (lan.news(0), lan.seen(here), lan.received(cloud), lan.host(0).closed.clone());
            // And it comes back.
            if lan.is_connected(cloud) {
                lan.hang_up(cloud);
            }
            lan.pass(60_000);
            prop_assert!(lan.host(0).opens.len() >= 2);
            prop_assert_eq!(lan.broker(0).clients(), 1);
            Ok(said)
        };
        prop_assert_eq!(run(&cuts)?, run(&[60])?);
    }
}
