//! Measuring a line and a loader: what `selftest` reports, and what a faster rate must pass.
//!
//! Nothing here writes to flash. What needs the project's own stub says so and gives
//! [`CommandError::Refused`] or [`CommandError::NoReply`] without it.

use std::borrow::Cow;
use std::ops::Range;
use std::time::Duration;

use crate::connect::ConnectError;
use crate::link::{COMMAND_TIMEOUT, CommandError};
use crate::pipeline::Queued;
use crate::protocol::{CHIP_MAGIC, CHIP_MAGIC_REGISTER, Command, ECHO_MAX, Opcode, Response};
use crate::session::{SECTOR, Session};

/// How long a loader may take to refuse an opcode that it does not know.
const UNKNOWN_TIMEOUT: Duration = Duration::from_millis(500);

/// What a loader makes of an opcode that it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownReply {
    /// It says so.
    Refused {
        /// First status byte.
        status: u8,
        /// Second status byte.
        error: u8,
    },
    /// It says nothing.
    Silence,
}

/// `length` bytes with every value, long runs and both bytes that SLIP escapes: what lines get wrong.
pub fn probe_pattern(length: usize) -> Vec<u8> {
    let mut state = 0x2545_F491_u32;
    let mut next = |position: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        match position / 32 % 4 {
            0 => 0x55,
            1 => [0x00, 0xFF].get(position / 8 % 2).copied().unwrap_or_default(),
            _ => state.to_le_bytes()[0],
        }
    };
    (0..length).map(&mut next).collect()
}

impl Session<'_> {
    /// Sends `count` ECHO requests of `length` bytes ahead and compares what comes back; only the project's own stub
    /// answers.
    ///
    /// # Errors
    /// [`CommandError`]; [`CommandError::Malformed`] when other bytes came back.
    pub fn probe_line(&mut self, length: usize, count: usize) -> Result<(), CommandError> {
        let bytes = probe_pattern(length.min(ECHO_MAX));
        let window = self.stub_info().map_or(0, |info| info.receive_window);
        let request = || Queued::plain(Command::Echo { bytes: Cow::Borrowed(&bytes) });
        let mut wrong = None;
        self.link.pipeline(window, std::iter::repeat_with(request).take(count), |_, _, response| {
            if response.data != bytes {
                wrong = Some(response.data.len());
            }
        })?;
        wrong.map_or(Ok(()), |length| Err(CommandError::Malformed { opcode: Opcode::Echo, length }))
    }

    /// How long a register read takes, there and back, one for each of `count`.
    ///
    /// # Errors
    /// [`CommandError`]; [`CommandError::Malformed`] when the register holds something else.
    pub fn round_trips(&mut self, count: usize) -> Result<Vec<Duration>, CommandError> {
        let command = Command::ReadRegister { address: CHIP_MAGIC_REGISTER };
        let mut times = Vec::new();
        for _ in 0..count {
            let started = self.link.now();
            if self.link.command(&command, COMMAND_TIMEOUT)?.value != CHIP_MAGIC {
                return Err(CommandError::Malformed { opcode: command.opcode(), length: 0 });
            }
            times.push(self.link.now().saturating_sub(started));
        }
        Ok(times)
    }

    /// How long the digests of whole sectors take; only the project's own stub has them.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn time_digests(&mut self, span: Range<u32>) -> Result<Duration, CommandError> {
        let count = span.end.saturating_sub(span.start) / SECTOR;
        self.time(&Command::SectorDigests { offset: span.start, count })
    }

    /// How long the one digest of a span takes; every stub has it.
    ///
    /// # Errors
    /// [`CommandError`].
    pub fn time_digest(&mut self, span: Range<u32>) -> Result<Duration, CommandError> {
        let size = span.end.saturating_sub(span.start);
        self.time(&Command::SpiFlashMd5 { offset: span.start, size })
    }

    fn time(&mut self, command: &Command<'_>) -> Result<Duration, CommandError> {
        let started = self.link.now();
        self.link.command(command, Duration::from_secs(40))?;
        Ok(self.link.now().saturating_sub(started))
    }

    /// Changes the rate of a running stub, and tries it out.
    ///
    /// # Errors
    /// [`CommandError`]; the stub may then run at either rate.
    pub fn set_stub_baud(&mut self, baud: u32) -> Result<(), CommandError> {
        self.change_baud(baud)
    }

    /// Resets the chip into the boot ROM's loader, whatever runs.
    ///
    /// # Errors
    /// [`ConnectError`] when it is not found again.
    pub fn reset_into_loader(&mut self) -> Result<(), ConnectError> {
        self.reconnect()
    }

    /// What the loader makes of an opcode that only the project's stub knows: of interest on the boot ROM.
    ///
    /// # Errors
    /// [`CommandError::Transport`] and [`CommandError::Cancelled`] only.
    pub fn unknown_opcode(&mut self) -> Result<UnknownReply, CommandError> {
        let opcode = Opcode::StubInfo;
        self.link.check_cancel()?;
        self.link.send(&Command::StubInfo)?;
        let deadline = self.link.now() + UNKNOWN_TIMEOUT;
        while let Some(frame) = self.link.frame(deadline.saturating_sub(self.link.now()))? {
            if let Some(Response { status, error, .. }) =
                Response::parse(&frame).ok().filter(|response| response.opcode == opcode.byte())
            {
                return Ok(UnknownReply::Refused { status, error });
            }
        }
        Ok(UnknownReply::Silence)
    }

    /// Time on the port's own clock.
    pub fn now(&self) -> Duration {
        self.link.now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slip;

    #[test]
    fn the_pattern_has_what_lines_get_wrong() {
        let pattern = probe_pattern(2048);
        assert_eq!(pattern.len(), 2048);
        for byte in [0x00, 0x55, 0xFF, slip::END, slip::ESCAPE] {
            assert!(pattern.contains(&byte), "{byte:#x}");
        }
        assert_eq!(probe_pattern(100)[..], pattern[..100]);
    }
}
