//! [`Event`]: everything that a running operation has to say, handed to one closure.
//!
//! Nothing here is text for users: the program that draws chooses the words. A trace entry is the exception, and it
//! is written so that a bug report can carry it: the content of a region marked [`Secrecy::Secret`] never gets in.

use std::fmt;
use std::time::Duration;

use crate::connect::Diagnosis;
use crate::protocol::Opcode;
use crate::transport::ControlLines;

/// What an operation is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Driving the control lines.
    Reset,
    /// Looking for the loader.
    Sync,
    /// Listening to the boot log because nobody answered.
    Diagnose,
    /// Reading chip, MAC address, crystal and flash id.
    Identify,
    /// Uploading a stub.
    StartStub,
    /// Going to a faster rate.
    ChangeBaud,
    /// Comparing what is there with what is to be written.
    Compare,
    /// Erasing.
    Erase,
    /// Writing.
    Write,
    /// Comparing.
    Verify,
    /// Reading flash.
    Read,
    /// Starting the firmware.
    Boot,
}

/// How much of a region is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// With what.
    pub stage: Stage,
    /// The region's name.
    pub region: String,
    /// Bytes.
    pub done: u32,
    /// Bytes.
    pub total: u32,
}

/// Something worth telling that stops nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The port has no DTR and RTS: reset is up to the user.
    NoControlLines,
    /// The stub did not answer at this rate; the next lower one is tried.
    BaudFailed {
        /// The rate.
        baud: u32,
    },
    /// The stub did not start; the boot ROM goes on alone.
    StubDidNotStart {
        /// The error's text.
        reason: String,
    },
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The operation went on to this.
    Stage(Stage),
    /// Bytes were done.
    Progress(Progress),
    /// A step failed and is tried again.
    Retry {
        /// Which step.
        stage: Stage,
        /// The attempt that comes now, counted from 1.
        attempt: u32,
        /// How many there will be at most.
        attempts: u32,
        /// The error's text.
        reason: String,
    },
    /// Worth telling.
    Warning(Warning),
    /// The loader did not answer, and this is why.
    Diagnosed(Diagnosis),
    /// Still polling; the user has to ground GPIO0 and power-cycle the device.
    WaitingForDownloadMode {
        /// Since polling began.
        waited: Duration,
    },
    /// One step of the protocol.
    Trace(Trace),
}

/// Whether the content of a region may show up in a trace or in a difference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Secrecy {
    /// It may.
    #[default]
    Public,
    /// It must not: it holds credentials.
    Secret,
}

/// Bytes in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// As they were.
    Bytes(Vec<u8>),
    /// Withheld.
    Secret {
        /// How many.
        length: usize,
    },
}

impl Payload {
    pub(crate) fn new(bytes: &[u8], secrecy: Secrecy) -> Self {
        match secrecy {
            Secrecy::Public => Self::Bytes(bytes.to_vec()),
            Secrecy::Secret => Self::Secret { length: bytes.len() },
        }
    }
}

/// The most bytes of a payload that [`Trace`] shows.
const SHOWN_BYTES: usize = 32;

impl fmt::Display for Payload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret { length } => write!(formatter, "{length} bytes (secret)"),
            Self::Bytes(bytes) => {
                write!(formatter, "{} bytes", bytes.len())?;
                for byte in bytes.iter().take(SHOWN_BYTES) {
                    write!(formatter, " {byte:02x}")?;
                }
                if bytes.len() > SHOWN_BYTES { formatter.write_str(" ...") } else { Ok(()) }
            }
        }
    }
}

/// What a trace entry records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TraceEntry {
    /// A request left.
    Sent {
        /// Its opcode.
        opcode: Opcode,
        /// Behind the header.
        payload: Payload,
    },
    /// A response came.
    Received {
        /// As on the wire.
        opcode: u8,
        /// 0 is success.
        status: u8,
        /// Why not.
        error: u8,
        /// The value field and the data behind it.
        payload: Payload,
    },
    /// A frame that is no response: the stub's greeting, a piece of flash.
    Frame(Payload),
    /// A frame was lost on the way.
    Damaged {
        /// What was wrong with it.
        reason: crate::slip::SlipError,
    },
    /// The control lines were set.
    Lines(ControlLines),
    /// The host's rate changed.
    Baud(u32),
}

/// One step of the protocol and when it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// On the transport's clock.
    pub at: Duration,
    /// What.
    pub entry: TraceEntry,
}

impl fmt::Display for Trace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:>9.3} ", self.at.as_secs_f64())?;
        match &self.entry {
            TraceEntry::Sent { opcode, payload } => write!(formatter, "> {opcode} {payload}"),
            TraceEntry::Received { opcode, status, error, payload } => {
                match Opcode::from_byte(*opcode) {
                    Some(opcode) => write!(formatter, "< {opcode}")?,
                    None => write!(formatter, "< opcode {opcode:#04x}")?,
                }
                write!(formatter, " status {status:#04x} error {error:#04x} {payload}")
            }
            TraceEntry::Frame(payload) => write!(formatter, "< frame {payload}"),
            TraceEntry::Damaged { reason } => write!(formatter, "< {reason}"),
            TraceEntry::Lines(ControlLines { dtr, rts }) => {
                write!(formatter, "= DTR {} RTS {}", u8::from(*dtr), u8::from(*rts))
            }
            TraceEntry::Baud(baud) => write!(formatter, "= {baud} baud"),
        }
    }
}
