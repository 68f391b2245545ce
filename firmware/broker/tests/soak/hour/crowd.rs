//! [`Crowd`]: clients that do all that clients ever do, badly.

use espbroker_broker::Transport;
use espbroker_mqtt::{
    Connect, Delivery, FilterList, Packet, PacketId, Publish, QoS, Subscribe, Subscription, SubscriptionList,
    TopicFilter, TopicName, Unsubscribe, Will,
};

use super::{
    random::Random,
    site::{Site, plain},
};
use crate::world::{Pace, Unit, frame};

/// Retained messages are under `keep/<number>`.
const KEPT: usize = 120;

/// None of what the faithful say: what is dropped for the crowd would excuse what is dropped for them.
const FILTERS: [&str; 5] = ["crowd/#", "crowd/+", "keep/#", "+/1", "$SYS/#"];

/// What no broker takes: a SUBSCRIBE to `#/x`, at QoS 3, to nothing and with wrong flags; a PUBLISH to `+` and at QoS 3;
/// a second CONNECT, a CONNACK, and what is no packet.
const MALFORMED: [&[u8]; 9] = [
    b"\x82\x08\0\x01\0\x03#/x\x01",
    b"\x82\x06\0\x01\0\x01a\x03",
    b"\x82\x02\0\x01",
    b"\x80\x06\0\x01\0\x01a\x00",
    b"\x30\x03\0\x01+",
    b"\x36\x05\0\x01a\0\x01",
    b"\x10\x0d\0\x04MQTT\x04\x02\0\x3c\0\x01a",
    b"\x20\x02\0\0",
    b"\x30\xff\xff\xff\xff\x01",
];

#[derive(Clone, Copy, Default)]
struct Member {
    connection: Option<u16>,
    transport: Option<Transport>,
    /// Says nothing more and reads nothing.
    is_dead: bool,
    last_id: u16,
}

pub(super) struct Crowd {
    members: Vec<Member>,
    /// All are there, and not only some.
    pub(super) is_large: bool,
}

/// How many of a crowd that is not large are there.
const FEW: usize = 12;

impl Crowd {
    pub(super) fn new(count: usize) -> Self {
        Self { members: vec![Member::default(); count], is_large: false }
    }

    /// One of them does something.
    pub(super) fn act(&mut self, site: &mut Site, random: &mut Random) {
        let index = random.below(if self.is_large { self.members.len() } else { FEW });
        let member = &mut self.members[index];
        match member.connection {
            None => member.join(index, site, random),
            Some(connection) if !site.is_open(connection) => {
                site.world.lose(connection);
                *member = Member::default();
            }
            // Somewhere on the way a router gives it up.
            Some(connection) if member.is_dead && random.one_in(20) => {
                site.world.lose(connection);
                *member = Member::default();
            }
            Some(_) if member.is_dead => {}
            Some(connection) => member.speak(connection, site, random),
        }
    }

    /// All lose their connections.
    pub(super) fn leave(&mut self, site: &mut Site) {
        for member in &mut self.members {
            if let Some(connection) = member.connection.take() {
                site.world.lose(connection);
            }
        }
    }

    /// Ends their sessions, and clears what they have made the broker keep.
    pub(super) fn forget(&mut self, site: &mut Site) {
        self.leave(site);
        for index in 0..self.members.len() {
            site.forget(&name(index), None);
        }
        let connection = site.open(Transport::Tcp);
        let all = [Subscription { filter: TopicFilter::new("#").unwrap(), qos: QoS::AtMostOnce }];
        let packet_id = PacketId::new(1).unwrap();
        let subscribe = Subscribe { packet_id, subscriptions: SubscriptionList::new(&all) };
        site.world.send(connection, &[Packet::Connect(plain("cleaner")), Packet::Subscribe(subscribe)]);
        for unit in site.world.arrived(connection) {
            if let Unit::Packet(packet) = unit
                && let Packet::Publish(kept) = Packet::decode(&packet).unwrap()
            {
                let cleared = publish(kept.topic.as_str(), b"", Delivery::AtMostOnce, true);
                site.world.send(connection, &[cleared]);
            }
        }
        site.world.lose(connection);
    }
}

fn name(index: usize) -> String {
    format!("crowd-{index}")
}

fn publish<'a>(topic: &'a str, payload: &'a [u8], delivery: Delivery, retain: bool) -> Packet<'a> {
    Packet::Publish(Publish { topic: TopicName::new(topic).unwrap(), payload, retain, delivery })
}

impl Member {
    fn join(&mut self, index: usize, site: &mut Site, random: &mut Random) {
        let transport = [Transport::Tcp, Transport::Tcp, Transport::WebSocket][random.below(3)];
        let connection = site.open(transport);
        *self = Self { connection: Some(connection), transport: Some(transport), ..Self::default() };
        if !site.is_open(connection) {
            return;
        }
        match random.below(20) {
            0 => return self.is_dead = true,
            1 => return site.world.bytes(connection, &random.bytes(100)),
            2 => return site.world.stream(connection, b"\xc0\0"),
            _ => {}
        }
        // Some call themselves like others.
        let name = name(if random.one_in(6) { random.below(58) } else { index });
        let topic = format!("keep/{}", random.below(KEPT));
        let payload = random.bytes(200);
        let retain = random.one_in(2);
        let qos = QoS::from_number(u8::try_from(random.below(3)).unwrap()).unwrap();
        let will = Will { topic: TopicName::new(&topic).unwrap(), payload: &payload, qos, retain };
        let connect = Connect {
            clean_session: !random.one_in(12),
            keep_alive: [0, 3, 15, 60][random.below(4)],
            will: random.one_in(3).then_some(will),
            ..plain(&name)
        };
        site.world.send(connection, &[Packet::Connect(connect)]);
    }

    fn speak(&mut self, connection: u16, site: &mut Site, random: &mut Random) {
        self.acknowledge(connection, site, random);
        if !site.is_open(connection) {
            return;
        }
        match random.below(60) {
            0..12 => self.publish(connection, site, random, 1),
            12 => self.publish(connection, site, random, 150),
            13..25 => self.subscribe(connection, site, random),
            25..28 => {
                let filters =
                    [FILTERS[random.below(FILTERS.len())]].map(|text| TopicFilter::new(text).unwrap());
                let filters = FilterList::new(&filters);
                let packet_id = PacketId::new(9).unwrap();
                site.world.send(connection, &[Packet::Unsubscribe(Unsubscribe { packet_id, filters })]);
            }
            28..32 => {
                let pings = vec![Packet::Pingreq; 1 + random.below(20)];
                site.world.send(connection, &pings);
            }
            32 => site.world.send(connection, &vec![Packet::Pingreq; 900]),
            33..36 => {
                site.world.links.get_mut(&connection).unwrap().pace = Pace::Held;
            }
            36..40 => {
                site.world.links.get_mut(&connection).unwrap().pace = Pace::AtOnce;
                site.world.carry_out();
            }
            40..46 => site.world.take(connection, random.below(2_000)),
            46..50 => {
                site.world.links.get_mut(&connection).unwrap().pace = Pace::Held;
                self.is_dead = true;
            }
            50 | 51 => self.offend(connection, site, random),
            // The rest of a long message comes slowly or never.
            52 => site.world.stream(
                connection,
                &[&[0x32, 0xfd, 0x1f, 0, 1, b't', 0, 1][..], &random.bytes(2_000)].concat(),
            ),
            53..55 => site.world.send(connection, &[Packet::Disconnect]),
            55 | 56 => {
                site.world.lose(connection);
                *self = Self::default();
            }
            _ => {}
        }
    }

    /// Answers what came, or not.
    fn acknowledge(&mut self, connection: u16, site: &mut Site, random: &mut Random) {
        let units = site.world.arrived(connection);
        if random.one_in(4) {
            return;
        }
        for unit in units {
            let Unit::Packet(packet) = unit else { continue };
            let answer = match Packet::decode(&packet).unwrap() {
                Packet::Publish(Publish { delivery: Delivery::AtLeastOnce { packet_id, .. }, .. }) => {
                    Packet::Puback(packet_id)
                }
                Packet::Publish(Publish { delivery: Delivery::ExactlyOnce { packet_id, .. }, .. }) => {
                    Packet::Pubrec(packet_id)
                }
                Packet::Pubrec(packet_id) => Packet::Pubrel(packet_id),
                Packet::Pubrel(packet_id) => Packet::Pubcomp(packet_id),
                _ => continue,
            };
            if site.is_open(connection) {
                site.world.send(connection, &[answer]);
            }
        }
    }

    /// Publishes up to so many messages without waiting for an answer.
    fn publish(&mut self, connection: u16, site: &mut Site, random: &mut Random, most: usize) {
        let (size, retain) = ([5, 50, 400][random.below(3)], random.one_in(6));
        let qos = random.below(3);
        let mut bytes = Vec::new();
        for _ in 0..=random.below(most) {
            self.last_id = self.last_id % 300 + 1;
            let (packet_id, duplicate) = (PacketId::new(self.last_id).unwrap(), random.one_in(9));
            let delivery = match qos {
                0 => Delivery::AtMostOnce,
                1 => Delivery::AtLeastOnce { packet_id, duplicate },
                _ => Delivery::ExactlyOnce { packet_id, duplicate },
            };
            let topic = if retain { "keep" } else { "crowd" };
            let topic = format!("{topic}/{}", random.below(KEPT));
            publish(&topic, &random.bytes(size), delivery, retain).encode(&mut bytes).unwrap();
        }
        for piece in bytes.chunks(1_072) {
            if site.is_open(connection) {
                site.world.stream(connection, piece);
            }
        }
    }

    fn subscribe(&mut self, connection: u16, site: &mut Site, random: &mut Random) {
        let long = "y".repeat(50);
        let mut filters = vec![FILTERS[random.below(FILTERS.len())].to_owned()];
        if random.one_in(3) {
            filters.extend((0..random.below(30)).map(|number| format!("crowd/{number}/{long}")));
        }
        let qos = QoS::from_number(u8::try_from(random.below(3)).unwrap()).unwrap();
        let list: Vec<_> = filters
            .iter()
            .map(|text| Subscription { filter: TopicFilter::new(text).unwrap(), qos })
            .collect();
        let packet_id = PacketId::new(8).unwrap();
        let subscriptions = SubscriptionList::new(&list);
        site.world.send(connection, &[Packet::Subscribe(Subscribe { packet_id, subscriptions })]);
    }

    /// Sends what nobody may send.
    fn offend(&mut self, connection: u16, site: &mut Site, random: &mut Random) {
        if self.transport == Some(Transport::WebSocket) && random.one_in(2) {
            let mask = [1, 2, 3, 4];
            return match random.below(4) {
                // Without a mask, as text, a ping that is too long, and the end of nothing.
                0 => site.world.bytes(connection, b"\x82\x02\xc0\0"),
                1 => site.world.bytes(connection, &frame(0x81, b"\xc0\0", mask)),
                2 => site.world.bytes(connection, &frame(0x89, &[7; 126], mask)),
                _ => site.world.bytes(connection, &frame(0x80, b"\xc0\0", mask)),
            };
        }
        match MALFORMED.get(random.below(MALFORMED.len() + 3)) {
            Some(bytes) => site.world.stream(connection, bytes),
            None => site.world.bytes(connection, &random.bytes(200)),
        }
    }
}
