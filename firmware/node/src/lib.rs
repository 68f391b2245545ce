//! The espbroker device above the hardware: start-up, Wi-Fi, status lines, console and broker.
//!
//! Sans-I/O: a platform (the chip, the emulated board, `espbroker-host`) feeds [`Input`]s with the time and carries out
//! [`Output`]s. Nothing here reads a clock, opens a socket or waits.
//!
//! ```text
//! inputs                              outputs
//!   tick, serial bytes                  serial bytes (status lines, answers)
//!   station: associated, address, ...   radio: join, leave, open or close the access point
//!   access point up                     listen, stop listening
//!   port open or refused                send, close
//!   client: accepted, bytes, closed     restart
//!   datagram                            datagram
//!   pin: level                          pin: level, watch
//!
//! boot --> image digest --> config --+--> join --> address --+--> listen --> heap, ready
//!          (steps of 4 KB)           |     |  down for 60 s  |
//!                                    |     v                 |
//!                                    +--> access point ------+
//!                                  no network to join
//! ```
//!
//! Each arrow is a status line ([`status`]). `measure` calculates the digest, `node` runs the sequence up to the
//! config and `online` what follows: [`wifi`] joins, `access_point` falls back, `server` listens and holds the broker, `plug` switches
//! relays, [`discovery`] lets the device be found.
//! Whoever has the admin key changes the config while all this runs: `admin` takes the frames, `node::change` answers
//! them, and `trial` keeps or takes back what was changed. `improv` sets the Wi-Fi over the serial port in the same way.
//! Losing the network goes back to the join; the broker and its retained messages stay.
//!
//! Left out so far: cluster.
#![no_std]

extern crate alloc;

mod access;
pub mod access_point;
mod admin;
mod console;
pub mod discovery;
mod heap;
mod improv;
pub mod interface;
mod keeper;
pub mod listeners;
mod measure;
mod node;
mod online;
mod plug;
mod server;
mod settings;
pub mod status;
mod store;
#[cfg(test)]
mod test_flash;
mod trial;
pub mod wifi;

pub use interface::{
    BootInfo, BridgeId, Bytes, ConnectionId, Heap, Input, Level, Network, OpenFailure, Output, PinMode,
    RadioCommand,
};
pub use node::Node;
pub use wifi::StationEvent;

/// A point in time, as the time since the device started.
pub type Instant = core::time::Duration;
