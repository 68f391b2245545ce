//! `setup`: from answers to a tested broker.
//!
//! `arguments + file + questions -> Answers -> Plan -> Session -> DeviceInfo -> Occupancy -> image and config in flash
//! -> Running -> Passed -> Bridges -> Report`. Everything that can be refused is refused before the first sector is erased; each
//! stage is a module, and this one only puts them in order.

mod bridges;
mod plan;
mod test;
mod watch;
mod write;

use std::path::PathBuf;

use espbroker_config::{codec::EncodeError, model, slots};
use espbroker_flasher::{
    FlasherError, Prepared, Session, boot::Console, cancel::Cancel, event::Event, identify::DeviceInfo,
};
use espbroker_node::status::BridgeReason;

pub(crate) use bridges::connect_bridges;
pub(crate) use plan::image_region;
pub(crate) use watch::{QUESTION, follow, measured};
pub(crate) use write::{Checked, program, write_config};

use crate::{
    answers::{self, Answers, Missing},
    arguments::{Pace, SetupArguments},
    check::{self, Passed},
    credentials,
    device::{self, Device, LoaderPlan},
    failure::Failure,
    hex::to_hex,
    image_file::Firmware,
    narrator::Narrator,
    preflight::{self, Occupancy},
    registry::{self, Learnt, Seen},
    report::{BrokerReport, DeviceReport, Executed, Report, rounded},
    screen::Screen,
    settings::{find_profile, not_yet},
    simulation::{self, Access},
    start_up::{Expected, Running, bridge_words},
    supply, wizard,
};
use bridges::Bridges;
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

/// What the stages share.
struct Setup<'a> {
    given: &'a SetupArguments,
    screen: Screen,
    cancel: &'a Cancel,
    narrator: Narrator,
    answers: Answers,
    device: Device,
}

/// What is on the device once it has been written.
struct Written {
    info: DeviceInfo,
    expected: Expected,
    config: model::Config,
    firmware: Firmware,
    /// Where a generated password was saved.
    password_file: Option<PathBuf>,
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
        let written = self.write(&mut session, firmware)?;
        loader.remember(&self.device, &session);
        let mut console = session.into_console();
        let running = follow(&mut console, written.expected.clone(), &self.narrator)?;
        self.learn(&written.info, &written.config, &written.firmware, Some(running.seen()));
        let target = test::target(&self.answers, &running, &written.config);
        let mut passed = self.test(&target)?;
        let bridges = self.bridges(console, &running, &written.config)?;
        passed.checks.extend(bridges.sentences());
        let report = self.report(&written, &running, &target, passed);
        self.print(&report)?;
        let failed = bridges.failed();
        let verdict = if failed.is_empty() { Ok(()) } else { Err(SetupError::NotBridged { failed }) };
        if let (Err(error), true) = (&verdict, self.given.hold) {
            // The error itself is printed when all is over.
            self.screen.warning(error.to_string());
        }
        self.hold();
        Ok(verdict?)
    }

    /// Identify, preflight, flash, configure.
    fn write(&self, session: &mut Session<'_>, firmware: Option<Firmware>) -> Result<Written, Failure> {
        let narrator = &self.narrator;
        let info = device::identify(session, narrator)?;
        self.device.must_have(info.mac)?;
        let firmware = match firmware {
            Some(firmware) => firmware,
            None => supply::newest(preflight::machine(&info), &self.given.trust, self.screen)?
                .ok_or(SetupError::NoImage)?,
        };
        let occupancy = self.preflight(session, &info, &firmware)?;
        let base = base_config(&occupancy);
        let config = self.answers.config(&base)?;
        write::write_image(session, &firmware, narrator)?;
        // Before its hash is on the device: a password that nobody knows would lock its owner out, whatever comes next.
        let password_file = self.save_password(&config.name)?;
        let written = write_config(session, &occupancy, &config, narrator)?;
        self.learn(&info, &config, &firmware, None);
        let expected = Expected {
            image: Some((firmware.descriptor.length, firmware.descriptor.digest)),
            config: Some(written),
            station: config.wifi.is_some(),
        };
        Ok(Written { info, expected, config, firmware, password_file })
    }

    fn preflight(
        &self,
        session: &mut Session<'_>,
        info: &DeviceInfo,
        firmware: &Firmware,
    ) -> Result<Occupancy, Failure> {
        let narrator = &self.narrator;
        narrator.begin("preflight", "looking at what is on the device");
        let profile = self.answers.settings.profile.as_deref().map(find_profile).transpose()?;
        for warning in preflight::check(info, firmware, profile.as_ref())? {
            narrator.above(|screen| screen.warning(warning));
        }
        let occupancy = preflight::inspect(session, Some(firmware)).map_err(FlasherError::from)?;
        narrator.end(&occupancy.summary());
        let name = self.answers.settings.name.as_deref().unwrap_or_default();
        agree_to_lose(occupancy.losses(name), self.given.yes, self.screen)?;
        Ok(occupancy)
    }

    fn test(&self, target: &check::Target) -> Result<Passed, Failure> {
        let passed = self.narrator.step("test", "logging in as a user would", || {
            let passed = check::run(target)?;
            let result = format!("{} of {0} checks passed", passed.checks.len());
            Ok::<_, check::CheckError>((passed, result))
        })?;
        if self.cancel.is_cancelled() { Err(SetupError::Stopped.into()) } else { Ok(passed) }
    }

    /// Waits for the bridges, and lets go of the port, which nobody reads any more.
    fn bridges(
        &self,
        mut console: Console<'_>,
        running: &Running,
        config: &model::Config,
    ) -> Result<Bridges, Failure> {
        let mut bridges = Bridges::new(config, running);
        bridges.wait(&mut console, &self.narrator)?;
        bridges.warn_of_undecided(self.screen);
        Ok(bridges)
    }

    /// Tells the registry, unless the device goes with this program.
    fn learn(&self, info: &DeviceInfo, config: &model::Config, firmware: &Firmware, seen: Option<Seen>) {
        if self.given.simulate.is_some() && self.given.flash.is_none() {
            return;
        }
        let learnt = Learnt {
            mac: info.mac,
            config,
            version: Some(&firmware.descriptor.version),
            port: Some(self.device.name()).filter(|_| self.given.simulate.is_none()),
            login: self.answers.login.as_ref().filter(|_| self.answers.generated),
            seen,
        };
        self.narrator.above(|screen| registry::learn(&learnt, screen));
    }

    /// Saves a generated password where only this user can read it.
    fn save_password(&self, name: &str) -> Result<Option<PathBuf>, SetupError> {
        let Some(login) = self.answers.login.as_ref().filter(|_| self.answers.generated) else {
            return Ok(None);
        };
        let folder = credentials::folder().unwrap_or_default();
        credentials::save(&folder, name, &login.password)
            .map(Some)
            .map_err(|source| SetupError::SavePassword { folder, source })
    }

    fn report(&self, written: &Written, running: &Running, target: &check::Target, passed: Passed) -> Report {
        let (slot, sequence) = written
            .expected
            .config
            .map_or((String::new(), 0), |(slot, sequence, _)| (slot.to_string(), sequence));
        let device = DeviceReport {
            name: written.config.name.clone(),
            mac: to_hex(&written.info.mac, ":"),
            port: self.device.name().to_owned(),
            firmware: written.firmware.descriptor.version.clone(),
            image_sha256: to_hex(&written.firmware.descriptor.digest, ""),
            config_slot: slot,
            config_sequence: sequence,
            heap_free: running.heap_free,
        };
        // A password that was saved belongs to this user, whoever was tested.
        let saved = self.answers.login.as_ref().filter(|_| self.answers.generated);
        let user = saved.or(target.login.as_ref()).map(|login| login.user.clone());
        let first = written.config.broker.users.first().map(|user| user.name.clone());
        let broker = BrokerReport {
            host: target.host.clone(),
            port: target.port,
            user: user.or(first).unwrap_or_default(),
            password_file: written.password_file.clone(),
        };
        let mut report = Report::new(device, broker);
        report.simulated = matches!(self.device, Device::Simulated(_));
        if let (Some(execution), Device::Simulated(device)) = (self.given.simulate, &self.device) {
            report.executed = Some(Executed::new(execution, device));
        }
        report.checks = passed.checks;
        report.round_trip_ms = passed.round_trip.map(|time| rounded(time * 1000));
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

/// What a new config starts from: defaults, with the admin key that the device has, so that remote access survives a
/// second set-up.
fn base_config(occupancy: &Occupancy) -> model::Config {
    let mut base = model::Config::new("espbroker");
    if let Some((_, record)) = occupancy.config() {
        base.admin_key.clone_from(&record.config.admin_key);
    }
    base
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
