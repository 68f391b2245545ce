//! [`Faithful`]: a client with a persistent session that keeps to the standard whatever happens to its connections.

use std::collections::{BTreeMap, BTreeSet};

use espbroker_broker::Transport;
use espbroker_mqtt::{
    Connect, ConnectReturnCode, Delivery, Packet, PacketId, Publish, QoS, SubackCode, Subscribe,
    Subscription, SubscriptionList, TopicFilter, TopicName,
};

use super::{
    ledger::{KINDS, Ledger, number},
    random::Random,
    site::{Site, plain},
};
use crate::world::{Pace, Unit};

/// Messages that a client has on their way at once.
const IN_FLIGHT: usize = 6;

/// A message whose handshake is not over.
struct Flight {
    packet_id: PacketId,
    topic: String,
    payload: Vec<u8>,
    qos: QoS,
    /// PUBREC came.
    is_received: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Life {
    Away,
    /// CONNECT was sent.
    Knocking(u16),
    Connected(u16),
    /// Dead without a word; the broker may not know.
    Dead(u16),
}

pub(super) struct Faithful {
    pub(super) name: String,
    pub(super) site: usize,
    transport: Transport,
    life: Life,
    has_session: bool,
    is_subscribed: bool,
    publishes: bool,
    flights: Vec<Flight>,
    last_id: u16,
    /// Messages of QoS 2 whose PUBREL has not come.
    unreleased: BTreeSet<PacketId>,
    /// Numbers of the messages that came, by topic.
    pub(super) seen: BTreeMap<String, Vec<usize>>,
}

impl Faithful {
    pub(super) fn new(site: usize, number: usize) -> Self {
        Self {
            name: format!("faithful-{site}-{number}"),
            site,
            transport: [Transport::Tcp, Transport::WebSocket][number % 2],
            life: Life::Away,
            has_session: false,
            is_subscribed: false,
            publishes: true,
            flights: Vec::new(),
            last_id: 0,
            unreleased: BTreeSet::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Publishes nothing new.
    pub(super) fn stop(&mut self) {
        self.publishes = false;
    }

    pub(super) fn is_at_rest(&self) -> bool {
        matches!(self.life, Life::Connected(_))
            && self.is_subscribed
            && self.flights.is_empty()
            && self.unreleased.is_empty()
    }

    /// Comes back if it is away, and reads without delay.
    pub(super) fn wake(&mut self, site: &mut Site, ledger: &mut Ledger, random: &mut Random) {
        match self.life {
            Life::Away | Life::Dead(_) => self.connect(site),
            Life::Knocking(connection) | Life::Connected(connection) => {
                set_pace(site, connection, Pace::AtOnce);
                self.send(site, ledger, random, &Packet::Pingreq);
            }
        }
        self.listen(site, ledger, random);
    }

    /// Does what such a client does, and now and then dies.
    pub(super) fn live(&mut self, site: &mut Site, ledger: &mut Ledger, random: &mut Random) {
        match self.life {
            Life::Away | Life::Dead(_) if random.one_in(30) => self.connect(site),
            Life::Away => {}
            Life::Dead(connection) if !site.is_open(connection) => {
                site.world.lose(connection);
                self.life = Life::Away;
            }
            Life::Dead(_) => {}
            Life::Knocking(connection) | Life::Connected(connection) => {
                if random.one_in(250) {
                    return self.die(connection, site, random);
                }
                match random.below(40) {
                    0 => set_pace(site, connection, Pace::Held),
                    1..5 => set_pace(site, connection, Pace::AtOnce),
                    5..20 => site.world.take(connection, random.below(400)),
                    _ => {}
                }
                if random.one_in(25) {
                    self.publish(site, ledger, random);
                }
                if random.one_in(30) && matches!(self.life, Life::Connected(_)) {
                    self.send(site, ledger, random, &Packet::Pingreq);
                }
            }
        }
    }

    fn die(&mut self, connection: u16, site: &mut Site, random: &mut Random) {
        self.life = Life::Away;
        match random.below(6) {
            // Not even the network says so.
            0 | 1 => {
                set_pace(site, connection, Pace::Held);
                self.life = Life::Dead(connection);
                return;
            }
            2 => return self.connect(site),
            3 => site.world.send(connection, &[Packet::Disconnect]),
            4 => site.world.stream(connection, &[0xff, 0, 0x36, 0]),
            // In the middle of a packet.
            _ => site.world.stream(connection, &[0x32, 20, 0, 3, b'u', b'p']),
        }
        site.world.lose(connection);
    }

    fn connect(&mut self, site: &mut Site) {
        if let Life::Dead(old) = self.life
            && !site.is_open(old)
        {
            site.world.lose(old);
        }
        let connection = site.open(self.transport);
        self.life = Life::Knocking(connection);
        if site.is_open(connection) {
            let connect = Connect { clean_session: false, keep_alive: 20, ..plain(&self.name) };
            site.world.send(connection, &[Packet::Connect(connect)]);
        }
    }

    fn publish(&mut self, site: &mut Site, ledger: &mut Ledger, random: &mut Random) {
        if !self.publishes || !matches!(self.life, Life::Connected(_)) || self.flights.len() >= IN_FLIGHT {
            return;
        }
        let qos = [QoS::AtLeastOnce, QoS::ExactlyOnce][random.below(2)];
        let topic = format!("{}/{}/q{}", KINDS[random.below(KINDS.len())], self.name, qos.number());
        let payload = ledger.publish(&topic, self.site, random.below(60));
        self.last_id = self.last_id % 60_000 + 1;
        let packet_id = PacketId::new(self.last_id).unwrap();
        self.flights.push(Flight { packet_id, topic, payload, qos, is_received: false });
        self.send_flight(self.flights.len() - 1, site, ledger, random, false);
    }

    fn send_flight(
        &mut self,
        index: usize,
        site: &mut Site,
        ledger: &mut Ledger,
        random: &mut Random,
        duplicate: bool,
    ) {
        let Flight { packet_id, topic, payload, qos, is_received } = &self.flights[index];
        let packet_id = *packet_id;
        let delivery = match qos {
            QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id, duplicate },
            _ => Delivery::AtLeastOnce { packet_id, duplicate },
        };
        let publish = Publish { topic: TopicName::new(topic).unwrap(), payload, retain: false, delivery };
        let packet = if *is_received { Packet::Pubrel(packet_id) } else { Packet::Publish(publish) };
        self.send(site, ledger, random, &packet);
    }

    /// Sends a packet in two pieces.
    fn send(&self, site: &mut Site, ledger: &mut Ledger, random: &mut Random, packet: &Packet<'_>) {
        let Life::Connected(connection) = self.life else { return };
        let mut bytes = Vec::new();
        packet.encode(&mut bytes).unwrap();
        let cut = random.below(bytes.len());
        ledger.watch(site, &bytes, |site| {
            for piece in [&bytes[..cut], &bytes[cut..]] {
                if site.is_open(connection) {
                    site.world.stream(connection, piece);
                }
            }
        });
    }

    /// Takes what came; whether there was anything.
    pub(super) fn listen(&mut self, site: &mut Site, ledger: &mut Ledger, random: &mut Random) -> bool {
        let (Life::Knocking(connection) | Life::Connected(connection)) = self.life else { return false };
        let units = site.world.arrived(connection);
        let moved = !units.is_empty();
        for unit in units {
            if let Unit::Packet(packet) = unit {
                self.hear(connection, &packet, site, ledger, random);
            }
        }
        if !site.is_open(connection) {
            site.world.lose(connection);
            self.life = Life::Away;
        }
        moved
    }

    fn hear(
        &mut self,
        connection: u16,
        packet: &[u8],
        site: &mut Site,
        ledger: &mut Ledger,
        random: &mut Random,
    ) {
        match Packet::decode(packet).unwrap() {
            Packet::Connack(connack) if connack.return_code == ConnectReturnCode::Accepted => {
                assert!(connack.session_present || !self.has_session, "{} has lost its session", self.name);
                self.has_session = true;
                self.life = Life::Connected(connection);
                for index in 0..self.flights.len() {
                    self.send_flight(index, site, ledger, random, true);
                }
                if !self.is_subscribed {
                    let filters = KINDS.map(|kind| format!("{kind}/#"));
                    let subscription = |text| Subscription {
                        filter: TopicFilter::new(text).unwrap(),
                        qos: QoS::ExactlyOnce,
                    };
                    let list = filters.each_ref().map(|text| subscription(text));
                    let packet_id = PacketId::new(65_000).unwrap();
                    let subscriptions = SubscriptionList::new(&list);
                    let subscribe = Packet::Subscribe(Subscribe { packet_id, subscriptions });
                    self.send(site, ledger, random, &subscribe);
                }
            }
            Packet::Connack(connack) => {
                assert_eq!(connack.return_code, ConnectReturnCode::ServerUnavailable);
            }
            Packet::Suback(suback) => {
                assert!(suback.return_codes.iter().all(|code| code != SubackCode::Failure));
                self.is_subscribed = true;
            }
            Packet::Publish(publish) => self.take(&publish, site, ledger, random),
            Packet::Puback(packet_id) | Packet::Pubcomp(packet_id) => {
                self.flights.retain(|flight| flight.packet_id != packet_id);
            }
            Packet::Pubrec(packet_id) => {
                let flight = self.flights.iter_mut().find(|flight| flight.packet_id == packet_id);
                flight.into_iter().for_each(|flight| flight.is_received = true);
                self.send(site, ledger, random, &Packet::Pubrel(packet_id));
            }
            Packet::Pubrel(packet_id) => {
                self.unreleased.remove(&packet_id);
                self.send(site, ledger, random, &Packet::Pubcomp(packet_id));
            }
            Packet::Pingresp => {}
            other => panic!("{other:?}"),
        }
    }

    fn take(&mut self, publish: &Publish<'_>, site: &mut Site, ledger: &mut Ledger, random: &mut Random) {
        let (is_new, answer) = match publish.delivery {
            Delivery::AtMostOnce => panic!("{publish:?} is not for faithful clients"),
            Delivery::AtLeastOnce { packet_id, .. } => (true, Packet::Puback(packet_id)),
            Delivery::ExactlyOnce { packet_id, .. } => {
                (self.unreleased.insert(packet_id), Packet::Pubrec(packet_id))
            }
        };
        if is_new {
            let seen = self.seen.entry(publish.topic.as_str().into()).or_default();
            seen.push(number(publish).unwrap());
        }
        self.send(site, ledger, random, &answer);
    }

    /// Leaves for good.
    pub(super) fn forget(&mut self, site: &mut Site) {
        if let Life::Knocking(connection) | Life::Connected(connection) | Life::Dead(connection) = self.life {
            site.world.lose(connection);
        }
        site.forget(&self.name, None);
    }
}

fn set_pace(site: &mut Site, connection: u16, pace: Pace) {
    if let Some(link) = site.world.links.get_mut(&connection) {
        link.pace = pace;
    }
    site.world.carry_out();
}
