//! The espbroker device over lwIP's raw TCP API: one port for the emulated board and for the chip.
//!
//! Implements the network side of `espbroker-node`'s interface with lwIP 2.2, or with the 1.4 of Espressif's NONOS SDK
//! (feature `vendor`).
//!
//! ```text
//! lwIP --callbacks--> sockets: what came in, what was acknowledged, who is gone
//!                        |
//! board --Device::turn-->+--> Node::handle --> outputs --> sockets --> tcp_write, tcp_close, dns, tcp_connect
//! ```
//!
//! lwIP's callbacks only take notes in [`sockets`] and never run the node: they come in the middle of other calls, where
//! the node could not be entered again. The board calls [`Device::turn`] afterwards, which carries everything in and
//! out, and says when it wants to be called again at the latest.
//!
//! Memory is what this port is careful with. The vendor's lwIP takes a whole maximum segment for each segment that a
//! write opens, so segments are made short ([`SEGMENT`]), and no connection has more than two of them under way; what
//! comes behind waits in the node's own, shared bytes. [`NETWORK`] tells the node what that costs. Bytes count as sent
//! when the peer has acknowledged them, which is when lwIP's memory for them is free again.
//!
//! One thread: lwIP and this port run in the same task and are never interrupted by each other.
//!
//! Left out: IPv6, several addresses of one host, and UDP, so that the device does not answer who looks for it.
#![no_std]

extern crate alloc;

mod bindings;
mod callbacks;
mod connection;
mod device;
mod openings;
mod single;
mod sockets;

pub use callbacks::wake_by;
pub use device::{Device, Platform};

use espbroker_node::Network;

/// Bytes in one segment at most.
pub const SEGMENT: u16 = 128;

/// What a connection with unacknowledged bytes takes of the heap beyond those, as measured on the emulated board: a
/// segment at its full length with 54 bytes of frame headers, `struct pbuf` and `struct tcp_seg` (20 B each), and the
/// headers of two allocations.
const SEGMENT_COST: u16 = 270;

/// What the network may be given at once: about ten connections' worth, which fits into what is kept free for it.
pub const NETWORK: Network = Network { window: 2 * SEGMENT as u32, in_flight: 3_000, segment: SEGMENT_COST };
