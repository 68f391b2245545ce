//! The espbroker device on QEMU's `lx60-nommu` board with the ESP8266's CPU (`-cpu lx106`), its limits and its network
//! stack's habits.
//!
//! ```text
//! board RAM 0x60400000: flash chip (4 MB), put there by QEMU     -> nor
//!           0x603FF000: what the board is told from outside      -> start, faults
//! OpenCores Ethernet -> ethernet -> lwIP 2.2 (C) -> espbroker-lwip -> espbroker-node
//! 16550 UART <-> uart, CCOUNT -> clock
//! ```
//!
//! As on the chip: 80 KiB of data RAM, a heap of a set size with the vendor SDK's overhead, lwIP set up as the SDK has
//! it. Not as on the chip: no radio, so that a join succeeds at once; bytes can be loaded from anywhere; time is QEMU's.
#![cfg_attr(target_arch = "xtensa", no_std, no_main)]

#[cfg(target_arch = "xtensa")]
extern crate alloc;

#[cfg(target_arch = "xtensa")]
mod board;
#[cfg(target_arch = "xtensa")]
mod clock;
#[cfg(target_arch = "xtensa")]
mod ethernet;
#[cfg(target_arch = "xtensa")]
mod faults;
#[cfg(target_arch = "xtensa")]
mod heap;
#[cfg(target_arch = "xtensa")]
mod nor;
#[cfg(target_arch = "xtensa")]
mod start;
#[cfg(target_arch = "xtensa")]
mod uart;

/// On a host there is nothing to run; `cargo xtask emulate` boots the board.
#[cfg(not(target_arch = "xtensa"))]
fn main() {}
