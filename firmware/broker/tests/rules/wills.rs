//! Wills (MQTT 3.1.1 §3.1.2.5): published after every end but DISCONNECT.

use espbroker_broker::CloseReason;
use espbroker_mqtt::{Connect, Packet, QoS, Will};

use crate::script::{Script, plain, publish, retained, will};

fn watched() -> Script {
    let mut script = Script::open();
    script.join(1, "watch");
    script.subscribe(1, &["#"]);
    script.connect(2, Connect { will: Some(will("w", b"gone")), ..plain("a") });
    script
}

#[test]
fn a_lost_connection_publishes_the_will() {
    let mut script = watched();
    script.drop_link(2);
    script.expect(1, &[publish("w", b"gone")]);
    assert_eq!(script.counters().wills, 1);
    assert_eq!(script.counters().closed.network_closed, 1);
}

#[test]
fn disconnect_discards_the_will_and_closes() {
    let mut script = watched();
    script.send(2, Packet::Disconnect);
    assert_eq!(script.end(2), Some(CloseReason::Disconnected));
    script.drop_link(2);
    script.expect(1, &[]);
    assert_eq!(script.counters().wills, 0);
    assert_eq!(script.counters().closed.disconnected, 1);
}

#[test]
fn nothing_after_disconnect_is_looked_at() {
    let mut script = watched();
    let mut bytes = vec![0xe0, 0];
    bytes.extend_from_slice(&crate::script::encoded(&[publish("late", b"")]));
    script.bytes(2, &bytes);
    script.expect(1, &[]);
}

#[test]
fn take_over_publishes_the_will_of_the_old_connection_only() {
    let mut script = watched();
    script.connect(3, Connect { will: Some(will("w", b"new")), ..plain("a") });
    script.expect(1, &[publish("w", b"gone")]);
    // The newcomer is not told of its own past.
    script.expect(3, &[]);
    script.drop_link(3);
    script.expect(1, &[publish("w", b"new")]);
}

#[test]
fn a_will_may_be_retained_and_of_any_qos() {
    let mut script = Script::open();
    for (connection, qos) in [(1, QoS::AtMostOnce), (2, QoS::AtLeastOnce), (3, QoS::ExactlyOnce)] {
        let will = Will { qos, retain: true, ..will("state", b"offline") };
        script.connect(connection, Connect { will: Some(will), ..plain("a") });
        script.drop_link(connection);
    }
    script.join(4, "later");
    script.subscribe(4, &["state"]);
    script.expect(4, &[retained("state", b"offline")]);
}

#[test]
fn a_retained_will_without_payload_clears_what_is_retained() {
    let mut script = Script::open();
    let will = Will { retain: true, ..will("state", b"") };
    script.connect(1, Connect { will: Some(will), ..plain("a") });
    script.send(1, retained("state", b"online"));
    assert_eq!(script.broker.retained_messages(), 1);
    script.drop_link(1);
    assert_eq!(script.broker.retained_messages(), 0);
}

#[test]
fn a_will_to_a_reserved_topic_is_ignored_and_counted() {
    let mut script = Script::open();
    script.join(1, "watch");
    script.subscribe(1, &["$SYS/#"]);
    script.connect(2, Connect { will: Some(will("$SYS/x", b"fake")), ..plain("a") });
    script.drop_link(2);
    script.expect(1, &[]);
    assert_eq!(script.counters().reserved_topics, 1);
}

#[test]
fn a_client_does_not_get_its_own_will() {
    let mut script = Script::open();
    script.connect(1, Connect { will: Some(will("w", b"gone")), ..plain("a") });
    script.subscribe(1, &["w"]);
    script.drop_link(1);
    script.expect(1, &[]);
    assert_eq!(script.counters().messages_sent, 0);
}

#[test]
fn wills_of_clients_that_end_together_reach_those_that_stay() {
    let mut script = Script::open();
    script.join(1, "watch");
    script.subscribe(1, &["w/+"]);
    for (connection, topic) in [(2, "w/2"), (3, "w/3")] {
        let connect = Connect { keep_alive: 2, will: Some(will(topic, b"")), ..plain(topic) };
        script.connect(connection, connect);
        script.subscribe(connection, &["w/+"]);
    }
    script.pass(3_000);
    script.expect(1, &[publish("w/2", b""), publish("w/3", b"")]);
}
