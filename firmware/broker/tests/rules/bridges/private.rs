//! Brokers that take a bridge for one, and those that take it for any client: nothing comes twice.

use espbroker_broker::{
    BridgeFailure, BridgeSettings,
    BridgeState::{self, *},
    Direction::*,
};

use super::lan::{ALL, Lan, Taste, bridge_to};

/// Broker 0 with a bridge to broker 1, which makes of the bridge bit what it does, and a watcher at each.
fn pair(taste: Taste) -> (Lan, [usize; 2]) {
    let mut lan = Lan::of(2);
    lan.host(1).taste = taste;
    let clients = [0, 1].map(|host| lan.client(host, "watcher", &[("#", 2)]));
    lan.set_bridges(0, vec![bridge_to("b", ALL)]);
    lan.pass(60_000);
    (lan, clients)
}

/// Both clients publish in turn, and every message is seen once by both.
fn exchange(lan: &mut Lan, [here, there]: [usize; 2], pause: u64) {
    for (number, qos) in (0..60).zip([0, 1, 2].into_iter().cycle()) {
        let publisher = if number % 4 == 3 { there } else { here };
        lan.publish(publisher, "t", &number.to_string(), qos);
        lan.pass(pause);
        for client in [here, there] {
            let seen = lan.seen(client);
            assert!(seen.len() == 1 && seen[0].starts_with(&format!("t {number}")), "{seen:?}");
        }
    }
}

#[test]
fn a_broker_that_takes_the_bridge_bit_sends_nothing_back() {
    let (mut lan, clients) = pair(Taste::Takes);
    lan.expect_up(0, true);
    exchange(&mut lan, clients, 100);
    assert_eq!(lan.counters(0).bridge_echoes, 0);
}

#[test]
fn what_a_broker_without_bridge_bit_sends_back_is_ignored_and_counted() {
    for taste in [Taste::Refuses, Taste::Closes] {
        let (mut lan, clients) = pair(taste);
        lan.expect_up(0, false);
        exchange(&mut lan, clients, 100);
        assert_eq!(lan.counters(0).bridge_echoes, 45);
    }
}

#[test]
fn a_broker_that_refuses_the_bridge_bit_is_no_failure() {
    let (mut lan, _) = pair(Taste::Refuses);
    assert_eq!(lan.news(0), [Connecting, Connected { private: false }]);
    lan.cut(0, 1);
    lan.pass(6_000);
    assert_eq!(lan.news(0), [Failed(BridgeFailure::ConnectionLost), Connected { private: false }]);
    assert_eq!(lan.host(0).opens.len(), 3, "the bit is tried once");
}

#[test]
fn a_broker_that_closes_over_the_bridge_bit_is_asked_with_it_once_more() {
    let (mut lan, _) = pair(Taste::Closes);
    lan.expect_up(0, false);
    let mut attempts = vec![lan.host(0).opens.len()];
    for _ in 0..3 {
        lan.cut(0, 1);
        lan.pass(60_000);
        lan.expect_up(0, false);
        attempts.push(lan.host(0).opens.len());
    }
    assert_eq!(attempts, [2, 4, 5, 6]);
}

#[test]
fn a_bridge_told_to_be_an_ordinary_client_is_one() {
    let mut lan = Lan::of(2);
    let clients = [0, 1].map(|host| lan.client(host, "watcher", &[("#", 2)]));
    lan.set_bridges(0, vec![BridgeSettings { try_private: false, ..bridge_to("b", ALL) }]);
    lan.expect_up(0, false);
    exchange(&mut lan, clients, 100);
    assert_eq!(lan.counters(0).bridge_echoes, 45);
}

#[test]
fn what_waited_for_the_link_is_not_published_here_again_when_it_comes_back() {
    let (mut lan, [here, there]) = pair(Taste::Refuses);
    lan.cut(0, 1);
    for number in 0..40 {
        lan.publish(here, "t", &number.to_string(), 1);
    }
    assert_eq!(lan.seen(here).len(), 40);
    lan.pass(5_000);
    assert_eq!(lan.seen(there).len(), 40);
    lan.expect(here, &[]);
    assert_eq!(lan.counters(0).bridge_echoes, 40);
}

#[test]
fn an_echo_that_was_lost_with_the_link_is_known_when_it_comes_again() {
    // After each possible number of bytes, so that the message or its echo or an acknowledgement is lost.
    for bytes in 1..80 {
        let (mut lan, [here, there]) = pair(Taste::Refuses);
        lan.cut_after(0, 1, bytes);
        lan.publish(here, "t", "x", 2);
        lan.pass(6_000);
        lan.expect(there, &["t x 2"]);
        lan.expect(here, &["t x 2"]);
        assert_eq!(lan.counters(0).bridge_echoes, 1, "{bytes}");
    }
}

#[test]
fn an_echo_is_known_under_the_topic_that_it_has_there() {
    let mut lan = Lan::of(2);
    lan.host(1).taste = Taste::Refuses;
    let lines = [("x", Both, 0, "l/", "r/"), ("y", Out, 0, "", ""), ("#", In, 0, "", "other/")];
    lan.set_bridges(0, vec![bridge_to("b", &lines)]);
    lan.pass(10_000);
    let clients = [0, 1].map(|host| lan.client(host, "watcher", &[("#", 2)]));
    for topic in ["l/x", "y", "z"] {
        lan.publish(clients[0], topic, "", 0);
    }
    lan.expect(clients[0], &["l/x ", "y ", "z "]);
    lan.expect(clients[1], &["r/x ", "y "]);
    assert_eq!(lan.counters(0).bridge_echoes, 1);
}

#[test]
fn a_broker_that_only_seems_to_take_the_bridge_bit_is_found_out() {
    let (mut lan, [here, there]) = pair(Taste::Ignores);
    lan.expect_up(0, true);
    for number in 0..48 {
        lan.publish(here, "t", &number.to_string(), 1);
        lan.pass(50);
    }
    assert_eq!(lan.seen(here).len(), 95, "each came back but the one that was enough");
    let found_out: [BridgeState; 1] = [Connected { private: false }];
    assert_eq!(lan.news(0), found_out);
    assert_eq!(lan.seen(there).len(), 48);
    exchange(&mut lan, [here, there], 100);
    assert_eq!(lan.counters(0).bridge_echoes, 46);
}

#[test]
fn somebody_else_who_says_the_same_is_no_echo() {
    let (mut lan, [here, there]) = pair(Taste::Takes);
    let _ = lan.news(0);
    for number in 0..200 {
        // Nearly everything is said on both sides.
        let payload = (number / 4).to_string();
        lan.publish(here, "t", &payload, 1);
        if number % 8 != 0 {
            lan.publish(there, "t", &payload, 1);
        }
        lan.pass(50);
    }
    assert_eq!(lan.seen(here).len(), 375);
    assert_eq!(lan.seen(there).len(), 375);
    assert_eq!(lan.news(0), []);
}
