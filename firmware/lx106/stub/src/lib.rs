//! The project's flasher stub, apart from the registers: what it answers and what it does to the flash.
//!
//! Speaks the "Serial Protocol" chapter of the esptool documentation as its two stubs for the ESP8266 do, and three
//! commands of its own, see [`Operation`]. A program in the chip's RAM ([`Chip`] is what it needs of the chip) calls
//! [`Receiver::interrupt`] from the UART's interrupt and [`Stub::poll`] for ever; everything else is here, and runs
//! on any computer.
//!
//! Three queues make erasing and programming overlap with reception:
//! - the [`Receiver`]'s ring: frames, unescaped by the interrupt, while the rest of the stub does something else;
//! - deflate's window of 32 KiB, which is also the queue of bytes to program: a byte that leaves the window has been
//!   programmed, and unpacking waits when the window is full of bytes that are not;
//! - the flash itself: an operation is started, and its end asked for between two rounds of unpacking.
//!
//! Left out: flash encryption and NAND (no such hardware here), addresses above 16 MB (the ESP8266's controller has
//! three address bytes), and the write of a flash's status register except to take away a protection.
#![no_std]
#![forbid(unsafe_code)]

mod chip;
mod command;
mod flash;
mod inflate;
mod read;
mod receive;
mod transmit;
mod window;
mod wire;
mod write;

pub use chip::{Chip, FIFO, Transfer};
pub use command::{Next, Stub};
pub use inflate::{Inflate, Invalid, Progress};
pub use receive::{Lost, Receiver};
pub use window::{WINDOW, Window};
pub use wire::{BLOCK_MAX, INFO_MAGIC, Operation, RECEIVE_WINDOW, RING, Refusal, VERSION};
pub use write::Buffers;
