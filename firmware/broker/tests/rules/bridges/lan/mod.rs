//! [`Lan`]: brokers, their clients and scripted servers on one network, which loses links where the test says.
//!
//! Nothing moves but by [`Lan::settle`] and [`Lan::pass`], and everything that moves does so in the same order in
//! every run. A broker's bytes count as sent when they are on the wire, as with an operating system, so that a lost
//! link takes bytes with it that the broker takes for sent.

mod clients;
mod motion;
mod wires;

use std::collections::BTreeMap;

use espbroker_broker::{
    BridgeFailure, BridgeId, BridgeSettings, BridgeState, BridgeTopic, Broker, CloseReason, Counters,
    Direction, Instant, OpenFailure, Settings,
};
use espbroker_mqtt::{FixedHeader, QoS};

use self::{clients::Client, wires::Wire};
use crate::script::{Users, open};

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

    /// Messages that each broker has handed out, by its name.
    pub(crate) fn messages_sent(&mut self) -> BTreeMap<String, u64> {
        let brokers = self.hosts.iter().filter_map(|host| match &host.kind {
            Kind::Broker(broker) => Some((host.name.clone(), broker.counters().messages_sent)),
            Kind::Server(_) => None,
        });
        brokers.collect()
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
