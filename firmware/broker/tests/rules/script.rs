//! [`Script`]: a broker with simulated clients and a clock that only the test moves.
//!
//! With `ESPBROKER_PACKET_SCRIPTS` each of them is written down in that folder: `cargo xtask board scripts` says them to
//! the device on QEMU's board.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
};

use espbroker_broker::{
    Access, Anonymous, Broker, CloseReason, ConnectionId, Counters, Input, Instant, LogIn, Network, Output,
    Permission, Settings, Transport, UserId,
};
use espbroker_mqtt::{
    Connack, Connect, ConnectReturnCode, Delivery, FilterList, Packet, PacketId, Protocol, Publish, QoS,
    ReturnCodes, Suback, Subscribe, Subscription, SubscriptionList, TopicFilter, TopicName, Unsubscribe,
    Will,
};
use espbroker_packet_script as written;

/// Where the clock stands at first.
const START: Instant = Instant(1_000_000);

/// Numbers of the scripts that this run of the tests has written.
static WRITTEN: AtomicU32 = AtomicU32::new(0);

/// `ann` has the password `secret`, `bob` may not connect.
pub(crate) struct Users;

impl Access for Users {
    fn log_in(&self, user_name: &str, password: Option<&[u8]>) -> LogIn {
        match (user_name, password) {
            ("ann", Some(b"secret")) => LogIn::Granted(UserId(0)),
            ("ann", _) => LogIn::BadCredentials,
            ("bob", _) => LogIn::NotAuthorized,
            _ => LogIn::UnknownUser,
        }
    }

    fn permissions(&self, _: Option<UserId>) -> &[Permission] {
        &[]
    }

    fn find(&self, user_name: &str) -> Option<UserId> {
        (user_name == "ann").then_some(UserId(0))
    }

    fn user_name(&self, _: UserId) -> &str {
        "ann"
    }
}

/// Settings for tests: without accounts.
pub(crate) fn open() -> Settings {
    Settings { anonymous: Anonymous::Allowed, system_interval: 0, ..Settings::default() }
}

/// The same with a network that takes one packet at a time.
pub(crate) fn narrow(queue_bytes: u32) -> Settings {
    Settings { queue_bytes, network: Network { window: 0, ..Network::default() }, ..open() }
}

/// A CONNECT that asks for nothing special.
pub(crate) fn plain(client_id: &str) -> Connect<'_> {
    Connect {
        protocol: Protocol::Mqtt311,
        bridge: false,
        client_id,
        clean_session: true,
        keep_alive: 0,
        will: None,
        user_name: None,
        password: None,
    }
}

pub(crate) fn will<'a>(topic: &'a str, payload: &'a [u8]) -> Will<'a> {
    Will { topic: TopicName::new(topic).unwrap(), payload, qos: QoS::AtMostOnce, retain: false }
}

pub(crate) fn message<'a>(topic: &'a str, payload: &'a [u8]) -> Publish<'a> {
    let topic = TopicName::new(topic).unwrap();
    Publish { topic, payload, retain: false, delivery: Delivery::AtMostOnce }
}

pub(crate) fn publish<'a>(topic: &'a str, payload: &'a [u8]) -> Packet<'a> {
    Packet::Publish(message(topic, payload))
}

pub(crate) fn retained<'a>(topic: &'a str, payload: &'a [u8]) -> Packet<'a> {
    Packet::Publish(Publish { retain: true, ..message(topic, payload) })
}

pub(crate) fn id(value: u16) -> PacketId {
    PacketId::new(value).unwrap()
}

pub(crate) fn encoded(packets: &[Packet<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    packets.iter().for_each(|packet| packet.encode(&mut bytes).unwrap());
    bytes
}

pub(crate) fn connack(return_code: ConnectReturnCode) -> Packet<'static> {
    Packet::Connack(Connack { session_present: false, return_code })
}

pub(crate) struct Script {
    pub(crate) broker: Broker<Users>,
    pub(crate) now: Instant,
    /// Connections that take nothing off the broker's hands.
    pub(crate) stuck: Vec<u16>,
    streams: BTreeMap<u16, Vec<u8>>,
    ends: BTreeMap<u16, CloseReason>,
    /// What happens, if it is to be written down.
    record: Option<written::Script>,
}

/// The limits, and what no device has.
fn begun(settings: &Settings) -> written::Script {
    let anonymous = settings.anonymous == Anonymous::Allowed;
    let limits = [
        ("clients", settings.clients.into()),
        ("sessions", settings.sessions.into()),
        ("subscriptions_per_client", settings.subscriptions_per_client.into()),
        ("retained_messages", settings.retained_messages.into()),
        ("retained_bytes", settings.retained_bytes),
        ("packet_size", settings.packet_size),
        ("queue_bytes", settings.queue_bytes),
        ("queue_messages", settings.queue_messages.into()),
        ("system_interval", settings.system_interval.into()),
        ("anonymous", anonymous.into()),
    ];
    let mut script = written::Script::default();
    script.limits.extend(limits.map(|(name, number)| (name.to_owned(), number)));
    if settings.network != Network::default() || settings.heap_floor != 0 {
        script.push(written::Step::Beyond("settings that a device has of its own".to_owned()));
    }
    script
}

impl Drop for Script {
    fn drop(&mut self) {
        let Some(record) = self.record.take().filter(|_| !std::thread::panicking()) else { return };
        let folder = std::env::var_os("ESPBROKER_PACKET_SCRIPTS").unwrap_or_default();
        let thread = std::thread::current();
        let name = thread.name().unwrap_or_default().replace("::", ".");
        let number = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let path = std::path::Path::new(&folder).join(format!("{name}.{number}"));
        std::fs::write(path, record.to_string()).unwrap();
    }
}

impl Script {
    pub(crate) fn new(settings: Settings) -> Self {
        let record = std::env::var_os("ESPBROKER_PACKET_SCRIPTS").map(|_| begun(&settings));
        Self {
            broker: Broker::new(settings, Users),
            now: START,
            stuck: Vec::new(),
            streams: BTreeMap::new(),
            ends: BTreeMap::new(),
            record,
        }
    }

    fn note(&mut self, step: impl FnOnce() -> written::Step) {
        if let Some(record) = &mut self.record {
            record.push(step());
        }
    }

    fn note_input(&mut self, input: &Input<'_>) {
        let moved = self.now != START;
        self.note(|| match *input {
            _ if moved => written::Step::Beyond("the clock moves".to_owned()),
            Input::Accepted { connection, transport: Transport::Tcp } => written::Step::Accept(connection.0),
            Input::Accepted { connection, transport: Transport::WebSocket } => {
                written::Step::AcceptWeb(connection.0)
            }
            Input::Received { connection, bytes } => written::Step::Say(connection.0, bytes.to_vec()),
            Input::Closed { connection } => written::Step::Leave(connection.0),
            _ => written::Step::Beyond("the network is held up".to_owned()),
        });
    }

    pub(crate) fn open() -> Self {
        Self::new(open())
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.note_input(&input);
        self.broker.handle(input, self.now);
        self.collect();
    }

    /// Does the outputs; reports everything as sent at once, except to stuck connections.
    fn collect(&mut self) {
        while let Some(output) = self.broker.poll_output() {
            match output {
                Output::Send { connection, bytes } => {
                    assert!(!self.ends.contains_key(&connection.0), "sent after the end");
                    self.note(|| written::Step::Hear(connection.0, bytes.to_vec()));
                    self.streams.entry(connection.0).or_default().extend_from_slice(&bytes);
                    if self.stuck.contains(&connection.0) {
                        self.note(|| written::Step::Beyond("the network is held up".to_owned()));
                    } else {
                        self.broker.handle(Input::Sent { connection, bytes: bytes.len() }, self.now);
                    }
                }
                Output::Open { .. } | Output::Abandon { .. } | Output::Bridge { .. } => {
                    panic!("there is no bridge")
                }
                Output::Close { connection, reason } => {
                    self.note(|| written::Step::End(connection.0));
                    assert_eq!(self.ends.insert(connection.0, reason), None, "closed twice");
                }
            }
        }
    }

    /// Lets time pass, with a tick whenever the broker asks for one.
    pub(crate) fn pass(&mut self, milliseconds: u64) {
        let end = self.now.after(milliseconds);
        while let Some(at) = self.broker.poll_at().filter(|at| *at <= end) {
            assert!(at >= self.now, "a deadline in the past");
            self.now = at;
            self.handle(Input::Tick);
        }
        self.now = end;
    }

    pub(crate) fn accept(&mut self, connection: u16) {
        self.ends.remove(&connection);
        self.handle(Input::Accepted { connection: ConnectionId(connection), transport: Transport::Tcp });
    }

    pub(crate) fn bytes(&mut self, connection: u16, bytes: &[u8]) {
        self.handle(Input::Received { connection: ConnectionId(connection), bytes });
    }

    pub(crate) fn send(&mut self, connection: u16, packet: Packet<'_>) {
        self.bytes(connection, &encoded(&[packet]));
    }

    pub(crate) fn drop_link(&mut self, connection: u16) {
        self.handle(Input::Closed { connection: ConnectionId(connection) });
        self.streams.remove(&connection);
    }

    pub(crate) fn sent(&mut self, connection: u16, bytes: usize) {
        self.handle(Input::Sent { connection: ConnectionId(connection), bytes });
    }

    /// Accepts and connects, and checks that the client is let in.
    pub(crate) fn connect(&mut self, connection: u16, connect: Connect<'_>) {
        self.accept(connection);
        self.send(connection, Packet::Connect(connect));
        self.expect(connection, &[connack(ConnectReturnCode::Accepted)]);
    }

    /// Connects a client without will and keep alive.
    pub(crate) fn join(&mut self, connection: u16, client_id: &str) {
        self.connect(connection, plain(client_id));
    }

    /// Subscribes and checks that it is granted; what is retained for it stays to be expected.
    pub(crate) fn subscribe(&mut self, connection: u16, filters: &[&str]) {
        self.ask(connection, filters, &vec![0; filters.len()]);
    }

    /// Subscribes at a QoS and checks that it is granted.
    pub(crate) fn subscribe_at(&mut self, connection: u16, filters: &[&str], qos: QoS) {
        self.ask_at(connection, filters, qos, &vec![qos.number(); filters.len()]);
    }

    /// Subscribes at QoS 0 and checks the return codes.
    pub(crate) fn ask(&mut self, connection: u16, filters: &[&str], codes: &[u8]) {
        self.ask_at(connection, filters, QoS::AtMostOnce, codes);
    }

    /// Subscribes at a QoS and checks the return codes.
    pub(crate) fn ask_at(&mut self, connection: u16, filters: &[&str], qos: QoS, codes: &[u8]) {
        let subscriptions: Vec<_> = filters
            .iter()
            .map(|text| Subscription { filter: TopicFilter::new(text).unwrap(), qos })
            .collect();
        let subscriptions = SubscriptionList::new(&subscriptions);
        self.send(connection, Packet::Subscribe(Subscribe { packet_id: id(77), subscriptions }));
        let suback = Suback { packet_id: id(77), return_codes: ReturnCodes::new(codes).unwrap() };
        let suback = encoded(&[Packet::Suback(suback)]);
        let stream = self.streams.entry(connection).or_default();
        assert!(stream.starts_with(&suback), "{}", stream.escape_ascii());
        stream.drain(..suback.len());
    }

    /// Unsubscribes and checks the answer.
    pub(crate) fn unsubscribe(&mut self, connection: u16, filters: &[&str]) {
        let filters: Vec<_> = filters.iter().map(|text| TopicFilter::new(text).unwrap()).collect();
        let unsubscribe = Unsubscribe { packet_id: id(78), filters: FilterList::new(&filters) };
        self.send(connection, Packet::Unsubscribe(unsubscribe));
        self.expect(connection, &[Packet::Unsuback(id(78))]);
    }

    /// Everything handed out for the connection since the last look.
    pub(crate) fn take(&mut self, connection: u16) -> Vec<u8> {
        self.streams.remove(&connection).unwrap_or_default()
    }

    /// Checks that exactly `packets` were handed out since the last look.
    #[track_caller]
    pub(crate) fn expect(&mut self, connection: u16, packets: &[Packet<'_>]) {
        let (found, expected) = (self.take(connection), encoded(packets));
        assert_eq!(found.escape_ascii().to_string(), expected.escape_ascii().to_string());
    }

    /// Why the broker closed the connection; `None` when it did not.
    pub(crate) fn end(&self, connection: u16) -> Option<CloseReason> {
        self.ends.get(&connection).copied()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.broker.counters()
    }
}
