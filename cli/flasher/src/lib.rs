//! Talks to the ESP8266's serial loader: find a port, reset into the loader, identify, program, verify, read back,
//! start the firmware and hear it.
//!
//! ```no_run
//! use espbroker_flasher::{ConnectOptions, EraseAllowed, Order, Region, Secrecy, Session, transport};
//!
//! # fn main() -> Result<(), espbroker_flasher::FlasherError> {
//! let port = transport::open("/dev/ttyUSB0", 115_200)?;
//! let mut events = |event| eprintln!("{event:?}");
//! let mut session = Session::connect(port, ConnectOptions::default(), &mut events)?;
//! let device = session.identify()?;
//! let image = Region {
//!     name: "image".to_owned(),
//!     offset: 0,
//!     bytes: vec![0xE9; 4096],
//!     secrecy: Secrecy::Public,
//!     order: Order::FirstSectorLast,
//! };
//! let allowed = EraseAllowed::only([image.sectors()]);
//! let programmed = session.program(&[image], &allowed)?;
//! # Ok(())
//! # }
//! ```
//!
//! Nothing here draws, asks or explains: an operation reports [`Event`]s to one closure and ends with an error of its
//! stage, all of which [`FlasherError`] wraps. Destructive calls take an [`EraseAllowed`]. The boot ROM alone can do
//! everything but compute digests, which a [`Stub`] adds, with compression and faster rates; with the project's own,
//! only what differs is written, and requests are sent ahead.

pub mod boot;
pub mod cancel;
pub mod connect;
mod deflate;
mod differences;
pub mod erase;
mod error;
pub mod event;
mod flash_controller;
pub mod identify;
mod link;
mod pipeline;
pub mod ports;
pub mod probe;
pub mod program;
pub mod protocol;
pub mod read;
pub mod reset;
mod session;
pub mod slip;
mod start;
pub mod stub;
#[cfg(test)]
mod tests;
pub mod transport;
pub mod verify;

pub use boot::{BootError, BootLog, BootVerdict, Console, Reset, RomLog, TimedLog};
pub use cancel::Cancel;
pub use connect::{BootMode, ConnectError, ConnectOptions, Diagnosis};
pub use deflate::Prepared;
pub use erase::{EraseAllowed, EraseError};
pub use error::FlasherError;
pub use event::{Event, Progress, Secrecy, Stage, Trace, Warning};
pub use identify::{Chip, DeviceInfo, FlashId, IdentifyError};
pub use link::CommandError;
pub use probe::UnknownReply;
pub use program::{Order, ProgramError, Programmed, Region};
pub use read::ReadError;
pub use reset::Wiring;
pub use session::{Loader, SECTOR, Session};
pub use start::{BAUD_LADDER, FAST_RATES, StubError, StubStart};
pub use stub::{Stub, StubFileError};
pub use transport::{Transport, TransportError};
pub use verify::{Content, Difference, Verified, VerifyError};
