//! What is told of a bridge: notifications here and there, `$SYS`, news for status lines; and when it connects again.

use espbroker_broker::{
    BridgeFailure::{self, *},
    BridgeSettings,
    BridgeState::*,
    Direction::*,
    Instant, OpenFailure, Settings,
};

use super::lan::{ALL, Door, Lan, bridge_to, roomy};

fn talking() -> Settings {
    Settings { system_interval: 10, ..roomy() }
}

/// Two brokers with `$SYS`; nothing is bridged yet.
fn pair() -> Lan {
    let mut lan = Lan::new();
    lan.add_broker("a", talking());
    lan.add_broker("b", talking());
    lan
}

const STATE: &str = "$SYS/broker/connection/+/state";
const ERROR: &str = "$SYS/broker/connection/+/error";

/// What a client finds that subscribes now.
fn look(lan: &mut Lan, host: usize, filter: &str) -> Vec<String> {
    let client = lan.client(host, "looker", &[(filter, 1)]);
    let seen = lan.seen(client);
    lan.leave(client);
    seen
}

#[test]
fn the_state_of_the_link_is_kept_on_both_brokers() {
    let mut lan = pair();
    let clients = [0, 1].map(|host| lan.client(host, "watcher", &[(STATE, 1)]));
    lan.set_bridges(0, vec![bridge_to("b", ALL)]);
    let up = "$SYS/broker/connection/bridge-to-b/state 1";
    let down = "$SYS/broker/connection/bridge-to-b/state 0";
    lan.expect(clients[0], &[&format!("{down} 1"), &format!("{up} 1")]);
    lan.expect(clients[1], &[&format!("{up} 1")]);
    assert_eq!(look(&mut lan, 0, STATE), [format!("{up} retained")]);
    assert_eq!(look(&mut lan, 1, STATE), [format!("{up} 1 retained")]);
    // The will says so on the other broker.
    lan.host(1).door = Door::Fails(OpenFailure::Refused);
    lan.cut(0, 1);
    lan.expect(clients[0], &[&format!("{down} 1")]);
    lan.expect(clients[1], &[&format!("{down} 1")]);
    assert_eq!(look(&mut lan, 0, STATE), [format!("{down} retained")]);
    assert_eq!(look(&mut lan, 1, STATE), [format!("{down} 1 retained")]);
    // Nothing new is said while nothing changes.
    lan.host(1).door = Door::Fails(OpenFailure::TimedOut);
    let _ = lan.seen(clients[0]);
    lan.pass(8_000);
    lan.expect_failed(0, TimedOut);
    lan.expect(clients[0], &[]);
}

#[test]
fn the_state_can_have_a_topic_of_its_own_and_is_retained_there() {
    let mut lan = pair();
    let bridge = BridgeSettings { notification_topic: Some("links/a-b".into()), ..bridge_to("b", ALL) };
    lan.set_bridges(0, vec![bridge]);
    assert_eq!(look(&mut lan, 0, "links/#"), ["links/a-b 1 1 retained"]);
    assert_eq!(look(&mut lan, 1, "links/#"), ["links/a-b 1 1 retained"]);
    assert!(look(&mut lan, 0, STATE).is_empty());
    let there = lan.client(1, "watcher", &[("links/#", 1)]);
    let _ = lan.seen(there);
    lan.cut(0, 1);
    assert_eq!(look(&mut lan, 0, "links/#"), ["links/a-b 0 1 retained"]);
    lan.pass(5_000);
    // The will, and the news of the new link, although the lines would carry the state as well.
    lan.expect(there, &["links/a-b 0 1", "links/a-b 1 1"]);
    assert_eq!(look(&mut lan, 1, "links/#"), ["links/a-b 1 1 retained"]);
}

#[test]
fn the_other_broker_is_not_told_where_only_this_one_is_to_know_and_nobody_without_notifications() {
    for (notifications, expected) in [(true, 1), (false, 0)] {
        let mut lan = pair();
        let local_only = BridgeSettings {
            notifications,
            notifications_local_only: true,
            ..bridge_to("b", &[("#", Both, 1, "", "")])
        };
        lan.set_bridges(0, vec![local_only]);
        assert_eq!(look(&mut lan, 0, STATE).len(), expected);
        lan.cut(0, 1);
        assert_eq!(look(&mut lan, 0, STATE).len(), expected);
        assert!(look(&mut lan, 1, STATE).is_empty());
        assert_eq!(lan.counters(1).wills, 0);
    }
}

#[test]
fn a_client_can_only_tell_of_its_own_connection() {
    let mut lan = pair();
    let client = lan.client(0, "c", &[]);
    for topic in
        ["$SYS/broker/connection/c/state", "$SYS/broker/connection/d/state", "$SYS/broker/connection/c/error"]
    {
        lan.retain(client, topic, "1", 1);
    }
    assert_eq!(lan.counters(0).reserved_topics, 2);
    assert_eq!(
        look(&mut lan, 0, "$SYS/broker/connection/#"),
        ["$SYS/broker/connection/c/state 1 1 retained"]
    );
}

#[test]
fn every_failure_is_news_and_a_value_of_the_broker() {
    let mut lan = pair();
    lan.set_bridges(0, vec![bridge_to("nowhere", ALL)]);
    assert_eq!(lan.news(0), [Connecting, Failed(NameNotFound)]);
    let bridge = |host: &str, user: Option<(&str, &[u8])>| BridgeSettings {
        user: user.map(|(name, _)| name.into()),
        password: user.map(|(_, password)| espbroker_broker::BridgePassword::new(password)),
        ..bridge_to(host, ALL)
    };
    lan.set_bridges(0, vec![bridge("b", Some(("ann", b"wrong")))]);
    assert_eq!(lan.news(0), [Connecting, Failed(BadCredentials)]);
    let error = |text: &str| format!("$SYS/broker/connection/bridge-to-b/error {text} retained");
    assert_eq!(look(&mut lan, 0, ERROR), [error("wrong user name or password")]);
    assert_eq!(look(&mut lan, 0, STATE), ["$SYS/broker/connection/bridge-to-b/state 0 retained"]);
    assert_eq!(lan.counters(1).log_ins_failed, 1);
    lan.set_bridges(0, vec![bridge("b", Some(("bob", b"")))]);
    assert_eq!(lan.news(0), [Connecting, Failed(NotAuthorized)]);
    assert_eq!(look(&mut lan, 0, ERROR), [error("not authorized")]);
    lan.set_bridges(0, vec![bridge("b", Some(("ann", b"secret")))]);
    assert_eq!(lan.news(0), [Connecting, Connected { private: true }]);
    assert_eq!(look(&mut lan, 0, ERROR), [error("")]);
    for (reason, failure, text) in [
        (OpenFailure::Refused, Refused, "connection refused"),
        (OpenFailure::Unreachable, Unreachable, "host unreachable"),
        (OpenFailure::TimedOut, TimedOut, "no answer in time"),
        (OpenFailure::Other, NotOpened, "connection not opened"),
    ] {
        lan.host(1).door = Door::Fails(reason);
        lan.set_bridges(0, vec![bridge("b", None)]);
        assert_eq!(lan.news(0), [Connecting, Failed(failure)]);
        assert_eq!(look(&mut lan, 0, ERROR), [error(text)]);
        lan.set_bridges(0, Vec::new());
        assert!(look(&mut lan, 0, ERROR).is_empty());
    }
}

#[test]
fn refused_subscriptions_are_shown() {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", talking()), lan.add_server("cloud"));
    lan.set_bridges(a, vec![bridge_to("cloud", &[("x", In, 0, "", ""), ("y", In, 0, "", "")])]);
    lan.answer_bytes(cloud, b"\x20\x02\x00\x00\x90\x04\x00\x01\x80\x00");
    assert_eq!(
        look(&mut lan, a, ERROR),
        ["$SYS/broker/connection/bridge-to-cloud/error subscriptions refused: 1 retained"]
    );
}

#[test]
fn what_a_bridge_says_when_it_connects() {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", roomy()), lan.add_server("cloud"));
    let bridge = BridgeSettings {
        user: Some("u".into()),
        password: Some(espbroker_broker::BridgePassword::new(b"p")),
        client_id: "dev".into(),
        ..bridge_to("cloud", &[("#", Both, 1, "l/", "r/")])
    };
    lan.set_bridges(a, vec![bridge]);
    let connect = b"\x10\x3a\x00\x04MQTT\x84\xec\x00\x3c\x00\x03dev\
        \x00\x20$SYS/broker/connection/dev/state\x00\x010\x00\x01u\x00\x01p";
    assert_eq!(lan.received(cloud), [connect]);
    lan.answer_bytes(cloud, b"\x20\x02\x00\x00");
    let subscribe: &[u8] = b"\x82\x08\x00\x01\x00\x03r/#\x01";
    let state: &[u8] = b"\x33\x25\x00\x20$SYS/broker/connection/dev/state\x00\x021";
    assert_eq!(lan.received(cloud), [subscribe, state]);
}

/// A server that never stays, and when the bridge asked for it.
fn waits(bridge: BridgeSettings, seed: u64, answer: Option<&[u8]>, attempts: usize) -> Vec<u64> {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", Settings { seed, ..roomy() }), lan.add_server("cloud"));
    if answer.is_none() {
        lan.host(cloud).door = Door::Fails(OpenFailure::Refused);
    }
    lan.set_bridges(a, vec![bridge]);
    while lan.host(a).opens.len() < attempts {
        if let Some(answer) = answer
            && lan.is_connected(cloud)
        {
            lan.answer_bytes(cloud, answer);
            if lan.is_connected(cloud) {
                lan.hang_up(cloud);
            }
        }
        lan.pass(250);
    }
    let opens: Vec<Instant> = lan.host(a).opens.iter().map(|(_, at)| *at).collect();
    opens.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
}

#[test]
fn attempts_come_at_growing_and_random_times_up_to_the_cap() {
    let bridge = || BridgeSettings { restart_base: 2, restart_cap: 60, ..bridge_to("cloud", ALL) };
    let (first, second) = (waits(bridge(), 1, None, 30), waits(bridge(), 2, None, 30));
    assert_eq!(first, waits(bridge(), 1, None, 30));
    assert_ne!(first, second);
    for waits in [&first, &second] {
        assert!(waits[0] <= 6_000 && waits.iter().all(|wait| (2_000..=60_000).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait > 30_000), "{waits:?}");
    }
    // Accepted and thrown out at once is no success.
    let thrown_out = waits(bridge(), 1, Some(b"\x20\x02\x00\x00"), 30);
    assert!(thrown_out.iter().any(|wait| *wait > 30_000), "{thrown_out:?}");
}

#[test]
fn a_wrong_password_is_tried_again_only_after_the_longest_wait() {
    let bridge = || BridgeSettings { restart_base: 2, restart_cap: 60, ..bridge_to("cloud", ALL) };
    for code in [2, 4, 5] {
        let waits = waits(bridge(), 1, Some(&[0x20, 2, 0, code]), 4);
        assert!(waits.iter().all(|wait| (60_000..60_500).contains(wait)), "{waits:?}");
    }
    let no_room = waits(bridge(), 1, Some(b"\x20\x02\x00\x03"), 4);
    assert!(no_room[0] < 6_500, "{no_room:?}");
}

#[test]
fn a_bridge_with_tls_never_opens_anything() {
    let mut lan = pair();
    lan.set_bridges(0, vec![BridgeSettings { tls: true, ..bridge_to("b", ALL) }]);
    assert_eq!(lan.news(0), [Failed(TlsNotSupported)]);
    lan.pass(600_000);
    assert!(lan.host(0).opens.is_empty());
    let here = lan.client(0, "here", &[]);
    lan.publish(here, "t", "x", 1);
    assert_eq!(
        look(&mut lan, 0, ERROR),
        ["$SYS/broker/connection/bridge-to-b/error TLS is not supported retained"]
    );
}

#[test]
fn a_silent_link_is_kept_alive_by_pings() {
    let mut lan = pair();
    lan.set_bridges(0, vec![BridgeSettings { keep_alive: 20, ..bridge_to("b", ALL) }]);
    lan.pass(600_000);
    assert_eq!(lan.news(0), [Connecting, Connected { private: true }]);
    assert_eq!(lan.counters(1).closed.keep_alive_timeout, 0);
    // Neither is it while it only sends, or only receives; b hears of one that only receives by the pings.
    let (here, there) = (lan.client(0, "here", &[]), lan.client(1, "there", &[]));
    for publisher in [here, there] {
        for _ in 0..30 {
            lan.pass(7_000);
            lan.publish(publisher, "t", "x", 0);
        }
        assert_eq!(lan.news(0), []);
        assert_eq!(lan.counters(1).closed.keep_alive_timeout, 0);
    }
}

#[test]
fn a_dead_link_is_noticed_by_both_brokers() {
    let mut lan = pair();
    lan.set_bridges(0, vec![BridgeSettings { keep_alive: 20, ..bridge_to("b", ALL) }]);
    let there = lan.client(1, "there", &[(STATE, 0)]);
    let _ = (lan.news(0), lan.seen(there));
    lan.pass(1_000);
    lan.kill(0, 1);
    lan.host(1).door = Door::Silent;
    lan.pass(31_000);
    lan.expect_failed(0, TimedOut);
    lan.expect(there, &["$SYS/broker/connection/bridge-to-b/state 0"]);
    // The opening that nobody answers is given up after 30 s, and followed by another.
    let abandoned = lan.host(0).abandoned;
    lan.pass(40_000);
    assert_eq!(lan.host(0).abandoned, abandoned + 1);
    lan.host(1).door = Door::Open;
    lan.pass(40_000);
    lan.expect_up(0, true);
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let mut lan = Lan::new();
    let (a, cloud) = (lan.add_broker("a", roomy()), lan.add_server("cloud"));
    lan.set_bridges(a, vec![BridgeSettings { try_private: false, ..bridge_to("cloud", ALL) }]);
    lan.pass(19_999);
    assert!(lan.is_connected(cloud));
    lan.pass(1);
    assert!(!lan.is_connected(cloud));
    let expected: BridgeFailure = TimedOut;
    lan.expect_failed(a, expected);
}
