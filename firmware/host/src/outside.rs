//! [`Outside`]: all of a computer that a device reaches: sockets, names, datagrams, and the radio that is plugged in.
//!
//! The device itself is somewhere else: the [`Node`](espbroker_node::Node) of [`Host`](crate::Host), or the same code
//! that a virtual chip executes. Nothing here waits but [`Outside::wait`], and nothing is read from a socket before
//! somebody has a place for it, so that a slow device slows its clients down as TCP does.

use std::{
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use espbroker_node::{
    BridgeId, ConnectionId, Input, Instant, RadioCommand,
    discovery::Channel,
    status::{ListenFailure, Mode, Service},
};
use mio::{Events, Poll, Token, Waker, event::Event};

use crate::{
    datagrams::{DATAGRAM, Datagrams, DiscoveryPorts},
    lookup::{self, Lookups},
    opening::{self, Opened, Openings},
    radio::{Radio, RadioEvent},
    running::Ports,
    sockets::{AFTER_CONNECTIONS, AFTER_DATAGRAMS, DATAGRAMS, Received, Sockets, WAKER},
};

/// Where a device can be reached from outside.
#[derive(Clone, Copy, Debug)]
pub struct Doors {
    /// Address that ports are opened on.
    pub bind: IpAddr,
    /// TCP ports that are opened.
    pub ports: Ports,
    /// UDP ports through which the device is found; `None` leaves it unfound.
    pub discovery: Option<DiscoveryPorts>,
}

/// The outside of one device; `B` is what bytes to send are kept in until the network takes them. Dropped, it closes
/// everything.
pub struct Outside<B> {
    poll: Poll,
    events: Events,
    pub(crate) radio: Box<dyn Radio>,
    pub(crate) sockets: Sockets<B>,
    pub(crate) openings: Openings,
    pub(crate) datagrams: Datagrams,
    ports: Ports,
    /// Something has come that no socket tells of.
    woken: bool,
}

impl<B: AsRef<[u8]>> Outside<B> {
    /// Opens nothing but the ports of discovery.
    ///
    /// # Errors
    /// The operating system has no selector left.
    pub fn new(radio: Box<dyn Radio>, doors: Doors) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        Self::with(poll, &waker, radio, doors)
    }

    /// The same with a selector that somebody else can wake.
    pub(crate) fn with(
        poll: Poll,
        waker: &Arc<Waker>,
        radio: Box<dyn Radio>,
        doors: Doors,
    ) -> io::Result<Self> {
        let Doors { bind, ports, discovery } = doors;
        let sockets = Sockets::new(poll.registry().try_clone()?, bind);
        let lookups = Lookups::new(Arc::clone(waker), lookup::system);
        let openings = Openings::new(poll.registry().try_clone()?, lookups, AFTER_CONNECTIONS);
        let datagrams = Datagrams::open(poll.registry(), bind, discovery, DATAGRAMS);
        let events = Events::with_capacity(256);
        Ok(Self { poll, events, radio, sockets, openings, datagrams, ports, woken: false })
    }

    /// Waits until something happens, or for as long as `patience` says.
    ///
    /// # Errors
    /// The selector is gone.
    pub fn wait(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let Self { poll, events, sockets, openings, datagrams, woken, .. } = self;
        match poll.poll(events, patience) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => events.iter().for_each(|event: &Event| match event.token() {
                WAKER => *woken = true,
                Token(DATAGRAMS..AFTER_DATAGRAMS) => datagrams.mark(event),
                Token(AFTER_CONNECTIONS..) => openings.mark(event),
                _ => sockets.mark(event),
            }),
        }
        Ok(())
    }

    /// Whether the selector was woken since the last call.
    pub(crate) const fn take_woken(&mut self) -> bool {
        std::mem::replace(&mut self.woken, false)
    }

    /// Whether there is work that no event will announce.
    pub(crate) fn is_busy(&self) -> bool {
        self.sockets.is_busy() || self.datagrams.is_busy()
    }

    /// When there is something to do unless an event comes before.
    pub fn poll_at(&self) -> Option<Instant> {
        [self.radio.poll_at(), self.openings.poll_at()].into_iter().flatten().min()
    }

    /// Whether [`Self::next`] may have something.
    pub fn has_news(&self, now: Instant) -> bool {
        self.woken || self.is_busy() || self.poll_at().is_some_and(|due| due <= now)
    }

    /// The next thing that has happened, as the device is told of it. Bytes that came in are in `buffer`, as many as
    /// it holds; what is not asked for waits outside. Clients come through the network `mode`.
    pub fn next<'a>(&mut self, buffer: &'a mut [u8], mode: Mode, now: Instant) -> Option<Input<'a>> {
        self.woken = false;
        match self.radio.poll(now) {
            Some(RadioEvent::Station(event)) => return Some(Input::Station(event)),
            Some(RadioEvent::AccessPointUp { ip }) => return Some(Input::AccessPointUp { ip }),
            None => {}
        }
        if let Some(opened) = self.opened(now) {
            return Some(opened);
        }
        if let Some((connection, service)) = self.sockets.accept() {
            return Some(Input::Accepted { connection, mode, service });
        }
        if let Some((connection, bytes)) = self.sockets.flush() {
            return Some(Input::Sent { connection, bytes });
        }
        let mut found = None;
        for _ in 0..self.sockets.readable() {
            found = self.sockets.receive(buffer);
            if found.is_some() {
                break;
            }
        }
        match found {
            Some((connection, Received::Closed)) => Some(Input::Closed { connection }),
            Some((connection, Received::Bytes(length))) => {
                Some(Input::Received { connection, bytes: buffer.get(..length).unwrap_or_default() })
            }
            None => self.datagram(buffer),
        }
    }

    /// The next connection that [`Self::open`] asked for and that is there or has failed.
    pub(crate) fn opened(&mut self, now: Instant) -> Option<Input<'static>> {
        let Opened { bridge, result } = self.openings.poll(now)?;
        let added =
            result.and_then(|stream| self.sockets.add(stream).map_err(|error| opening::failure_of(&error)));
        Some(match added {
            Ok(connection) => Input::Opened { bridge, connection },
            Err(reason) => Input::OpenFailed { bridge, reason },
        })
    }

    fn datagram<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Input<'a>> {
        let mut datagram = [0; DATAGRAM];
        let (channel, from, length) = self.datagrams.receive(&mut datagram)?;
        // What is longer than the place for it is cut, as in the socket: it is no question then.
        let length = length.min(buffer.len());
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        bytes.copy_from_slice(datagram.get(..length).unwrap_or_default());
        Some(Input::Datagram { channel, from, bytes })
    }

    /// Tells the radio.
    pub fn radio(&mut self, command: RadioCommand, now: Instant) {
        self.radio.command(command, now);
    }

    /// Opens a port, and says how that went.
    pub fn listen(&mut self, service: Service, port: u16) -> Input<'static> {
        let port = if self.ports == Ports::Any { 0 } else { port };
        match self.sockets.listen(service, port) {
            Ok(port) => Input::Listening { service, port },
            Err(error) => Input::ListenFailed { service, reason: listen_failure(&error) },
        }
    }

    /// Closes a port; connections over it stay.
    pub fn stop_listening(&mut self, service: Service) {
        self.sockets.stop_listening(service);
    }

    /// Queues bytes for a client; [`Input::Sent`] tells what the network has taken.
    pub fn send(&mut self, connection: ConnectionId, bytes: B) {
        self.sockets.send(connection, bytes);
    }

    /// Bytes that wait for a client; 0 when it is gone.
    pub fn waiting(&self, connection: ConnectionId) -> usize {
        self.sockets.waiting(connection)
    }

    /// Sends what the network takes at once, and closes.
    pub fn close(&mut self, connection: ConnectionId) {
        self.sockets.close(connection);
    }

    /// Begins to connect for a bridge.
    pub fn open(&mut self, bridge: BridgeId, host: String, port: u16, now: Instant) {
        self.openings.open(bridge, host, port, now);
    }

    /// Gives up what [`Self::open`] has begun.
    pub fn abandon(&mut self, bridge: BridgeId) {
        self.openings.abandon(bridge);
    }

    /// Sends a datagram; it may be lost.
    pub fn send_datagram(&self, channel: Channel, to: SocketAddr, bytes: &[u8]) {
        self.datagrams.send(channel, to, bytes);
    }
}

fn listen_failure(error: &io::Error) -> ListenFailure {
    match error.kind() {
        ErrorKind::AddrInUse => ListenFailure::InUse,
        ErrorKind::PermissionDenied => ListenFailure::Denied,
        _ => ListenFailure::Other,
    }
}
