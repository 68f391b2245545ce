//! The thread of a device: waits for everything at once and carries events in and orders out.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use espbroker_config::model::Config;
use espbroker_node::{
    BootInfo, Input, Instant, Node, Output,
    status::{ListenFailure, Mode},
};
use mio::{Events, Poll, Token, event::Event};

use crate::{
    datagrams::{DATAGRAM, Datagrams, DiscoveryPorts},
    flash::{Flash, Nor},
    lookup::{self, Lookups},
    opening::{self, Opened, Openings},
    radio::{Radio, RadioEvent},
    running::{Ports, Shared},
    sockets::{AFTER_CONNECTIONS, AFTER_DATAGRAMS, DATAGRAMS, Received, Sockets, WAKER},
};

/// Bytes given to the node at once: its bound on a piece.
const PIECE: usize = 2048;
/// Bytes read from a connection at once, before others have their turn.
const READ: usize = 8 * PIECE;
/// Bytes sent, to all connections together, before the rest of the device has its turn.
const FLUSH: usize = 1 << 20;
/// Datagrams taken before the rest of the device has its turn.
const DATAGRAMS_AT_ONCE: usize = 32;
/// Clients let in before the rest of the device has its turn.
const ACCEPTS: usize = 64;

pub(crate) struct Pump {
    poll: Poll,
    shared: Arc<Shared>,
    node: Node<Nor<Box<dyn Flash>>>,
    radio: Box<dyn Radio>,
    sockets: Sockets,
    openings: Openings,
    datagrams: Datagrams,
    ports: Ports,
    /// Answers to outputs, due before anything else is fed.
    answers: VecDeque<Input<'static>>,
    started: Clock,
    /// Somebody outside has something for the device.
    woken: bool,
    /// A new config that the device is not ready for.
    config: Option<Config>,
    restart: Restart,
}

/// Where the device can be reached from outside.
#[derive(Clone, Copy)]
pub(crate) struct Doors {
    pub(crate) bind: IpAddr,
    pub(crate) ports: Ports,
    pub(crate) discovery: Option<DiscoveryPorts>,
}

/// Whether the device wants to be started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Restart {
    Wanted,
    NotWanted,
}

impl Pump {
    pub(crate) fn new(
        poll: Poll,
        shared: Arc<Shared>,
        flash: Box<dyn Flash>,
        radio: Box<dyn Radio>,
        doors: Doors,
        info: BootInfo,
    ) -> io::Result<Self> {
        let Doors { bind, ports, discovery } = doors;
        let sockets = Sockets::new(poll.registry().try_clone()?, bind);
        let lookups = Lookups::new(Arc::clone(&shared.waker), lookup::system);
        let openings = Openings::new(poll.registry().try_clone()?, lookups, AFTER_CONNECTIONS);
        let datagrams = Datagrams::open(poll.registry(), bind, discovery, DATAGRAMS);
        let node = Node::boot(Nor(flash), info);
        let (started, restart) = (Clock::now(), Restart::NotWanted);
        let answers = VecDeque::new();
        let (woken, config) = (false, None);
        Ok(Self {
            poll,
            shared,
            node,
            radio,
            sockets,
            openings,
            datagrams,
            ports,
            answers,
            started,
            woken,
            config,
            restart,
        })
    }

    /// Runs until the device is stopped or asks to be started again.
    pub(crate) fn run(mut self) -> io::Result<Restart> {
        let mut events = Events::with_capacity(256);
        let mut buffer = [0; READ];
        self.obey();
        while self.restart == Restart::NotWanted {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => events.iter().for_each(|event| self.mark(event)),
            }
            if self.shared.is_stopped() {
                if self.shared.is_shut_down() {
                    self.node.finish();
                }
                break;
            }
            self.turn(&mut buffer);
        }
        Ok(self.restart)
    }

    fn mark(&mut self, event: &Event) {
        match event.token() {
            WAKER => self.woken = true,
            Token(DATAGRAMS..AFTER_DATAGRAMS) => self.datagrams.mark(event),
            Token(AFTER_CONNECTIONS..) => self.openings.mark(event),
            _ => self.sockets.mark(event),
        }
    }

    /// How long nothing is to be done unless something happens.
    fn patience(&self) -> Option<Duration> {
        if self.sockets.is_busy() || self.datagrams.is_busy() {
            return Some(Duration::ZERO);
        }
        let due = [self.node.poll_at(), self.radio.poll_at(), self.openings.poll_at()];
        let due = due.into_iter().flatten().min()?;
        Some(due.saturating_sub(self.now()))
    }

    /// Looks after everything once, so that no client and no flood of bytes keeps the rest waiting.
    fn turn(&mut self, buffer: &mut [u8; READ]) {
        if std::mem::take(&mut self.woken) {
            self.config = self.shared.config().or(self.config.take());
            let typed = self.shared.typed();
            if !typed.is_empty() {
                self.feed(Input::Console(&typed));
            }
        }
        while let Some(event) = self.radio.poll(self.now()) {
            self.feed(match event {
                RadioEvent::Station(event) => Input::Station(event),
                RadioEvent::AccessPointUp { ip } => Input::AccessPointUp { ip },
            });
        }
        // The node takes no config before its start-up is over, and no word says so but that the radio has brought it to
        // a network.
        if let Some(config) = self.config.take_if(|_| self.node.mode().is_some()) {
            self.feed(Input::Configured(&config));
        }
        while let Some(Opened { bridge, result }) = self.openings.poll(self.now()) {
            let added = result
                .and_then(|stream| self.sockets.add(stream).map_err(|error| opening::failure_of(&error)));
            self.feed(match added {
                Ok(connection) => Input::Opened { bridge, connection },
                Err(reason) => Input::OpenFailed { bridge, reason },
            });
        }
        for _ in 0..ACCEPTS {
            let Some((connection, service)) = self.sockets.accept() else { break };
            // Host sockets do not tell networks apart: clients come through the one that the device is reached by.
            let mode = self.node.mode().unwrap_or(Mode::AccessPoint);
            self.feed(Input::Accepted { connection, mode, service });
        }
        self.receive(buffer);
        self.flush();
        self.receive_datagrams();
        if self.node.poll_at().is_some_and(|due| due <= self.now()) {
            self.feed(Input::Tick);
            self.flush();
        }
    }

    /// Reads once from every connection that has something. What is sent because of that is gathered, but no longer
    /// than until the node has been fed one piece: it keeps only so much for a client that nothing was sent to.
    fn receive(&mut self, buffer: &mut [u8; READ]) {
        let mut fed = 0;
        for _ in 0..self.sockets.readable() {
            match self.sockets.receive(buffer) {
                Some((connection, Received::Bytes(length))) => {
                    for bytes in buffer.get(..length).unwrap_or_default().chunks(PIECE) {
                        if fed + bytes.len() > PIECE {
                            self.flush();
                            fed = 0;
                        }
                        // The piece before may have ended the connection.
                        if self.sockets.contains(connection) {
                            fed += bytes.len();
                            self.feed(Input::Received { connection, bytes });
                        }
                    }
                }
                Some((connection, Received::Closed)) => self.feed(Input::Closed { connection }),
                None => {}
            }
        }
    }

    /// Takes some datagrams; the rest waits for the next turn.
    fn receive_datagrams(&mut self) {
        let mut buffer = [0; DATAGRAM];
        for _ in 0..DATAGRAMS_AT_ONCE {
            let Some((channel, from, length)) = self.datagrams.receive(&mut buffer) else { return };
            let bytes = buffer.get(..length).unwrap_or_default();
            self.feed(Input::Datagram { channel, from, bytes });
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        if self.restart == Restart::NotWanted {
            self.node.handle(input, self.now());
            self.obey();
        }
    }

    /// Sends what waits, as far as the network takes it, and tells the node, which may have more then.
    fn flush(&mut self) {
        let mut sent = 0;
        while sent < FLUSH {
            let Some((connection, bytes)) = self.sockets.flush() else { return };
            sent += bytes;
            self.feed(Input::Sent { connection, bytes });
        }
    }

    /// Carries out what the node wants, and what it wants because of that.
    fn obey(&mut self) {
        loop {
            while let Some(output) = self.node.poll_output() {
                self.carry_out(output);
            }
            let Some(input) = self.answers.pop_front() else { return };
            self.node.handle(input, self.now());
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Console(text) => self.shared.print(text.as_bytes()),
            Output::ConsoleBytes(bytes) => self.shared.print(&bytes),
            Output::Radio(command) => self.radio.command(command, self.now()),
            Output::Listen { service, port } => {
                let port = if self.ports == Ports::Any { 0 } else { port };
                self.answers.push_back(match self.sockets.listen(service, port) {
                    Ok(port) => Input::Listening { service, port },
                    Err(error) => Input::ListenFailed { service, reason: listen_failure(&error) },
                });
            }
            Output::StopListening { service } => self.sockets.stop_listening(service),
            Output::Send { connection, bytes } => self.sockets.send(connection, bytes),
            Output::Close { connection } => self.sockets.close(connection),
            Output::Open { bridge, host, port } => self.openings.open(bridge, host, port, self.now()),
            Output::Abandon { bridge } => self.openings.abandon(bridge),
            Output::Datagram { channel, to, bytes } => self.datagrams.send(channel, to, &bytes),
            // There are none; a status line tells what a relay does.
            Output::Pin { .. } => {}
            Output::Restart => self.restart = Restart::Wanted,
        }
    }

    fn now(&self) -> Instant {
        self.started.elapsed()
    }
}

fn listen_failure(error: &io::Error) -> ListenFailure {
    match error.kind() {
        ErrorKind::AddrInUse => ListenFailure::InUse,
        ErrorKind::PermissionDenied => ListenFailure::Denied,
        _ => ListenFailure::Other,
    }
}
