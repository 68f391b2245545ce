//! A virtual ESP8266: serial loader, NOR flash, boot straps, simulated Wi-Fi, and the real device code.

pub mod boot;
pub mod chip;
pub mod device;
pub mod fault;
mod firmware;
pub mod flash_routines;
pub mod image;
pub mod lines;
pub mod loader;
pub mod nor;
pub mod peripherals;
mod random;
pub mod rfc2217;
pub mod spi;
pub mod transport;
pub mod uart;
pub mod wifi;

pub use espbroker_host::Ports;

pub use device::{Clock, Options, Timing, VirtualDevice};
pub use fault::{Direction, Fault};
pub use lines::{FlashButton, Wiring};
pub use nor::{FlashSource, StorageError};
pub use rfc2217::Served;
pub use transport::VirtualTransport;
pub use wifi::{Dhcp, Network, Refusal, SimulatedWifi};
