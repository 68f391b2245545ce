//! The end of `setup`: what was done and what to do next, for people and as JSON.

use std::{fmt::Write as _, path::PathBuf, time::Duration};

use espbroker_virtual_device::VirtualDevice;
use serde::Serialize;

use crate::arguments::Execution;

/// Version of the JSON report; raised when a field changes its meaning or goes away.
const VERSION: u32 = 1;

/// What `setup` did.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    version: u32,
    /// Whether the device was a virtual one.
    pub(crate) simulated: bool,
    /// What a virtual device has executed as its firmware.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) executed: Option<Executed>,
    pub(crate) device: DeviceReport,
    pub(crate) broker: BrokerReport,
    /// What the connection test found true.
    pub(crate) checks: Vec<String>,
    /// From publish to receipt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) round_trip_ms: Option<f64>,
    pub(crate) steps: Vec<StepReport>,
    pub(crate) seconds: f64,
}

/// What a virtual device has executed.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case", tag = "what")]
pub(crate) enum Executed {
    /// The image that was flashed, and all else that was code for the chip.
    Lx106 {
        /// How many instructions.
        instructions: u64,
    },
    /// The firmware as it was built into this program.
    Host,
}

impl Executed {
    /// What this device has executed so far.
    pub(crate) fn new(execution: Execution, device: &VirtualDevice) -> Self {
        match execution {
            Execution::Lx106 => Self::Lx106 { instructions: device.usage().instructions },
            Execution::Host => Self::Host,
        }
    }

    fn words(self) -> String {
        match self {
            Self::Lx106 { instructions } => {
                let millions = instructions.div_ceil(1_000_000);
                format!("the image itself: {millions} million instructions of the LX106")
            }
            Self::Host => "the firmware that is built into this program, in the image's place".to_owned(),
        }
    }
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct DeviceReport {
    pub(crate) name: String,
    pub(crate) mac: String,
    pub(crate) port: String,
    pub(crate) firmware: String,
    /// SHA-256 of the image that the device itself measured.
    pub(crate) image_sha256: String,
    pub(crate) config_slot: String,
    pub(crate) config_sequence: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) heap_free: Option<u32>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct BrokerReport {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// First user.
    pub(crate) user: String,
    /// Where a generated password was saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) password_file: Option<PathBuf>,
}

/// One step and how long it took.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StepReport {
    pub(crate) name: &'static str,
    pub(crate) seconds: f64,
}

impl StepReport {
    pub(crate) fn new(name: &'static str, took: Duration) -> Self {
        Self { name, seconds: rounded(took) }
    }
}

/// Seconds to a millisecond.
pub(crate) fn rounded(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1000.0).round() / 1000.0
}

impl Report {
    /// A report with the current version number.
    pub(crate) fn new(device: DeviceReport, broker: BrokerReport) -> Self {
        Self {
            version: VERSION,
            simulated: false,
            executed: None,
            device,
            broker,
            checks: Vec::new(),
            round_trip_ms: None,
            steps: Vec::new(),
            seconds: 0.0,
        }
    }

    /// The report for people. `password` is shown only where the caller knows that no log keeps it.
    pub(crate) fn text(&self, password: Option<&str>) -> String {
        let BrokerReport { host, port, user, password_file } = &self.broker;
        let mut text = String::from("\nYour broker is running.\n\n");
        let mut row = |name: &str, value: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  {name:9} {value}");
        };
        row("address", &format!("mqtt://{host}:{port}"));
        row("user", user);
        match (password, password_file) {
            (Some(password), Some(path)) => {
                row("password", &format!("{password}   (also in {})", path.display()));
            }
            (None, Some(path)) => row("password", &format!("in {}", path.display())),
            (_, None) => row("password", "the one you gave"),
        }
        let device = &self.device;
        row("device", &format!("{} ({}), firmware {}", device.name, device.mac, device.firmware));
        if let Some(executed) = self.executed {
            row("executed", &executed.words());
        }
        row("verified", "the device measured its own image and settings: both are what was written");
        for check in &self.checks {
            row("tested", check);
        }
        row("time", &format!("{:.1} s", self.seconds));
        text
    }

    /// What to try now, for a broker that goes on running.
    pub(crate) fn next_steps(&self) -> String {
        let BrokerReport { host, port, user, password_file } = &self.broker;
        let password_argument = match password_file {
            Some(path) => format!("\"$(cat '{}')\"", path.display()),
            None => "PASSWORD".to_owned(),
        };
        let login = format!("-h {host} -p {port} -u {user} -P {password_argument}");
        format!(
            "Try it with mosquitto's clients:\n\n  \
             mosquitto_sub {login} -t 'hello/#' -v\n  \
             mosquitto_pub {login} -t hello/world -m 'it works'\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let device = DeviceReport {
            name: "hall".to_owned(),
            mac: "5e:cf:7f:00:00:01".to_owned(),
            port: "simulated".to_owned(),
            firmware: "0.1.0".to_owned(),
            image_sha256: "00".repeat(32),
            config_slot: "a".to_owned(),
            config_sequence: 1,
            heap_free: None,
        };
        let broker = BrokerReport {
            host: "127.0.0.1".to_owned(),
            port: 1883,
            user: "home".to_owned(),
            password_file: Some(PathBuf::from("/tmp/hall.password")),
        };
        let mut report = Report::new(device, broker);
        report.steps.push(StepReport::new("flash", Duration::from_millis(21_449)));
        report.seconds = 21.4;
        report
    }

    #[test]
    fn a_password_is_shown_only_when_the_caller_asks_for_it() {
        assert!(report().text(Some("hunter2")).contains("hunter2"));
        let masked = report().text(None);
        assert!(!masked.contains("hunter2") && masked.contains("/tmp/hall.password"));
        assert!(!serde_json::to_string(&report()).unwrap().contains("hunter2"));
    }

    #[test]
    fn the_next_steps_read_the_password_from_its_file() {
        let steps = report().next_steps();
        assert!(
            steps.contains("mosquitto_sub -h 127.0.0.1 -p 1883 -u home -P \"$(cat '/tmp/hall.password')\"")
        );
        let mut given = report();
        given.broker.password_file = None;
        assert!(given.next_steps().contains("-P PASSWORD"));
    }

    #[test]
    fn json_carries_its_version_and_the_steps() {
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["version"], 1);
        assert_eq!(json["steps"][0]["seconds"], 21.449);
    }
}
