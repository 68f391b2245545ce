//! Starting the firmware, and hearing it.
//!
//! The boot ROM's log runs at 74880 baud with a 26 MHz crystal and the firmware at 115200, so one listener cannot hear
//! both from the first byte: [`BootLog`] says which one matters. The log's lines are the ESP8266 boot ROM's.

use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::connect::{BOOT_LOG_BAUD, BootMode, DEFAULT_BAUD, boot_mode, listen, printable};
use crate::event::{Event, Stage};
use crate::link::{COMMAND_TIMEOUT, CommandError, Link};
use crate::protocol::Command;
use crate::reset::Wiring;
use crate::session::Session;
use crate::transport::{Transport, TransportError};

/// The longest line that is handed out in one piece.
const LINE_MAX: usize = 1024;
/// A boot log is over before this, however long it took to begin.
const LOG_LIMIT: Duration = Duration::from_secs(2);
/// How long waiting for a line goes on before it looks whether it was cancelled.
const SLICE: Duration = Duration::from_millis(100);

/// Which output of a start is to be heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootLog {
    /// The boot ROM's; the firmware's first lines are lost.
    Read,
    /// The firmware's; the boot ROM's log comes as garbage in front.
    Skip,
}

/// What the boot ROM made of the flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BootVerdict {
    /// It loaded an image and jumped to it.
    Started,
    /// `csum err`: the image is damaged, or the flash does not work in the mode that its header names.
    ChecksumError,
    /// No image at offset 0.
    NothingToStart,
    /// It did not try: the straps chose another boot mode.
    OtherBootMode(BootMode),
    /// Nothing that can be read.
    NoLog,
}

/// The boot ROM's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RomLog {
    /// What it comes down to.
    pub verdict: BootVerdict,
    /// What could be printed.
    pub text: String,
}

impl RomLog {
    fn new(bytes: &[u8]) -> Self {
        let text = printable(bytes);
        let verdict = match boot_mode(bytes) {
            None => BootVerdict::NoLog,
            Some(BootMode::FLASH) if text.contains("csum err") => BootVerdict::ChecksumError,
            Some(BootMode::FLASH) if text.contains("ets_main.c") => BootVerdict::NothingToStart,
            Some(BootMode::FLASH) => BootVerdict::Started,
            Some(other) => BootVerdict::OtherBootMode(other),
        };
        Self { verdict, text }
    }
}

/// A boot ROM's log, and when it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimedLog {
    /// The log.
    pub log: RomLog,
    /// Bytes that came.
    pub bytes: usize,
    /// From the end of the reset to the first and the last of them; both are the same when nothing came.
    pub heard: Range<Duration>,
}

/// Who starts the firmware.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The control lines did.
    Done {
        /// With [`BootLog::Read`].
        log: Option<RomLog>,
    },
    /// The user has to: let GPIO0 go and power-cycle the device.
    ByUser,
    /// The stub did, as far as it can be known: the chip was not reset, and where nothing is heard of it the user has
    /// to do it after all.
    ByStub,
}

/// Why the firmware cannot be heard.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// The port failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// [`Cancel`] was asked.
    #[error("cancelled")]
    Cancelled,
}

/// A device that runs its firmware, line by line.
pub struct Console<'e> {
    link: Link<'e>,
    wiring: Wiring,
    /// The project's stub is running and can start the firmware where no line can.
    stub: bool,
    baud: u32,
    partial: Vec<u8>,
    lines: VecDeque<String>,
}

impl<'e> Session<'e> {
    /// Goes over to the firmware's console; the device is still in its loader until [`Console::reset`].
    pub fn into_console(self) -> Console<'e> {
        let stub = self.stub_info.is_some();
        Console { stub, ..Console::over(self.link, self.options.wiring) }
    }
}

impl<'e> Console<'e> {
    /// Listens on a port without touching the device.
    pub fn new(
        transport: Box<dyn Transport>,
        wiring: Wiring,
        cancel: Cancel,
        events: &'e mut dyn FnMut(Event),
    ) -> Self {
        let link = Link::new(transport, cancel, events);
        Self::over(link, wiring)
    }

    fn over(link: Link<'e>, wiring: Wiring) -> Self {
        let (partial, lines) = (Vec::new(), VecDeque::new());
        Self { link, wiring, stub: false, baud: DEFAULT_BAUD, partial, lines }
    }

    /// Listens at another rate than 115200 from now on, also after [`Console::reset`].
    ///
    /// # Errors
    /// [`BootError::Transport`] when the port cannot run at it; the rate is then as before.
    pub fn listen_at(&mut self, baud: u32) -> Result<(), BootError> {
        self.link.set_baud(baud)?;
        self.baud = baud;
        Ok(())
    }

    /// Resets the device into its firmware and listens from there on at 115200 baud, or the rate of
    /// [`Console::listen_at`]; lines not yet taken are dropped. Where the port has no lines for it, a running stub of
    /// the project's is asked to start the firmware, once.
    ///
    /// # Errors
    /// [`BootError::Transport`]; a port that cannot run at 74880 baud gives [`BootVerdict::NoLog`] instead.
    pub fn reset(&mut self, log: BootLog) -> Result<Reset, BootError> {
        self.link.stage(Stage::Boot);
        self.partial.clear();
        self.lines.clear();
        let Some(strategy) = self.wiring.into_firmware() else { return self.start_without_lines() };
        let can_listen = match log {
            BootLog::Skip => false,
            BootLog::Read => match self.link.set_baud(BOOT_LOG_BAUD) {
                Ok(()) => true,
                Err(TransportError::BaudRefused { .. }) => false,
                Err(error) => return Err(error.into()),
            },
        };
        if !can_listen {
            self.link.set_baud(self.baud)?;
        }
        self.link.discard_input()?;
        match self.link.run(&strategy) {
            // The stub, if there is one, was at another rate than the port is at now.
            Err(TransportError::NoControlLines { .. }) => {
                self.wiring = Wiring::Manual;
                self.stub = false;
                return self.start_without_lines();
            }
            result => result?,
        }
        self.stub = false;
        let bytes = if can_listen { listen(&mut self.link)? } else { Vec::new() };
        self.link.set_baud(self.baud)?;
        Ok(Reset::Done { log: (log == BootLog::Read).then(|| RomLog::new(&bytes)) })
    }

    /// Resets the device into its firmware and takes the time of the boot ROM's log; `None` where the port has no lines
    /// for it or cannot run at 74880 baud.
    ///
    /// # Errors
    /// [`BootError::Transport`].
    pub fn time_boot_log(&mut self) -> Result<Option<TimedLog>, BootError> {
        let Some(strategy) = self.wiring.into_firmware() else { return Ok(None) };
        match self.link.set_baud(BOOT_LOG_BAUD) {
            Err(TransportError::BaudRefused { .. }) => return Ok(None),
            result => result?,
        }
        self.link.discard_input()?;
        self.link.run(&strategy)?;
        self.stub = false;
        let started = self.link.now();
        let since = |console: &Self| console.link.now().saturating_sub(started);
        let (mut bytes, mut heard) = (Vec::new(), Duration::ZERO..Duration::ZERO);
        while since(self) < LOG_LIMIT {
            let more = self.link.read_raw(SLICE)?;
            if more.is_empty() && !bytes.is_empty() {
                break;
            }
            if !more.is_empty() {
                let now = since(self);
                heard = if bytes.is_empty() { now..now } else { heard.start..now };
            }
            bytes.extend(more);
        }
        self.link.set_baud(self.baud)?;
        Ok(Some(TimedLog { log: RomLog::new(&bytes), bytes: bytes.len(), heard }))
    }

    /// Asks a running stub of the project's to start the firmware, whether or not the lines could; `false` when there
    /// is none, or it did not answer.
    ///
    /// # Errors
    /// [`BootError`] when the port failed or the operation was cancelled.
    pub fn start_by_stub(&mut self) -> Result<bool, BootError> {
        Ok(self.start_without_lines()? == Reset::ByStub)
    }

    fn start_without_lines(&mut self) -> Result<Reset, BootError> {
        let asked = if std::mem::take(&mut self.stub) {
            match self.link.command(&Command::RunUserCode, COMMAND_TIMEOUT) {
                Ok(_) => true,
                Err(CommandError::Transport(error)) => return Err(error.into()),
                Err(CommandError::Cancelled) => return Err(BootError::Cancelled),
                Err(_) => false,
            }
        } else {
            false
        };
        self.link.set_baud(self.baud)?;
        Ok(if asked { Reset::ByStub } else { Reset::ByUser })
    }

    /// The next line without its end; `None` when `timeout` has passed without a whole one. Bytes that are no UTF-8
    /// are replaced, and a line of more than 1024 bytes comes in pieces.
    ///
    /// # Errors
    /// [`BootError`] when the port failed or the wait was cancelled.
    pub fn next_line(&mut self, timeout: Duration) -> Result<Option<String>, BootError> {
        let deadline = self.link.now() + timeout;
        loop {
            self.link.check_cancel().map_err(|_| BootError::Cancelled)?;
            if let Some(line) = self.lines.pop_front() {
                return Ok(Some(line));
            }
            let remaining = deadline.saturating_sub(self.link.now());
            if remaining.is_zero() {
                return Ok(None);
            }
            let bytes = self.link.read_raw(remaining.min(SLICE))?;
            for byte in bytes {
                match byte {
                    b'\n' => self.end_line(),
                    _ if self.partial.len() >= LINE_MAX => {
                        self.end_line();
                        self.partial.push(byte);
                    }
                    _ => self.partial.push(byte),
                }
            }
        }
    }

    fn end_line(&mut self) {
        let line = self.partial.strip_suffix(b"\r").unwrap_or(&self.partial);
        self.lines.push_back(String::from_utf8_lossy(line).into_owned());
        self.partial.clear();
    }

    /// Sends bytes to the firmware.
    ///
    /// # Errors
    /// [`BootError::Transport`].
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), BootError> {
        Ok(self.link.write_raw(bytes)?)
    }

    /// Gives the port back.
    pub fn into_transport(self) -> Box<dyn Transport> {
        self.link.into_transport()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boot_log_tells_a_start_from_damage_emptiness_and_other_straps() {
        let verdict = |log: &str| RomLog::new(log.as_bytes()).verdict;
        let flash = "\r\n ets Jan  8 2013,rst cause:2, boot mode:(3,6)\r\n\r\n";
        assert_eq!(
            verdict(&format!("{flash}load 0x40100000, len 25700, room 16 \r\n")),
            BootVerdict::Started
        );
        assert_eq!(
            verdict(&format!("{flash}csum 0x5f\r\ncsum err\r\nets_main.c 181 ")),
            BootVerdict::ChecksumError
        );
        assert_eq!(verdict(&format!("{flash}ets_main.c")), BootVerdict::NothingToStart);
        let download = "\r\n ets Jan  8 2013,rst cause:2, boot mode:(1,6)\r\n";
        assert_eq!(verdict(download), BootVerdict::OtherBootMode(BootMode(1)));
        assert_eq!(verdict("\u{fffd}x"), BootVerdict::NoLog);
    }
}
