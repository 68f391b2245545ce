//! [`World`]: a broker, the network below it and the far ends of its connections, with a clock that only the test
//! moves.
//!
//! The network takes what it was handed when the test says so. It checks what the broker promises about every
//! connection: packets are whole, valid and in one piece, over a WebSocket one in each frame, nothing follows an end,
//! and what is handed out for messages stays within the window and the memory of the network.

mod accounts;
mod websocket;

use std::collections::{BTreeMap, VecDeque};

use espbroker_broker::{
    BridgeId, BridgeState, Broker, CloseReason, ConnectionId, Input, Instant, Network, Output, Settings,
    Transport,
};
use espbroker_mqtt::{FixedHeader, Packet};

pub(crate) use accounts::Accounts;
pub(crate) use websocket::{REQUEST, frame, wrap};

/// A unit on the wire: a control packet, or what else a WebSocket has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Without what wrapped it.
    Packet(Vec<u8>),
    /// The answer to the opening handshake, whatever it says.
    Http(Vec<u8>),
    Pong(Vec<u8>),
    /// Status code of a closing frame.
    Closing(u16),
}

/// What the broker said, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// A whole unit was handed out.
    Handed(u16, Unit),
    Closed(u16, CloseReason),
    Open(BridgeId),
    Abandon(BridgeId),
    News(BridgeId, BridgeState),
}

/// Who takes what is handed out off the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// Everything at once.
    AtOnce,
    /// Only what [`World::take`] says.
    Held,
}

/// One connection, as the network sees it.
pub(crate) struct Link {
    transport: Transport,
    pub(crate) pace: Pace,
    /// Bytes of a unit that is not whole yet.
    partial: Vec<u8>,
    /// Whole units that are not wholly taken, with the bytes still to be taken.
    handed: VecDeque<(usize, Unit)>,
    /// Bytes handed out and not taken.
    pub(crate) unsent: usize,
    /// Units that arrived at the other end.
    pub(crate) arrived: Vec<Unit>,
    pub(crate) end: Option<CloseReason>,
    is_upgraded: bool,
}

pub(crate) struct World {
    pub(crate) broker: Broker<Accounts>,
    pub(crate) now: Instant,
    pub(crate) links: BTreeMap<u16, Link>,
    network: Network,
    /// What the network's memory holds, each connection in whole segments.
    pub(crate) charged: usize,
    said: Vec<Said>,
}

impl World {
    pub(crate) fn new(settings: Settings, accounts: Accounts) -> Self {
        Self {
            network: settings.network,
            broker: Broker::new(settings, accounts),
            now: Instant(1_000_000),
            links: BTreeMap::new(),
            charged: 0,
            said: Vec::new(),
        }
    }

    /// What the broker said since this was last asked.
    pub(crate) fn said(&mut self) -> Vec<Said> {
        std::mem::take(&mut self.said)
    }

    pub(crate) fn handle(&mut self, input: Input<'_>) {
        self.broker.handle(input, self.now);
        self.carry_out();
    }

    /// Does what the broker wants, and lets the network take what nobody holds back.
    pub(crate) fn carry_out(&mut self) {
        loop {
            self.collect();
            let taker = self
                .links
                .iter()
                .find(|(_, link)| link.end.is_none() && link.pace == Pace::AtOnce && link.unsent > 0)
                .map(|(connection, link)| (*connection, link.unsent));
            let Some((connection, unsent)) = taker else { break };
            let progress = self.progress(connection, unsent);
            self.broker.handle(progress, self.now);
        }
    }

    fn collect(&mut self) {
        let mut unfinished = None;
        while let Some(output) = self.broker.poll_output() {
            if let Some(connection) = unfinished {
                assert!(
                    matches!(&output, Output::Send { connection: ConnectionId(next), .. } if *next == connection),
                    "{output:?} inside a packet for {connection}"
                );
            }
            match output {
                Output::Send { connection: ConnectionId(connection), bytes } => {
                    unfinished = self.hand_out(connection, &bytes).then_some(connection);
                }
                Output::Close { connection: ConnectionId(connection), reason } => {
                    let link = self.links.get_mut(&connection).expect("an end of a connection that is known");
                    assert_eq!(link.end.replace(reason), None, "closed twice");
                    self.charged -= charge(self.network, link.unsent);
                    // What the network takes without delay still arrives.
                    if link.pace == Pace::AtOnce {
                        link.arrived.extend(link.handed.drain(..).map(|(_, unit)| unit));
                    }
                    self.said.push(Said::Closed(connection, reason));
                }
                Output::Open { bridge, .. } => self.said.push(Said::Open(bridge)),
                Output::Abandon { bridge } => self.said.push(Said::Abandon(bridge)),
                Output::Bridge { bridge, state } => self.said.push(Said::News(bridge, state)),
            }
        }
        assert_eq!(unfinished, None, "half a packet");
    }

    /// Takes a part of a unit; whether more of it must follow.
    fn hand_out(&mut self, connection: u16, bytes: &[u8]) -> bool {
        let network = self.network;
        let link = self.links.get_mut(&connection).expect("bytes for a connection that is known");
        assert_eq!(link.end, None, "sent after the end");
        assert!(!bytes.is_empty(), "nothing to send");
        link.partial.extend_from_slice(bytes);
        let Some(unit) = link.whole() else { return true };
        let length = link.partial.len();
        let (before, after) = (link.unsent, link.unsent + length);
        let more = charge(network, after) - charge(network, before);
        if let Unit::Packet(packet) = &unit
            && matches!(Packet::decode(packet), Ok(Packet::Publish(_)))
        {
            let window = usize::try_from(network.window).unwrap();
            assert!(before == 0 || after <= window, "{after} bytes in a window of {window}");
            let in_flight = usize::try_from(network.in_flight).unwrap();
            assert!(
                self.charged == 0 || self.charged + more <= in_flight,
                "{} bytes in flight",
                self.charged + more
            );
        }
        // A closing frame is no packet: it goes with the connection.
        if !matches!(unit, Unit::Closing(_)) {
            self.charged += more;
            link.unsent = after;
        }
        link.partial.clear();
        link.handed.push_back((length, unit.clone()));
        self.said.push(Said::Handed(connection, unit));
        false
    }

    /// The network takes up to so many bytes of a connection.
    pub(crate) fn take(&mut self, connection: u16, bytes: usize) {
        let Some(link) = self.links.get(&connection).filter(|link| link.end.is_none()) else { return };
        let bytes = bytes.min(link.unsent);
        let progress = self.progress(connection, bytes);
        self.handle(progress);
    }

    /// Notes that bytes are taken, and how the broker is to be told.
    fn progress(&mut self, connection: u16, bytes: usize) -> Input<'static> {
        let network = self.network;
        let link = self.links.get_mut(&connection).unwrap();
        self.charged -= charge(network, link.unsent) - charge(network, link.unsent - bytes);
        link.unsent -= bytes;
        let mut left = bytes;
        while let Some((missing, _)) = link.handed.front_mut() {
            let taken = left.min(*missing);
            *missing -= taken;
            left -= taken;
            if *missing > 0 {
                break;
            }
            let (_, unit) = link.handed.pop_front().unwrap();
            link.arrived.push(unit);
        }
        Input::Sent { connection: ConnectionId(connection), bytes }
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

    /// A client opens a connection; over WebSocket it sends its opening handshake, too.
    pub(crate) fn open(&mut self, connection: u16, transport: Transport) {
        self.link(connection, transport);
        self.handle(Input::Accepted { connection: ConnectionId(connection), transport });
        if transport == Transport::WebSocket {
            self.bytes(connection, REQUEST.as_bytes());
        }
    }

    /// A connection that the broker does not know of yet.
    pub(crate) fn link(&mut self, connection: u16, transport: Transport) {
        let link = Link {
            transport,
            pace: Pace::AtOnce,
            partial: Vec::new(),
            handed: VecDeque::new(),
            unsent: 0,
            arrived: Vec::new(),
            end: None,
            is_upgraded: false,
        };
        if let Some(old) = self.links.insert(connection, link)
            && old.end.is_none()
        {
            self.charged -= charge(self.network, old.unsent);
        }
    }

    /// The client sends bytes as they are.
    pub(crate) fn bytes(&mut self, connection: u16, bytes: &[u8]) {
        self.handle(Input::Received { connection: ConnectionId(connection), bytes });
    }

    /// The client sends packets, over a WebSocket in one message.
    pub(crate) fn send(&mut self, connection: u16, packets: &[Packet<'_>]) {
        let mut bytes = Vec::new();
        packets.iter().for_each(|packet| packet.encode(&mut bytes).unwrap());
        self.stream(connection, &bytes);
    }

    /// The client sends bytes of the MQTT stream.
    pub(crate) fn stream(&mut self, connection: u16, bytes: &[u8]) {
        match self.links.get(&connection).map(|link| link.transport) {
            Some(Transport::WebSocket) => self.bytes(connection, &wrap(bytes)),
            _ => self.bytes(connection, bytes),
        }
    }

    /// The connection ends without the broker's doing; what was not taken is lost.
    pub(crate) fn lose(&mut self, connection: u16) {
        if let Some(link) = self.links.remove(&connection)
            && link.end.is_none()
        {
            self.charged -= charge(self.network, link.unsent);
            self.handle(Input::Closed { connection: ConnectionId(connection) });
        }
    }

    /// Why the broker closed a connection; `None` when it did not.
    pub(crate) fn end(&self, connection: u16) -> Option<CloseReason> {
        self.links.get(&connection).and_then(|link| link.end)
    }

    pub(crate) fn hold(&mut self, connection: u16) {
        self.links.get_mut(&connection).unwrap().pace = Pace::Held;
    }

    /// What arrived since this was last asked.
    pub(crate) fn arrived(&mut self, connection: u16) -> Vec<Unit> {
        self.links.get_mut(&connection).map(|link| std::mem::take(&mut link.arrived)).unwrap_or_default()
    }
}

impl Link {
    /// The unit that begins `partial`, once it is whole.
    fn whole(&mut self) -> Option<Unit> {
        let unit = match self.transport {
            Transport::Tcp => whole_packet(&self.partial).map(|length| (length, self.partial.clone()))?,
            Transport::WebSocket if self.is_upgraded => return websocket::unwrap(&self.partial),
            Transport::WebSocket => {
                let text = String::from_utf8(self.partial.clone()).unwrap();
                self.is_upgraded = text.starts_with("HTTP/1.1 101 ");
                return Some(Unit::Http(self.partial.clone()));
            }
        };
        assert_eq!(unit.0, self.partial.len(), "two packets in one piece");
        assert!(Packet::decode(&unit.1).is_ok(), "no packet: {}", unit.1.escape_ascii());
        Some(Unit::Packet(unit.1))
    }
}

/// Length of the packet that begins `bytes`, once all of it is there.
fn whole_packet(bytes: &[u8]) -> Option<usize> {
    let header = FixedHeader::parse(bytes).expect("a valid fixed header")?;
    let length = usize::try_from(header.packet_length()).unwrap();
    (bytes.len() >= length).then_some(length)
}

/// What the network's memory holds for a connection with so many bytes unsent.
fn charge(network: Network, unsent: usize) -> usize {
    match usize::from(network.segment) {
        0 => unsent,
        segment => unsent.div_ceil(segment) * segment,
    }
}
