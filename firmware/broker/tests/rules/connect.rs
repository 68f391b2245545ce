//! CONNECT: identifiers, accounts, take-over (MQTT 3.1.1 §3.1).

use espbroker_broker::{Anonymous, CloseReason, Settings};
use espbroker_mqtt::{Connect, ConnectReturnCode, Packet, Protocol};

use crate::script::{Script, connack, open, plain, publish, will};

/// Sends a CONNECT on a new connection and checks the answer; anything but 0 must close.
#[track_caller]
fn answer(script: &mut Script, connect: Connect<'_>, code: ConnectReturnCode) {
    script.accept(9);
    script.send(9, Packet::Connect(connect));
    script.expect(9, &[connack(code)]);
    let refused = (code != ConnectReturnCode::Accepted).then_some(CloseReason::Refused(code));
    assert_eq!(script.end(9), refused);
    script.drop_link(9);
}

#[test]
fn both_protocol_levels_are_served() {
    let mut script = Script::open();
    answer(&mut script, plain("a"), ConnectReturnCode::Accepted);
    answer(&mut script, Connect { protocol: Protocol::Mqtt31, ..plain("a") }, ConnectReturnCode::Accepted);
    assert_eq!(script.counters().clients, 2);
}

#[test]
fn another_protocol_level_gets_code_1_and_is_closed() {
    let mut script = Script::open();
    for packet in [
        &b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00"[..],
        b"\x10\x0c\x00\x04MQTT\x83\x02\x00\x00\x00\x00",
    ] {
        script.accept(1);
        script.bytes(1, packet);
        script.expect(1, &[connack(ConnectReturnCode::UnacceptableProtocolVersion)]);
        let code = ConnectReturnCode::UnacceptableProtocolVersion;
        assert_eq!(script.end(1), Some(CloseReason::Refused(code)));
    }
    assert_eq!(script.counters().closed.refused, 2);
}

#[test]
fn an_empty_client_identifier_needs_a_clean_session() {
    let mut script = Script::open();
    let kept = Connect { clean_session: false, ..plain("") };
    answer(&mut script, kept, ConnectReturnCode::IdentifierRejected);
    let old = Connect { protocol: Protocol::Mqtt31, ..plain("") };
    answer(&mut script, old, ConnectReturnCode::IdentifierRejected);
    answer(&mut script, plain(""), ConnectReturnCode::Accepted);
}

#[test]
fn clients_without_an_identifier_do_not_take_each_other_over() {
    let mut script = Script::open();
    // The identifiers that the broker would assign are already in use.
    script.join(0, "auto-00000000");
    for connection in 1..=5 {
        script.join(connection, "");
    }
    assert_eq!(script.broker.clients(), 6);
}

#[test]
fn a_client_identifier_may_be_longer_than_23_bytes_up_to_128() {
    let mut script = Script::open();
    answer(&mut script, plain(&"x".repeat(128)), ConnectReturnCode::Accepted);
    answer(&mut script, plain(&"x".repeat(129)), ConnectReturnCode::IdentifierRejected);
}

#[test]
fn without_anonymous_access_only_the_right_password_lets_in() {
    let mut script = Script::new(Settings::default());
    let with = |user_name, password| Connect { user_name, password, ..plain("a") };
    let bad = ConnectReturnCode::BadUserNameOrPassword;
    answer(&mut script, with(Some("ann"), Some(b"secret")), ConnectReturnCode::Accepted);
    answer(&mut script, with(Some("ann"), Some(b"Secret")), bad);
    answer(&mut script, with(Some("ann"), Some(b"")), bad);
    answer(&mut script, with(Some("ann"), None), bad);
    answer(&mut script, with(Some("DVES_USER"), Some(b"DVES_PASS")), bad);
    answer(&mut script, with(Some(""), None), bad);
    answer(&mut script, with(Some("bob"), Some(b"x")), ConnectReturnCode::NotAuthorized);
    answer(&mut script, with(None, None), ConnectReturnCode::NotAuthorized);
    assert_eq!(script.counters().closed.refused, 7);
    assert_eq!(Settings::default().anonymous, Anonymous::Refused);
}

#[test]
fn where_anonymous_is_allowed_credentials_nobody_asked_for_are_accepted() {
    let mut script = Script::open();
    let with = |user_name, password| Connect { user_name, password, ..plain("a") };
    answer(&mut script, with(None, None), ConnectReturnCode::Accepted);
    answer(&mut script, with(Some("DVES_USER"), Some(b"DVES_PASS")), ConnectReturnCode::Accepted);
    answer(&mut script, with(Some("ann"), Some(b"secret")), ConnectReturnCode::Accepted);
    // A known user with a wrong password is a mistake that its owner wants to hear about.
    answer(&mut script, with(Some("ann"), Some(b"wrong")), ConnectReturnCode::BadUserNameOrPassword);
    answer(&mut script, with(Some("bob"), None), ConnectReturnCode::NotAuthorized);
}

#[test]
fn a_client_with_the_same_identifier_takes_over_at_once() {
    let mut script = Script::open();
    script.join(1, "same");
    script.subscribe(1, &["old"]);
    script.join(2, "same");
    assert_eq!(script.end(1), Some(CloseReason::TakenOver));
    assert_eq!(script.broker.clients(), 1);
    assert_eq!(script.counters().closed.taken_over, 1);
    script.send(2, publish("old", b"x"));
    script.expect(2, &[]);
    script.subscribe(2, &["new"]);
    // What the old connection still sends, and its end, do not disturb the new one.
    script.send(1, publish("new", b"x"));
    script.drop_link(1);
    script.expect(2, &[]);
    script.send(2, publish("new", b"y"));
    script.expect(2, &[publish("new", b"y")]);
}

#[test]
fn take_over_works_when_the_broker_is_full() {
    let mut script = Script::new(Settings { clients: 1, ..open() });
    script.join(1, "same");
    script.join(2, "same");
    assert_eq!(script.end(1), Some(CloseReason::TakenOver));
}

#[test]
fn a_wrong_password_does_not_take_over() {
    let mut script = Script::new(Settings::default());
    let right = Connect { user_name: Some("ann"), password: Some(b"secret"), ..plain("same") };
    script.connect(1, right);
    answer(
        &mut script,
        Connect { password: Some(b"guess"), ..right },
        ConnectReturnCode::BadUserNameOrPassword,
    );
    assert_eq!(script.end(1), None);
    assert_eq!(script.broker.clients(), 1);
}

#[test]
fn a_refused_client_leaves_no_will() {
    let mut script = Script::new(Settings::default());
    let ann = Connect { user_name: Some("ann"), password: Some(b"secret"), ..plain("ann") };
    script.connect(1, ann);
    script.subscribe(1, &["#"]);
    answer(
        &mut script,
        Connect { will: Some(will("w", b"gone")), ..plain("b") },
        ConnectReturnCode::NotAuthorized,
    );
    script.expect(1, &[]);
    assert_eq!(script.counters().wills, 0);
}
