//! What is asked and answered. All numbers are little-endian; the first byte says what follows.
//!
//! | request | bytes |
//! |---|---|
//! | state | 1 |
//! | read | 2 |
//! | write | 3, base `u32`, permit `u64`, seconds to try for `u16`, config as CBOR |
//!
//! | reply | bytes |
//! |---|---|
//! | state | 1, sequence `u32`, CRC `u32`, base `u32`, permit `u64`, trial `u8`, its sequence `u32`, seconds left `u16`, reason `u8`, uptime `u32`, trials kept `u32`, rolled back `u32`, wrong keys `u32` |
//! | config | 2, sequence `u32`, CRC `u32`, base `u32`, permit `u64`, config as CBOR |
//! | accepted | 3, sequence `u32`, effect `u8` |
//! | refused | 4, reason `u8`, a number `u32`, text |
//!
//! Bytes behind the last field of a state, and numbers that are not known, are of newer programs and no error.

use alloc::{string::String, vec::Vec};
use core::fmt;

use espbroker_config::slots::RollBack;
#[cfg(doc)]
use espbroker_config::slots::TRY_FOR;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// How the device is, and how the last change went.
    State,
    /// The config that it runs on.
    Read,
    /// Another config: to be tried, and kept if it works.
    Write {
        /// [`State::base`] as the client knows it: the config was made of that one.
        base: u32,
        /// The permit that came with it.
        permit: u64,
        /// Seconds until it must have worked, within [`TRY_FOR`].
        try_for: u16,
        /// The whole config, as [`espbroker_config::codec`] writes it.
        config: &'a [u8],
    },
}

/// What the device answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To [`Request::State`].
    State(State),
    /// To [`Request::Read`].
    Config {
        /// Its sequence; 0 when the device has none and runs on defaults.
        sequence: u32,
        /// CRC-32 in the header of its sector.
        crc: u32,
        /// See [`State::base`].
        base: u32,
        /// See [`State::permit`].
        permit: u64,
        /// The config, as [`espbroker_config::codec`] writes it.
        config: Vec<u8>,
    },
    /// To [`Request::Write`]: the config is in flash and on trial.
    Accepted {
        /// Its sequence.
        sequence: u32,
        /// What happens now.
        effect: Effect,
    },
    /// Nothing was changed.
    Refused(Refusal),
}

/// How the device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct State {
    /// Sequence of the config that it runs on; 0 when it has none.
    pub sequence: u32,
    /// CRC-32 in the header of that config's sector.
    pub crc: u32,
    /// The highest sequence that the device knows of, rolled back or not: what the next write must name.
    pub base: u32,
    /// What the next write must bring along. Another one after every write and every start.
    pub permit: u64,
    /// How the last change went.
    pub trial: Trial,
    /// Seconds since the device started.
    pub uptime: u32,
    /// Trials that have succeeded since then.
    pub kept: u32,
    /// Trials that have failed since then.
    pub rolled_back: u32,
    /// Requests since then that could not be opened.
    pub wrong_keys: u32,
}

/// How the last change went, as far as the sectors tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Trial {
    /// No config was tried lately.
    #[default]
    None,
    /// The device runs on a config that has not proved itself yet.
    Running {
        /// Its sequence.
        sequence: u32,
        /// Seconds until it is rolled back.
        left: u16,
    },
    /// The config that the device runs on has proved itself.
    Kept {
        /// Its sequence.
        sequence: u32,
    },
    /// The device has gone back to the config before.
    RolledBack {
        /// Sequence of the one that failed.
        sequence: u32,
        /// Why it did.
        reason: RollBack,
    },
}

/// How a config takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It already has; connections stay.
    AtOnce,
    /// The device starts again now.
    Restart,
}

/// Why nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The config was made of another one than that of this sequence: somebody else was quicker.
    Changed {
        /// The highest sequence now.
        base: u32,
    },
    /// The permit is not, or no longer, right: the device has started again, or the request came before.
    Stale,
    /// Another config is on trial.
    Trial {
        /// Seconds until that has ended at the latest.
        left: u16,
    },
    /// A field has a value that it cannot have; the text tells which and why.
    Invalid(String),
    /// The config is too long to be tried.
    TooLong {
        /// Bytes of CBOR that can be.
        limit: u32,
    },
    /// A request that this device does not know.
    NotSupported,
    /// The flash has failed.
    Flash,
    /// Something that a newer device says.
    Other(u8),
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { base } => {
                write!(formatter, "the device's config was changed meanwhile, by write number: {base}")
            }
            Self::Stale => {
                formatter.write_str("the device has started again or taken another write meanwhile")
            }
            Self::Trial { left } => {
                write!(formatter, "the device is trying out another config, seconds left: {left}")
            }
            Self::Invalid(text) => formatter.write_str(text),
            Self::TooLong { limit } => {
                write!(formatter, "the config is longer than the device can try: {limit}")
            }
            Self::NotSupported => formatter.write_str("the device's firmware does not know the request"),
            Self::Flash => formatter.write_str("the device's flash has failed"),
            Self::Other(number) => write!(formatter, "the device refuses with number: {number}"),
        }
    }
}

impl core::error::Error for Refusal {}

impl<'a> Request<'a> {
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        match *self {
            Self::State => bytes.push(1),
            Self::Read => bytes.push(2),
            Self::Write { base, permit, try_for, config } => {
                bytes.push(3);
                bytes.extend_from_slice(&base.to_le_bytes());
                bytes.extend_from_slice(&permit.to_le_bytes());
                bytes.extend_from_slice(&try_for.to_le_bytes());
                bytes.extend_from_slice(config);
            }
        }
    }

    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(match fields.u8()? {
            1 => Self::State,
            2 => Self::Read,
            3 => Self::Write {
                base: fields.u32()?,
                permit: fields.u64()?,
                try_for: fields.u16()?,
                config: fields.0,
            },
            _ => return None,
        })
    }
}

impl Reply {
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::State(state) => {
                bytes.push(1);
                state.write(bytes);
            }
            Self::Config { sequence, crc, base, permit, config } => {
                bytes.push(2);
                [sequence, crc, base]
                    .iter()
                    .for_each(|number| bytes.extend_from_slice(&number.to_le_bytes()));
                bytes.extend_from_slice(&permit.to_le_bytes());
                bytes.extend_from_slice(config);
            }
            Self::Accepted { sequence, effect } => {
                bytes.push(3);
                bytes.extend_from_slice(&sequence.to_le_bytes());
                bytes.push(match effect {
                    Effect::AtOnce => 1,
                    Effect::Restart => 2,
                });
            }
            Self::Refused(refusal) => {
                let (reason, number, text) = match refusal {
                    Refusal::Changed { base } => (1, *base, ""),
                    Refusal::Stale => (2, 0, ""),
                    Refusal::Trial { left } => (3, u32::from(*left), ""),
                    Refusal::Invalid(text) => (4, 0, text.as_str()),
                    Refusal::TooLong { limit } => (5, *limit, ""),
                    Refusal::NotSupported => (6, 0, ""),
                    Refusal::Flash => (7, 0, ""),
                    Refusal::Other(reason) => (*reason, 0, ""),
                };
                bytes.extend_from_slice(&[4, reason]);
                bytes.extend_from_slice(&number.to_le_bytes());
                bytes.extend_from_slice(text.as_bytes());
            }
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut fields = Fields(bytes);
        Some(match fields.u8()? {
            1 => Self::State(State::read(&mut fields)?),
            2 => Self::Config {
                sequence: fields.u32()?,
                crc: fields.u32()?,
                base: fields.u32()?,
                permit: fields.u64()?,
                config: fields.0.into(),
            },
            3 => Self::Accepted {
                sequence: fields.u32()?,
                effect: match fields.u8()? {
                    1 => Effect::AtOnce,
                    2 => Effect::Restart,
                    _ => return None,
                },
            },
            4 => {
                let (reason, number) = (fields.u8()?, fields.u32()?);
                Self::Refused(match reason {
                    1 => Refusal::Changed { base: number },
                    2 => Refusal::Stale,
                    3 => Refusal::Trial { left: u16::try_from(number).unwrap_or(u16::MAX) },
                    4 => Refusal::Invalid(String::from_utf8_lossy(fields.0).into_owned()),
                    5 => Refusal::TooLong { limit: number },
                    6 => Refusal::NotSupported,
                    7 => Refusal::Flash,
                    reason => Refusal::Other(reason),
                })
            }
            _ => return None,
        })
    }
}

impl State {
    fn write(&self, bytes: &mut Vec<u8>) {
        for number in [self.sequence, self.crc, self.base] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&self.permit.to_le_bytes());
        let (trial, sequence, left, reason) = match self.trial {
            Trial::None => (0, 0, 0, 0),
            Trial::Running { sequence, left } => (1, sequence, left, 0),
            Trial::Kept { sequence } => (2, sequence, 0, 0),
            Trial::RolledBack { sequence, reason } => (3, sequence, 0, reason.number()),
        };
        bytes.push(trial);
        bytes.extend_from_slice(&sequence.to_le_bytes());
        bytes.extend_from_slice(&left.to_le_bytes());
        bytes.push(reason);
        for number in [self.uptime, self.kept, self.rolled_back, self.wrong_keys] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn read(fields: &mut Fields<'_>) -> Option<Self> {
        let (sequence, crc, base, permit) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u64()?);
        let (trial, tried, left, reason) = (fields.u8()?, fields.u32()?, fields.u16()?, fields.u8()?);
        Some(Self {
            sequence,
            crc,
            base,
            permit,
            trial: match trial {
                0 => Trial::None,
                1 => Trial::Running { sequence: tried, left },
                2 => Trial::Kept { sequence: tried },
                3 => {
                    let reason = RollBack::from_number(reason).unwrap_or(RollBack::Unknown);
                    Trial::RolledBack { sequence: tried, reason }
                }
                _ => return None,
            },
            uptime: fields.u32()?,
            kept: fields.u32()?,
            rolled_back: fields.u32()?,
            wrong_keys: fields.u32()?,
        })
    }
}

/// What is left to read.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    fn u8(&mut self) -> Option<u8> {
        self.chunk().map(|[byte]| byte)
    }

    fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_le_bytes)
    }
}
