//! Filters that many clients have are kept once, and nobody can tell.

use espbroker_broker::Settings;
use espbroker_mqtt::{Connect, Delivery, Packet, Publish, QoS};

use crate::script::{Script, id, message, open, plain, publish};

const FILTER: &str = "house/everybody/now";

/// So many clients with the filter, each between two of its own.
fn crowd(script: &mut Script, clients: std::ops::Range<u16>) {
    for client in clients {
        script.join(client, &format!("client {client}"));
        let [before, behind] = ["before", "behind"].map(|name| format!("house/{client}/{name}"));
        script.subscribe(client, &[&before, FILTER, &behind]);
    }
}

#[test]
fn every_one_of_many_gets_what_it_subscribed_to_once_whoever_comes_and_goes() {
    let mut script = Script::new(Settings { clients: 20, ..open() });
    let start = script.broker.memory();
    script.join(99, "publisher");
    crowd(&mut script, 1..10);
    script.subscribe(5, &["#"]);
    script.subscribe(6, &[FILTER]);
    script.unsubscribe(7, &[FILTER]);
    script.drop_link(8);
    crowd(&mut script, 10..12);
    let here = (1..12).filter(|client| *client != 8);
    script.send(99, publish(FILTER, b"x"));
    for client in here.clone() {
        let all = [publish(FILTER, b"x")];
        script.expect(client, if client == 7 { &[] } else { &all });
    }
    for client in here.clone() {
        let own = format!("house/{client}/behind");
        script.send(99, publish(&own, b"y"));
        script.expect(client, &[publish(&own, b"y")]);
        if client != 5 {
            script.expect(5, &[publish(&own, b"y")]);
        }
    }
    for client in here {
        script.send(client, Packet::Disconnect);
        let _ = script.take(client);
    }
    script.send(99, Packet::Disconnect);
    assert_eq!(script.broker.memory(), start);
}

#[test]
fn a_filter_that_many_have_takes_four_bytes_in_each() {
    let mut script = Script::new(Settings { clients: 20, ..open() });
    for client in 0..16 {
        script.join(client, &format!("client {client:02}"));
    }
    let mut before = script.broker.memory();
    for client in 0..16 {
        script.subscribe(client, &[FILTER]);
        let after = script.broker.memory();
        assert!(client < 3 || after - before == 4, "{client}: {}", after - before);
        before = after;
    }
}

#[test]
fn those_away_get_what_many_subscribed_to_when_they_come_back() {
    let mut script = Script::new(Settings { clients: 20, ..open() });
    script.join(99, "publisher");
    crowd(&mut script, 1..3);
    for (client, name) in [(10, "here"), (11, "away")] {
        script.connect(client, Connect { clean_session: false, ..plain(name) });
        script.subscribe_at(client, &[FILTER], QoS::AtLeastOnce);
    }
    script.drop_link(11);
    crowd(&mut script, 3..6);
    let delivery = Delivery::AtLeastOnce { packet_id: id(1), duplicate: false };
    script.send(99, Packet::Publish(Publish { delivery, ..message(FILTER, b"x") }));
    script.expect(99, &[Packet::Puback(id(1))]);
    script.expect(10, &[Packet::Publish(Publish { delivery, ..message(FILTER, b"x") })]);
    script.accept(12);
    script.send(12, Packet::Connect(Connect { clean_session: false, ..plain("away") }));
    let got = script.take(12);
    assert!(got.starts_with(b"\x20\x02\x01\x00") && got.ends_with(b"\x00\x01x"), "{}", got.escape_ascii());
    // The session is over, and with it the last of all that has the filter.
    for client in [1, 2, 3, 4, 5, 10, 12] {
        script.send(client, Packet::Disconnect);
        let _ = script.take(client);
    }
    for (client, name) in [(20, "here"), (21, "away")] {
        script.connect(client, plain(name));
    }
    script.send(99, publish(FILTER, b"z"));
    script.expect(20, &[]);
    assert_eq!(script.broker.sessions_away(), 0);
}
