//! Stubs: small programs that replace the boot ROM's loader in RAM and add digests, compression and faster rates.
//!
//! Takes any stub in the JSON form that esptool keeps its stubs in; none is included. A stub starts with the greeting
//! `OHAI`. Newer ones compute the divider of CHANGE_BAUDRATE from 115200 whatever the rate is, so the rate is changed
//! at most once after each start, and stepping down means a reset and another upload.

use std::borrow::Cow;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use serde::Deserialize;

use crate::connect::{ConnectError, DEFAULT_BAUD};
use crate::event::{Event, Stage, Warning};
use crate::link::{COMMAND_TIMEOUT, CommandError};
use crate::protocol::{CHIP_MAGIC, CHIP_MAGIC_REGISTER, Command, RAM_BLOCK, Response, STUB_GREETING};
use crate::reset::Wiring;
use crate::session::{Loader, Session, length_of};
use crate::transport::TransportError;

/// Rates worth trying, fastest first; the last needs no change.
pub const BAUD_LADDER: [u32; 3] = [460_800, 230_400, 115_200];

/// From the jump to the greeting.
const GREETING_TIMEOUT: Duration = COMMAND_TIMEOUT;
/// What the chip needs to go to another rate.
const BAUD_PAUSE: Duration = Duration::from_millis(50);
const PROBE_TIMEOUT: Duration = Duration::from_millis(500);
/// Register reads that must be right at the new rate.
const PROBES: u32 = 5;
const UPLOADS: u32 = 2;
/// Frames that may come before the greeting.
const FRAMES_BEFORE_GREETING: u32 = 4;
/// The RAM that a stub can take: 32 KiB of instructions above the ROM's own, and as much data.
const SEGMENT_MAX: usize = 0x8000;

/// A program for RAM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stub {
    entry: u32,
    segments: Vec<(u32, Vec<u8>)>,
}

/// Why a stub file is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StubFileError {
    /// Not JSON, or without one of the fields.
    #[error("stub file is not in esptool's form: {0}")]
    Json(String),
    /// A field that holds no base64.
    #[error("stub file has no valid base64 in: `{0}`")]
    Base64(&'static str),
    /// Nothing to upload, or more than fits.
    #[error("stub file has a segment of an impossible length: `{field}` with {length} bytes")]
    Length {
        /// `text` or `data`.
        field: &'static str,
        /// Bytes.
        length: usize,
    },
}

#[derive(Deserialize)]
struct StubFile {
    entry: u32,
    text: String,
    text_start: u32,
    #[serde(default)]
    data: Option<String>,
    #[serde(default)]
    data_start: Option<u32>,
}

impl Stub {
    /// Parses `{"entry": …, "text": base64, "text_start": …, "data": base64, "data_start": …}`.
    ///
    /// # Errors
    /// [`StubFileError`] when it is not that.
    pub fn from_esptool_json(json: &str) -> Result<Self, StubFileError> {
        let file: StubFile =
            serde_json::from_str(json).map_err(|error| StubFileError::Json(error.to_string()))?;
        let mut segments = vec![(file.text_start, segment("text", &file.text)?)];
        if let (Some(data), Some(start)) = (&file.data, file.data_start) {
            segments.push((start, segment("data", data)?));
        }
        Ok(Self { entry: file.entry, segments })
    }

    /// Bytes to upload.
    pub fn length(&self) -> usize {
        self.segments.iter().map(|(_, bytes)| bytes.len()).sum()
    }
}

fn segment(field: &'static str, text: &str) -> Result<Vec<u8>, StubFileError> {
    let mut bytes = Base64::decode_vec(text).map_err(|_| StubFileError::Base64(field))?;
    let length = bytes.len();
    if length == 0 || length > SEGMENT_MAX {
        return Err(StubFileError::Length { field, length });
    }
    // The boot ROM takes whole words.
    bytes.resize(length.next_multiple_of(4), 0);
    Ok(bytes)
}

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
        if self.loader == Loader::Stub {
            return Ok(StubStart::Running { baud: self.baud() });
        }
        let own = self.options.baud;
        let may_change = own == DEFAULT_BAUD && self.options.wiring != Wiring::Manual;
        let faster = ladder.iter().copied().filter(|&baud| may_change && baud > own);
        for baud in faster.chain([own]) {
            if let Some(reason) = self.start_at_own_rate(stub)? {
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

    /// Uploads until the stub greets; gives the reason when it never does and the boot ROM is back.
    fn start_at_own_rate(&mut self, stub: &Stub) -> Result<Option<StubError>, StubError> {
        for attempt in 1..=UPLOADS {
            self.link.stage(Stage::StartStub);
            let error = match self.upload(stub) {
                Ok(()) => {
                    self.enter(Loader::Stub);
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

    fn change_baud(&mut self, baud: u32) -> Result<(), CommandError> {
        self.link.stage(Stage::ChangeBaud);
        let command = Command::ChangeBaud { new: baud, old: self.baud() };
        self.link.command(&command, COMMAND_TIMEOUT)?;
        self.link.set_baud(baud)?;
        self.link.sleep(BAUD_PAUSE);
        self.link.discard_input()?;
        let probe = Command::ReadRegister { address: CHIP_MAGIC_REGISTER };
        for _ in 0..PROBES {
            let waited = PROBE_TIMEOUT;
            if self.link.command(&probe, waited)?.value != CHIP_MAGIC {
                return Err(CommandError::NoReply { opcode: probe.opcode(), waited });
            }
        }
        Ok(())
    }
}
