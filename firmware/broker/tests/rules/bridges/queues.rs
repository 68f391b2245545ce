//! What waits while a link is down, and what is sent again when it was lost.

use espbroker_broker::{BridgeSettings, Direction::*, OpenFailure, Settings};

use super::lan::{ALL, Door, Lan, bridge_to, roomy};

fn numbers(range: std::ops::Range<u32>) -> Vec<String> {
    range.map(|number| format!("n {number} 1")).collect()
}

/// Broker 0, whose bridge to broker 1 is down, and a client of each.
fn broken(limits: Settings, bridge: BridgeSettings) -> (Lan, usize, usize) {
    let mut lan = Lan::new();
    let (a, b) = (lan.add_broker("a", limits), lan.add_broker("b", roomy()));
    let (here, there) = (lan.client(a, "here", &[]), lan.client(b, "there", &[("#", 2)]));
    lan.host(b).door = Door::Fails(OpenFailure::Refused);
    lan.set_bridges(a, vec![bridge]);
    (lan, here, there)
}

fn heal(lan: &mut Lan) {
    lan.host(1).door = Door::Open;
    lan.pass(5_000);
    lan.expect_up(0, true);
}

#[test]
fn messages_of_qos_1_and_2_wait_in_their_order_and_those_of_qos_0_do_not() {
    let (mut lan, here, there) = broken(roomy(), bridge_to("b", ALL));
    for (number, qos) in [0, 1, 2, 0, 2, 1].into_iter().enumerate() {
        lan.publish(here, "n", &number.to_string(), qos);
    }
    assert_eq!(lan.counters(0).messages_dropped, 2);
    lan.pass(60_000);
    lan.expect(there, &[]);
    heal(&mut lan);
    lan.expect(there, &["n 1 1", "n 2 2", "n 4 2", "n 5 1"]);
}

#[test]
fn no_more_messages_wait_than_the_limit() {
    let (mut lan, here, there) = broken(Settings { queue_messages: 20, ..roomy() }, bridge_to("b", ALL));
    for number in 0..50 {
        lan.publish(here, "n", &number.to_string(), 1);
    }
    assert_eq!(lan.counters(0).messages_dropped, 30);
    heal(&mut lan);
    assert_eq!(lan.seen(there), numbers(0..20));
}

#[test]
fn no_more_bytes_wait_than_the_limit() {
    let (mut lan, here, there) = broken(Settings { queue_bytes: 1000, ..roomy() }, bridge_to("b", ALL));
    let idle = lan.broker(0).memory();
    let payload = "x".repeat(95);
    // Two bytes of header, three of topic, 95 of payload.
    for _ in 0..50 {
        lan.publish(here, "n", &payload, 1);
    }
    assert_eq!(lan.counters(0).messages_dropped, 40);
    let used = lan.broker(0).memory() - idle;
    assert!(used < 3000, "{used}");
    heal(&mut lan);
    assert_eq!(lan.seen(there).len(), 10);
}

#[test]
fn nothing_waits_for_a_clean_session() {
    let bridge = BridgeSettings { clean_session: true, ..bridge_to("b", ALL) };
    let (mut lan, here, there) = broken(roomy(), bridge);
    lan.publish(here, "n", "1", 2);
    heal(&mut lan);
    lan.expect(there, &[]);
    // Neither here nor there.
    lan.cut(0, 1);
    lan.publish(here, "n", "2", 2);
    lan.publish(there, "n", "3", 2);
    let _ = lan.seen(there);
    let watcher = lan.client(0, "watcher", &[("#", 2)]);
    lan.pass(5_000);
    lan.expect(there, &[]);
    lan.expect(watcher, &[]);
    lan.publish(there, "n", "4", 2);
    lan.expect(watcher, &["n 4 2"]);
    assert_eq!(lan.counters(0).messages_dropped, 2);
}

#[test]
fn the_other_broker_keeps_what_comes_in_while_the_link_is_down() {
    let (mut lan, here, there) = broken(roomy(), bridge_to("b", ALL));
    heal(&mut lan);
    lan.subscribe(here, &[("#", 2)]);
    lan.cut(0, 1);
    for (number, qos) in [0, 1, 2].into_iter().enumerate() {
        lan.publish(there, "n", &number.to_string(), qos);
    }
    lan.expect(here, &[]);
    lan.pass(5_000);
    lan.expect(here, &["n 1 1", "n 2 2"]);
}

#[test]
fn what_waits_survives_a_remote_broker_that_has_forgotten_the_session() {
    let (mut lan, here, there) = broken(roomy(), bridge_to("b", ALL));
    heal(&mut lan);
    lan.cut(0, 1);
    lan.publish(here, "n", "1", 2);
    // Someone else with this identifier wants a clean session, and goes.
    let thief = lan.client(1, "bridge-to-b", &[]);
    lan.leave(thief);
    lan.subscribe(here, &[("#", 2)]);
    lan.pass(5_000);
    lan.expect(there, &["n 1 2"]);
    lan.publish(there, "back", "2", 2);
    lan.expect(here, &["back 2 2"]);
}

/// Publishes over a link that is lost after each possible number of bytes from then on, and looks what arrives.
fn lost_after_every_byte(
    publish: impl Fn(&mut Lan, usize, usize),
    mut check: impl FnMut(&mut Lan, usize, usize),
) {
    for bytes in 1.. {
        let (mut lan, here, there) = broken(roomy(), bridge_to("b", ALL));
        heal(&mut lan);
        lan.subscribe(here, &[("#", 2)]);
        lan.cut_after(0, 1, bytes);
        publish(&mut lan, here, there);
        let was_cut = lan.link(0, 1).is_none();
        lan.pass(6_000);
        check(&mut lan, here, there);
        if !was_cut {
            // PUBLISH, PUBREC, PUBREL and PUBCOMP at least.
            assert!(bytes > 10);
            return;
        }
    }
}

#[test]
fn a_message_of_qos_2_arrives_once_wherever_the_link_is_lost() {
    let (mut duplicates, mut again) = ([0, 0], 0);
    lost_after_every_byte(
        |lan, here, _| lan.publish(here, "out", "x", 2),
        |lan, _, there| {
            let seen = lan.seen(there);
            assert!(seen == ["out x 2"], "{seen:?}");
            duplicates[0] += lan.counters(1).duplicates;
            again += lan.counters(0).messages_sent - 1;
        },
    );
    lost_after_every_byte(
        |lan, _, there| lan.publish(there, "in", "x", 2),
        |lan, here, _| {
            let seen = lan.seen(here);
            assert!(seen == ["in x 2"], "{seen:?}");
            duplicates[1] += lan.counters(0).duplicates;
        },
    );
    // Lost after the PUBLISH and before the end of the PUBREC: five positions.
    assert_eq!(duplicates, [4, 4]);
    assert!(again > 4);
}

#[test]
fn a_message_of_qos_1_arrives_wherever_the_link_is_lost() {
    let mut twice = 0;
    lost_after_every_byte(
        |lan, here, _| lan.publish(here, "out", "x", 1),
        |lan, _, there| {
            let seen = lan.seen(there);
            assert!(seen == ["out x 1"] || seen == ["out x 1", "out x 1"], "{seen:?}");
            twice += u32::from(seen.len() == 2);
        },
    );
    assert_eq!(twice, 4, "lost between PUBLISH and PUBACK");
    lost_after_every_byte(
        |lan, _, there| lan.publish(there, "in", "x", 1),
        |lan, here, _| assert!(lan.seen(here)[0] == "in x 1"),
    );
}

#[test]
fn what_was_sent_and_not_acknowledged_is_sent_again_with_dup_and_in_its_order() {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", roomy()), lan.add_server("cloud"));
    let here = lan.client(a, "here", &[]);
    let mut bridge = bridge_to("cloud", &[("#", Out, 2, "", "")]);
    bridge.notifications = false;
    lan.set_bridges(a, vec![bridge]);
    lan.answer_bytes(cloud, b"\x20\x02\x00\x00");
    let _ = lan.received(cloud);
    for (topic, qos) in [("a", 1), ("b", 2), ("c", 0), ("d", 1)] {
        lan.publish(here, topic, "", qos);
    }
    let first: [&[u8]; 4] = [
        b"\x32\x05\x00\x01a\x00\x01",
        b"\x34\x05\x00\x01b\x00\x02",
        b"\x30\x03\x00\x01c",
        b"\x32\x05\x00\x01d\x00\x03",
    ];
    assert_eq!(lan.received(cloud), first);
    lan.hang_up(cloud);
    lan.publish(here, "e", "", 2);
    lan.pass(5_000);
    assert_eq!(lan.received(cloud).len(), 1, "CONNECT");
    // The session is there or not: at least once and exactly once are promised to local clients.
    lan.answer_bytes(cloud, b"\x20\x02\x00\x00");
    let again: [&[u8]; 4] = [
        b"\x3a\x05\x00\x01a\x00\x01",
        b"\x3c\x05\x00\x01b\x00\x02",
        b"\x3a\x05\x00\x01d\x00\x03",
        b"\x34\x05\x00\x01e\x00\x04",
    ];
    assert_eq!(lan.received(cloud), again);
    // PUBREC, then lost: from there on only the PUBREL is to be sent again.
    lan.answer_bytes(cloud, b"\x50\x02\x00\x02\x40\x02\x00\x01");
    assert_eq!(lan.received(cloud), [b"\x62\x02\x00\x02"]);
    lan.hang_up(cloud);
    lan.pass(10_000);
    let _ = lan.received(cloud);
    lan.answer_bytes(cloud, b"\x20\x02\x01\x00");
    let rest: [&[u8]; 3] = [b"\x62\x02\x00\x02", b"\x3a\x05\x00\x01d\x00\x03", b"\x3c\x05\x00\x01e\x00\x04"];
    assert_eq!(lan.received(cloud), rest);
}

#[test]
fn an_identifier_that_the_other_broker_has_not_released_is_forgotten_with_its_session() {
    for (session_present, expected) in [(1, 1), (0, 2)] {
        let mut lan = Lan::new();
        let (a, cloud) = (lan.add_broker("a", roomy()), lan.add_server("cloud"));
        let here = lan.client(a, "here", &[("#", 2)]);
        lan.set_bridges(a, vec![bridge_to("cloud", &[("#", In, 2, "", "")])]);
        lan.answer_bytes(cloud, b"\x20\x02\x00\x00");
        lan.answer_bytes(cloud, b"\x34\x06\x00\x01t\x00\x09x");
        lan.hang_up(cloud);
        lan.pass(5_000);
        lan.answer_bytes(cloud, &[0x20, 2, session_present, 0]);
        lan.answer_bytes(cloud, b"\x3c\x06\x00\x01t\x00\x09x");
        assert_eq!(lan.seen(here).len(), expected);
        assert_eq!(lan.counters(a).duplicates, u32::from(session_present));
    }
}

#[test]
fn a_link_that_is_lost_again_and_again_takes_no_more_and_more_memory() {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", roomy()), lan.add_server("cloud"));
    lan.set_bridges(a, vec![bridge_to("cloud", &[("#", Out, 2, "", "")])]);
    let mut memory = Vec::new();
    for _ in 0..20 {
        lan.answer_bytes(cloud, b"\x20\x02\x00\x00");
        lan.hang_up(cloud);
        memory.push(lan.broker(a).memory());
        lan.pass(5_000);
    }
    assert_eq!(memory[1], memory[19], "{memory:?}");
}
