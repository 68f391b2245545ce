//! [`NativePort`]: a serial port of the operating system.
//!
//! Opened exclusively, so that no monitor eats replies. The `serialport` crate sets DTR and RTS one after the other,
//! so both cannot change in one step here; DTR goes first, since on boards that wire DTR and RTS straight to GPIO0 and
//! EN the strap must be right before reset is let go.

use std::io::{ErrorKind as IoErrorKind, Read, Write};
use std::time::{Duration, Instant};

use serialport::{ClearBuffer, ErrorKind, SerialPort};

use super::{ControlLines, Transport, TransportError};

/// One write may take this long: 4 KiB at 4800 baud, which is far below any rate used.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);

/// An open port.
pub struct NativePort {
    port: Box<dyn SerialPort>,
    name: String,
    baud: u32,
    lines_work: bool,
    opened: Instant,
}

impl NativePort {
    /// Opens `name` for this program alone, with 8 data bits, no parity, one stop bit and no flow control.
    ///
    /// # Errors
    /// [`TransportError`] when the port is not there, is taken, may not be opened or cannot run at `baud`.
    pub fn open(name: &str, baud: u32) -> Result<Self, TransportError> {
        let builder = serialport::new(name, baud).timeout(WRITE_TIMEOUT);
        // Windows keeps the lines as they are told here; elsewhere opening asserts both, which lets go of both pins.
        #[cfg(windows)]
        let builder = builder.dtr_on_open(false);
        let port = builder.open().map_err(|error| open_error(name, &error))?;
        Ok(Self { port, name: name.to_owned(), baud, lines_work: false, opened: Instant::now() })
    }

    fn error(&self, error: &std::io::Error) -> TransportError {
        let port = self.name.clone();
        match error.kind() {
            IoErrorKind::BrokenPipe | IoErrorKind::NotFound | IoErrorKind::UnexpectedEof => {
                TransportError::Gone { port }
            }
            _ if !exists(&self.name) => TransportError::Gone { port },
            _ => TransportError::Other { port, message: error.to_string() },
        }
    }
}

/// Whether the operating system still knows the port; where ports are no files, it says so itself.
fn exists(name: &str) -> bool {
    !name.starts_with('/') || std::path::Path::new(name).exists()
}

fn open_error(name: &str, error: &serialport::Error) -> TransportError {
    let port = name.to_owned();
    match error.kind() {
        ErrorKind::Io(IoErrorKind::NotFound) => TransportError::NotFound { port },
        // Windows refuses access to a port that another program holds.
        ErrorKind::Io(IoErrorKind::PermissionDenied) if cfg!(windows) => TransportError::Busy { port },
        ErrorKind::Io(IoErrorKind::PermissionDenied) => TransportError::PermissionDenied { port },
        // On Unix, serialport says "no device" when the exclusive lock is taken.
        ErrorKind::NoDevice if cfg!(unix) && exists(name) => TransportError::Busy { port },
        ErrorKind::NoDevice if error.description.to_ascii_lowercase().contains("denied") => {
            TransportError::Busy { port }
        }
        ErrorKind::NoDevice => TransportError::NotFound { port },
        _ if !exists(name) => TransportError::NotFound { port },
        _ => TransportError::Other { port, message: error.description.clone() },
    }
}

impl Transport for NativePort {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.port.write_all(bytes).map_err(|error| self.error(&error))
    }

    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, TransportError> {
        let port = self.name.clone();
        self.port
            .set_timeout(timeout)
            .map_err(|error| TransportError::Other { port: port.clone(), message: error.description })?;
        let result = self.port.read(buffer);
        let restored = self.port.set_timeout(WRITE_TIMEOUT);
        restored.map_err(|error| TransportError::Other { port: port.clone(), message: error.description })?;
        match result {
            // A terminal at its end has no other side any more.
            Ok(0) if !buffer.is_empty() => Err(TransportError::Gone { port }),
            Ok(length) => Ok(length),
            Err(error) if matches!(error.kind(), IoErrorKind::TimedOut | IoErrorKind::Interrupted) => Ok(0),
            Err(error) => Err(self.error(&error)),
        }
    }

    fn set_lines(&mut self, lines: ControlLines) -> Result<(), TransportError> {
        let dtr = self.port.write_data_terminal_ready(lines.dtr);
        let both = dtr.and_then(|()| self.port.write_request_to_send(lines.rts));
        // Some Windows drivers pass RTS on only with the next write of DTR.
        #[cfg(windows)]
        let both = both.and_then(|()| self.port.write_data_terminal_ready(lines.dtr));
        match both {
            Ok(()) => {
                self.lines_work = true;
                Ok(())
            }
            Err(_) if !exists(&self.name) => Err(TransportError::Gone { port: self.name.clone() }),
            // A line that once could be set and now cannot belongs to an adapter that is being unplugged.
            Err(_) if self.lines_work => Err(TransportError::Gone { port: self.name.clone() }),
            Err(_) => Err(TransportError::NoControlLines { port: self.name.clone() }),
        }
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), TransportError> {
        self.port.flush().map_err(|error| self.error(&error))?;
        match self.port.set_baud_rate(baud) {
            Ok(()) => {
                self.baud = baud;
                Ok(())
            }
            Err(_) if !exists(&self.name) => Err(TransportError::Gone { port: self.name.clone() }),
            Err(_) => Err(TransportError::BaudRefused { port: self.name.clone(), baud }),
        }
    }

    fn baud(&self) -> u32 {
        self.baud
    }

    fn discard_input(&mut self) -> Result<(), TransportError> {
        self.port.clear(ClearBuffer::Input).map_err(|error| self.error(&error.into()))
    }

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn sleep(&mut self, duration: Duration) {
        std::thread::sleep(duration);
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_not_there_is_not_found() {
        let error = NativePort::open("/dev/there-is-no-such-port", 115_200).err();
        assert_eq!(error, Some(TransportError::NotFound { port: "/dev/there-is-no-such-port".to_owned() }));
    }

    #[test]
    fn a_pseudo_terminal_is_exclusive_has_no_control_lines_and_can_go_away() {
        let (mut master, slave) = serialport::TTYPort::pair().unwrap();
        let name = slave.name().unwrap();
        drop(slave);
        let mut port = NativePort::open(&name, 115_200).unwrap();
        assert_eq!(
            NativePort::open(&name, 115_200).err(),
            // A privileged user may open a locked terminal, but not take its file lock as well.
            Some(TransportError::Busy { port: name.clone() })
        );
        let lines = ControlLines { dtr: true, rts: false };
        assert_eq!(port.set_lines(lines), Err(TransportError::NoControlLines { port: name.clone() }));
        master.write_all(b"ok").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(port.read(&mut buffer, Duration::from_secs(2)), Ok(2));
        assert_eq!(port.read(&mut buffer, Duration::from_millis(1)), Ok(0));
        port.set_baud(74_880).unwrap();
        assert_eq!(port.baud(), 74_880);
        drop(master);
        assert_eq!(port.read(&mut buffer, Duration::from_secs(2)), Err(TransportError::Gone { port: name }));
    }
}
