//! A client as the standard wants it: it acknowledges late, keeps what is not finished, and sends it again.

use std::collections::BTreeSet;

use espbroker_mqtt::{Delivery, Packet, Publish, QoS, TopicName};

use super::standard::{Published, Session};
use crate::script::id;

/// A message of QoS 1 or 2 on its way to the broker.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) id: u16,
    pub(super) message: Published,
    /// PUBREC came.
    pub(super) is_received: bool,
}

#[derive(Debug, Default)]
pub(super) struct Client {
    pub(super) connection: Option<u16>,
    /// Acknowledgements that are not sent yet.
    pub(super) answers: Vec<Packet<'static>>,
    pub(super) outgoing: Vec<Outgoing>,
    last_id: u16,
    /// QoS 2 messages from the broker between PUBLISH and PUBREL.
    held: BTreeSet<u16>,
    /// Numbers of the messages of QoS 1 and 2 that the application got, in their order.
    pub(super) got: Vec<usize>,
}

impl Client {
    /// The session begins anew.
    pub(super) fn forget(&mut self) {
        *self = Self { connection: self.connection, last_id: self.last_id, ..Self::default() };
    }

    /// The connection is gone, and with it what was to be sent over it.
    pub(super) fn lose(&mut self) {
        self.connection = None;
        self.answers.clear();
    }

    /// Begins to send a message; its identifier, 0 for QoS 0.
    pub(super) fn begin(&mut self, message: &Published) -> u16 {
        if message.text.qos == 0 {
            return 0;
        }
        self.last_id += 1;
        self.outgoing.push(Outgoing { id: self.last_id, message: message.clone(), is_received: false });
        self.last_id
    }

    /// Takes a packet from the broker, which knows `session`.
    pub(super) fn take(&mut self, packet: &Packet<'_>, session: &Session) {
        match *packet {
            Packet::Publish(Publish { delivery, .. }) => match delivery {
                Delivery::AtMostOnce => {}
                Delivery::AtLeastOnce { packet_id, .. } => {
                    let number = number(session, packet_id.value());
                    if !self.got.contains(&number) {
                        self.got.push(number);
                    }
                    self.answers.push(Packet::Puback(packet_id));
                }
                Delivery::ExactlyOnce { packet_id, .. } => {
                    let number = number(session, packet_id.value());
                    if self.held.insert(packet_id.value()) {
                        assert!(!self.got.contains(&number), "QoS 2 twice");
                        self.got.push(number);
                    }
                    self.answers.push(Packet::Pubrec(packet_id));
                }
            },
            Packet::Pubrel(packet_id) => {
                self.held.remove(&packet_id.value());
                self.answers.push(Packet::Pubcomp(packet_id));
            }
            // A message that was sent twice is acknowledged twice.
            Packet::Puback(packet_id) | Packet::Pubcomp(packet_id) => {
                self.outgoing.retain(|outgoing| outgoing.id != packet_id.value());
            }
            Packet::Pubrec(packet_id) => {
                let sent = self.outgoing.iter_mut().find(|outgoing| outgoing.id == packet_id.value());
                sent.expect("PUBREC comes before PUBCOMP").is_received = true;
                self.answers.push(Packet::Pubrel(packet_id));
            }
            _ => {}
        }
    }
}

/// The number of the message in flight with this identifier.
fn number(session: &Session, id: u16) -> usize {
    let message = session.in_flight.iter().find(|message| message.id == id);
    message.unwrap_or_else(|| panic!("{id} is not in flight")).number
}

impl Outgoing {
    /// What the client sends for it once more.
    pub(super) fn again(&self) -> Packet<'_> {
        if self.is_received { Packet::Pubrel(id(self.id)) } else { publish(&self.message, self.id, true) }
    }
}

pub(super) fn publish(message: &Published, number: u16, duplicate: bool) -> Packet<'_> {
    let text = &message.text;
    let delivery = match text.qos {
        0 => Delivery::AtMostOnce,
        1 => Delivery::AtLeastOnce { packet_id: id(number), duplicate },
        _ => Delivery::ExactlyOnce { packet_id: id(number), duplicate },
    };
    let topic = TopicName::new(&text.topic).unwrap();
    Packet::Publish(Publish { topic, payload: &text.payload, retain: message.retain, delivery })
}

pub(super) fn qos(number: u8) -> QoS {
    QoS::from_number(number).unwrap()
}
