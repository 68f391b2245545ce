//! Bridges that are changed while clients are connected.

use espbroker_broker::{
    BridgeFailure::*, BridgePassword, BridgeSettings, BridgeState::*, CloseReason, ConnectionId,
    Direction::*, Input,
};

use super::lan::{ALL, Door, Lan, bridge_to};

fn with_password(password: &str) -> BridgeSettings {
    BridgeSettings {
        user: Some("ann".into()),
        password: Some(BridgePassword::new(password.as_bytes())),
        ..bridge_to("b", ALL)
    }
}

#[test]
fn a_new_password_is_used_at_once_and_local_clients_notice_nothing() {
    let mut lan = Lan::of(2);
    let clients = [0, 1].map(|host| lan.client(host, "watcher", &[("t", 2)]));
    lan.set_bridges(0, vec![with_password("wrong")]);
    lan.expect_failed(0, BadCredentials);
    lan.publish(clients[0], "t", "1", 1);
    lan.publish(clients[0], "t", "2", 2);
    lan.set_bridges(0, vec![with_password("secret")]);
    lan.expect_up(0, true);
    // What waited is there.
    lan.expect(clients[1], &["t 1 1", "t 2 2"]);
    lan.expect(clients[0], &["t 1 1", "t 2 2"]);
    // And away again, and back, while messages are on their way.
    lan.set_bridges(0, vec![with_password("wrong")]);
    lan.publish(clients[0], "t", "3", 2);
    lan.publish(clients[1], "t", "4", 2);
    lan.set_bridges(0, vec![with_password("secret")]);
    lan.expect(clients[0], &["t 3 2", "t 4 2"]);
    lan.expect(clients[1], &["t 4 2", "t 3 2"]);
    assert_eq!(lan.broker(0).clients(), 1);
    assert_eq!(lan.counters(0).closed.disconnected + lan.counters(0).closed.network_closed, 0);
}

#[test]
fn an_unchanged_bridge_stays_connected_and_a_removed_one_is_closed() {
    let mut lan = Lan::of(3);
    let watchers = [1, 2].map(|host| lan.client(host, "watcher", &[("$SYS/broker/connection/+/state", 1)]));
    lan.set_bridges(0, vec![bridge_to("b", ALL), bridge_to("c", ALL)]);
    let _ = watchers.map(|client| lan.seen(client));
    lan.set_bridges(0, vec![bridge_to("b", ALL), bridge_to("c", ALL)]);
    assert_eq!(lan.host(0).opens.len(), 2);
    lan.set_bridges(0, vec![bridge_to("b", ALL)]);
    assert_eq!((lan.host(0).opens.len(), lan.broker(2).clients()), (2, 1));
    assert_eq!(lan.host(0).closed, [CloseReason::Bridge]);
    lan.expect(watchers[0], &[]);
    // Without a DISCONNECT the will says that the link is down.
    lan.expect(watchers[1], &["$SYS/broker/connection/bridge-to-c/state 0 1"]);
    let states: Vec<_> = lan.broker(0).bridge_states().collect();
    assert_eq!(states, [Connected { private: true }]);
    lan.pass(600_000);
    assert_eq!(lan.host(0).opens.len(), 2);
}

#[test]
fn what_waits_follows_the_name_of_the_bridge() {
    let mut lan = Lan::of(3);
    let clients = [1, 2].map(|host| lan.client(host, "watcher", &[("t", 2)]));
    let here = lan.client(0, "here", &[]);
    for host in [1, 2] {
        lan.host(host).door = Door::Silent;
    }
    let out: &[_] = &[("#", Out, 2, "", "")];
    lan.set_bridges(0, vec![bridge_to("b", out), bridge_to("c", out)]);
    lan.publish(here, "t", "1", 1);
    for host in [1, 2] {
        lan.host(host).door = Door::Open;
    }
    // The other way round, and one of them under another address.
    let moved = BridgeSettings { name: "to-b".into(), ..bridge_to("c", out) };
    lan.set_bridges(0, vec![bridge_to("c", out), BridgeSettings { client_id: "moved".into(), ..moved }]);
    lan.expect(clients[0], &[]);
    lan.expect(clients[1], &["t 1 1", "t 1 1"]);
    lan.set_bridges(0, Vec::new());
    lan.publish(here, "t", "2", 1);
    lan.set_bridges(0, vec![bridge_to("b", out)]);
    lan.expect(clients[0], &[]);
}

#[test]
fn what_waits_is_dropped_where_the_session_is_to_be_clean_from_now_on() {
    let mut lan = Lan::of(2);
    let clients = [0, 1].map(|host| lan.client(host, "watcher", &[("t", 2)]));
    lan.set_bridges(0, vec![with_password("wrong")]);
    lan.publish(clients[0], "t", "1", 1);
    lan.set_bridges(0, vec![BridgeSettings { clean_session: true, ..with_password("secret") }]);
    lan.expect_up(0, true);
    lan.expect(clients[1], &[]);
    lan.publish(clients[0], "t", "2", 1);
    lan.expect(clients[1], &["t 2 1"]);
}

#[test]
fn an_opening_under_way_is_given_up_when_its_bridge_changes() {
    let mut lan = Lan::of(2);
    lan.host(1).door = Door::Silent;
    lan.set_bridges(0, vec![bridge_to("b", ALL)]);
    let abandoned = lan.host(0).abandoned;
    lan.set_bridges(0, vec![with_password("secret")]);
    assert_eq!((lan.host(0).abandoned, lan.host(0).opens.len()), (abandoned + 1, 2));
    lan.set_bridges(0, Vec::new());
    assert_eq!(lan.host(0).abandoned, abandoned + 2);
}

#[test]
fn a_connection_that_nobody_asked_for_is_closed() {
    let mut lan = Lan::of(2);
    lan.set_bridges(0, vec![bridge_to("b", ALL)]);
    let now = lan.now;
    for bridge in [0, 1, 255] {
        let broker = lan.broker(0);
        let (bridge, connection) = (espbroker_broker::BridgeId(bridge), ConnectionId(9_000));
        broker.handle(Input::Opened { bridge, connection }, now);
        let output = broker.poll_output();
        assert_eq!(output, Some(espbroker_broker::Output::Close { connection, reason: CloseReason::Bridge }));
        broker.handle(Input::Closed { connection }, now);
        broker.handle(Input::OpenFailed { bridge, reason: espbroker_broker::OpenFailure::Refused }, now);
        assert_eq!(broker.poll_output(), None);
    }
    let states: Vec<_> = lan.broker(0).bridge_states().collect();
    assert_eq!(states, [Connected { private: true }]);
}

#[test]
fn a_broker_with_ten_bridges_serves_them_all() {
    let mut lan = Lan::of(11);
    let here = lan.client(0, "here", &[("#", 1)]);
    let names: Vec<String> = (b'b'..=b'k').map(|name| char::from(name).to_string()).collect();
    let lines: Vec<String> = names.iter().map(|name| format!("{name}/")).collect();
    let bridges =
        names.iter().zip(&lines).map(|(name, prefix)| bridge_to(name, &[("#", Both, 1, prefix, "")]));
    lan.set_bridges(0, bridges.collect());
    assert!(lan.broker(0).bridge_states().all(|state| state == Connected { private: true }));
    for (host, name) in names.iter().enumerate() {
        let there = lan.client(host + 1, "there", &[("#", 1)]);
        lan.publish(here, &format!("{name}/t"), "x", 1);
        lan.expect(there, &["t x 1"]);
        lan.expect(here, &[&format!("{name}/t x 1")]);
    }
    // Clients still find all the room that the settings say.
    for number in 1..32 {
        lan.client(0, &format!("client {number}"), &[]);
    }
    assert_eq!(lan.broker(0).clients(), 32);
}

#[test]
fn memory_returns_when_bridges_go() {
    let mut lan = Lan::of(3);
    let client = lan.client(0, "c", &[("#", 2)]);
    let start = lan.broker(0).memory();
    for round in 0..10 {
        let private = round % 2 == 0;
        let bridge = |to| BridgeSettings { try_private: private, ..bridge_to(to, ALL) };
        lan.set_bridges(0, vec![bridge("b"), bridge("c")]);
        lan.set_bridges(1, vec![bridge_to("a", ALL)]);
        for number in 0..50 {
            lan.publish(client, "t", &number.to_string(), 2);
            if number == 20 {
                lan.cut(0, 1);
            }
            lan.pass(10);
        }
        lan.pass(100_000);
        lan.set_bridges(1, Vec::new());
        lan.set_bridges(0, Vec::new());
        // Sessions that the bridges of others had here.
        let thief = lan.client(0, "bridge-to-a", &[]);
        lan.retain(thief, "$SYS/broker/connection/bridge-to-a/state", "", 0);
        lan.leave(thief);
        lan.pass(1_000);
        let _ = lan.seen(client);
        assert_eq!(lan.broker(0).memory(), start);
    }
}
