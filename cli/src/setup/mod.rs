//! `setup`: from answers to a tested broker.
//!
//! `arguments + file + questions -> Answers -> Plan -> Session -> DeviceInfo -> Occupancy -> image and config in flash
//! -> Running -> Passed -> Bridges -> Report`. Everything that can be refused is refused before the first sector is erased; each
//! stage is a module. `job` puts those that work on a device in order, for this command and for `batch`; this one asks,
//! shows the plan and prints the report.

mod bridges;
mod job;
mod plan;
mod test;
mod watch;
mod write;

use std::path::PathBuf;

use espbroker_config::{codec::EncodeError, model, slots};
use espbroker_flasher::{Prepared, cancel::Cancel, event::Event};
use espbroker_node::status::BridgeReason;

pub(crate) use bridges::connect_bridges;
pub(crate) use job::{Done, Job, Registry};
pub(crate) use plan::image_region;
pub(crate) use watch::{QUESTION, follow, measured};
pub(crate) use write::{Checked, program, write_config};

use crate::{
    answers::{self, Answers, Missing},
    arguments::{Pace, SetupArguments},
    device::{self, Device, LoaderPlan},
    failure::Failure,
    hex::to_hex,
    image_file::Firmware,
    narrator::Narrator,
    preflight,
    report::{BrokerReport, DeviceReport, Executed, Report, rounded},
    screen::Screen,
    settings::{find_profile, not_yet},
    simulation::{self, Access},
    start_up::bridge_words,
    supply, wizard,
};
use plan::Plan;

/// Why a set-up ends before it is done, apart from the errors of its stages.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetupError {
    #[error("no firmware image for a real ESP8266 was named, and no release on this computer has one")]
    NoImage,
    #[error("this would replace {}", what.join(" and "))]
    WouldLose { what: Vec<String> },
    #[error("{title} is a mains device")]
    OnMains { title: String },
    #[error("the flash does not hold what was written: `{region}` differs at {offset:#x}")]
    ImageNotVerified { region: String, offset: u32 },
    #[error("the settings do not fit the config partition")]
    ConfigTooLong(#[source] EncodeError),
    #[error("cannot save the generated password in `{}`", folder.display())]
    SavePassword {
        folder: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{}", not_bridged(failed))]
    NotBridged { failed: Vec<(String, BridgeReason)> },
    #[error("stopped")]
    Stopped,
}

/// One set-up, as `setup` runs it.
struct Setup<'a> {
    given: &'a SetupArguments,
    screen: Screen,
    cancel: &'a Cancel,
    narrator: Narrator,
    answers: Answers,
    device: Device,
}

/// Runs the whole set-up.
///
/// # Errors
///
/// The first thing that stands in the way, with what to do about it.
pub(crate) fn run(given: &SetupArguments, screen: Screen, cancel: &Cancel) -> Result<(), Failure> {
    let missing = match (given.simulate.is_some() && !given.answers.names_a_network(), screen.can_ask()) {
        (true, _) => Missing::Demo,
        (false, true) => Missing::Ask,
        (false, false) => Missing::Refuse,
    };
    let mut answers = answers::gather(&given.answers, missing, screen)?;
    if missing == Missing::Demo {
        simulation::choose_free_port(&mut answers.settings, given.simulation.bind, screen);
    }
    // Judged now, so that a settings error is found with no device at all.
    let config = answers.config(&model::Config::new("espbroker"))?;
    let length = slots::encode_sector(&config, 1).map_err(SetupError::ConfigTooLong)?.len();
    let firmware = match &given.image {
        Some(path) => Some(supply::named(path, &given.trust, screen)?),
        None if given.simulate.is_some() => Some(supply::for_virtual_device()?),
        None => None,
    };
    for sentence in not_yet(&config) {
        screen.warning(sentence);
    }
    let loader = LoaderPlan::new(&given.loader, cancel.clone())?;
    let plan = |port: &str| {
        // A line that takes no time has no rate.
        let instant = given.simulate.is_some() && given.simulation.pace == Pace::Instant;
        let baud = if instant { u32::MAX } else { loader.expected_baud() };
        let speed = (loader.expected_loader(), baud);
        Plan::new(port, firmware.as_ref(), (&config.name, length), speed, test::words(&answers, &config))
    };
    if given.dry_run {
        let nameless = if given.simulate.is_some() { "simulated" } else { "the device" };
        let port = given.device.port.as_deref().unwrap_or(nameless);
        return print_plan(&plan(port), given.json);
    }
    confirm_off_mains(given, &answers, screen)?;
    let device = if let Some(execution) = given.simulate {
        let (given, flash) = (&given.simulation, given.flash.as_deref());
        Device::Simulated(simulation::start(given, execution, flash, Some(&config), Access::InProcess)?)
    } else {
        Device::find(&given.device, screen)?
    };
    screen.line(plan(device.name()).text());
    if missing == Missing::Ask && answers.asked && !given.yes && !wizard::confirm_plan()? {
        return Err(wizard::WizardError::Declined.into());
    }
    let setup = Setup { given, screen, cancel, narrator: Narrator::new(screen), answers, device };
    let result = setup.run(&loader, firmware);
    if let Device::Simulated(device) = &setup.device {
        simulation::warn_if_not_saved(device, screen);
    }
    result
}

impl Setup<'_> {
    fn run(&self, loader: &LoaderPlan, firmware: Option<Firmware>) -> Result<(), Failure> {
        let mut events = |event: Event| self.narrator.event(event);
        // Compressed while the device is looked for.
        let prepared = firmware.as_ref().map(|firmware| Prepared::new(&image_region(firmware)));
        let mut session = loader.connect(&self.device, &self.narrator, &mut events)?;
        prepared.into_iter().for_each(|prepared| session.offer(prepared));
        let info = device::identify(&mut session, &self.narrator)?;
        self.device.must_have(info.mac)?;
        let firmware = match firmware {
            Some(firmware) => firmware,
            None => supply::newest(preflight::machine(&info), &self.given.trust, self.screen)?
                .ok_or(SetupError::NoImage)?,
        };
        let is_kept = self.given.simulate.is_none() || self.given.flash.is_some();
        let job = Job {
            answers: &self.answers,
            device: &self.device,
            loader,
            firmware: &firmware,
            narrator: &self.narrator,
            cancel: self.cancel,
            agree: &|losses| agree_to_lose(losses, self.given.yes, self.screen),
            registry: if is_kept { Registry::Learns } else { Registry::IsNotTold },
        };
        let done = job.run(session, &info)?;
        self.print(&self.report(&done, &firmware))?;
        let verdict = done.verdict();
        if let (Err(error), true) = (&verdict, self.given.hold) {
            // The error itself is printed when all is over.
            self.screen.warning(error.to_string());
        }
        self.hold();
        Ok(verdict?)
    }

    fn report(&self, done: &Done, firmware: &Firmware) -> Report {
        let (slot, sequence, _) = done.slot;
        let device = DeviceReport {
            name: done.config.name.clone(),
            mac: to_hex(&done.mac, ":"),
            port: self.device.name().to_owned(),
            firmware: firmware.descriptor.version.clone(),
            image_sha256: to_hex(&firmware.descriptor.digest, ""),
            config_slot: slot.to_string(),
            config_sequence: sequence,
            heap_free: done.running.heap_free,
        };
        // A password that was saved belongs to this user, whoever was tested.
        let saved = self.answers.login.as_ref().filter(|_| self.answers.generated);
        let user = saved.or(done.target.login.as_ref()).map(|login| login.user.clone());
        let first = done.config.broker.users.first().map(|user| user.name.clone());
        let broker = BrokerReport {
            host: done.target.host.clone(),
            port: done.target.port,
            user: user.or(first).unwrap_or_default(),
            password_file: done.password_file.clone(),
        };
        let mut report = Report::new(device, broker);
        report.simulated = matches!(self.device, Device::Simulated(_));
        if let (Some(execution), Device::Simulated(device)) = (self.given.simulate, &self.device) {
            report.executed = Some(Executed::new(execution, device));
        }
        report.checks.clone_from(&done.passed.checks);
        report.round_trip_ms = done.passed.round_trip.map(|time| rounded(time * 1000));
        report.steps = self.narrator.ended();
        report.seconds = rounded(self.narrator.total());
        report
    }

    /// A generated password appears on a terminal and nowhere else: stderr may be a log, stdout a file.
    fn print(&self, report: &Report) -> Result<(), Failure> {
        if self.given.json {
            return crate::print_json(report);
        }
        let shown =
            self.answers.login.as_ref().filter(|_| self.answers.generated && self.screen.is_terminal());
        self.screen.line(report.text(shown.map(|login| login.password.expose().as_str())));
        if report.simulated && !self.given.hold {
            self.screen.line(
                "The simulated device ends with this program; --hold keeps it running for your clients.",
            );
        } else {
            self.screen.line(report.next_steps());
        }
        Ok(())
    }

    /// Keeps a simulated device running until Ctrl-C.
    fn hold(&self) {
        if let (true, Device::Simulated(device)) = (self.given.hold, &self.device) {
            self.screen.line("The simulated device keeps running; Ctrl-C ends it.");
            simulation::hold(device, self.cancel);
        }
    }
}

/// One sentence on all bridges that have failed.
fn not_bridged(failed: &[(String, BridgeReason)]) -> String {
    let words = |(name, reason): &(String, BridgeReason)| {
        format!("bridge `{name}` is not connected: {}", bridge_words(*reason))
    };
    failed.iter().map(words).collect::<Vec<_>>().join("; ")
}

/// Asks before anything is lost.
///
/// # Errors
///
/// When the user says no, or nobody can be asked and `--yes` was not given.
pub(crate) fn agree_to_lose(losses: Vec<String>, yes: bool, screen: Screen) -> Result<(), Failure> {
    if losses.is_empty() || yes {
        return Ok(());
    }
    if !screen.can_ask() {
        return Err(SetupError::WouldLose { what: losses }.into());
    }
    screen.warning(format!("this replaces {}", losses.join(" and ")));
    if wizard::confirm("Go on")? { Ok(()) } else { Err(wizard::WizardError::Declined.into()) }
}

/// A mains device is never written without a word on it.
fn confirm_off_mains(given: &SetupArguments, answers: &Answers, screen: Screen) -> Result<(), Failure> {
    let Some(id) = &answers.settings.profile else { return Ok(()) };
    let profile = find_profile(id)?;
    if !profile.mains || given.simulate.is_some() || given.off_mains {
        return Ok(());
    }
    if !screen.can_ask() {
        return Err(SetupError::OnMains { title: profile.title }.into());
    }
    screen.warning(format!(
        "{} is a mains device. Its low-voltage side may be live: touching it, or the computer wired to it, can kill. \
         Unplug it, and power it with 3.3 V from the adapter.",
        profile.title
    ));
    if wizard::confirm("It is unplugged from the mains")? {
        Ok(())
    } else {
        Err(wizard::WizardError::Declined.into())
    }
}

fn print_plan(plan: &Plan, json: bool) -> Result<(), Failure> {
    if json { crate::print_json(plan) } else { crate::print(&plan.text()) }
}
