//! The espbroker device above the hardware: start-up, Wi-Fi, status lines, console and broker.
#![no_std]

extern crate alloc;

pub mod status;
