//! What came of it, for programs and as a summary of several devices.

use std::{
    fmt::{self, Write as _},
    time::Instant,
};

use serde::Serialize;

use super::difference::Changed;
use crate::report::rounded;

/// Version of the JSON report.
const VERSION: u32 = 1;

/// All devices.
#[derive(Serialize)]
pub(super) struct Report {
    version: u32,
    pub(super) devices: Vec<DeviceOutcome>,
}

/// How a device was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    Network,
    Console,
    Loader,
}

impl fmt::Display for Way {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Network => "network",
            Self::Console => "serial console",
            Self::Loader => "boot loader",
        })
    }
}

/// What became of the settings of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// They were as wanted.
    Unchanged,
    /// They would have been changed.
    Planned,
    /// The device has tried and kept the new ones.
    Kept,
    /// The new ones are in flash, and the device runs with them.
    Written,
    #[default]
    Failed,
}

/// One device.
#[derive(Debug, Default, Serialize)]
pub(crate) struct DeviceOutcome {
    pub(super) name: String,
    pub(super) mac: Option<String>,
    pub(super) way: Option<Way>,
    pub(super) outcome: Outcome,
    pub(super) changes: Vec<Changed>,
    /// Of the config that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u32>,
    /// Where its broker was tested.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<String>,
    pub(super) checks: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    /// From the beginning until the device had kept the change, or held it in its flash; without the test.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) applied_seconds: Option<f64>,
    pub(super) seconds: f64,
    #[serde(skip)]
    pub(super) begun: Option<Instant>,
}

impl DeviceOutcome {
    /// Time since the beginning.
    pub(super) fn elapsed(&self) -> Option<f64> {
        self.begun.map(|begun| rounded(begun.elapsed()))
    }
}

impl Report {
    pub(super) fn new() -> Self {
        Self { version: VERSION, devices: Vec::new() }
    }

    /// A line for each device.
    pub(super) fn summary(&self) -> String {
        let mut text = String::new();
        for device in &self.devices {
            let what = match device.outcome {
                Outcome::Unchanged => "nothing to change",
                Outcome::Planned => "would be changed",
                Outcome::Kept => "changed, tried and kept",
                Outcome::Written => "changed",
                Outcome::Failed => device.error.as_deref().unwrap_or("failed"),
            };
            let way = device.way.map_or_else(|| "-".to_owned(), |way| way.to_string());
            // Writing to a string cannot fail.
            let _ = writeln!(
                text,
                "{:16} {}  {way:14} {what}",
                device.name,
                device.mac.as_deref().unwrap_or("-")
            );
        }
        text
    }
}
