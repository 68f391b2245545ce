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
//! Memory is what this port is careful with. Bytes wait in the node's own, shared form until lwIP is given them, and lwIP
//! is given them only while the heap has room above what is kept free ([`BootInfo`](espbroker_node::BootInfo)): first to
//! a few connections, and to the next ones as their peers acknowledge. So a message to everybody reaches everybody
//! however little is left, and a peer that is gone does not stand in the way for long. lwIP allocates a whole maximum
//! segment for each segment that a write opens, so segments are short ([`SEGMENT`]) and those of short messages shorter.
//! Bytes count as sent when the peer has acknowledged them, which is when lwIP's memory for them is free again.
//!
//! One thread: lwIP and this port run in the same task and are never interrupted by each other.
//!
//! Left out: IPv6, and several addresses of one host.
#![no_std]

extern crate alloc;

mod behind;
mod bindings;
mod callbacks;
mod connection;
mod datagrams;
mod device;
mod openings;
mod received;
mod single;
mod sockets;
mod table;

pub use callbacks::wake_by;
pub use device::{Device, Platform};

use espbroker_node::Network;

/// Bytes in one segment at most.
pub const SEGMENT: u16 = 128;

/// What a segment takes of the heap beyond its bytes: 54 bytes of frame headers, `struct pbuf` and `struct tcp_seg` (up to
/// 20 B each), the headers of two allocations, and rounding.
const SEGMENT_COST: u32 = 144;

/// What the broker may hand out at once. That is little memory, as messages are shared; what lwIP takes is this port's to
/// bound. `segment` stands for what is noted here of a packet in parts.
pub const NETWORK: Network = Network { window: 2 * SEGMENT as u32, in_flight: 16_384, segment: 60 };
