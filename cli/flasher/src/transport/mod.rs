//! [`Transport`]: bytes, control lines, baud rate and time between the flasher and one device.
//!
//! The clock belongs to the transport so that a simulated device can run in simulated time: the flasher never asks
//! the operating system what time it is, and a test of a 30 s silence takes no time.

mod native;
pub mod rfc2217;
pub mod telnet;

use std::time::Duration;

pub use native::NativePort;

/// What a port name starts with when a server on the network holds the port.
pub const RFC2217_PREFIX: &str = "rfc2217://";

/// Opens a port by the name that a user gives: `rfc2217://host:port`, or what the operating system calls it.
///
/// # Errors
/// [`TransportError`] when the port is not there, is taken, may not be opened or cannot run at `baud`.
pub fn open(name: &str, baud: u32) -> Result<Box<dyn Transport>, TransportError> {
    match name.strip_prefix(RFC2217_PREFIX) {
        Some(address) => Ok(Box::new(rfc2217::Rfc2217Port::connect(address, baud)?)),
        None => Ok(Box::new(NativePort::open(name, baud)?)),
    }
}

/// The two modem control lines that reset adapters use; `true` is asserted, which pulls the pin behind it low.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ControlLines {
    /// DTR: GPIO0 on the usual two-transistor circuit.
    pub dtr: bool,
    /// RTS: reset (EN) on the usual circuit.
    pub rts: bool,
}

/// A byte pipe to one device.
///
/// Every method returns within the time that its arguments give, plus what the operating system needs. After an
/// error of kind [`TransportError::Gone`] nothing else will succeed.
///
/// Every error is a [`TransportError`] that names the port.
#[expect(clippy::missing_errors_doc, reason = "said once for the whole trait")]
pub trait Transport: Send {
    /// Sends all of `bytes`, and returns when the operating system or the link has taken them.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError>;

    /// Waits until at least one byte is there and returns how many were put in front of `buffer`; `Ok(0)` when
    /// `timeout` has passed in silence.
    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, TransportError>;

    /// Sets both lines, in one step where the platform can ([`TransportError::NoControlLines`] where it cannot at
    /// all).
    fn set_lines(&mut self, lines: ControlLines) -> Result<(), TransportError>;

    /// Changes the host's baud rate once everything written has left.
    fn set_baud(&mut self, baud: u32) -> Result<(), TransportError>;

    /// The host's baud rate.
    fn baud(&self) -> u32;

    /// Throws away what has arrived and was not read.
    fn discard_input(&mut self) -> Result<(), TransportError>;

    /// Time since some fixed point, never going back.
    fn now(&self) -> Duration;

    /// Lets `duration` pass.
    fn sleep(&mut self, duration: Duration);

    /// The port's name as the user wrote it.
    fn name(&self) -> &str;
}

/// Why the port itself failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// There is no such port.
    #[error("no such port: `{port}`")]
    NotFound {
        /// As the user wrote it.
        port: String,
    },
    /// The operating system refuses access.
    #[error("permission denied on port: `{port}`")]
    PermissionDenied {
        /// As the user wrote it.
        port: String,
    },
    /// Another program holds the port.
    #[error("port is in use by another program: `{port}`")]
    Busy {
        /// As the user wrote it.
        port: String,
    },
    /// The adapter was unplugged or the connection closed.
    #[error("port disappeared: `{port}`")]
    Gone {
        /// As the user wrote it.
        port: String,
    },
    /// The port has no DTR and RTS lines.
    #[error("port has no DTR and RTS lines: `{port}`")]
    NoControlLines {
        /// As the user wrote it.
        port: String,
    },
    /// The rate cannot be set on this port.
    #[error("port cannot run at {baud} baud: `{port}`")]
    BaudRefused {
        /// As the user wrote it.
        port: String,
        /// What was asked for.
        baud: u32,
    },
    /// Anything else that the operating system said.
    #[error("{message}: `{port}`")]
    Other {
        /// As the user wrote it.
        port: String,
        /// The operating system's words.
        message: String,
    },
}
