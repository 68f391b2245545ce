//! Wills (MQTT 3.1.1 §3.1.2.5 to §3.1.2.7): published after every end but one.

use espbroker_broker::{Anonymous, CloseReason, Input, Network, Settings};
use espbroker_mqtt::{Connect, Packet, QoS, Will};

use crate::{
    packets::{accepted, again, at_least_once, exactly_once, kept, persistent},
    script::{Script, Users, encoded, message, open, plain, publish, will},
    websocket::frame,
};

/// A watcher of everything, who has an account, on connection 1.
fn watched() -> Script {
    let network = Network { window: 0, ..Network::default() };
    let mut script = Script::new(Settings { heap_floor: 10_000, packet_size: 256, network, ..open() });
    script.connect(1, Connect { user_name: Some("ann"), password: Some(b"secret"), ..plain("watch") });
    script.subscribe(1, &["#"]);
    script
}

/// A CONNECT with a will.
fn mortal() -> Connect<'static> {
    Connect { will: Some(will("w", b"gone")), ..plain("mortal") }
}

/// The client on connection 2 comes to an end in `how`, and its will is published, once.
#[track_caller]
fn ends(script: &mut Script, reason: CloseReason, how: impl FnOnce(&mut Script)) {
    let messages = script.take(1);
    assert_eq!(messages.escape_ascii().to_string(), "");
    how(script);
    assert_eq!(script.end(2).unwrap_or(CloseReason::NetworkClosed), reason);
    script.expect(1, &[publish("w", b"gone")]);
    assert_eq!((script.counters().wills, script.end(1)), (1, None));
}

#[track_caller]
fn client_ends(reason: CloseReason, how: impl FnOnce(&mut Script)) {
    let mut script = watched();
    script.connect(2, mortal());
    ends(&mut script, reason, how);
}

// [MQTT-3.1.2-8], [MQTT-3.1.2-10]
#[test]
fn every_end_that_a_client_or_the_network_makes_publishes_the_will_once() {
    client_ends(CloseReason::NetworkClosed, |script| script.drop_link(2));
    client_ends(CloseReason::NetworkClosed, |script| script.join(2, "another"));
    client_ends(CloseReason::TakenOver, |script| script.join(3, "mortal"));
    client_ends(CloseReason::SecondConnect, |script| script.send(2, Packet::Connect(mortal())));
    client_ends(CloseReason::PacketTooLong, |script| script.bytes(2, b"\x32\xfe\x01"));
    for bytes in [&b"\xd0\x00"[..], b"\x00", b"\x30\x02\x00\x00", b"\xe1\x00", b"\xe0\x01\x00"] {
        let mut script = watched();
        script.connect(2, mortal());
        script.bytes(2, bytes);
        assert!(matches!(script.end(2), Some(CloseReason::Malformed(_) | CloseReason::ServerPacket(_))));
        script.expect(1, &[publish("w", b"gone")]);
    }
    client_ends(CloseReason::TooManyUnreleased, |script| {
        for number in 1..=129 {
            // A reserved topic, which the watcher does not see.
            script.send(2, Packet::Publish(exactly_once("$t", number, b"")));
        }
    });
}

// [MQTT-3.1.2-8], [MQTT-3.1.2-10], [MQTT-3.1.2-24]
#[test]
fn every_end_that_the_broker_makes_publishes_the_will_once() {
    let mut script = watched();
    script.connect(2, Connect { keep_alive: 10, ..mortal() });
    ends(&mut script, CloseReason::KeepAliveTimeout, |script| script.pass(15_000));
    client_ends(CloseReason::Stalled, |script| {
        script.stuck.push(2);
        script.send(2, Packet::Pingreq);
        script.pass(60_000);
    });
    client_ends(CloseReason::AnswersUnread, |script| {
        script.stuck.push(2);
        script.bytes(2, &encoded(&[Packet::Pingreq; 2000]));
    });
    client_ends(CloseReason::NoMemory, |script| {
        script.broker.set_free(10_372);
        script.send(2, Packet::Publish(at_least_once("t", 1, &[0; 50])));
    });
    client_ends(CloseReason::NoLongerAllowed, |script| {
        script.broker.set_access(Users, Anonymous::Refused, script.now);
        script.handle(Input::Tick);
    });
}

// [MQTT-3.1.2-8]
#[test]
fn every_end_of_a_websocket_but_disconnect_publishes_the_will() {
    // A ping in two fragments, a frame without a mask, a closing frame, and a packet in place of a CONNECT.
    for bytes in
        [&frame(0x09, b"")[..], b"\x82\x02\xc0\x00", &frame(0x88, b"\x03\xe8"), &frame(0x82, b"\x10\x00")]
    {
        let mut script = watched();
        script.join_websocket(2, mortal());
        script.bytes(2, bytes);
        assert!(script.end(2).is_some());
        script.expect(1, &[publish("w", b"gone")]);
    }
    let mut script = watched();
    script.join_websocket(2, mortal());
    script.bytes(2, &frame(0x82, b"\xe0\x00"));
    assert_eq!(script.end(2), Some(CloseReason::Disconnected));
    script.expect(1, &[]);
}

// [MQTT-3.1.2-10], [MQTT-3.1.2-12]
#[test]
fn a_connection_without_a_will_leaves_none_whatever_there_was_before() {
    for (end, wills) in [(Packet::Pingreq, 1), (Packet::Disconnect, 0)] {
        let mut script = watched();
        script.connect(2, Connect { clean_session: false, ..mortal() });
        script.send(2, end);
        script.drop_link(2);
        script.take(1);
        script.come_back(2, "mortal", &[accepted(true)]);
        script.drop_link(2);
        script.expect(1, &[]);
        assert_eq!(script.counters().wills, wills);
    }
}

// [MQTT-3.1.2-9], [MQTT-3.1.2-16], [MQTT-3.1.2-17]
#[test]
fn a_will_has_the_qos_and_the_retain_of_its_flags() {
    for (qos, retain) in [
        (QoS::AtMostOnce, false),
        (QoS::AtMostOnce, true),
        (QoS::AtLeastOnce, false),
        (QoS::AtLeastOnce, true),
        (QoS::ExactlyOnce, false),
        (QoS::ExactlyOnce, true),
    ] {
        let mut script = Script::open();
        script.join(1, "watch");
        script.subscribe_at(1, &["w"], QoS::ExactlyOnce);
        script.connect(2, Connect { will: Some(Will { qos, retain, ..will("w", b"gone") }), ..plain("a") });
        script.drop_link(2);
        let gone = match qos {
            QoS::AtMostOnce => message("w", b"gone"),
            QoS::AtLeastOnce => at_least_once("w", 1, b"gone"),
            QoS::ExactlyOnce => exactly_once("w", 1, b"gone"),
        };
        script.expect(1, &[Packet::Publish(gone)]);
        script.join(3, "later");
        script.subscribe_at(3, &["w"], QoS::ExactlyOnce);
        let kept = retain.then_some(Packet::Publish(kept(gone)));
        script.expect(3, kept.as_slice());
    }
}

// [MQTT-3.1.2-8]
#[test]
fn a_will_waits_for_whoever_is_away_also_for_the_client_itself() {
    let mut script = Script::open();
    let will = Will { qos: QoS::AtLeastOnce, ..will("w", b"gone") };
    script.connect(1, Connect { will: Some(will), ..persistent("a") });
    script.subscribe_at(1, &["w"], QoS::AtLeastOnce);
    script.drop_link(1);
    let message = at_least_once("w", 1, b"gone");
    script.come_back(1, "a", &[accepted(true), Packet::Publish(message)]);
    script.drop_link(1);
    script.come_back(1, "a", &[accepted(true), Packet::Publish(again(message))]);
}
