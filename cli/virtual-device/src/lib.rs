//! A virtual ESP8266 on a virtual board: what a flasher and a broker's clients meet, with no hardware.
//!
//! ```text
//!              host                 |            board                |              chip
//!  VirtualTransport (in process)  --+                                 |  boot (ROM log, image loading)
//!  rfc2217 (TCP), pty             --+--> line: bytes with time, rates | --> loader::rom, acted --> machine: code on
//!  DTR, RTS                       ----->  lines: EN, GPIO0, straps    |     the LX106, its peripherals, and the
//!                                   |     nor: flash, file            | <-- boot ROM's functions
//!  clients of the broker  <-------- sockets of espbroker-host <------ |     paravirtual: radio and network
//! ```
//!
//! `chip` joins these and knows no clock; [`VirtualDevice`] gives it one, real or simulated. [`Fault`] lists
//! what can go wrong.
//!
//! Executed, instruction by instruction: whatever the loader uploads and starts (flasher stubs), and images in flash,
//! firmware among them ([`image`] has the one for this device). They meet the chip's memory map with its access faults, UARTs, SPI flash
//! controller, timers, watchdog, GPIO, RTC, system registers and interrupts ([`machine`]); functions of the boot ROM
//! are native code at their addresses. Acted out, as what it does: the boot ROM itself, from its log to its serial
//! loader. In place of the radio stands a device that no real chip has (`espbroker-paravirtual`). With
//! [`Firmware::Host`], images for the virtual target are not executed: the device code that is built into this program runs
//! in their place. Not there: radio, SDIO, sleep, the analog parts, and the timing of the flash cache.
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

pub use espbroker_host::{DiscoveryPorts, Ports};

pub use device::{Clock, Firmware, Options, Usage, VirtualDevice};
pub use fault::{Direction, Fault};
pub use lines::{FlashButton, Wiring};
pub use nor::{FlashSource, StorageError};
#[cfg(unix)]
pub use pty::ServedPty;
pub use rfc2217::Served;
pub use timing::{Pace, Timing};
pub use transport::VirtualTransport;
pub use uart::Traffic;
pub use wifi::{Dhcp, Network, Refusal, SimulatedWifi};
