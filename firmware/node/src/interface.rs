//! What goes in and out of a [`Node`](crate::Node): the line between the device and its hardware.
//!
//! A platform feeds every event as an [`Input`] and then carries out every [`Output`] before it feeds the next one.
//! It chooses the [`ConnectionId`]s, and may use one again once it has reported `Closed` or was told to `Close`.

use alloc::{string::String, vec::Vec};
use core::net::{IpAddr, SocketAddr};

pub use espbroker_broker::{BridgeId, Bytes, ConnectionId, Network, OpenFailure};
use espbroker_config::{
    image::Target,
    model::{Config, Wifi},
    secret::Secret,
};
pub use espbroker_plug::{Level, PinMode};

use crate::{
    discovery::Channel,
    status::{ListenFailure, Mode, ResetCause, Service},
    wifi::StationEvent,
};

/// What the platform knows when the device starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootInfo {
    /// Why it started.
    pub reset: ResetCause,
    /// Station MAC address.
    pub mac: [u8; 6],
    /// Machine that the firmware was built for.
    pub target: Target,
    /// Memory left for connections and messages.
    pub heap: Heap,
    /// Bytes of it that are never given away, for the network stack and the radio.
    pub heap_floor: u32,
    /// What the network may be given at once.
    pub network: Network,
    /// Any number, another one at each start; makes pauses differ from device to device.
    pub seed: u64,
}

/// Where the figures of the heap come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heap {
    /// The allocator's own figures, brought up to date with [`Input::Heap`].
    Measured {
        /// Bytes free now.
        free: u32,
        /// Fewest bytes ever free.
        lowest: u32,
    },
    /// No figures of a real allocator: free is this many bytes less those that the broker accounts for.
    Budget(u32),
}

/// What has happened.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Nothing but time.
    Tick,
    /// Bytes from the serial port.
    Console(&'a [u8]),
    /// The station's radio.
    Station(StationEvent),
    /// The access point that was asked for is open.
    AccessPointUp {
        /// The device's address in it.
        ip: IpAddr,
    },
    /// A port that was asked for is open.
    Listening {
        /// Asked for which.
        service: Service,
        /// The real TCP port.
        port: u16,
    },
    /// A port that was asked for cannot be opened.
    ListenFailed {
        /// Asked for which.
        service: Service,
        /// Why.
        reason: ListenFailure,
    },
    /// A client has connected.
    Accepted {
        /// Its name from now on.
        connection: ConnectionId,
        /// The network it comes through.
        mode: Mode,
        /// The port it comes through.
        service: Service,
    },
    /// A connection that [`Output::Open`] asked for is there.
    Opened {
        /// Asked for by which bridge.
        bridge: BridgeId,
        /// Its name from now on.
        connection: ConnectionId,
    },
    /// A connection that [`Output::Open`] asked for could not be made.
    OpenFailed {
        /// Asked for by which bridge.
        bridge: BridgeId,
        /// Why.
        reason: OpenFailure,
    },
    /// The config has changed: accounts, permissions and bridges change at once, without a word to the clients that
    /// are connected; everything else with the next start. Ignored during start-up.
    Configured(&'a Config),
    /// Bytes from a client.
    Received {
        /// Which client.
        connection: ConnectionId,
        /// In order, split anywhere, at most 2,048 so that their answers always have room.
        bytes: &'a [u8],
    },
    /// The network has taken bytes for a client.
    Sent {
        /// Which client.
        connection: ConnectionId,
        /// How many of those in [`Output::Send`].
        bytes: usize,
    },
    /// A client is gone without having been told to.
    Closed {
        /// Which client.
        connection: ConnectionId,
    },
    /// A UDP datagram that came to one of the ports of discovery. A platform without them feeds none.
    Datagram {
        /// Which port.
        channel: Channel,
        /// Who sent it.
        from: SocketAddr,
        /// Its payload.
        bytes: &'a [u8],
    },
    /// The level of a pin that [`Output::Pin`] has put under watch; of an output before start-up is over, that it has kept
    /// this level over the restart. A platform without pins feeds none.
    Pin {
        /// GPIO number.
        gpio: u8,
        /// What is on it.
        level: Level,
    },
    /// Fresh figures of the allocator.
    Heap {
        /// Bytes free now.
        free: u32,
        /// Fewest bytes ever free.
        lowest: u32,
    },
}

/// What is to be done.
#[derive(Clone, Debug)]
pub enum Output {
    /// Write to the serial port.
    Console(String),
    /// Write to the serial port what is not text: packets of Improv.
    ConsoleBytes(Vec<u8>),
    /// Tell the radio.
    Radio(RadioCommand),
    /// Open a TCP port; answered by [`Input::Listening`] or [`Input::ListenFailed`].
    Listen {
        /// For which.
        service: Service,
        /// TCP port.
        port: u16,
    },
    /// Close the port again. Connections over it stay.
    StopListening {
        /// Of which.
        service: Service,
    },
    /// Send bytes to a client; answered by [`Input::Sent`] as the network takes them.
    Send {
        /// Which client.
        connection: ConnectionId,
        /// Behind those that still wait; perhaps shared with other clients.
        bytes: Bytes,
    },
    /// End a connection, after the bytes that wait for it as far as the client takes them at once.
    Close {
        /// Which client.
        connection: ConnectionId,
    },
    /// Find a host and connect to it over TCP; answered by [`Input::Opened`] or [`Input::OpenFailed`].
    Open {
        /// For which bridge; there is one attempt at a time for each.
        bridge: BridgeId,
        /// Host name or IPv4 address.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Give up the attempt that [`Output::Open`] began, without an answer.
    Abandon {
        /// For which bridge.
        bridge: BridgeId,
    },
    /// Send a UDP datagram from one of the ports of discovery. It may be lost: a platform without them drops it.
    Datagram {
        /// Which port.
        channel: Channel,
        /// To whom; perhaps the group of multicast DNS.
        to: SocketAddr,
        /// Its payload.
        bytes: Vec<u8>,
    },
    /// Make a pin what it is to be. A platform without pins does nothing.
    Pin {
        /// GPIO number.
        gpio: u8,
        /// What it is to be.
        mode: PinMode,
    },
    /// Start the whole chip again; nothing comes after it.
    Restart,
}

/// What the radio is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RadioCommand {
    /// Join this network, with this fixed address if there is one; answered by [`StationEvent`]s.
    Join(Wifi),
    /// Stop trying and leave.
    Leave,
    /// Open an access point; answered by [`Input::AccessPointUp`].
    OpenAccessPoint {
        /// 1-32 bytes.
        ssid: Vec<u8>,
        /// `None` opens it to everybody.
        passphrase: Option<Secret<String>>,
    },
    /// Close it again.
    CloseAccessPoint,
}
