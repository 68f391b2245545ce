//! The broker against a naive model of MQTT 3.1.1: several clients whose sessions go on or not, over networks that are
//! slow and break, with every QoS on both sides.
//!
//! Held against the model: every packet that the broker hands out, when it does; and at the end that every client
//! has what it is owed, QoS 2 exactly once, and that nothing is left in memory when everybody has gone.

mod client;
mod standard;

use std::collections::{BTreeMap, VecDeque};

use client::{Client, publish, qos};
use espbroker_broker::{CloseReason, Network, Settings, Transport};
use espbroker_mqtt::{
    Connect, Delivery, FilterList, Packet, Publish, ReturnCodes, Suback, Subscribe, Subscription,
    SubscriptionList, TopicFilter, TopicName, Unsubscribe, Will,
};
use proptest::{collection::vec, option, prelude::*, sample::Index, sample::select};
use standard::{InFlight, Published, Standard, Text};

use crate::{
    script::{encoded, id, open, plain, retained},
    steps::accepted,
    world::{Accounts, Said, Unit, World},
};

const CLIENTS: u16 = 4;

#[derive(Clone, Debug)]
enum Step {
    Connect {
        client: u16,
        clean: bool,
        will: Option<Message>,
    },
    Disconnect {
        client: u16,
    },
    Lose {
        client: u16,
    },
    /// The client sends bytes that are no packet.
    Break {
        client: u16,
    },
    Subscribe {
        client: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        client: u16,
        filters: Vec<String>,
    },
    Publish {
        client: u16,
        message: Message,
    },
    /// The client sends something once more that is not acknowledged.
    Again {
        client: u16,
        which: Index,
    },
    /// The network takes bytes.
    Take {
        client: u16,
        bytes: usize,
    },
    /// The client sends one of the acknowledgements that it owes.
    Answer {
        client: u16,
        which: Index,
    },
    AnswerAll {
        client: u16,
    },
    /// The client acknowledges what nobody sent.
    Stray {
        client: u16,
        kind: u8,
        number: u16,
    },
    Pass {
        milliseconds: u64,
    },
}

#[derive(Clone, Debug)]
struct Message {
    topic: String,
    /// Bytes of payload beside those that make it the only one of its kind; `None` for no payload.
    length: Option<usize>,
    qos: u8,
    retain: bool,
}

fn message() -> impl Strategy<Value = Message> {
    let length =
        prop_oneof![6 => (0..30_usize).prop_map(Some), 1 => (0..700_usize).prop_map(Some), 1 => Just(None)];
    ("[ab]|[ab]/[ab]?|\\$a/b", length, 0..3_u8, any::<bool>())
        .prop_map(|(topic, length, qos, retain)| Message { topic, length, qos, retain })
}

fn step() -> impl Strategy<Value = Step> {
    let client = || 0..CLIENTS;
    let filter = || "[ab+]|[ab+]/[ab+]?|#|[ab+]/#|\\$a/[+#]";
    let number = 60_000..60_100_u16;
    prop_oneof![
        6 => (client(), any::<bool>(), option::of(message()))
            .prop_map(|(client, clean, will)| Step::Connect { client, clean, will }),
        1 => client().prop_map(|client| Step::Disconnect { client }),
        3 => client().prop_map(|client| Step::Lose { client }),
        1 => client().prop_map(|client| Step::Break { client }),
        6 => (client(), vec((filter(), 0..3_u8), 1..4))
            .prop_map(|(client, filters)| Step::Subscribe { client, filters }),
        1 => (client(), vec(filter(), 1..4))
            .prop_map(|(client, filters)| Step::Unsubscribe { client, filters }),
        14 => (client(), message()).prop_map(|(client, message)| Step::Publish { client, message }),
        1 => (client(), any::<Index>()).prop_map(|(client, which)| Step::Again { client, which }),
        6 => (client(), 0..400_usize).prop_map(|(client, bytes)| Step::Take { client, bytes }),
        4 => (client(), any::<Index>()).prop_map(|(client, which)| Step::Answer { client, which }),
        2 => client().prop_map(|client| Step::AnswerAll { client }),
        1 => (client(), 0..4_u8, number)
            .prop_map(|(client, kind, number)| Step::Stray { client, kind, number }),
        1 => (0..50_u64).prop_map(|milliseconds| Step::Pass { milliseconds }),
    ]
}

fn network() -> impl Strategy<Value = Network> {
    let window = select(vec![0, 20, 100, 1_000, 16_384]);
    let in_flight = select(vec![0, 50, 300, 2_000, 8_192, u32::MAX]);
    (window, in_flight, select(vec![0, 64, 296, 1_632])).prop_map(|(window, in_flight, segment)| Network {
        window,
        in_flight,
        segment,
    })
}

/// Broker, model and clients, and what the broker is to answer.
struct Play {
    world: World,
    standard: Standard,
    clients: Vec<Client>,
    /// Whose a connection is.
    owners: BTreeMap<u16, u16>,
    answers: BTreeMap<u16, VecDeque<Vec<u8>>>,
    ends: BTreeMap<u16, CloseReason>,
    next_connection: u16,
    next_message: u16,
}

impl Play {
    fn new(network: Network) -> Self {
        let settings = Settings {
            network,
            queue_messages: 1_000,
            queue_bytes: 1 << 20,
            subscriptions_per_client: 64,
            ..open()
        };
        Self {
            world: World::new(settings, Accounts::default()),
            standard: Standard::default(),
            clients: (0..CLIENTS).map(|_| Client::default()).collect(),
            owners: BTreeMap::new(),
            answers: BTreeMap::new(),
            ends: BTreeMap::new(),
            next_connection: 0,
            next_message: 0,
        }
    }

    fn client(&mut self, client: u16) -> &mut Client {
        &mut self.clients[usize::from(client)]
    }

    /// A message like no other, unless it has no payload.
    fn published(&mut self, message: &Message) -> Published {
        self.next_message += 1;
        let payload = match message.length {
            None => Vec::new(),
            Some(length) => [&self.next_message.to_be_bytes()[..], &vec![7; length]].concat(),
        };
        let text = Text { topic: message.topic.clone(), payload, qos: message.qos };
        Published { text, retain: message.retain }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Connect { client, clean, will } => {
                let will = will.as_ref().map(|will| self.published(will));
                self.connect(*client, *clean, will.as_ref());
            }
            Step::Pass { milliseconds } => self.world.pass(*milliseconds),
            Step::Disconnect { client }
            | Step::Lose { client }
            | Step::Break { client }
            | Step::Subscribe { client, .. }
            | Step::Unsubscribe { client, .. }
            | Step::Publish { client, .. }
            | Step::Again { client, .. }
            | Step::Take { client, .. }
            | Step::Answer { client, .. }
            | Step::AnswerAll { client }
            | Step::Stray { client, .. } => {
                if let Some(connection) = self.client(*client).connection {
                    self.take_connected(*client, connection, step);
                }
            }
        }
        self.check();
    }

    fn take_connected(&mut self, client: u16, connection: u16, step: &Step) {
        match step {
            Step::Disconnect { .. } => {
                self.standard.disconnect(client);
                self.ends.insert(connection, CloseReason::Disconnected);
                self.world.send(connection, &[Packet::Disconnect]);
                self.client(client).lose();
            }
            Step::Lose { .. } => {
                self.standard.lose(client);
                self.world.lose(connection);
                self.client(client).lose();
            }
            Step::Break { .. } => {
                self.standard.lose(client);
                let malformed = espbroker_mqtt::Malformed::ReservedPacketType(0);
                self.ends.insert(connection, CloseReason::Malformed(malformed));
                self.world.stream(connection, b"\0\0");
                self.client(client).lose();
            }
            Step::Subscribe { filters, .. } => self.subscribe(client, connection, filters),
            Step::Unsubscribe { filters, .. } => {
                self.standard.unsubscribe(client, filters);
                let filters: Vec<_> = filters.iter().map(|text| TopicFilter::new(text).unwrap()).collect();
                self.expect(connection, &Packet::Unsuback(id(78)));
                let filters = FilterList::new(&filters);
                self.world
                    .send(connection, &[Packet::Unsubscribe(Unsubscribe { packet_id: id(78), filters })]);
            }
            Step::Publish { message, .. } => {
                let message = self.published(message);
                let number = self.client(client).begin(&message);
                self.publish(client, connection, &message, number, false);
            }
            Step::Again { which, .. } => {
                let outgoing = &self.client(client).outgoing;
                if !outgoing.is_empty() {
                    let outgoing = which.get(outgoing).clone();
                    self.send_again(client, connection, &outgoing);
                }
            }
            Step::Take { bytes, .. } => self.world.take(connection, *bytes),
            Step::Answer { which, .. } => {
                let count = self.client(client).answers.len();
                if count > 0 {
                    let answer = self.client(client).answers.remove(which.index(count));
                    self.answer(client, connection, answer);
                }
            }
            Step::AnswerAll { .. } => {
                for answer in std::mem::take(&mut self.client(client).answers) {
                    self.answer(client, connection, answer);
                    self.check();
                }
            }
            Step::Stray { kind, number, .. } => {
                let answer = match kind {
                    0 => Packet::Puback(id(*number)),
                    1 => Packet::Pubrec(id(*number)),
                    2 => Packet::Pubrel(id(*number)),
                    _ => Packet::Pubcomp(id(*number)),
                };
                self.answer(client, connection, answer);
            }
            Step::Connect { .. } | Step::Pass { .. } => {}
        }
    }

    fn connect(&mut self, client: u16, clean: bool, will: Option<&Published>) {
        if let Some(old) = self.client(client).connection {
            self.ends.insert(old, CloseReason::TakenOver);
            self.standard.lose(client);
            self.client(client).lose();
        }
        let present = self.standard.connect(client, clean, will.cloned());
        if !present {
            self.client(client).forget();
        }
        let connection = self.next_connection;
        self.next_connection += 1;
        self.client(client).connection = Some(connection);
        self.owners.insert(connection, client);
        self.answers.insert(connection, VecDeque::new());
        let transport = if client.is_multiple_of(2) { Transport::Tcp } else { Transport::WebSocket };
        self.world.open(connection, transport);
        self.world.hold(connection);
        self.expect(connection, &accepted(present));
        let name = format!("client {client}");
        let will = will.map(|Published { text, retain }| Will {
            topic: TopicName::new(&text.topic).unwrap(),
            payload: &text.payload,
            qos: qos(text.qos),
            retain: *retain,
        });
        let connect = Connect { clean_session: clean, will, ..plain(&name) };
        self.world.send(connection, &[Packet::Connect(connect)]);
        self.check();
        // §4.4: what was not acknowledged is sent again in its order.
        for outgoing in self.client(client).outgoing.clone() {
            self.send_again(client, connection, &outgoing);
            self.check();
        }
    }

    fn subscribe(&mut self, client: u16, connection: u16, filters: &[(String, u8)]) {
        self.standard.subscribe(client, filters);
        let codes: Vec<u8> = filters.iter().map(|(_, qos)| *qos).collect();
        let return_codes = ReturnCodes::new(&codes).unwrap();
        self.expect(connection, &Packet::Suback(Suback { packet_id: id(77), return_codes }));
        let entry = |(filter, number): &(String, u8)| (filter.clone(), qos(*number));
        let filters: Vec<_> = filters.iter().map(entry).collect();
        let entry = |(text, qos)| Subscription { filter: TopicFilter::new(text).unwrap(), qos };
        let list: Vec<_> = filters.iter().map(|(text, qos)| entry((text, *qos))).collect();
        let subscriptions = SubscriptionList::new(&list);
        self.world.send(connection, &[Packet::Subscribe(Subscribe { packet_id: id(77), subscriptions })]);
    }

    /// The client sends a PUBLISH.
    fn publish(&mut self, client: u16, connection: u16, message: &Published, number: u16, duplicate: bool) {
        self.standard.receive(client, number, message);
        match message.text.qos {
            0 => {}
            1 => self.expect(connection, &Packet::Puback(id(number))),
            _ => self.expect(connection, &Packet::Pubrec(id(number))),
        }
        self.world.send(connection, &[publish(message, number, duplicate)]);
    }

    fn send_again(&mut self, client: u16, connection: u16, outgoing: &client::Outgoing) {
        match outgoing.again() {
            Packet::Pubrel(packet_id) => self.answer(client, connection, Packet::Pubrel(packet_id)),
            _ => self.publish(client, connection, &outgoing.message, outgoing.id, true),
        }
    }

    /// The client sends an acknowledgement.
    fn answer(&mut self, client: u16, connection: u16, answer: Packet<'static>) {
        let session = self.standard.sessions.get_mut(&client).unwrap();
        match answer {
            Packet::Puback(packet_id) | Packet::Pubcomp(packet_id) => session.finish(packet_id.value()),
            Packet::Pubrec(packet_id) => {
                session.received(packet_id.value());
                self.expect(connection, &Packet::Pubrel(packet_id));
            }
            Packet::Pubrel(packet_id) => {
                self.standard.release(client, packet_id.value());
                self.expect(connection, &Packet::Pubcomp(packet_id));
            }
            other => panic!("no acknowledgement: {other:?}"),
        }
        self.world.send(connection, &[answer]);
    }

    fn expect(&mut self, connection: u16, answer: &Packet<'_>) {
        self.answers.get_mut(&connection).unwrap().push_back(encoded(&[*answer]));
    }

    /// Holds everything that the broker said against the model, and gives the clients what arrived.
    fn check(&mut self) {
        for said in self.world.said() {
            match said {
                Said::Handed(connection, Unit::Packet(packet)) => self.check_packet(connection, &packet),
                Said::Handed(_, Unit::Http(answer)) => assert!(answer.starts_with(b"HTTP/1.1 101 ")),
                Said::Closed(connection, reason) => {
                    assert_eq!(Some(reason), self.ends.remove(&connection));
                    self.answers.remove(&connection);
                }
                Said::Handed(_, Unit::Closing(_)) => {}
                said => panic!("{said:?}"),
            }
        }
        assert!(self.answers.values().all(VecDeque::is_empty), "not answered: {:?}", self.answers);
        assert!(self.ends.is_empty(), "not closed: {:?}", self.ends);
        for (number, client) in (0..).zip(&mut self.clients) {
            let Some(connection) = client.connection else { continue };
            for unit in self.world.arrived(connection) {
                if let Unit::Packet(packet) = unit {
                    client.take(&Packet::decode(&packet).unwrap(), &self.standard.sessions[&number]);
                }
            }
        }
        let connected = (0..CLIENTS).filter(|client| self.standard.is_connected(*client)).count();
        assert_eq!(self.world.broker.clients(), connected);
        assert_eq!(self.world.broker.sessions_away(), self.standard.sessions.len() - connected);
        assert_eq!(self.world.broker.retained_messages(), self.standard.retained.len());
    }

    fn check_packet(&mut self, connection: u16, packet: &[u8]) {
        let answers = self.answers.get_mut(&connection).unwrap();
        if answers.front().is_some_and(|answer| answer == packet) {
            answers.pop_front();
            return;
        }
        let session = self.standard.sessions.get_mut(&self.owners[&connection]).unwrap();
        let again = session.in_flight.iter_mut().find(|message| message.is_due);
        match Packet::decode(packet).unwrap() {
            Packet::Pubrel(packet_id) => {
                let again = again.expect("a PUBREL that was asked for");
                assert!(again.id == packet_id.value() && again.is_received, "{packet_id:?} for {again:?}");
                again.is_due = false;
            }
            Packet::Publish(Publish { topic, payload, retain, delivery }) => {
                let (topic, payload) = (topic.as_str().into(), payload.to_vec());
                let text = Text { topic, payload, qos: delivery.qos().number() };
                let (packet_id, duplicate) = match delivery {
                    Delivery::AtMostOnce => return session.hand_out(&text, retain),
                    Delivery::AtLeastOnce { packet_id, duplicate }
                    | Delivery::ExactlyOnce { packet_id, duplicate } => (packet_id.value(), duplicate),
                };
                if let Some(again) = again {
                    // In the order in which they were sent first (§4.6), before anything new.
                    assert!(duplicate && !again.is_received, "{packet_id} for {again:?}");
                    assert_eq!((packet_id, &text, retain), (again.id, &again.text, again.retain));
                    again.is_due = false;
                    return;
                }
                assert!(!duplicate, "DUP on what was never sent before");
                assert!(session.in_flight.iter().all(|message| message.id != packet_id), "{packet_id} again");
                session.hand_out(&text, retain);
                let (number, id, is_received) = (session.count, packet_id, false);
                session.count += 1;
                let message = InFlight { id, text, retain, is_received, is_due: false, number };
                session.in_flight.push(message);
            }
            other => panic!("nobody asked for {other:?}"),
        }
    }

    /// Everybody comes back, reads and acknowledges until nothing is on its way.
    fn settle(&mut self) {
        for client in 0..CLIENTS {
            if self.standard.sessions.contains_key(&client) && self.client(client).connection.is_none() {
                self.connect(client, false, None);
            }
        }
        for _ in 0..1_000 {
            let mut moved = false;
            for client in 0..CLIENTS {
                let Some(connection) = self.client(client).connection else { continue };
                moved |= self.world.links[&connection].unsent > 0 || !self.client(client).answers.is_empty();
                self.take(&Step::Take { client, bytes: usize::MAX });
                self.take(&Step::AnswerAll { client });
            }
            if !moved {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Nothing that is owed is missing.
    fn check_settled(&self) {
        for (client, session) in &self.standard.sessions {
            assert!(session.due.is_empty() && session.shown.is_empty(), "still owed: {session:?}");
            assert!(session.in_flight.is_empty(), "not finished: {session:?}");
            let client = &self.clients[usize::from(*client)];
            assert_eq!(client.got, (0..session.count).collect::<Vec<_>>());
            assert!(client.outgoing.is_empty());
        }
        assert_eq!(self.world.broker.counters().messages_dropped, 0);
        assert_eq!(self.world.charged, 0);
    }

    /// Everybody leaves for good, and the topics are cleared.
    fn leave(&mut self) {
        for client in 0..CLIENTS {
            self.take(&Step::Connect { client, clean: true, will: None });
            self.take(&Step::Disconnect { client });
        }
        self.world.open(10_000, Transport::Tcp);
        self.world.send(10_000, &[Packet::Connect(plain("cleaner"))]);
        for text in std::mem::take(&mut self.standard.retained) {
            self.world.send(10_000, &[retained(&text.topic, b"")]);
        }
        self.world.send(10_000, &[Packet::Disconnect]);
    }
}

proptest! {
    #[test]
    fn the_broker_does_what_the_standard_says(steps in vec(step(), 1..120), network in network()) {
        let mut play = Play::new(network);
        let start = play.world.broker.memory();
        for step in &steps {
            play.take(step);
        }
        play.settle();
        play.check_settled();
        play.leave();
        prop_assert_eq!(play.world.broker.memory(), start);
        prop_assert_eq!(play.world.charged, 0);
    }
}
