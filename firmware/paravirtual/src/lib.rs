//! The paravirtual network device of the virtual ESP8266: its registers, and what goes over them.
//!
//! The virtual chip has no radio. In its place stands a device that no real chip has, at addresses that none uses: the
//! firmware gives it an [`Order`] for what it would ask of the SDK's network stack and radio, and takes the news of what
//! has come of it, as [`Input`](espbroker_node::Input)s of the node. Sockets, names, datagrams and the simulated
//! networks are the computer's.
//!
//! | offset from [`BASE`] | register | |
//! |---|---|---|
//! | 00 | `ID` | reads `"EBPV"` |
//! | 04 | `VERSION` | reads [`VERSION_VALUE`] |
//! | 08, 0C | `ADDRESS`, `LENGTH` | a span of data RAM |
//! | 10, 14 | `MORE_ADDRESS`, `MORE_LENGTH` | what follows it in an order, perhaps nothing |
//! | 18 | `COMMAND` | a write carries out a [`Command`] before the next instruction |
//! | 1C | `RESULT` | of the last command: a length, or a [`Refusal`] as a negative number |
//! | 20 | `PENDING` | 1 while there may be news |
//! | 24 | `INTERRUPT` | 1 raises interrupt 0, the radio's on a real chip, for as long as `PENDING` is 1 |
//!
//! Registers are words. A reset of the chip closes everything and clears them. Bytes that came in for a connection wait
//! outside until the firmware takes them; bytes to send are copied by the order, [`WINDOW`] of a connection at most.
//!
//! Both sides are total: whatever a span holds is a refusal or an order, and what is refused has done nothing.
#![no_std]

extern crate alloc;

mod news;
mod order;
mod words;

pub use news::{read_news, write_news};
pub use order::Order;
pub use words::Malformed;

/// Address of the first register. Nothing of the ESP8266 is in this part of its address space.
pub const BASE: u32 = 0x7000_0000;
/// What `ID` reads.
pub const ID_VALUE: u32 = u32::from_le_bytes(*b"EBPV");
/// What `VERSION` reads.
pub const VERSION_VALUE: u32 = 1;
/// Bytes of a connection that may wait to be sent.
pub const WINDOW: usize = 16_384;
/// Bytes of the longest order without what comes behind it in `MORE_ADDRESS`.
pub const ORDER_MAX: usize = 160;
/// Bytes that news may have in front of what a client sent.
pub const NEWS_HEAD: usize = 16;

/// Offsets of the registers.
pub mod register {
    /// Who is there.
    pub const ID: u32 = 0x00;
    /// The version of all this.
    pub const VERSION: u32 = 0x04;
    /// Where the span is.
    pub const ADDRESS: u32 = 0x08;
    /// Bytes of it.
    pub const LENGTH: u32 = 0x0C;
    /// Where it goes on.
    pub const MORE_ADDRESS: u32 = 0x10;
    /// Bytes of that.
    pub const MORE_LENGTH: u32 = 0x14;
    /// Doorbell.
    pub const COMMAND: u32 = 0x18;
    /// What came of it.
    pub const RESULT: u32 = 0x1C;
    /// Whether there may be news.
    pub const PENDING: u32 = 0x20;
    /// Whether news interrupt.
    pub const INTERRUPT: u32 = 0x24;
}

/// What can be written to `COMMAND`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Command {
    /// Connects to the outside, or anew: everything that was open is closed. The result is 0.
    Attach = 1,
    /// Carries out the order in the span, which is followed by what `MORE_ADDRESS` names. The result is 0.
    Order = 2,
    /// Puts the next news into the span; the result is its length, 0 when there is none.
    News = 3,
}

impl Command {
    /// The command with this number.
    pub const fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Attach),
            2 => Some(Self::Order),
            3 => Some(Self::News),
            _ => None,
        }
    }
}

/// Why a command did nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum Refusal {
    /// There is no such command.
    Unknown = -1,
    /// The span is not all data RAM, or too long for an order.
    Span = -2,
    /// The span holds no order.
    Malformed = -3,
    /// Nothing was attached.
    NotAttached = -4,
    /// More would wait for this connection than [`WINDOW`].
    Window = -5,
    /// The computer has no means for it.
    Failed = -6,
    /// The span is too short for news: at least [`NEWS_HEAD`] bytes and one.
    Room = -7,
}

impl Refusal {
    /// What `RESULT` reads.
    pub const fn result(self) -> u32 {
        (self as i32).cast_unsigned()
    }
}
