//! The espbroker device on the ESP8266, over Espressif's NONOS SDK 3.0.
//!
//! ```text
//! user_pre_init -> partitions, radio's calibration                    entry
//! user_init --SDK is up--> task -> espbroker-lwip -> espbroker-node
//!                           |  ^-- timer, console, events of the radio
//!                           +----> board: clock, heap, uart, radio, flash, pins
//! panic -> crash record in RTC memory -> exception -> restart -> report   crash
//! ```
//!
//! Built as one relocatable object; `cargo xtask lx106 chip` links it with the SDK, which is the user's and no part of
//! this project. `bindings` declares what is used of it, `sdk-symbols.txt` names that.
//!
//! `unsafe` is in `bindings`, `board`, `entry`, `flash`, `heap`, `panic`, `radio`, `registers`, `rtc` and `single`.
//!
//! Everything runs in one task of the SDK, as its callbacks and lwIP do: they never interrupt each other.
#![cfg_attr(target_arch = "xtensa", no_std, no_main)]

#[cfg(target_arch = "xtensa")]
extern crate alloc;

#[cfg(target_arch = "xtensa")]
mod bindings;
#[cfg(target_arch = "xtensa")]
mod board;
#[cfg(any(target_arch = "xtensa", test))]
mod clock;
#[cfg(any(target_arch = "xtensa", test))]
mod crash;
#[cfg(target_arch = "xtensa")]
mod entry;
#[cfg(target_arch = "xtensa")]
mod flash;
#[cfg(target_arch = "xtensa")]
mod heap;
#[cfg(target_arch = "xtensa")]
mod panic;
#[cfg(any(target_arch = "xtensa", test))]
mod partitions;
#[cfg(any(target_arch = "xtensa", test))]
mod pins;
#[cfg(target_arch = "xtensa")]
mod radio;
#[cfg(target_arch = "xtensa")]
mod registers;
#[cfg(target_arch = "xtensa")]
mod rtc;
#[cfg(target_arch = "xtensa")]
mod single;
#[cfg(target_arch = "xtensa")]
mod uart;

/// On a host there is nothing to run.
#[cfg(not(target_arch = "xtensa"))]
fn main() {}
