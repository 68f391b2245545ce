//! [`Device`]: the node, with everything that is carried in and out of it.

use alloc::collections::VecDeque;

use embedded_storage::nor_flash::NorFlash;
use espbroker_node::{
    BootInfo, BridgeId, ConnectionId, Input, Instant, Level, Node, Output, PinMode, RadioCommand, StationEvent,
    status::Mode,
};

use crate::{
    callbacks::NETWORK,
    openings::{self, Opened},
    sockets::{self, News},
};

/// Bytes given to the node at once: its bound on a piece.
const PIECE: usize = 2048;
/// Bytes above the floor of the heap that stay free for frames that come in.
const MARGIN: u32 = 256;
/// Bytes of the heap that segments may take where there is little of it: those of ten short messages. Where there is
/// more, they may take a quarter.
const SEGMENTS: u32 = 2_000;
/// Clients let in before the rest of the device has its turn.
const ACCEPTS: usize = 4;

/// The board below the device.
pub trait Platform {
    /// Its flash.
    type Flash: NorFlash;

    /// Time since the start, never going back.
    fn now(&self) -> Instant;
    /// Bytes of heap that are free now, and the fewest that ever were.
    fn heap(&self) -> (u32, u32);
    /// Writes to the serial port.
    fn print(&mut self, bytes: &[u8]);
    /// Tells the radio; its answers come through [`Device::station`] and [`Device::access_point_up`].
    fn radio(&mut self, command: RadioCommand);
    /// Starts the chip again.
    fn restart(&mut self);
    /// Makes a pin what it is to be; levels of those under watch come through [`Device::pin`]. A board without pins does
    /// nothing.
    fn pin(&mut self, gpio: u8, mode: PinMode) {
        let _ = (gpio, mode);
    }
}

/// The whole device over lwIP. There is one in a program: lwIP's callbacks know of no other.
pub struct Device<P: Platform> {
    node: Node<P::Flash>,
    platform: P,
    /// Answers to outputs, due before anything else is fed.
    answers: VecDeque<Input<'static>>,
    /// What was sent last and may get more before lwIP is given it.
    unflushed: Option<ConnectionId>,
    /// Bytes of the heap that segments may not take.
    kept: u32,
    /// The figures of the heap that the node was told last.
    heap: (u32, u32),
}

impl<P: Platform> Device<P> {
    /// Starts the device; [`Self::turn`] does the rest.
    pub fn boot(platform: P, flash: P::Flash, info: BootInfo) -> Self {
        let kept = info.heap_floor.saturating_add(MARGIN);
        let node = Node::boot(flash, info);
        let mut device =
            Self { node, platform, answers: VecDeque::new(), unflushed: None, kept, heap: (0, 0) };
        device.obey();
        device
    }

    /// The board below.
    pub const fn platform(&mut self) -> &mut P {
        &mut self.platform
    }

    /// Bytes from the serial port.
    pub fn console(&mut self, bytes: &[u8]) {
        self.feed(Input::Console(bytes));
    }

    /// An event of the station's radio.
    pub fn station(&mut self, event: StationEvent) {
        self.feed(Input::Station(event));
    }

    /// The access point is open.
    pub fn access_point_up(&mut self, ip: core::net::IpAddr) {
        self.feed(Input::AccessPointUp { ip });
    }

    /// The level of a pin, as [`Input::Pin`] says.
    pub fn pin(&mut self, gpio: u8, level: Level) {
        self.feed(Input::Pin { gpio, level });
    }

    /// Carries in what lwIP's callbacks have noted, and what the time brings; returns when to call again at the latest,
    /// unless a callback or an event of the board comes before.
    pub fn turn(&mut self) -> Option<Instant> {
        self.tell_heap();
        self.connect();
        loop {
            let opened = NETWORK.use_it().openings.poll(self.platform.now());
            let Some(Opened { bridge, result }) = opened else { break };
            self.feed(match result {
                Ok(connection) => Input::Opened { bridge, connection },
                Err(reason) => Input::OpenFailed { bridge, reason },
            });
        }
        for _ in 0..ACCEPTS {
            let Some((connection, service)) = NETWORK.use_it().arrival() else { break };
            let mode = self.node.mode().unwrap_or(Mode::AccessPoint);
            self.feed(Input::Accepted { connection, mode, service });
            self.tell_heap();
        }
        self.carry_news();
        if self.node.poll_at().is_some_and(|due| due <= self.platform.now()) {
            self.tell_heap();
            self.feed(Input::Tick);
        }
        NETWORK.use_it().flush_all(|held| self.room(held));
        self.due()
    }

    /// Begins to connect to the hosts whose addresses were found.
    fn connect(&mut self) {
        loop {
            let target = NETWORK.use_it().openings.target();
            let Some(target) = target else { return };
            let result = openings::connect(target);
            NETWORK.use_it().openings.connecting(target.number, result, self.platform.now());
        }
    }

    /// Each connection's news once, in the order of the table.
    fn carry_news(&mut self) {
        let mut place = 0;
        loop {
            let news = NETWORK.use_it().news(&mut place);
            let Some((connection, news)) = news else { break };
            match news {
                News::Sent(bytes) => {
                    self.flush(connection);
                    self.feed(Input::Sent { connection, bytes });
                }
                News::Received(received) => {
                    self.tell_heap();
                    for bytes in received.bytes().chunks(PIECE) {
                        self.feed(Input::Received { connection, bytes });
                    }
                }
                News::Closed => self.feed(Input::Closed { connection }),
            }
        }
    }

    /// Gives lwIP what waits for it of a connection, if the heap has room.
    fn flush(&self, connection: ConnectionId) {
        let mut network = NETWORK.use_it();
        let room = self.room(network.held());
        network.flush(connection, room);
    }

    /// Bytes of the heap that segments may take, beside those that they hold.
    fn room(&self, held: u32) -> u32 {
        let (free, _) = self.platform.heap();
        let left = free.saturating_sub(self.kept);
        let most = (left.saturating_add(held) / 4).max(SEGMENTS);
        left.min(most.saturating_sub(held))
    }

    fn due(&self) -> Option<Instant> {
        let network = NETWORK.use_it();
        if network.has_news() {
            return Some(self.platform.now());
        }
        [self.node.poll_at(), network.openings.poll_at()].into_iter().flatten().min()
    }

    /// Tells the node what is left of the heap, if that has changed. What lwIP holds for the moment counts as left: it gets
    /// no more than there is, and a fan-out must not look like a lack of memory that ends it.
    fn tell_heap(&mut self) {
        let (free, lowest) = self.platform.heap();
        let heap = (free.saturating_add(NETWORK.use_it().held()), lowest);
        if heap != self.heap {
            self.heap = heap;
            self.feed(Input::Heap { free: heap.0, lowest: heap.1 });
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        self.node.handle(input, self.platform.now());
        self.obey();
    }

    /// Carries out what the node wants, and what it wants because of that.
    fn obey(&mut self) {
        loop {
            while let Some(output) = self.node.poll_output() {
                self.carry_out(output);
            }
            if let Some(connection) = self.unflushed.take() {
                self.flush(connection);
            }
            let Some(input) = self.answers.pop_front() else {
                // Answers are rare; their places would be held for ever.
                self.answers = VecDeque::new();
                return;
            };
            self.node.handle(input, self.platform.now());
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Console(text) => self.platform.print(text.as_bytes()),
            Output::ConsoleBytes(bytes) => self.platform.print(&bytes),
            Output::Radio(command) => self.platform.radio(command),
            Output::Listen { service, port } => {
                NETWORK.use_it().stop_listening(service);
                self.answers.push_back(match sockets::listen(service, port) {
                    Ok(listener) => {
                        NETWORK.use_it().add_listener(service, listener);
                        Input::Listening { service, port }
                    }
                    Err(reason) => Input::ListenFailed { service, reason },
                });
            }
            Output::StopListening { service } => NETWORK.use_it().stop_listening(service),
            Output::Send { connection, bytes } => {
                // A packet may come in parts, which follow at once and share a segment.
                if let Some(before) = self.unflushed.replace(connection)
                    && before != connection
                {
                    self.flush(before);
                }
                NETWORK.use_it().push(connection, bytes);
            }
            Output::Close { connection } => NETWORK.use_it().close(connection),
            Output::Open { bridge, host, port } => self.open(bridge, &host, port),
            Output::Abandon { bridge } => NETWORK.use_it().openings.abandon(bridge),
            // Nothing is asked over UDP either: see the crate's documentation.
            Output::Datagram { .. } => {}
            Output::Pin { gpio, mode } => self.platform.pin(gpio, mode),
            Output::Restart => self.platform.restart(),
        }
    }

    fn open(&mut self, bridge: BridgeId, host: &str, port: u16) {
        let number = NETWORK.use_it().openings.open(bridge, port, self.platform.now());
        // Not while the table is in use: lwIP may answer from within.
        match openings::look_up(host, number) {
            Some(Ok(address)) => NETWORK.use_it().openings.found(number, Some(address)),
            Some(Err(reason)) => {
                NETWORK.use_it().openings.abandon(bridge);
                self.answers.push_back(Input::OpenFailed { bridge, reason });
            }
            None => {}
        }
    }
}
