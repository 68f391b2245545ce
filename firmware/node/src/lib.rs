//! The espbroker device above the hardware: start-up, Wi-Fi, status lines, console and broker.
#![no_std]

extern crate alloc;

/// A point in time, as the time since the device started.
pub type Instant = core::time::Duration;

pub mod status;
pub mod wifi;
