//! The thread of a device: waits for everything at once and carries events in and orders out.

use std::{
    io::{self, ErrorKind},
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant as Clock},
};

use espbroker_node::{
    BootInfo, Input, Instant, Node, Output,
    status::{ListenFailure, Mode, Service},
};
use mio::{Events, Poll};

use crate::{
    flash::{Flash, Nor},
    radio::{Radio, RadioEvent},
    running::{Ports, Shared},
    sockets::{Sockets, Transfer},
};

/// Bytes given to the node at once: its bound on a piece.
const PIECE: usize = 2048;

pub(crate) struct Pump {
    poll: Poll,
    shared: Arc<Shared>,
    node: Node<Nor<Box<dyn Flash>>>,
    radio: Box<dyn Radio>,
    sockets: Sockets,
    ports: Ports,
    started: Clock,
    restart: Restart,
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
        bind: IpAddr,
        ports: Ports,
        info: BootInfo,
    ) -> io::Result<Self> {
        let sockets = Sockets::new(poll.registry().try_clone()?, bind);
        let node = Node::boot(Nor(flash), info);
        let (started, restart) = (Clock::now(), Restart::NotWanted);
        Ok(Self { poll, shared, node, radio, sockets, ports, started, restart })
    }

    /// Runs until the device is stopped or asks to be started again.
    pub(crate) fn run(mut self) -> io::Result<Restart> {
        let mut events = Events::with_capacity(128);
        let mut piece = [0; PIECE];
        self.obey();
        while self.restart == Restart::NotWanted {
            match self.poll.poll(&mut events, self.patience()) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => events.iter().for_each(|event| self.sockets.mark(event)),
            }
            if self.shared.is_stopped() {
                break;
            }
            self.turn(&mut piece);
        }
        Ok(self.restart)
    }

    /// How long nothing is to be done unless something happens.
    fn patience(&self) -> Option<Duration> {
        if !self.sockets.readable().is_empty() {
            return Some(Duration::ZERO);
        }
        let due = [self.node.poll_at(), self.radio.poll_at()].into_iter().flatten().min()?;
        Some(due.saturating_sub(self.now()))
    }

    /// Looks after everything once, so that no client and no flood of bytes keeps the rest waiting.
    fn turn(&mut self, piece: &mut [u8; PIECE]) {
        let typed = self.shared.typed();
        if !typed.is_empty() {
            self.feed(Input::Console(&typed));
        }
        while let Some(event) = self.radio.poll(self.now()) {
            self.feed(match event {
                RadioEvent::Station(event) => Input::Station(event),
                RadioEvent::AccessPointUp { ip } => Input::AccessPointUp { ip },
            });
        }
        while let Some(connection) = self.sockets.accept() {
            // Host sockets do not tell networks apart: clients come through the one that the device is reached by.
            let mode = self.node.mode().unwrap_or(Mode::AccessPoint);
            self.feed(Input::Accepted { connection, mode, service: Service::Mqtt });
        }
        for connection in self.sockets.readable() {
            match self.sockets.receive(connection, piece) {
                Some(Transfer::Bytes(length)) => {
                    let bytes = piece.get(..length).unwrap_or_default();
                    self.feed(Input::Received { connection, bytes });
                }
                Some(Transfer::Closed) => self.feed(Input::Closed { connection }),
                None => {}
            }
        }
        self.flush();
        if self.node.poll_at().is_some_and(|due| due <= self.now()) {
            self.feed(Input::Tick);
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        if self.restart == Restart::NotWanted {
            self.node.handle(input, self.now());
            self.obey();
            self.flush();
        }
    }

    /// Sends what waits, as far as the network takes it, and tells the node, which may have more then.
    fn flush(&mut self) {
        while let Some((connection, transfer)) = self.sockets.flush() {
            let input = match transfer {
                Transfer::Bytes(bytes) => Input::Sent { connection, bytes },
                Transfer::Closed => Input::Closed { connection },
            };
            self.node.handle(input, self.now());
            self.obey();
        }
    }

    /// Carries out what the node wants, and what it wants because of that.
    fn obey(&mut self) {
        loop {
            let mut answer = None;
            while let Some(output) = self.node.poll_output() {
                // There is one port, so one answer at most.
                answer = self.carry_out(output).or(answer);
            }
            let Some(input) = answer else { return };
            self.node.handle(input, self.now());
        }
    }

    /// Returns the answer to an output that has one.
    fn carry_out(&mut self, output: Output) -> Option<Input<'static>> {
        match output {
            Output::Console(text) => self.shared.print(&text),
            Output::Radio(command) => self.radio.command(command, self.now()),
            Output::Listen { service, port } => {
                let port = if self.ports == Ports::Any { 0 } else { port };
                return Some(match self.sockets.listen(port) {
                    Ok(port) => Input::Listening { service, port },
                    Err(error) => Input::ListenFailed { service, reason: listen_failure(&error) },
                });
            }
            Output::StopListening { .. } => self.sockets.stop_listening(),
            Output::Send { connection, bytes } => self.sockets.send(connection, bytes),
            Output::Close { connection } => self.sockets.close(connection),
            // The node does not ask for connections yet.
            Output::Open { .. } | Output::Abandon { .. } => {}
            Output::Restart => self.restart = Restart::Wanted,
        }
        None
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
