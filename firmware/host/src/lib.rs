//! The espbroker device on a computer: the device's own code on real sockets, with a file or memory as flash.
//!
//! [`Host::start`] runs a [`Node`](espbroker_node::Node) on a thread of its own and hands out its serial console. The
//! virtual ESP8266 runs its firmware with this; so does anything that wants a broker without a board.
//!
//! What a device reaches outside ([`Outside`]) is apart from its node: the virtual ESP8266 has the same under the code
//! that it executes.
//!
//! One thread waits for everything at once: sockets, serial bytes, the radio and the node's deadlines. Only names are
//! looked up elsewhere, because the system's resolver blocks. Left out: the chip's limits on sockets and on what its
//! network stack takes; its memory is a budget.

mod connection;
mod datagrams;
mod file_flash;
mod flash;
mod lookup;
mod memory_flash;
mod opening;
mod outside;
mod pump;
mod radio;
mod running;
mod sockets;

pub use datagrams::DiscoveryPorts;
pub use file_flash::FileFlash;
pub use flash::{Flash, FlashError, Nor};
pub use memory_flash::MemoryFlash;
pub use outside::{Doors, Outside};
pub use radio::{Radio, RadioEvent, Wired};
pub use running::{Host, HostOptions, Ports, Running};
