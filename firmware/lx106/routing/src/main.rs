//! Routes messages through the broker core on QEMU's LX106 and prints the cycles that a run took, one line each:
//! `MATCHES MESSAGES CYCLES`. Under `-icount` a cycle is a fixed number of instructions; the difference of two runs is
//! what the messages cost. The network is a counter of bytes.
//!
//! The work is the one that `release/cost` has on a PC: 25 clients of five subscriptions to topics of 20 bytes, a 26th
//! that publishes 24 bytes to a topic of 12.
#![cfg_attr(target_arch = "xtensa", no_std, no_main)]

#[cfg(target_arch = "xtensa")]
extern crate alloc;

#[cfg(target_arch = "xtensa")]
mod work;

#[cfg(target_arch = "xtensa")]
#[global_allocator]
static HEAP: espbroker_lx106_runtime::qemu::Heap = espbroker_lx106_runtime::qemu::Heap::new();

/// On a host there is nothing to run; `cargo xtask bench firmware` runs it in QEMU.
#[cfg(not(target_arch = "xtensa"))]
fn main() {}
