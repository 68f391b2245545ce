//! Clients of the brokers, which acknowledge everything and remember what they saw.

use std::collections::BTreeSet;

use espbroker_mqtt::{
    Connect, Delivery, Packet, Publish, QoS, Subscribe, Subscription, SubscriptionList, TopicFilter,
    TopicName,
};

use super::{Lan, packets, wires::End};
use crate::script::{encoded, id, plain};

/// A client that acknowledges everything.
#[derive(Default)]
pub(super) struct Client {
    pub(super) wire: usize,
    partial: Vec<u8>,
    seen: Vec<String>,
    /// QoS 2 messages before their PUBREL.
    unreleased: BTreeSet<u16>,
    last_id: u16,
    unacknowledged: usize,
}

impl Lan {
    pub(crate) fn client(&mut self, host: usize, client_id: &str, filters: &[(&str, u8)]) -> usize {
        let client = self.client_with(host, plain(client_id));
        if !filters.is_empty() {
            self.subscribe(client, filters);
        }
        client
    }

    pub(crate) fn client_with(&mut self, host: usize, connect: Connect<'_>) -> usize {
        let client = self.clients.len();
        let wire = self.wire(End::Client(client), host);
        self.clients.push(Client { wire, ..Client::default() });
        self.send(client, &Packet::Connect(connect));
        self.settle();
        client
    }

    pub(crate) fn subscribe(&mut self, client: usize, filters: &[(&str, u8)]) {
        let subscription = |&(filter, qos)| Subscription {
            filter: TopicFilter::new(filter).unwrap(),
            qos: QoS::from_number(qos).unwrap(),
        };
        let list: Vec<_> = filters.iter().map(subscription).collect();
        let subscriptions = SubscriptionList::new(&list);
        self.send(client, &Packet::Subscribe(Subscribe { packet_id: id(65_000), subscriptions }));
        self.settle();
    }

    /// Publishes and waits for what comes of it.
    pub(crate) fn publish(&mut self, client: usize, topic: &str, payload: &str, qos: u8) {
        self.hand_in(client, topic, payload, qos, false);
        self.settle();
    }

    pub(crate) fn retain(&mut self, client: usize, topic: &str, payload: &str, qos: u8) {
        self.hand_in(client, topic, payload, qos, true);
        self.settle();
    }

    /// Publishes without waiting.
    pub(crate) fn hand_in(&mut self, client: usize, topic: &str, payload: &str, qos: u8, retain: bool) {
        let from = &mut self.clients[client];
        let delivery = if qos == 0 {
            Delivery::AtMostOnce
        } else {
            from.last_id = from.last_id % 60_000 + 1;
            from.unacknowledged += 1;
            let (packet_id, duplicate) = (id(from.last_id), false);
            match qos {
                1 => Delivery::AtLeastOnce { packet_id, duplicate },
                _ => Delivery::ExactlyOnce { packet_id, duplicate },
            }
        };
        let topic = TopicName::new(topic).unwrap();
        let publish = Publish { topic, payload: payload.as_bytes(), retain, delivery };
        self.send(client, &Packet::Publish(publish));
    }

    /// Messages of QoS 1 and 2 that the client's broker has not taken.
    pub(crate) fn unacknowledged(&self, client: usize) -> usize {
        self.clients[client].unacknowledged
    }

    fn send(&mut self, client: usize, packet: &Packet<'_>) {
        let wire = self.clients[client].wire;
        self.put(wire, End::Client(client), encoded(&[*packet]));
    }

    /// What came since the last look: topic, payload, QoS if it is not 0, `retained`, `again` with DUP.
    pub(crate) fn seen(&mut self, client: usize) -> Vec<String> {
        std::mem::take(&mut self.clients[client].seen)
    }

    #[track_caller]
    pub(crate) fn expect(&mut self, client: usize, messages: &[&str]) {
        assert_eq!(self.seen(client), messages);
    }

    /// The client goes without DISCONNECT.
    pub(crate) fn leave(&mut self, client: usize) {
        self.lose(self.clients[client].wire);
    }

    pub(super) fn client_received(&mut self, index: usize, bytes: &[u8]) {
        let client = &mut self.clients[index];
        client.partial.extend(bytes);
        for bytes in packets(&mut client.partial) {
            let client = &mut self.clients[index];
            let answer = match Packet::decode(&bytes).unwrap() {
                Packet::Publish(publish) => client.take(&publish),
                Packet::Puback(_) | Packet::Pubcomp(_) => {
                    client.unacknowledged -= 1;
                    None
                }
                Packet::Pubrec(packet_id) => Some(Packet::Pubrel(packet_id)),
                Packet::Pubrel(packet_id) => {
                    client.unreleased.remove(&packet_id.value());
                    Some(Packet::Pubcomp(packet_id))
                }
                _ => None,
            };
            if let Some(answer) = answer {
                self.send(index, &answer);
            }
        }
    }
}

impl Client {
    fn take(&mut self, publish: &Publish<'_>) -> Option<Packet<'static>> {
        let mut text = format!("{} {}", publish.topic.as_str(), String::from_utf8_lossy(publish.payload));
        let (number, duplicate, answer) = match publish.delivery {
            Delivery::AtMostOnce => ("", false, None),
            Delivery::AtLeastOnce { packet_id, duplicate } => {
                (" 1", duplicate, Some(Packet::Puback(packet_id)))
            }
            Delivery::ExactlyOnce { packet_id, duplicate } => {
                if !self.unreleased.insert(packet_id.value()) {
                    return Some(Packet::Pubrec(packet_id));
                }
                (" 2", duplicate, Some(Packet::Pubrec(packet_id)))
            }
        };
        text.push_str(number);
        text.push_str(if publish.retain { " retained" } else { "" });
        text.push_str(if duplicate { " again" } else { "" });
        self.seen.push(text);
        answer
    }
}
