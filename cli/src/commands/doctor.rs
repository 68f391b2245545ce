//! `doctor`: what stands in the way on this computer, before a board is blamed.
//!
//! `machine` looks, [`judge`] says what it means; hints are in `failure`, like all others. Nothing is changed, no
//! other program is started, and no port is opened.

mod machine;

use espbroker_flasher::ports::Likelihood;
use serde::Serialize;

use self::machine::{Keyring, Machine, PortState, Surroundings};
use crate::{
    arguments::DoctorArguments,
    failure::{Failure, trouble_hint},
    supply::Date,
};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Good,
    /// Something that only some uses need.
    Note,
    /// May get in the way.
    Warning,
    /// Is in the way.
    Problem,
}

/// What is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    NotListed,
    NoPorts,
    NoPermission {
        port: String,
    },
    Held {
        port: String,
        by: String,
    },
    /// A program, not a driver, has the adapter.
    Taken {
        adapter: String,
        at: String,
    },
    NoDriver {
        adapter: String,
        at: String,
        driver: &'static str,
    },
    Brltty,
    ModemManager,
    NoTool {
        name: &'static str,
        package: &'static str,
    },
    NoKeyring,
    NotWritable {
        folder: String,
        reason: String,
    },
    KeyEnded {
        key: String,
        expires: Date,
    },
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize)]
struct DoctorReport {
    version: u32,
    problems: usize,
    findings: Vec<Finding>,
}

/// Why the doctor is not content.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    #[error("{count} {} in the way", if *count == 1 { "thing stands" } else { "things stand" })]
    Troubles { count: usize },
}

/// Looks, and reports.
///
/// # Errors
///
/// [`DoctorError::Troubles`] when something is in the way.
pub(crate) fn run(given: &DoctorArguments) -> Result<(), Failure> {
    let findings = judge(&machine::look(&Surroundings::here())?);
    let problems = findings.iter().filter(|finding| finding.verdict == Verdict::Problem).count();
    if given.json {
        crate::print_json(&DoctorReport { version: 1, problems, findings })?;
    } else {
        crate::print(&text(&findings))?;
    }
    if problems == 0 { Ok(()) } else { Err(DoctorError::Troubles { count: problems }.into()) }
}

fn text(findings: &[Finding]) -> String {
    let mut text = String::new();
    for Finding { check, verdict, text: said, hint } in findings {
        let word = match verdict {
            Verdict::Good => "good",
            Verdict::Note => "note",
            Verdict::Warning => "warning",
            Verdict::Problem => "PROBLEM",
        };
        text.push_str(&format!("{word:8} {check:12} {said}\n"));
        if let Some(hint) = hint {
            text.push_str(&format!("{:21} hint: {hint}\n", ""));
        }
    }
    text
}

/// What was found means this.
fn judge(machine: &Machine) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    ports(machine, &mut findings);
    drivers(machine, &mut findings);
    services(machine, &mut findings);
    firmware(machine, &mut findings);
    for (name, folder, failed) in &machine.folders {
        match failed {
            None => findings.good("folders", format!("{name} folder is writable: {folder}")),
            Some(reason) => findings.trouble(
                "folders",
                Verdict::Problem,
                &Trouble::NotWritable { folder: folder.clone(), reason: reason.clone() },
            ),
        }
    }
    match &machine.keyring {
        Keyring::System(which) => findings.good("keyring", which.clone()),
        Keyring::None => findings.trouble("keyring", Verdict::Note, &Trouble::NoKeyring),
    }
    for tool in &machine.tools {
        match &tool.path {
            Some(path) => findings.good("toolchain", format!("{}: {path}", tool.name)),
            None => findings.trouble(
                "toolchain",
                Verdict::Note,
                &Trouble::NoTool { name: tool.name, package: tool.package },
            ),
        }
    }
    findings.0
}

struct Findings(Vec<Finding>);

impl Findings {
    fn good(&mut self, check: &'static str, text: String) {
        self.0.push(Finding { check, verdict: Verdict::Good, text, hint: None });
    }

    fn trouble(&mut self, check: &'static str, verdict: Verdict, trouble: &Trouble) {
        let hint = trouble_hint(trouble);
        self.0.push(Finding { check, verdict, text: trouble.to_string(), hint });
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotListed => write!(formatter, "the serial ports cannot be listed"),
            Self::NoPorts => write!(formatter, "no serial port that an ESP8266 may hang on"),
            Self::NoPermission { port } => write!(formatter, "no permission to open {port}"),
            Self::Held { port, by } => write!(formatter, "{port} is in use by {by}"),
            Self::Taken { adapter, at } => write!(formatter, "{adapter} at {at} was taken by a program"),
            Self::NoDriver { adapter, at, .. } => {
                write!(formatter, "{adapter} at {at} is plugged in, and no driver has it")
            }
            Self::Brltty => write!(formatter, "brltty is here, which takes serial adapters away"),
            Self::ModemManager => write!(formatter, "ModemManager is running, which tries every new port"),
            Self::NoTool { name, .. } => write!(formatter, "{name} is not here"),
            Self::NoKeyring => write!(formatter, "no keyring of the system"),
            Self::NotWritable { folder, reason } => write!(formatter, "cannot write in {folder}: {reason}"),
            Self::KeyEnded { key, expires } => {
                write!(formatter, "the release key `{key}` ended on {expires}")
            }
        }
    }
}

fn ports(machine: &Machine, findings: &mut Findings) {
    let Some(ports) = &machine.ports else {
        findings.trouble("ports", Verdict::Problem, &Trouble::NotListed);
        return;
    };
    let boards = ports.iter().filter(|port| port.likelihood > Likelihood::Unlikely);
    let mut found = false;
    for port in boards {
        found = true;
        match &port.state {
            PortState::Free => findings.good("ports", format!("{} can be opened", port.text)),
            PortState::NoPermission => {
                let trouble = Trouble::NoPermission { port: port.name.clone() };
                findings.trouble("permissions", Verdict::Problem, &trouble);
            }
            PortState::Held { by } => {
                let trouble = Trouble::Held { port: port.name.clone(), by: by.clone() };
                findings.trouble("ports", Verdict::Problem, &trouble);
            }
        }
    }
    if !found {
        findings.trouble("ports", Verdict::Warning, &Trouble::NoPorts);
    }
}

fn drivers(machine: &Machine, findings: &mut Findings) {
    for adapter in machine.adapters.iter().filter(|adapter| !adapter.has_port) {
        let (name, at) = (adapter.name.to_owned(), adapter.location.clone());
        let trouble = match adapter.driver.as_deref() {
            // What a program opens through libusb.
            Some("usbfs") => Trouble::Taken { adapter: name, at },
            _ => Trouble::NoDriver { driver: machine::driver(adapter.vendor), adapter: name, at },
        };
        findings.trouble("drivers", Verdict::Problem, &trouble);
    }
    let driven = machine.adapters.iter().filter(|adapter| adapter.has_port);
    for (adapter, driver) in driven.filter_map(|adapter| Some((adapter, adapter.driver.as_ref()?))) {
        findings.good("drivers", format!("{} at {}: {driver}", adapter.name, adapter.location));
    }
}

fn services(machine: &Machine, findings: &mut Findings) {
    if machine.brltty {
        findings.trouble("services", Verdict::Warning, &Trouble::Brltty);
    }
    if machine.modem_manager {
        findings.trouble("services", Verdict::Warning, &Trouble::ModemManager);
    }
    if !machine.brltty && !machine.modem_manager {
        findings.good("services", "neither brltty nor ModemManager".to_owned());
    }
}

fn firmware(machine: &Machine, findings: &mut Findings) {
    for (key, expires) in &machine.keys {
        match expires {
            Some(expires) if *expires < machine.today => findings.trouble(
                "firmware",
                Verdict::Warning,
                &Trouble::KeyEnded { key: key.clone(), expires: *expires },
            ),
            Some(expires) => {
                findings.good("firmware", format!("release key `{key}` is good until {expires}"));
            }
            None => findings.good("firmware", format!("release key `{key}`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        machine::{Adapter, Port, Tool},
        *,
    };

    fn day(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn port(name: &str, likelihood: Likelihood, state: PortState) -> Port {
        Port { name: name.to_owned(), text: format!("{name}  CH340"), likelihood, state }
    }

    fn content() -> Machine {
        Machine {
            ports: Some(vec![port("/dev/ttyUSB0", Likelihood::Likely, PortState::Free)]),
            adapters: vec![Adapter {
                name: "CH340",
                vendor: 0x1A86,
                location: "1-2".to_owned(),
                driver: Some("ch341".to_owned()),
                has_port: true,
            }],
            brltty: false,
            modem_manager: false,
            tools: vec![Tool {
                name: "cargo",
                package: "see https://rustup.rs",
                path: Some("/bin/cargo".to_owned()),
            }],
            keyring: Keyring::System("Secret Service".to_owned()),
            folders: vec![("cache", "/home/a/.cache/espbroker".to_owned(), None)],
            keys: vec![("current".to_owned(), Some(day("2029-06-30")))],
            today: day("2027-01-01"),
        }
    }

    fn worst(machine: &Machine) -> (Verdict, &'static str, String) {
        let worst = judge(machine).into_iter().max_by_key(|finding| finding.verdict).unwrap();
        assert!(worst.verdict == Verdict::Good || worst.hint.is_some(), "{}", worst.text);
        (worst.verdict, worst.check, worst.text)
    }

    #[test]
    fn a_healthy_machine_has_nothing_but_good_findings() {
        assert!(judge(&content()).iter().all(|finding| finding.verdict == Verdict::Good));
    }

    #[test]
    fn each_thing_in_the_way_is_found_and_has_a_hint() {
        let bad = |change: &dyn Fn(&mut Machine)| {
            let mut machine = content();
            change(&mut machine);
            worst(&machine)
        };
        let ports = |ports| bad(&move |machine: &mut Machine| machine.ports = Some(Vec::clone(&ports)));
        let unlikely = vec![port("/dev/ttyS0", Likelihood::Unlikely, PortState::NoPermission)];
        assert_eq!(ports(unlikely).0, Verdict::Warning, "a mainboard's port is nobody's business");
        let forbidden = vec![port("/dev/ttyUSB0", Likelihood::Likely, PortState::NoPermission)];
        assert_eq!(ports(forbidden).1, "permissions");
        let held = PortState::Held { by: "minicom (process 7)".to_owned() };
        assert!(
            ports(vec![port("/dev/ttyUSB0", Likelihood::Likely, held)]).2.ends_with("minicom (process 7)")
        );
        assert_eq!(bad(&|machine| machine.ports = None).0, Verdict::Problem);

        let adapter = |driver: Option<&str>| {
            let driver = driver.map(str::to_owned);
            bad(&move |machine: &mut Machine| {
                machine.adapters =
                    vec![Adapter { has_port: false, driver: driver.clone(), ..content().adapters.remove(0) }];
            })
        };
        assert_eq!(adapter(None).2, "CH340 at 1-2 is plugged in, and no driver has it");
        assert_eq!(adapter(Some("usbfs")).2, "CH340 at 1-2 was taken by a program");

        assert_eq!(bad(&|machine| machine.brltty = true).1, "services");
        assert_eq!(bad(&|machine| machine.modem_manager = true).1, "services");
        assert_eq!(bad(&|machine| machine.today = day("2029-07-01")).1, "firmware");
        assert_eq!(bad(&|machine| machine.keyring = Keyring::None).0, Verdict::Note);
        assert_eq!(bad(&|machine| machine.tools[0].path = None).0, Verdict::Note);
        let full = |machine: &mut Machine| machine.folders[0].2 = Some("no space left".to_owned());
        assert_eq!(bad(&full).0, Verdict::Problem);
    }
}
