//! A virtual ESP8266 on a virtual board: what a flasher and a broker's clients meet, with no hardware.
//!
//! ```text
//!              host                 |            board                |              chip
//!  VirtualTransport (in process)  --+                                 |  boot (ROM log, image loading)
//!  rfc2217 (TCP), pty             --+--> uart: bytes with time, rates | --> loader::rom  --> loader::stub
//!  DTR, RTS                       ----->  lines: EN, GPIO0, straps    |     peripherals: RAM, eFuse, spi
//!                                   |     nor: flash, file            | <-- flash_routines of the ROM
//!  clients of the broker  <-------- sockets of espbroker-host <------ |     firmware: the real device code
//! ```
//!
//! `chip` joins these and knows no clock; [`VirtualDevice`] gives it one, real or simulated. [`Fault`] lists
//! what can go wrong. The CPU is not simulated: the boot ROM and the stubs are written out as what they do, and
//! firmware is recognised by its image descriptor and run natively ([`image`] builds such images).
//!
//! ```
//! use espbroker_flasher::{ConnectOptions, Session};
//! use espbroker_virtual_device::{Clock, Options, VirtualDevice};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let device = VirtualDevice::new(Options { clock: Clock::Simulated, ..Options::default() })?;
//! let mut events = |_| {};
//! let port = Box::new(device.transport());
//! let mut session = Session::connect(port, ConnectOptions::default(), &mut events)?;
//! assert_eq!(session.identify()?.flash.capacity, Some(4 << 20));
//! # Ok(())
//! # }
//! ```

mod boot;
mod chip;
mod device;
mod fault;
mod firmware;
mod flash_routines;
pub mod image;
mod line;
mod lines;
mod loader;
mod machine;
mod nor;
#[cfg(unix)]
mod pty;
mod random;
mod rfc2217;
mod timing;
mod transport;
mod uart;
mod wifi;

pub use espbroker_host::Ports;

pub use device::{Clock, Options, VirtualDevice};
pub use fault::{Direction, Fault};
pub use lines::{FlashButton, Wiring};
pub use nor::{FlashSource, StorageError};
#[cfg(unix)]
pub use pty::ServedPty;
pub use rfc2217::Served;
pub use timing::{Pace, Timing};
pub use transport::VirtualTransport;
pub use wifi::{Dhcp, Network, Refusal, SimulatedWifi};
