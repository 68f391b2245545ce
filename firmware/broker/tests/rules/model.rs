//! The broker against a naive model of MQTT 3.1.1: routing, retained messages, wills, take-over.

use std::collections::{BTreeMap, BTreeSet};

use espbroker_mqtt::{Connect, Delivery, Packet, Publish, QoS, Will};
use proptest::{collection::vec, prelude::*, sample::select};

use crate::script::{Script, id, message, open, plain, publish, retained, will};

#[derive(Clone, Debug)]
enum Step {
    Connect { client: u16, will: Option<(String, Vec<u8>, bool)> },
    Disconnect { client: u16 },
    Lose { client: u16 },
    Break { client: u16 },
    Subscribe { client: u16, filters: Vec<String> },
    Unsubscribe { client: u16, filters: Vec<String> },
    Publish { client: u16, topic: String, payload: Vec<u8>, retain: bool, qos: u8 },
}

fn step() -> impl Strategy<Value = Step> {
    let client = 0..4_u16;
    let topic = || "[ab]|[ab]/[ab]?|\\$a/b";
    let filters = || vec("[ab+]|[ab+]/[ab+]?|#|[ab+]/#|\\$a/[+#]", 1..4);
    let payload = || vec(any::<u8>(), 0..3);
    prop_oneof![
        3 => (client.clone(), proptest::option::of((topic(), payload(), any::<bool>())))
            .prop_map(|(client, will)| Step::Connect { client, will }),
        1 => client.clone().prop_map(|client| Step::Disconnect { client }),
        1 => client.clone().prop_map(|client| Step::Lose { client }),
        1 => client.clone().prop_map(|client| Step::Break { client }),
        4 => (client.clone(), filters()).prop_map(|(client, filters)| Step::Subscribe { client, filters }),
        2 => (client.clone(), filters()).prop_map(|(client, filters)| Step::Unsubscribe { client, filters }),
        8 => (client, topic(), payload(), any::<bool>(), select(vec![0, 0, 1, 2]))
            .prop_map(|(client, topic, payload, retain, qos)| {
                Step::Publish { client, topic, payload, retain, qos }
            }),
    ]
}

#[derive(Default)]
struct Client {
    connection: u16,
    filters: BTreeSet<String>,
    will: Option<(String, Vec<u8>, bool)>,
}

/// A message as a subscriber sees it: topic, payload, RETAIN.
type Seen = (String, Vec<u8>, bool);

/// What the standard says, in the simplest words.
#[derive(Default)]
struct Model {
    clients: BTreeMap<u16, Client>,
    /// In the order in which they were set.
    retained: Vec<(String, Vec<u8>)>,
    /// What each connection is to get in this step.
    due: BTreeMap<u16, Vec<Seen>>,
}

fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && !filter.starts_with('$') {
        return false;
    }
    let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    match filter.strip_suffix(&["#"]) {
        Some(head) => topic.len() >= head.len() && levels_match(head, &topic),
        None => topic.len() == filter.len() && levels_match(&filter, &topic),
    }
}

fn levels_match(filter: &[&str], topic: &[&str]) -> bool {
    filter.iter().zip(topic).all(|(filter, level)| *filter == "+" || filter == level)
}

impl Model {
    fn publish(&mut self, (topic, payload, retain): Seen) {
        if topic.starts_with('$') {
            return;
        }
        if retain {
            self.retained.retain(|(kept, _)| *kept != topic);
            if !payload.is_empty() {
                self.retained.push((topic.clone(), payload.clone()));
            }
        }
        for client in self.clients.values() {
            if client.filters.iter().any(|filter| matches(filter, &topic)) {
                self.due.entry(client.connection).or_default().push((topic.clone(), payload.clone(), false));
            }
        }
    }

    /// The connection ends without DISCONNECT.
    fn lose(&mut self, client: u16) {
        if let Some(will) = self.clients.remove(&client).and_then(|client| client.will) {
            self.publish(will);
        }
    }

    fn subscribe(&mut self, client: u16, filters: &[String]) {
        let Some(client) = self.clients.get_mut(&client) else { return };
        for filter in filters {
            client.filters.insert(filter.clone());
        }
        // The last mention of a filter in one SUBSCRIBE replaces the earlier ones.
        for (index, filter) in filters.iter().enumerate() {
            if filters[index + 1..].contains(filter) {
                continue;
            }
            for (topic, payload) in self.retained.iter().filter(|(topic, _)| matches(filter, topic)) {
                let seen = (topic.clone(), payload.clone(), true);
                self.due.entry(client.connection).or_default().push(seen);
            }
        }
    }
}

/// Takes `step` with the broker and with the model; connections are numbered by `number`.
fn take(script: &mut Script, model: &mut Model, step: &Step, number: u16) {
    let connection = |model: &Model, client: &u16| model.clients.get(client).map(|client| client.connection);
    match step {
        Step::Connect { client, will: wanted } => {
            let name = format!("client {client}");
            let will = wanted.as_ref().map(|(topic, payload, retain)| Will {
                retain: *retain,
                qos: QoS::ExactlyOnce,
                ..will(topic, payload)
            });
            model.lose(*client);
            script.connect(number, Connect { will, ..plain(&name) });
            let client = model.clients.entry(*client).or_default();
            client.connection = number;
            client.will.clone_from(wanted);
        }
        Step::Disconnect { client } => {
            if let Some(connection) = connection(model, client) {
                script.send(connection, Packet::Disconnect);
                model.clients.remove(client);
            }
        }
        Step::Lose { client } => {
            if let Some(connection) = connection(model, client) {
                script.drop_link(connection);
                model.lose(*client);
            }
        }
        Step::Break { client } => {
            if let Some(connection) = connection(model, client) {
                script.bytes(connection, b"\x30\x02\x00\x00");
                model.lose(*client);
            }
        }
        Step::Subscribe { client, filters } => {
            if let Some(connection) = connection(model, client) {
                let filters_text: Vec<&str> = filters.iter().map(String::as_str).collect();
                script.subscribe(connection, &filters_text);
                model.subscribe(*client, filters);
            }
        }
        Step::Unsubscribe { client, filters } => {
            if let Some(connection) = connection(model, client) {
                let filters_text: Vec<&str> = filters.iter().map(String::as_str).collect();
                script.unsubscribe(connection, &filters_text);
                let client = model.clients.get_mut(client).unwrap();
                client.filters.retain(|filter| !filters.contains(filter));
            }
        }
        Step::Publish { client, topic, payload, retain, qos } => {
            if let Some(connection) = connection(model, client) {
                let (packet_id, duplicate) = (id(1), false);
                let delivery = match qos {
                    0 => Delivery::AtMostOnce,
                    1 => Delivery::AtLeastOnce { packet_id, duplicate },
                    _ => Delivery::ExactlyOnce { packet_id, duplicate },
                };
                let packet = Publish { retain: *retain, delivery, ..message(topic, payload) };
                script.send(connection, Packet::Publish(packet));
                if *qos == 2 {
                    script.send(connection, Packet::Publish(packet));
                    script.send(connection, Packet::Pubrel(packet_id));
                }
                model.publish((topic.clone(), payload.clone(), *retain));
            }
        }
    }
}

/// The acknowledgements that the publisher gets beside its messages.
fn acknowledgements(model: &Model, step: &Step) -> Option<(u16, Vec<Packet<'static>>)> {
    let Step::Publish { client, qos, .. } = step else { return None };
    let packets = match qos {
        0 => Vec::new(),
        1 => vec![Packet::Puback(id(1))],
        _ => vec![Packet::Pubrec(id(1)), Packet::Pubrec(id(1)), Packet::Pubcomp(id(1))],
    };
    Some((model.clients.get(client)?.connection, packets))
}

proptest! {
    #[test]
    fn the_broker_does_what_the_standard_says(steps in vec(step(), 1..60)) {
        let (mut script, mut model) = (Script::new(open()), Model::default());
        let start = script.broker.memory();
        for (number, step) in (0..).zip(&steps) {
            take(&mut script, &mut model, step, number);
            let due = core::mem::take(&mut model.due);
            let acknowledgements = acknowledgements(&model, step);
            for client in model.clients.values() {
                let mut packets: Vec<_> = due
                    .get(&client.connection)
                    .into_iter()
                    .flatten()
                    .map(|(topic, payload, kept)| {
                        if *kept { retained(topic, payload) } else { publish(topic, payload) }
                    })
                    .collect();
                if let Some((connection, answers)) = &acknowledgements
                    && *connection == client.connection
                {
                    packets.extend(answers);
                }
                script.expect(client.connection, &packets);
            }
            prop_assert_eq!(script.broker.clients(), model.clients.len());
            prop_assert_eq!(script.broker.retained_messages(), model.retained.len());
            prop_assert_eq!(script.counters().messages_dropped, 0);
        }
        // Everyone leaves and the topics are cleared: nothing may be left of all this.
        for client in model.clients.values() {
            script.send(client.connection, Packet::Disconnect);
        }
        script.join(1000, "cleaner");
        for (topic, _) in &model.retained {
            script.send(1000, retained(topic, b""));
        }
        script.send(1000, Packet::Disconnect);
        prop_assert_eq!(script.broker.memory(), start);
    }
}
