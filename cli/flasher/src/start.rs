//! Starting a stub, and finding the fastest rate that its line bears.
//!
//! A stub is uploaded with MEM_BEGIN, MEM_DATA and MEM_END, and greets with `OHAI`. Newer ones of others compute the
//! divider of CHANGE_BAUDRATE from 115200 whatever the rate is, so the rate is changed at most once after each start,
//! and stepping down means a reset and another upload. The project's own can change as often as it likes, but a rate at
//! which nothing gets through can only be left by a reset too.
//!
//! The upload is most of what is left of a short session, so the boot ROM itself is taken to a faster rate for the
//! project's own stub: its loader lets any register be written, that of the UART's clock divider included. Where that
//! does not work, a reset brings the boot ROM back to its usual rate.

use std::borrow::Cow;
use std::time::Duration;

use crate::connect::{ConnectError, DEFAULT_BAUD};
use crate::event::{Event, Stage, Warning};
use crate::link::{COMMAND_TIMEOUT, CommandError, wire_time};
use crate::protocol::{
    CHIP_MAGIC, CHIP_MAGIC_REGISTER, Command, RAM_BLOCK, RegisterWrite, Response, STUB_GREETING,
    UART_CLOCK_DIVIDER,
};
use crate::reset::Wiring;
use crate::session::{Loader, Session, length_of};
use crate::stub::{Origin, Stub};
use crate::transport::TransportError;

/// Rates worth trying, fastest first; the last needs no change.
pub const BAUD_LADDER: [u32; 3] = [FASTEST_USUAL, 230_400, 115_200];
/// Rates that some adapters and cables bear, fastest first: to be tried before the ladder by those who ask for it.
pub const FAST_RATES: [u32; 2] = [1_500_000, 921_600];
/// Up to here, a short probe will do.
const FASTEST_USUAL: u32 = 460_800;

/// From the jump to the greeting.
const GREETING_TIMEOUT: Duration = COMMAND_TIMEOUT;
/// What the chip needs to go to another rate: other stubs wait up to 10 ms themselves.
const BAUD_PAUSE: Duration = Duration::from_millis(50);
/// The project's stub changes as soon as its answer is out; the rest is for the adapter.
const OWN_BAUD_PAUSE: Duration = Duration::from_millis(5);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Register reads that must be right at the new rate.
const PROBES: u32 = 5;
/// Bytes there and back that must be right at the new rate, and how often.
const PROBE: (usize, usize) = (256, 1);
/// The same above the usual rates, where a line may work nearly always: 8 KB, 90 ms at 921600.
const FAST_PROBE: (usize, usize) = (2048, 4);
const UPLOADS: u32 = 2;
/// The fastest rate for the boot ROM, whose loader takes its bytes in an interrupt.
const FASTEST_ROM: u32 = FASTEST_USUAL;
/// The bits of `UART_CLOCK_DIVIDER` that are the divider.
const UART_DIVIDER_MASK: u32 = 0xF_FFFF;
/// From the last byte of the request until the adapter has sent it, at its old rate.
const ROM_BAUD_PAUSE: Duration = Duration::from_millis(10);
/// Until the boot ROM answers at its new rate, to which the adapter has gone by then.
const ROM_ANSWER_DELAY: Duration = Duration::from_millis(30);
/// Frames that may come before the greeting.
const FRAMES_BEFORE_GREETING: u32 = 4;

/// Why no stub is running.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StubError {
    /// The upload failed.
    #[error("cannot upload the stub: {0}")]
    Upload(#[from] CommandError),
    /// It was uploaded and did not say so.
    #[error("stub does not start")]
    NoGreeting,
    /// The boot ROM could not be found again after a failed start or rate.
    #[error("lost the device while starting the stub: {0}")]
    Reconnect(#[from] ConnectError),
}

impl From<TransportError> for StubError {
    fn from(error: TransportError) -> Self {
        Self::Upload(error.into())
    }
}

impl StubError {
    const fn is_retryable(&self) -> bool {
        match self {
            Self::Upload(error) => error.is_retryable(),
            Self::NoGreeting => true,
            Self::Reconnect(_) => false,
        }
    }
}

/// Who answers after [`Session::start_stub`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StubStart {
    /// The stub, at this rate.
    Running {
        /// Of the ladder, or the session's own.
        baud: u32,
    },
    /// The boot ROM: the stub did not start.
    RomOnly {
        /// The last attempt's error.
        reason: StubError,
    },
}

impl Session<'_> {
    /// Uploads and starts a stub, then goes to the first rate of `ladder` that works.
    ///
    /// A stub that is already running is kept as it is. The rate is left alone where the user does the resets, since a
    /// failed change could not be undone, and where the session does not run at 115200, which newer stubs rely on.
    ///
    /// # Errors
    /// [`StubError`] when the port failed, the operation was cancelled, or the device is lost; a stub that does not
    /// start is no error but [`StubStart::RomOnly`].
    pub fn start_stub(&mut self, stub: &Stub, ladder: &[u32]) -> Result<StubStart, StubError> {
        if self.loader == Loader::Stub && self.stub_info.is_none() {
            return Ok(StubStart::Running { baud: self.baud() });
        }
        let own = self.options.baud;
        let is_free = stub.origin == Origin::Own || own == DEFAULT_BAUD;
        let may_change = is_free && self.may_change_baud();
        let faster = ladder.iter().copied().filter(|&baud| may_change && baud > own);
        let mut is_first = stub.origin == Origin::Own;
        for baud in faster.chain([own]) {
            if self.loader == Loader::Rom && baud > own && std::mem::take(&mut is_first) {
                self.start_at_faster_rate(stub, baud.min(FASTEST_ROM))?;
            }
            if self.loader == Loader::Rom
                && let Some(reason) = self.start_at_own_rate(stub)?
            {
                return Ok(StubStart::RomOnly { reason });
            }
            if baud == own {
                break;
            }
            match self.change_baud(baud) {
                Ok(()) => return Ok(StubStart::Running { baud }),
                Err(CommandError::Transport(TransportError::BaudRefused { .. })) => {}
                Err(error) if error.is_retryable() => {}
                Err(error) => return Err(error.into()),
            }
            self.link.warn(Warning::BaudFailed { baud });
            self.reconnect()?;
        }
        Ok(StubStart::Running { baud: own })
    }

    /// Whether a rate that fails can be left again: the lines can reset the chip.
    pub fn may_change_baud(&self) -> bool {
        self.options.wiring != Wiring::Manual
    }

    /// Takes the boot ROM to another rate and uploads; when that does not work, the boot ROM is back at its own rate.
    fn start_at_faster_rate(&mut self, stub: &Stub, baud: u32) -> Result<(), StubError> {
        let started = self.change_rom_baud(baud).map_err(StubError::from).and_then(|()| self.upload(stub));
        let error = match started {
            Ok(()) => {
                self.enter(Loader::Stub);
                return Ok(self.ask_stub()?);
            }
            Err(error @ StubError::Upload(CommandError::Transport(TransportError::BaudRefused { .. }))) => {
                error
            }
            Err(error) if error.is_retryable() => error,
            Err(error) => return Err(error),
        };
        let (stage, reason) = (Stage::StartStub, error.to_string());
        self.link.event(Event::Retry { stage, attempt: 1, attempts: UPLOADS, reason });
        Ok(self.reconnect()?)
    }

    /// Writes the UART's divider and follows. Whether the boot ROM waits before a register write or behind it, the
    /// second of two writes keeps its answer back until the adapter can hear it.
    fn change_rom_baud(&mut self, baud: u32) -> Result<(), CommandError> {
        self.link.stage(Stage::ChangeBaud);
        let old = self.baud();
        let read = Command::ReadRegister { address: UART_CLOCK_DIVIDER };
        let divider = self.link.command(&read, PROBE_TIMEOUT)?.value & UART_DIVIDER_MASK;
        let scaled = (u64::from(divider) * u64::from(old) + u64::from(baud / 2)) / u64::from(baud.max(1));
        let write = |delay: Duration| RegisterWrite {
            address: UART_CLOCK_DIVIDER,
            value: u32::try_from(scaled).unwrap_or(divider),
            mask: UART_DIVIDER_MASK,
            delay: u32::try_from(delay.as_micros()).unwrap_or(u32::MAX),
        };
        let writes = Command::WriteRegister(vec![write(Duration::ZERO), write(ROM_ANSWER_DELAY)]);
        let sent = self.link.send(&writes)?;
        self.link.sleep(wire_time(sent, old) + ROM_BAUD_PAUSE);
        self.link.set_baud(baud)?;
        match self.link.reply(writes.opcode(), PROBE_TIMEOUT) {
            Err(error) if !error.is_retryable() => return Err(error),
            // The adapter may have been too late for the answer; the probe tells.
            _ => {}
        }
        self.probe_register()
    }

    /// Uploads until the stub greets; gives the reason when it never does and the boot ROM is back.
    fn start_at_own_rate(&mut self, stub: &Stub) -> Result<Option<StubError>, StubError> {
        for attempt in 1..=UPLOADS {
            self.link.stage(Stage::StartStub);
            let error = match self.upload(stub) {
                Ok(()) => {
                    self.enter(Loader::Stub);
                    if stub.origin == Origin::Own {
                        self.ask_stub()?;
                    }
                    return Ok(None);
                }
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(error),
            };
            let reason = error.to_string();
            self.reconnect()?;
            if attempt == UPLOADS {
                self.link.warn(Warning::StubDidNotStart { reason });
                return Ok(Some(error));
            }
            let attempt = attempt + 1;
            self.link.event(Event::Retry { stage: Stage::StartStub, attempt, attempts: UPLOADS, reason });
        }
        Ok(None)
    }

    fn upload(&mut self, stub: &Stub) -> Result<(), StubError> {
        let block_size = u32::try_from(RAM_BLOCK).unwrap_or(u32::MAX);
        let total = u32::try_from(stub.length()).unwrap_or(u32::MAX);
        let mut done = 0;
        for (address, bytes) in &stub.segments {
            let size = length_of(bytes);
            let blocks = size.div_ceil(block_size);
            let begin = Command::MemBegin { size, blocks, block_size, address: *address };
            self.link.command(&begin, COMMAND_TIMEOUT)?;
            for (block, sequence) in bytes.chunks(RAM_BLOCK).zip(0..) {
                let command = Command::MemData { sequence, block: Cow::Borrowed(block) };
                self.link.command(&command, COMMAND_TIMEOUT)?;
                done += length_of(block);
                self.link.progress(Stage::StartStub, "stub", done, total);
            }
        }
        // The boot ROM often jumps without answering, so the greeting may come in place of the reply.
        let jump = Command::MemEnd { stay: 0, entry: stub.entry };
        self.link.send(&jump)?;
        for _ in 0..FRAMES_BEFORE_GREETING {
            let Some(frame) = self.link.frame(GREETING_TIMEOUT)? else { break };
            if frame == STUB_GREETING {
                return Ok(());
            }
            let response =
                Response::parse(&frame).ok().filter(|response| response.opcode == jump.opcode().byte());
            if let Some(refusal) = response.and_then(|response| response.refusal()) {
                return Err(CommandError::Refused { opcode: jump.opcode(), refusal }.into());
            }
        }
        Err(StubError::NoGreeting)
    }

    /// Goes to another rate and tries it out.
    pub(crate) fn change_baud(&mut self, baud: u32) -> Result<(), CommandError> {
        self.link.stage(Stage::ChangeBaud);
        if self.baud() != baud {
            let command = Command::ChangeBaud { new: baud, old: self.baud() };
            self.link.command(&command, COMMAND_TIMEOUT)?;
            self.link.set_baud(baud)?;
        }
        if self.stub_info.is_none() {
            self.link.sleep(BAUD_PAUSE);
            self.link.discard_input()?;
            return self.probe_registers();
        }
        self.link.sleep(OWN_BAUD_PAUSE);
        self.link.discard_input()?;
        let (length, count) = if baud > FASTEST_USUAL { FAST_PROBE } else { PROBE };
        match self.probe_line(length, count) {
            // What the change itself put on the line may have spoilt the first frame.
            Err(error) if error.is_retryable() => {
                self.link.settle()?;
                self.probe_line(length, count)
            }
            result => result,
        }
    }

    fn probe_registers(&mut self) -> Result<(), CommandError> {
        (0..PROBES).try_for_each(|_| self.probe_register())
    }

    fn probe_register(&mut self) -> Result<(), CommandError> {
        let probe = Command::ReadRegister { address: CHIP_MAGIC_REGISTER };
        let waited = PROBE_TIMEOUT;
        match self.link.command(&probe, waited)?.value {
            CHIP_MAGIC => Ok(()),
            _ => Err(CommandError::NoReply { opcode: probe.opcode(), waited }),
        }
    }
}
