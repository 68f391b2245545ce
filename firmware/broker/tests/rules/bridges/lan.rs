//! [`Lan`]: brokers, their clients and scripted servers on one network, which loses links where the test says.
//!
//! Nothing moves but by [`Lan::settle`] and [`Lan::pass`], and everything that moves does so in the same order in
//! every run. A broker's bytes count as sent when they are on the wire, as with an operating system, so that a lost
//! link takes bytes with it that the broker takes for sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use espbroker_broker::{
    BridgeFailure, BridgeId, BridgeSettings, BridgeState, BridgeTopic, Broker, CloseReason, ConnectionId,
    Counters, Direction, Input, Instant, OpenFailure, Output, Settings, Transport,
};
use espbroker_mqtt::{
    Connect, Delivery, FixedHeader, Packet, Publish, QoS, Subscribe, Subscription, SubscriptionList,
    TopicFilter, TopicName,
};

use crate::script::{Users, encoded, id, open, plain};

/// Where a test begins, milliseconds.
const START: Instant = Instant(1_000_000);

/// Deliveries after which there is a storm.
const STORM: usize = 20_000;

/// Settings with room for everything that a test sends.
pub(crate) fn roomy() -> Settings {
    Settings { queue_messages: 1000, queue_bytes: 1 << 20, ..open() }
}

/// `topic` lines as in mosquitto.conf(5): pattern, direction, QoS, local prefix, remote prefix.
pub(crate) type Lines<'a> = &'a [(&'a str, Direction, u8, &'a str, &'a str)];

/// A bridge to `host` with these lines, called `to-<host>`, which connects again after exactly 5 s.
pub(crate) fn bridge_to(host: &str, lines: Lines<'_>) -> BridgeSettings {
    let topics = lines.iter().map(|&(pattern, direction, qos, local, remote)| BridgeTopic {
        pattern: pattern.into(),
        direction,
        qos: QoS::from_number(qos).unwrap(),
        local_prefix: local.into(),
        remote_prefix: remote.into(),
    });
    BridgeSettings {
        topics: topics.collect(),
        restart_cap: 5,
        ..BridgeSettings::new(&format!("to-{host}"), host, &format!("bridge-to-{host}"))
    }
}

/// Everything both ways under the same topics.
pub(crate) const ALL: Lines<'_> = &[("#", Direction::Both, 2, "", "")];

/// How a host answers those who want to connect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Fails(OpenFailure),
    /// Never answers.
    Silent,
}

/// What a host makes of the bridge bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taste {
    /// It is for the broker to see.
    Takes,
    /// CONNACK 1.
    Refuses,
    /// The connection is closed without a word.
    Closes,
    /// It is accepted and means nothing.
    Ignores,
}

pub(crate) struct Host {
    name: String,
    pub(crate) door: Door,
    pub(crate) taste: Taste,
    kind: Kind,
    /// When each bridge wanted to connect.
    pub(crate) opens: Vec<(BridgeId, Instant)>,
    /// Openings that were given up.
    pub(crate) abandoned: usize,
    news: Vec<BridgeState>,
    /// Why the broker closed connections.
    pub(crate) closed: Vec<CloseReason>,
}

enum Kind {
    Broker(Box<Broker<Users>>),
    /// What the last connection brought.
    Server(Vec<u8>),
}

/// A client that acknowledges everything.
#[derive(Default)]
struct Client {
    wire: usize,
    partial: Vec<u8>,
    seen: Vec<String>,
    /// QoS 2 messages before their PUBREL.
    unreleased: BTreeSet<u16>,
    last_id: u16,
    unacknowledged: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Host(usize, ConnectionId),
    Client(usize),
}

struct Wire {
    ends: [End; 2],
    /// What is on its way to each end, and when it is there.
    on_its_way: [VecDeque<(Instant, Item)>; 2],
    is_open: bool,
    /// Bytes vanish and nobody is told.
    is_dead: bool,
    /// Bytes after which the link is lost.
    cut_after: Option<usize>,
    taste: Taste,
}

enum Item {
    Bytes(Vec<u8>),
    End,
}

pub(crate) struct Lan {
    pub(crate) now: Instant,
    hosts: Vec<Host>,
    clients: Vec<Client>,
    wires: Vec<Wire>,
    /// Openings to be answered: who, which bridge, whom.
    openings: Vec<(usize, BridgeId, Box<str>)>,
    /// Milliseconds from one end of a wire to the other.
    pub(crate) latency: u64,
    /// Most bytes in one delivery.
    pub(crate) piece: usize,
    last_connection: u16,
}

impl Lan {
    pub(crate) fn new() -> Self {
        Self {
            now: START,
            hosts: Vec::new(),
            clients: Vec::new(),
            wires: Vec::new(),
            openings: Vec::new(),
            latency: 0,
            piece: usize::MAX,
            last_connection: 0,
        }
    }

    /// As many brokers, called `a`, `b` and so on.
    pub(crate) fn of(count: u8) -> Self {
        let mut lan = Self::new();
        for name in (b'a'..).take(count.into()) {
            lan.add_broker(char::from(name).to_string().as_str(), roomy());
        }
        lan
    }

    fn add(&mut self, name: &str, kind: Kind) -> usize {
        self.hosts.push(Host {
            name: name.into(),
            door: Door::Open,
            taste: Taste::Takes,
            kind,
            opens: Vec::new(),
            abandoned: 0,
            news: Vec::new(),
            closed: Vec::new(),
        });
        self.hosts.len() - 1
    }

    pub(crate) fn add_broker(&mut self, name: &str, settings: Settings) -> usize {
        self.add(name, Kind::Broker(Box::new(Broker::new(settings, Users))))
    }

    /// A host whose every byte the test sends.
    pub(crate) fn add_server(&mut self, name: &str) -> usize {
        self.add(name, Kind::Server(Vec::new()))
    }

    pub(crate) fn host(&mut self, host: usize) -> &mut Host {
        &mut self.hosts[host]
    }

    pub(crate) fn broker(&mut self, host: usize) -> &mut Broker<Users> {
        match &mut self.hosts[host].kind {
            Kind::Broker(broker) => broker,
            Kind::Server(_) => panic!("not a broker"),
        }
    }

    pub(crate) fn counters(&mut self, host: usize) -> Counters {
        self.broker(host).counters().clone()
    }

    pub(crate) fn set_bridges(&mut self, host: usize, bridges: Vec<BridgeSettings>) {
        let now = self.now;
        self.broker(host).set_bridges(bridges, now);
        self.collect(host);
        self.settle();
    }

    /// The news of a host's bridges since the last look.
    pub(crate) fn news(&mut self, host: usize) -> Vec<BridgeState> {
        std::mem::take(&mut self.hosts[host].news)
    }

    #[track_caller]
    pub(crate) fn expect_up(&mut self, host: usize, private: bool) {
        assert_eq!(self.news(host).last(), Some(&BridgeState::Connected { private }));
    }

    #[track_caller]
    pub(crate) fn expect_failed(&mut self, host: usize, failure: BridgeFailure) {
        assert_eq!(self.news(host).last(), Some(&BridgeState::Failed(failure)));
    }

    // Clients

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

    // Wires

    fn wire(&mut self, from: End, to: usize) -> usize {
        self.last_connection += 1;
        let connection = ConnectionId(self.last_connection);
        self.wires.push(Wire {
            ends: [from, End::Host(to, connection)],
            on_its_way: Default::default(),
            is_open: true,
            is_dead: false,
            cut_after: None,
            taste: self.hosts[to].taste,
        });
        match &mut self.hosts[to].kind {
            Kind::Broker(_) => {
                let transport = Transport::Tcp;
                self.tell(to, Input::Accepted { connection, transport });
            }
            Kind::Server(received) => received.clear(),
        }
        self.wires.len() - 1
    }

    fn put(&mut self, wire: usize, from: End, bytes: Vec<u8>) {
        let at = self.now.after(self.latency);
        let wire = &mut self.wires[wire];
        let to = usize::from(wire.ends[0] == from);
        if wire.is_open && !wire.is_dead {
            wire.on_its_way[to].push_back((at, Item::Bytes(bytes)));
        }
    }

    fn wire_of(&self, host: usize, connection: ConnectionId) -> Option<usize> {
        self.wires.iter().position(|wire| wire.is_open && wire.ends.contains(&End::Host(host, connection)))
    }

    /// The open wire between two hosts, opened by the first.
    pub(crate) fn link(&self, from: usize, to: usize) -> Option<usize> {
        self.wires.iter().rposition(|wire| {
            let ends = wire.ends.map(|end| match end {
                End::Host(host, _) => Some(host),
                End::Client(_) => None,
            });
            wire.is_open && ends == [Some(from), Some(to)]
        })
    }

    /// Both ends learn at once that the wire is cut; what was on its way is lost.
    pub(crate) fn lose(&mut self, wire: usize) {
        if !std::mem::replace(&mut self.wires[wire].is_open, false) {
            return;
        }
        self.wires[wire].on_its_way = Default::default();
        for end in self.wires[wire].ends {
            if let End::Host(host, connection) = end
                && matches!(self.hosts[host].kind, Kind::Broker(_))
            {
                self.tell(host, Input::Closed { connection });
            }
        }
    }

    /// Cuts the link that the first host has opened to the second.
    #[track_caller]
    pub(crate) fn cut(&mut self, from: usize, to: usize) {
        self.lose(self.link(from, to).expect("no link"));
        self.settle();
    }

    /// Cuts that link when so many more bytes have arrived.
    pub(crate) fn cut_after(&mut self, from: usize, to: usize, bytes: usize) {
        if let Some(wire) = self.link(from, to) {
            self.wires[wire].cut_after = Some(bytes);
        }
    }

    /// Takes [`Self::cut_after`] back.
    pub(crate) fn cut_never(&mut self, wire: usize) {
        self.wires[wire].cut_after = None;
    }

    /// Nothing arrives any more over that link, and nobody is told.
    pub(crate) fn kill(&mut self, from: usize, to: usize) {
        let wire = self.link(from, to).expect("no link");
        self.wires[wire].is_dead = true;
        self.wires[wire].on_its_way = Default::default();
    }

    // Servers

    /// The packets that came over the server's last connection since the last look.
    pub(crate) fn received(&mut self, server: usize) -> Vec<Vec<u8>> {
        match &mut self.hosts[server].kind {
            Kind::Server(received) => packets(received),
            Kind::Broker(_) => panic!("not a server"),
        }
    }

    /// Sends bytes over the server's last connection.
    pub(crate) fn answer_bytes(&mut self, server: usize, bytes: &[u8]) {
        let (wire, end) = self.server_end(server);
        self.put(wire, end, bytes.to_vec());
        self.settle();
    }

    /// Is the server's last connection open.
    pub(crate) fn is_connected(&self, server: usize) -> bool {
        self.wires
            .iter()
            .any(|wire| wire.is_open && matches!(wire.ends[1], End::Host(host, _) if host == server))
    }

    /// Closes the server's last connection.
    pub(crate) fn hang_up(&mut self, server: usize) {
        let (wire, _) = self.server_end(server);
        self.lose(wire);
        self.settle();
    }

    fn server_end(&self, server: usize) -> (usize, End) {
        let is_of = |wire: &Wire| matches!(wire.ends[1], End::Host(host, _) if host == server);
        let wire = self.wires.iter().rposition(is_of).expect("no connection");
        (wire, self.wires[wire].ends[1])
    }

    // What moves

    /// Tells a broker something, and does what it says.
    pub(crate) fn tell(&mut self, host: usize, input: Input<'_>) {
        let now = self.now;
        self.broker(host).handle(input, now);
        self.collect(host);
    }

    fn collect(&mut self, host: usize) {
        while let Some(output) = self.broker(host).poll_output() {
            match output {
                Output::Send { connection, bytes } => {
                    let wire = self.wire_of(host, connection).expect("sent over a connection that is gone");
                    self.put(wire, End::Host(host, connection), bytes.to_vec());
                    let now = self.now;
                    self.broker(host).handle(Input::Sent { connection, bytes: bytes.len() }, now);
                }
                Output::Close { connection, reason } => {
                    self.hosts[host].closed.push(reason);
                    let wire = self.wire_of(host, connection).expect("closed twice");
                    let at = self.now.after(self.latency);
                    let wire = &mut self.wires[wire];
                    let place = usize::from(wire.ends[0] == End::Host(host, connection));
                    wire.on_its_way[1 - place] = VecDeque::new();
                    wire.on_its_way[place].push_back((at, Item::End));
                    // The number is free for another connection.
                    wire.ends[1 - place] = End::Host(host, ConnectionId(0));
                }
                Output::Open { bridge, host: name, port } => {
                    assert_eq!(port, 1883);
                    assert!(!self.openings.iter().any(|(who, which, _)| (*who, *which) == (host, bridge)));
                    let now = self.now;
                    self.hosts[host].opens.push((bridge, now));
                    self.openings.push((host, bridge, name));
                }
                Output::Abandon { bridge } => {
                    self.hosts[host].abandoned += 1;
                    self.openings.retain(|(who, which, _)| (*who, *which) != (host, bridge));
                }
                Output::Bridge { state, .. } => self.hosts[host].news.push(state),
            }
        }
    }

    /// Moves everything that is due, until nothing is.
    #[track_caller]
    pub(crate) fn settle(&mut self) {
        assert!(self.run(STORM), "a storm");
    }

    /// Moves everything that is due; `false` when it does not come to an end.
    pub(crate) fn run(&mut self, deliveries: usize) -> bool {
        for _ in 0..deliveries {
            if !self.open_next() && !self.deliver_next() {
                return true;
            }
        }
        false
    }

    /// Answers the first opening that gets an answer.
    fn open_next(&mut self) -> bool {
        for place in 0..self.openings.len() {
            let (from, bridge, ref name) = self.openings[place];
            let to = self.hosts.iter().position(|host| *host.name == **name);
            let answer = match to.map(|to| (to, self.hosts[to].door)) {
                None => Err(OpenFailure::NameNotFound),
                Some((_, Door::Silent)) => continue,
                Some((_, Door::Fails(reason))) => Err(reason),
                Some((to, Door::Open)) => Ok(to),
            };
            self.openings.remove(place);
            match answer {
                Err(reason) => self.tell(from, Input::OpenFailed { bridge, reason }),
                Ok(to) => {
                    self.last_connection += 1;
                    let connection = ConnectionId(self.last_connection);
                    self.wire(End::Host(from, connection), to);
                    self.tell(from, Input::Opened { bridge, connection });
                }
            }
            return true;
        }
        false
    }

    fn deliver_next(&mut self) -> bool {
        let now = self.now;
        let due =
            |queue: &VecDeque<(Instant, Item)>| queue.front().map(|(at, _)| *at).filter(|at| *at <= now);
        let ways = (0..self.wires.len()).flat_map(|wire| [(wire, 0), (wire, 1)]);
        // What waits longest comes first; of equals, the older wire.
        let next = ways
            .filter_map(|(wire, to)| due(&self.wires[wire].on_its_way[to]).map(|at| (at, wire, to)))
            .min_by_key(|(at, ..)| *at);
        let Some((at, index, to)) = next else { return false };
        let piece = self.piece;
        let wire = &mut self.wires[index];
        match wire.on_its_way[to].pop_front() {
            Some((_, Item::End)) => {
                let end = wire.ends[to];
                wire.is_open = false;
                wire.on_its_way = Default::default();
                if let End::Host(host, connection) = end
                    && matches!(self.hosts[host].kind, Kind::Broker(_))
                {
                    self.tell(host, Input::Closed { connection });
                }
            }
            Some((_, Item::Bytes(mut bytes))) => {
                // What is to be tasted comes in one piece.
                let piece = if wire.taste == Taste::Takes { piece } else { usize::MAX };
                let limit = piece.min(wire.cut_after.unwrap_or(usize::MAX));
                if bytes.len() > limit {
                    let rest = bytes.split_off(limit);
                    wire.on_its_way[to].push_front((at, Item::Bytes(rest)));
                }
                let cut = wire.cut_after.as_mut().map(|left| {
                    *left -= bytes.len();
                    *left == 0
                });
                self.arrive(index, to, bytes);
                if cut == Some(true) {
                    self.lose(index);
                }
            }
            None => {}
        }
        true
    }

    fn arrive(&mut self, index: usize, to: usize, mut bytes: Vec<u8>) {
        let wire = &mut self.wires[index];
        let taste = std::mem::replace(&mut wire.taste, Taste::Takes);
        match wire.ends[to] {
            End::Client(client) => self.client_received(client, &bytes),
            End::Host(host, connection) => {
                if to == 1 && taste != Taste::Takes {
                    // A CONNECT is handed out in one piece: header, name of the protocol, level.
                    let level = usize::from(
                        FixedHeader::parse(&bytes).unwrap().map_or(0, |header| header.header_length),
                    ) + 6;
                    let is_private = bytes.get(level).is_some_and(|level| level & 0x80 != 0);
                    match taste {
                        Taste::Refuses | Taste::Closes if is_private => {
                            let from = wire.ends[1];
                            if taste == Taste::Refuses {
                                self.put(index, from, b"\x20\x02\x00\x01".to_vec());
                            }
                            let at = self.now.after(self.latency);
                            self.wires[index].on_its_way[0].push_back((at, Item::End));
                            self.wires[index].ends[1] = End::Host(host, ConnectionId(0));
                            return self.tell_closed(host, connection);
                        }
                        Taste::Ignores if is_private => bytes[level] &= 0x7f,
                        _ => {}
                    }
                }
                match &mut self.hosts[host].kind {
                    Kind::Server(received) => received.extend(bytes),
                    Kind::Broker(_) => self.tell(host, Input::Received { connection, bytes: &bytes }),
                }
            }
        }
    }

    fn tell_closed(&mut self, host: usize, connection: ConnectionId) {
        if matches!(self.hosts[host].kind, Kind::Broker(_)) {
            self.tell(host, Input::Closed { connection });
        }
    }

    fn client_received(&mut self, index: usize, bytes: &[u8]) {
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

    /// Lets time pass, with a tick whenever a broker asks for one, and deliveries when they are due.
    #[track_caller]
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        let end = self.now.after(milliseconds);
        let mut still = 0;
        self.settle();
        while let Some(next) = self.next_at().filter(|next| *next <= end) {
            still = if next > self.now { 0 } else { still + 1 };
            assert!(still < 1000, "a deadline that does not move");
            self.now = self.now.max(next);
            for host in 0..self.hosts.len() {
                let now = self.now;
                let is_due = |broker: &Broker<Users>| broker.poll_at().is_some_and(|at| at <= now);
                if matches!(&self.hosts[host].kind, Kind::Broker(broker) if is_due(broker)) {
                    self.tell(host, Input::Tick);
                }
            }
            self.settle();
        }
        self.now = end;
    }

    fn next_at(&self) -> Option<Instant> {
        let deadlines = self.hosts.iter().filter_map(|host| match &host.kind {
            Kind::Broker(broker) => broker.poll_at(),
            Kind::Server(_) => None,
        });
        let arrivals = self.wires.iter().flat_map(|wire| &wire.on_its_way).filter_map(VecDeque::front);
        deadlines.chain(arrivals.map(|(at, _)| *at)).min()
    }

    /// Messages that each broker has handed out, by its name.
    pub(crate) fn messages_sent(&mut self) -> BTreeMap<String, u64> {
        let brokers = self.hosts.iter().filter_map(|host| match &host.kind {
            Kind::Broker(broker) => Some((host.name.clone(), broker.counters().messages_sent)),
            Kind::Server(_) => None,
        });
        brokers.collect()
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

/// Takes the whole packets from the front.
fn packets(bytes: &mut Vec<u8>) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while let Some(header) = FixedHeader::parse(bytes).unwrap() {
        let length = usize::try_from(header.packet_length()).unwrap();
        if bytes.len() < length {
            break;
        }
        let rest = bytes.split_off(length);
        packets.push(std::mem::replace(bytes, rest));
    }
    packets
}
