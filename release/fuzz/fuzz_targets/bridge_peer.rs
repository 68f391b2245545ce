//! Any bytes in any split from the remote end of a bridge, with local messages, lost links and time in between: no
//! panic, a bridge that goes on asking for its link, and no memory left behind.
#![no_main]

use std::collections::BTreeSet;

use espbroker_broker::{
    Anonymous, BridgeId, BridgeSettings, BridgeTopic, Broker, ConnectionId, Direction, Input, Instant,
    NoAccounts, OpenFailure, Output, Settings, Transport,
};
use espbroker_mqtt::QoS;
use libfuzzer_sys::fuzz_target;

/// A client here that publishes and subscribes, and never acknowledges.
const CLIENT: ConnectionId = ConnectionId(1);

/// CONNECT of client `a` and SUBSCRIBE to `#` at QoS 2.
const JOIN: &[u8] = b"\x10\x0d\0\x04MQTT\x04\x02\0\0\0\x01a\x82\x06\0\x01\0\x01#\x02";

/// The remote broker accepts.
const CONNACK: &[u8] = b"\x20\x02\0\0";

/// Longest pause, milliseconds: longer than any wait before a bridge connects again.
const PAUSE: u64 = 60_000;

/// A broker with one bridge, and the network around it.
struct Site {
    broker: Broker<NoAccounts>,
    now: Instant,
    /// The bridge waits for its connection.
    opening: bool,
    /// The bridge's connection.
    link: Option<ConnectionId>,
    open: BTreeSet<ConnectionId>,
    last: u16,
    /// How often it has asked for one.
    asked: usize,
}

impl Site {
    fn new() -> Self {
        let settings = Settings {
            anonymous: Anonymous::Allowed,
            retained_messages: 4,
            sessions: 0,
            system_interval: 0,
            ..Settings::default()
        };
        Self {
            broker: Broker::new(settings, NoAccounts),
            now: Instant(5),
            opening: false,
            link: None,
            open: BTreeSet::new(),
            last: CLIENT.0,
            asked: 0,
        }
    }

    fn tell(&mut self, input: Input<'_>) {
        self.broker.handle(input, self.now);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Send { connection, bytes } => {
                    assert!(self.open.contains(&connection), "sent after the end");
                    self.broker.handle(Input::Sent { connection, bytes: bytes.len() }, self.now);
                }
                Output::Close { connection, .. } => {
                    assert!(self.open.remove(&connection), "closed twice");
                    self.link = self.link.filter(|link| *link != connection);
                }
                Output::Open { .. } => {
                    assert!(!self.opening && self.link.is_none(), "two attempts at a time");
                    self.opening = true;
                    self.asked += 1;
                }
                Output::Abandon { .. } => assert!(std::mem::take(&mut self.opening), "nothing to give up"),
                Output::Bridge { .. } => {}
            }
        }
    }

    fn accept(&mut self, connection: ConnectionId) {
        self.open.insert(connection);
        self.tell(Input::Accepted { connection, transport: Transport::Tcp });
        self.receive(connection, JOIN);
    }

    fn answer_opening(&mut self, accepts: bool) {
        if !std::mem::take(&mut self.opening) {
            return;
        }
        let bridge = BridgeId(0);
        if accepts {
            self.last += 1;
            let connection = ConnectionId(self.last);
            self.open.insert(connection);
            self.link = Some(connection);
            self.tell(Input::Opened { bridge, connection });
        } else {
            self.tell(Input::OpenFailed { bridge, reason: OpenFailure::Refused });
        }
    }

    fn receive(&mut self, connection: ConnectionId, bytes: &[u8]) {
        if self.open.contains(&connection) {
            self.tell(Input::Received { connection, bytes });
        }
    }

    fn lose(&mut self, connection: ConnectionId) {
        if self.open.remove(&connection) {
            self.link = self.link.filter(|link| *link != connection);
            self.tell(Input::Closed { connection });
        }
    }

    fn pass(&mut self, milliseconds: u64) {
        let end = Instant(self.now.0 + milliseconds);
        let mut still = 0;
        while let Some(at) = self.broker.poll_at().filter(|at| *at <= end) {
            still = if at > self.now { 0 } else { still + 1 };
            assert!(still < 100, "a deadline that does not move");
            self.now = self.now.max(at);
            self.tell(Input::Tick);
        }
        self.now = end;
    }

    fn bridges(&mut self, bridges: Vec<BridgeSettings>) {
        self.broker.set_bridges(bridges, self.now);
        self.carry_out();
    }
}

/// A bridge with lines of every kind.
fn bridge(try_private: bool) -> BridgeSettings {
    let line = |pattern: &str, direction, local: &str, remote: &str| BridgeTopic {
        pattern: pattern.into(),
        direction,
        qos: QoS::ExactlyOnce,
        local_prefix: local.into(),
        remote_prefix: remote.into(),
    };
    let topics = vec![
        line("t", Direction::Both, "", ""),
        line("#", Direction::In, "in/", "i/"),
        line("+", Direction::Out, "out/", ""),
    ];
    BridgeSettings {
        topics,
        try_private,
        notification_topic: Some("n".into()),
        ..BridgeSettings::new("b", "h", "b")
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Some((first, mut rest)) = bytes.split_first() else { return };
    let mut site = Site::new();
    let empty = site.broker.memory();
    site.bridges(vec![bridge(first & 1 == 0)]);
    site.accept(CLIENT);
    site.answer_opening(true);
    if first & 2 == 0
        && let Some(link) = site.link
    {
        site.receive(link, CONNACK);
    }
    while let Some((step, behind)) = rest.split_first() {
        rest = behind;
        match (step >> 5, step & 31) {
            // The remote end sends, most often.
            (0..=3, length) => {
                let (piece, behind) = rest.split_at(usize::from(length).min(rest.len()));
                rest = behind;
                if let Some(link) = site.link {
                    site.receive(link, piece);
                }
            }
            (4, seconds) => site.pass(u64::from(seconds) * PAUSE / 31),
            (5, accepts) => site.answer_opening(accepts != 0),
            (6, 0) => {
                if let Some(link) = site.link {
                    site.lose(link);
                }
            }
            (6, _) => {
                if let Some(link) = site.link {
                    site.receive(link, CONNACK);
                }
            }
            // Here somebody publishes with any flags to a topic that goes both ways.
            (_, flags) => {
                site.receive(CLIENT, &[0x30 | flags & 0xf, 5, 0, 1, b't', 0, flags | 1]);
                if !site.open.contains(&CLIENT) {
                    site.accept(CLIENT);
                }
            }
        }
    }
    // Whatever there was, the bridge comes back.
    if let Some(link) = site.link {
        site.lose(link);
    }
    site.answer_opening(false);
    let asked = site.asked;
    site.pass(PAUSE);
    assert!(site.asked > asked, "the bridge does not ask any more");
    site.bridges(vec![]);
    for topic in [b't', b'n'] {
        site.receive(CLIENT, &[0x31, 3, 0, 1, topic]);
    }
    assert!(site.broker.clients() <= 1);
    let open = std::mem::take(&mut site.open);
    for connection in open {
        site.tell(Input::Closed { connection });
    }
    if site.broker.retained_messages() == 0 {
        assert_eq!(site.broker.memory(), empty);
    }
});
