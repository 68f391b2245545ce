//! [`World`]: a broker, the network below it and the far ends of its connections, with a clock that only the test
//! moves.
//!
//! The network takes what it was handed when the test says so. It checks what the broker promises about every
//! connection: packets are whole, valid and in one go, over a WebSocket one in each frame, nothing follows an end, and
//! what is handed out for messages stays within the window and the memory of the network.

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

/// What is done around the broker's work.
#[derive(Clone, Copy)]
pub(crate) struct Platform {
    /// Does the work that it is given, once.
    pub(crate) run: fn(&mut dyn FnMut()),
    /// Is called before the broker is told of anything.
    pub(crate) before: fn(&mut Broker<Accounts>),
    /// Is called when it has dealt with that.
    pub(crate) after: fn(&Broker<Accounts>),
}

impl Default for Platform {
    fn default() -> Self {
        Self { run: |work| work(), before: |_| (), after: |_| () }
    }
}

pub(crate) struct World {
    pub(crate) broker: Broker<Accounts>,
    pub(crate) now: Instant,
    pub(crate) links: BTreeMap<u16, Link>,
    network: Network,
    /// What the network's memory holds, each connection in whole segments.
    pub(crate) charged: usize,
    platform: Platform,
    said: Vec<Said>,
}

impl World {
    pub(crate) fn new(settings: Settings, accounts: Accounts) -> Self {
        Self::on(Platform::default(), settings, accounts)
    }

    pub(crate) fn on(platform: Platform, settings: Settings, accounts: Accounts) -> Self {
        let network = settings.network;
        let (mut parts, mut broker) = (Some((settings, accounts)), None);
        (platform.run)(&mut || {
            broker = parts.take().map(|(settings, accounts)| Broker::new(settings, accounts));
        });
        Self {
            network,
            platform,
            broker: broker.expect("a platform that does its work"),
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
        self.tell(input);
        self.carry_out();
    }

    fn tell(&mut self, input: Input<'_>) {
        let Self { platform, broker, now, .. } = self;
        (platform.before)(broker);
        (platform.run)(&mut || broker.handle(input, *now));
        (platform.after)(broker);
    }

    fn poll(&mut self) -> Option<Output> {
        let mut output = None;
        (self.platform.run)(&mut || output = self.broker.poll_output());
        output
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
            if let Some((connection, unsent)) = taker {
                let progress = self.progress(connection, unsent);
                self.tell(progress);
            } else if self.broker.poll_at().is_some_and(|at| at <= self.now) {
                self.tell(Input::Tick);
            } else {
                break;
            }
        }
    }

    fn collect(&mut self) {
        let mut unfinished = None;
        while let Some(output) = self.poll() {
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

    /// Takes bytes of a connection; whether more must follow because a unit is not whole.
    fn hand_out(&mut self, connection: u16, bytes: &[u8]) -> bool {
        let network = self.network;
        let link = self.links.get_mut(&connection).expect("bytes for a connection that is known");
        assert_eq!(link.end, None, "sent after the end");
        assert!(!bytes.is_empty(), "nothing to send");
        link.partial.extend_from_slice(bytes);
        while let Some((length, unit)) = link.whole() {
            let (before, after) = (link.unsent, link.unsent + length);
            let more = charge(network, after) - charge(network, before);
            if let Unit::Packet(packet) = &unit
                && matches!(Packet::decode(packet), Ok(Packet::Publish(_)))
            {
                let window = usize::try_from(network.window).unwrap();
                assert!(before == 0 || after <= window, "{after} bytes in a window of {window}");
                let in_flight = usize::try_from(network.in_flight).unwrap();
                let charged = self.charged + more;
                assert!(self.charged == 0 || charged <= in_flight, "{charged} bytes in flight");
            }
            // A closing frame is no packet: it goes with the connection.
            if !matches!(unit, Unit::Closing(_)) {
                self.charged += more;
                link.unsent = after;
            }
            link.partial.drain(..length);
            link.handed.push_back((length, unit.clone()));
            self.said.push(Said::Handed(connection, unit));
        }
        !link.partial.is_empty()
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
    /// The unit that begins `partial` and its length, once it is whole.
    fn whole(&mut self) -> Option<(usize, Unit)> {
        match self.transport {
            Transport::Tcp => {
                let length = whole_packet(&self.partial)?;
                let packet = &self.partial[..length];
                assert!(Packet::decode(packet).is_ok(), "no packet: {}", packet.escape_ascii());
                Some((length, Unit::Packet(packet.to_vec())))
            }
            Transport::WebSocket if self.is_upgraded => websocket::unwrap(&self.partial),
            Transport::WebSocket if self.partial.is_empty() => None,
            Transport::WebSocket => {
                let text = String::from_utf8(self.partial.clone()).unwrap();
                self.is_upgraded = text.starts_with("HTTP/1.1 101 ");
                Some((self.partial.len(), Unit::Http(self.partial.clone())))
            }
        }
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
