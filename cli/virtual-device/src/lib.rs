//! A virtual ESP8266: serial loader, NOR flash, boot straps, simulated Wi-Fi, and the real device code.

pub mod boot;
pub mod chip;
pub mod fault;
pub mod flash_routines;
pub mod lines;
pub mod loader;
pub mod nor;
pub mod peripherals;
mod random;
pub mod spi;
pub mod uart;
