//! The work on one device that answers, whoever asked for it: `setup` does it once, `batch` on many ports at a time.
//!
//! Nothing here asks a question or prints a result: what would be lost is judged by [`Job::agree`], and what happens is
//! told to the [`Narrator`].

use std::path::PathBuf;

use espbroker_config::{model, slots::Slot};
use espbroker_flasher::{FlasherError, Session, boot::Console, cancel::Cancel, identify::DeviceInfo};

use super::{SetupError, bridges::Bridges, follow, test, write::write_image, write_config};
use crate::{
    answers::Answers,
    check::{self, Passed},
    credentials,
    device::{Device, LoaderPlan},
    failure::Failure,
    image_file::Firmware,
    narrator::Narrator,
    preflight::{self, Occupancy},
    registry::{self, Learnt, Seen},
    settings::find_profile,
    start_up::{Expected, Running},
};

/// Whether the device is one that will be met again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registry {
    /// It is kept in the registry.
    Learns,
    /// It goes with this program.
    IsNotTold,
}

/// Decides about what would be lost, before the first sector is erased.
pub(crate) type Agree<'a> = dyn Fn(Vec<String>) -> Result<(), Failure> + 'a;

/// What is to be done, and with what.
pub(crate) struct Job<'a> {
    pub(crate) answers: &'a Answers,
    pub(crate) device: &'a Device,
    pub(crate) loader: &'a LoaderPlan,
    pub(crate) firmware: &'a Firmware,
    pub(crate) narrator: &'a Narrator,
    pub(crate) cancel: &'a Cancel,
    pub(crate) agree: &'a Agree<'a>,
    pub(crate) registry: Registry,
}

/// A device that runs, and what is known of it.
pub(crate) struct Done {
    pub(crate) mac: [u8; 6],
    pub(crate) config: model::Config,
    /// Where its settings are: slot, sequence and CRC-32.
    pub(crate) slot: (Slot, u32, u32),
    /// Where a generated password was saved.
    pub(crate) password_file: Option<PathBuf>,
    pub(crate) running: Running,
    /// Where and as whom it was tested.
    pub(crate) target: check::Target,
    pub(crate) passed: Passed,
    bridges: Bridges,
}

/// What is on the device once it has been written.
struct Written {
    config: model::Config,
    slot: (Slot, u32, u32),
    password_file: Option<PathBuf>,
}

impl Done {
    /// Whether all that was wanted works: the device runs and was tested, but a bridge may have failed.
    ///
    /// # Errors
    ///
    /// [`SetupError::NotBridged`].
    pub(crate) fn verdict(&self) -> Result<(), SetupError> {
        let failed = self.bridges.failed();
        if failed.is_empty() { Ok(()) } else { Err(SetupError::NotBridged { failed }) }
    }
}

impl Job<'_> {
    /// From a device that answers to one that runs and was tested.
    ///
    /// # Errors
    ///
    /// The first thing that stands in the way. The device is then as a power cut at that moment would leave it.
    pub(crate) fn run(&self, mut session: Session<'_>, info: &DeviceInfo) -> Result<Done, Failure> {
        let Written { config, slot, password_file } = self.write(&mut session, info)?;
        self.loader.remember(self.device, &session);
        let descriptor = &self.firmware.descriptor;
        let expected = Expected {
            mac: Some(info.mac),
            image: Some((descriptor.length, descriptor.digest)),
            config: Some(slot),
            station: config.wifi.is_some(),
        };
        let mut console = session.into_console();
        let running = follow(&mut console, expected, self.narrator)?;
        self.learn(info, &config, Some(running.seen()));
        let target = test::target(self.answers, &running, &config);
        let mut passed = self.test(&target)?;
        let bridges = self.bridges(console, &running, &config)?;
        passed.checks.extend(bridges.sentences());
        Ok(Done { mac: info.mac, config, slot, password_file, running, target, passed, bridges })
    }

    /// Preflight, flash, configure.
    fn write(&self, session: &mut Session<'_>, info: &DeviceInfo) -> Result<Written, Failure> {
        let occupancy = self.preflight(session, info)?;
        let config = self.answers.config(&base_config(&occupancy))?;
        write_image(session, self.firmware, self.narrator)?;
        // Before its hash is on the device: a password that nobody knows would lock its owner out, whatever comes next.
        let password_file = self.save_password(&config.name)?;
        let slot = write_config(session, &occupancy, &config, self.narrator)?;
        self.learn(info, &config, None);
        Ok(Written { config, slot, password_file })
    }

    fn preflight(&self, session: &mut Session<'_>, info: &DeviceInfo) -> Result<Occupancy, Failure> {
        let narrator = self.narrator;
        narrator.begin("preflight", "looking at what is on the device");
        let profile = self.answers.settings.profile.as_deref().map(find_profile).transpose()?;
        for warning in preflight::check(info, self.firmware, profile.as_ref())? {
            narrator.warning(&warning);
        }
        let map = self.firmware.descriptor.flash_map;
        let occupancy = preflight::inspect(session, map, Some(self.firmware)).map_err(FlasherError::from)?;
        narrator.end(&occupancy.summary());
        let name = self.answers.settings.name.as_deref().unwrap_or_default();
        (self.agree)(occupancy.losses(name))?;
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
        bridges.wait(&mut console, self.narrator)?;
        bridges.warn_of_undecided(self.narrator);
        Ok(bridges)
    }

    /// Tells the registry.
    fn learn(&self, info: &DeviceInfo, config: &model::Config, seen: Option<Seen>) {
        if self.registry == Registry::IsNotTold {
            return;
        }
        let port = match self.device {
            Device::Port(port) | Device::Known { port, .. } => Some(port.as_str()),
            Device::Simulated(_) => None,
        };
        let learnt = Learnt {
            mac: info.mac,
            config,
            version: Some(&self.firmware.descriptor.version),
            port,
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
