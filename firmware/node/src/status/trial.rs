//! [`TrialReport`]: what became of a config that was tried.

use alloc::format;

use espbroker_config::slots::RollBack;

use super::line::{self, Fields};

/// How the last config that was tried is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrialReport {
    /// The device runs on it, or starts again to run on it.
    Running {
        /// Sequence number of the config.
        sequence: u32,
        /// Seconds that it has from the device's start, or from the change if that took effect at once.
        seconds: u16,
    },
    /// It has proved itself.
    Kept {
        /// Sequence number of the config.
        sequence: u32,
    },
    /// It was given up for the one before.
    RolledBack {
        /// Sequence number of the config.
        sequence: u32,
        /// Why.
        reason: RollBack,
    },
}

impl TrialReport {
    pub(super) fn write(&self, line: &mut line::Writer) {
        let (state, sequence) = match self {
            Self::Running { sequence, .. } => ("running", sequence),
            Self::Kept { sequence } => ("kept", sequence),
            Self::RolledBack { sequence, .. } => ("rolled-back", sequence),
        };
        line.field("state", state);
        line.field("sequence", format!("{sequence}"));
        match self {
            Self::Running { seconds, .. } => line.field("seconds", format!("{seconds}")),
            Self::Kept { .. } => {}
            Self::RolledBack { reason, .. } => line.field("reason", reason.word()),
        }
    }

    pub(super) fn from_fields(fields: &Fields<'_>) -> Option<Self> {
        let sequence = fields.parsed("sequence")?;
        Some(match fields.value("state")? {
            b"running" => Self::Running { sequence, seconds: fields.parsed("seconds")? },
            b"kept" => Self::Kept { sequence },
            b"rolled-back" => {
                Self::RolledBack { sequence, reason: fields.parsed("reason").unwrap_or(RollBack::Unknown) }
            }
            _ => return None,
        })
    }
}
