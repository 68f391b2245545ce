//! What goes over a bridge, which way and under which topic.

use espbroker_broker::{BridgeSettings, Direction::*};

use super::lan::{ALL, Lan, bridge_to};

/// Broker 0 with a bridge to broker 1, and a client that sees everything at each.
fn pair(bridge: BridgeSettings) -> (Lan, [usize; 2]) {
    let mut lan = Lan::of(2);
    lan.set_bridges(0, vec![bridge]);
    lan.expect_up(0, true);
    let clients = [0, 1].map(|host| lan.client(host, "watcher", &[("#", 2)]));
    (lan, clients)
}

#[test]
fn each_direction_goes_its_way_under_its_topic() {
    let (mut lan, [here, there]) = pair(bridge_to(
        "b",
        &[("o/#", Out, 0, "", ""), ("i/#", In, 0, "", ""), ("x/+", Both, 0, "local/", "remote/")],
    ));
    let (from_here, from_there) = (lan.client(0, "publisher", &[]), lan.client(1, "publisher", &[]));
    for topic in ["o/1", "i/1", "local/x/1", "remote/x/1", "x/1", "other"] {
        lan.publish(from_here, topic, "h", 0);
    }
    lan.expect(here, &["o/1 h", "i/1 h", "local/x/1 h", "remote/x/1 h", "x/1 h", "other h"]);
    lan.expect(there, &["o/1 h", "remote/x/1 h"]);
    for topic in ["o/1", "i/1", "local/x/1", "remote/x/1", "x/1", "other"] {
        lan.publish(from_there, topic, "t", 0);
    }
    lan.expect(here, &["i/1 t", "local/x/1 t"]);
    lan.expect(there, &["o/1 t", "i/1 t", "local/x/1 t", "remote/x/1 t", "x/1 t", "other t"]);
}

#[test]
fn a_message_has_the_lowest_qos_of_publisher_line_and_subscriber() {
    for line in 0..=2 {
        let (mut lan, [here, there]) = pair(bridge_to("b", &[("#", Both, line, "", "")]));
        for sent in 0..=2 {
            let expected = match line.min(sent) {
                0 => "t x",
                1 => "t x 1",
                _ => "t x 2",
            };
            for (publisher, subscriber) in [(here, there), (there, here)] {
                lan.publish(publisher, "t", "x", sent);
                assert_eq!(lan.unacknowledged(publisher), 0);
                lan.expect(subscriber, &[expected]);
                assert_eq!(lan.seen(publisher).len(), 1);
            }
        }
        // Everything is acknowledged on every link.
        assert_eq!(lan.counters(0).unexpected_acknowledgements, 0);
        assert_eq!(lan.counters(1).unexpected_acknowledgements, 0);
        assert_eq!(lan.counters(0).messages_dropped + lan.counters(1).messages_dropped, 0);
    }
}

#[test]
fn retain_is_kept_over_a_bridge_both_ways() {
    let (mut lan, [here, there]) = pair(bridge_to("b", ALL));
    lan.retain(here, "from/here", "1", 1);
    lan.retain(there, "from/there", "2", 1);
    // Who was subscribed before sees an ordinary message.
    lan.expect(here, &["from/here 1 1", "from/there 2 1"]);
    lan.expect(there, &["from/here 1 1", "from/there 2 1"]);
    for host in [0, 1] {
        let late = lan.client(host, "late", &[("from/#", 1)]);
        lan.expect(late, &["from/here 1 1 retained", "from/there 2 1 retained"]);
    }
    lan.retain(there, "from/here", "", 0);
    // The other broker has the state of the link as well.
    assert_eq!([0, 1].map(|host| lan.broker(host).retained_messages()), [1, 2]);
}

#[test]
fn a_bridge_told_not_to_retain_sends_live_messages_only() {
    let mut bridge = bridge_to("b", &[("#", Out, 1, "", "")]);
    bridge.outgoing_retain = false;
    bridge.notifications = false;
    let mut lan = Lan::of(2);
    let (here, there) = (lan.client(0, "here", &[]), lan.client(1, "there", &[("#", 1)]));
    lan.retain(here, "before", "x", 1);
    lan.set_bridges(0, vec![bridge]);
    lan.retain(here, "after", "x", 1);
    lan.expect(there, &["before x 1", "after x 1"]);
    assert_eq!(lan.broker(1).retained_messages(), 0);
}

#[test]
fn what_is_retained_when_the_link_comes_up_goes_out_where_it_does_not_also_come_in() {
    let mut lan = Lan::of(2);
    let (here, there) = (lan.client(0, "here", &[]), lan.client(1, "there", &[]));
    for topic in ["out/a", "both/a", "in/a", "none/a"] {
        lan.retain(here, topic, "h", 1);
    }
    for topic in ["out/b", "both/b", "in/b", "none/b"] {
        lan.retain(there, topic, "t", 1);
    }
    let lines = [("out/#", Out, 1, "", "of-a/"), ("both/#", Both, 1, "", ""), ("in/#", In, 1, "of-b/", "")];
    lan.set_bridges(0, vec![bridge_to("b", &lines)]);
    // What comes in does so in the order of the subscriptions: lines with a prefix first.
    let late = lan.client(0, "late", &[("#", 1)]);
    let all = ["out/a h", "both/a h", "in/a h", "none/a h", "of-b/in/b t", "both/b t"];
    lan.expect(late, &all.map(|text| format!("{text} 1 retained")).each_ref().map(String::as_str));
    let late = lan.client(1, "late", &[("#", 1)]);
    let all = ["out/b t", "both/b t", "in/b t", "none/b t", "of-a/out/a h"];
    lan.expect(late, &all.map(|text| format!("{text} 1 retained")).each_ref().map(String::as_str));
}

#[test]
fn more_retained_messages_than_may_wait_go_out_all_the_same() {
    let mut lan = Lan::new();
    let limits = espbroker_broker::Settings { queue_messages: 4, queue_bytes: 400, ..super::lan::roomy() };
    let (a, b) = (lan.add_broker("a", limits), lan.add_broker("b", super::lan::roomy()));
    let here = lan.client(a, "here", &[]);
    for number in 0..40 {
        lan.retain(here, &format!("t/{number}"), "a payload of some length", 1);
    }
    lan.set_bridges(a, vec![bridge_to("b", &[("t/#", Out, 1, "", "r/")])]);
    assert_eq!(lan.counters(a).messages_dropped, 0);
    assert_eq!(lan.broker(b).retained_messages(), 41, "with the state of the link");
    // And again after the link was lost, with what was published in the meantime behind what waited.
    lan.cut(a, b);
    lan.retain(here, "t/0", "new", 1);
    lan.pass(5_000);
    let late = lan.client(b, "late", &[("r/t/0", 1)]);
    lan.expect(late, &["r/t/0 new 1 retained"]);
    assert_eq!(lan.counters(a).messages_dropped, 0);
}

#[test]
fn a_broker_in_the_middle_passes_on_from_one_bridge_to_the_other_and_to_those_that_lead_to_it() {
    // b has bridges to a and c; d has one to b.
    let mut lan = Lan::of(4);
    lan.set_bridges(1, vec![bridge_to("a", ALL), bridge_to("c", ALL)]);
    lan.set_bridges(3, vec![bridge_to("b", ALL)]);
    let clients = [0, 1, 2, 3].map(|host| lan.client(host, "watcher", &[("#", 2)]));
    for (number, client) in clients.into_iter().enumerate() {
        let payload = number.to_string();
        lan.publish(client, "t", &payload, 2);
        let expected = format!("t {number} 2");
        for client in clients {
            lan.expect(client, &[&expected]);
        }
    }
}

#[test]
fn values_of_the_broker_itself_go_out_where_a_line_says_so() {
    let mut lan = Lan::new();
    let talking = espbroker_broker::Settings { system_interval: 10, ..super::lan::roomy() };
    let (a, b) = (lan.add_broker("a", talking), lan.add_broker("b", super::lan::roomy()));
    let there = lan.client(b, "there", &[("device/#", 0)]);
    lan.set_bridges(a, vec![bridge_to("b", &[("$SYS/broker/uptime", Out, 0, "", "device/")])]);
    lan.pass(25_000);
    let seen = lan.seen(there);
    assert_eq!(seen, ["device/$SYS/broker/uptime 10", "device/$SYS/broker/uptime 20"]);
}
