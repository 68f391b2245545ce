//! Changing the settings of a device that is set up: only what is named, and nothing of its image.
//!
//! `arguments -> Who -> Way -> config before -> config after -> difference -> question -> write -> kept or rolled back
//! -> test -> report`. The way is the first that works of three: sealed over the network, sealed over the serial console of
//! the running device, or through the boot loader. On the first two the device itself tries the change and goes back to
//! what it had if the try fails, so that a typing error locks nobody out.

mod change;
mod console;
mod difference;
mod loader;
mod remote;
mod report;
mod trial;
mod who;

use std::time::Instant;

use espbroker_config::{
    codec,
    model::{Anonymous, Config},
    slots::{self, RollBack},
};

pub(crate) use change::{Change, ChangeError, fits};
pub(crate) use difference::{difference, lines};
pub(crate) use remote::RemoteError;
pub(crate) use report::DeviceOutcome;
pub(crate) use who::{Who, everybody};

use crate::{
    arguments::{CarryOutArguments, Via, WhichArguments},
    check::{self, Login, Passed},
    commands::Context,
    device::Device,
    failure::Failure,
    hex::to_hex,
    narrator::Narrator,
    registry::{Learnt, Seen, learn},
    screen::Screen,
    settings::not_yet,
    setup::SetupError,
    wizard,
};
use remote::{Network, Remote, Snapshot};
use report::{Outcome, Report, Way};

/// Why settings were not changed, apart from the errors of the ways.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReconfigureError {
    #[error("no device is known on this computer")]
    NobodyKnown,
    #[error("several devices are known: {}", names.join(", "))]
    SeveralKnown { names: Vec<String> },
    #[error("the admin key of `{name}` is not known here")]
    NoKey { name: String },
    #[error("nobody says which MAC address `{name}` has, and so its new key cannot be kept")]
    NoMac { name: String },
    #[error("nothing is known of where `{name}` is in the network")]
    NoAddress { name: String },
    #[error("`{name}` is on no serial port of this computer")]
    NoSerial { name: String },
    #[error("no running device answers on `{port}`")]
    NotRunning { port: String },
    #[error("this would change `{name}`")]
    WouldChange { name: String },
    #[error("the device went back to the settings before: {}", trial::words(*reason))]
    RolledBack { reason: RollBack },
    #[error("the device was not heard of again within {seconds} s")]
    NotHeardOf { seconds: u64 },
    #[error("somebody else changed the device meanwhile")]
    Overtaken,
    #[error("stopped while the device tries the new settings")]
    StoppedInTrial,
    #[error("{failed} of {all} devices were not changed, or not proved to work")]
    SomeFailed { failed: usize, all: usize },
}

/// What is done to each device.
pub(crate) trait Work {
    /// The config that becomes of `before`.
    ///
    /// # Errors
    ///
    /// When none can be made of it.
    fn change(&self, before: &Config) -> Result<Config, Failure>;

    /// Somebody who can log in once the device runs with `after`; `known` could before.
    fn login(&self, after: &Config, known: Option<Login>) -> Option<Login> {
        known.filter(|login| fits(login, after))
    }

    /// Called before anything is written, for what must not be lost then.
    ///
    /// # Errors
    ///
    /// When it cannot be kept; nothing is written then.
    fn keep(
        &self,
        _mac: Option<[u8; 6]>,
        _before: &Config,
        _after: &Config,
        _context: &Context,
    ) -> Result<(), Failure> {
        Ok(())
    }
}

/// How it is done, for all devices.
pub(crate) struct Job<'a> {
    pub(crate) work: &'a dyn Work,
    pub(crate) how: &'a CarryOutArguments,
    pub(crate) which: &'a WhichArguments,
    pub(crate) context: &'a Context,
}

/// What has become of the change of one device.
struct Done {
    outcome: Outcome,
    after: Config,
    /// Where its broker is reached; `None` before it has been.
    seen: Option<Seen>,
    version: Option<String>,
    /// What was found true on the way.
    checks: Vec<String>,
}

impl Job<'_> {
    /// Does it to everybody who is meant, and tells what came of it.
    ///
    /// # Errors
    ///
    /// The one device's, or how many of several have failed.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let everybody = everybody(self.which, self.context)?;
        let all = everybody.len();
        let screen = self.context.screen;
        let mut report = Report::new();
        let mut failures = Vec::new();
        for (index, who) in everybody.into_iter().enumerate() {
            if self.which.all {
                let empty = if index == 0 { "" } else { "\n" };
                screen.line(format!("{empty}{} ({} of {all})", who.label, index + 1));
            }
            let (outcome, failure) = self.one(who);
            report.devices.push(outcome);
            if let Some(failure) = failure {
                if self.which.all {
                    screen.error(failure.text(screen.columns()));
                }
                failures.push(failure);
            }
            if self.context.cancel.is_cancelled() {
                break;
            }
        }
        if self.how.json {
            crate::print_json(&report)?;
        } else if self.which.all {
            crate::print(&report.summary())?;
        }
        let failed = failures.len();
        let stopped = self.context.cancel.is_cancelled();
        match failures.pop() {
            None => Ok(()),
            Some(failure) if !self.which.all || stopped => Err(failure),
            Some(_) => Err(ReconfigureError::SomeFailed { failed, all }.into()),
        }
    }

    fn one(&self, mut who: Who) -> (DeviceOutcome, Option<Failure>) {
        let narrator = Narrator::new(self.context.screen);
        let mut report = DeviceOutcome { begun: Some(Instant::now()), ..DeviceOutcome::default() };
        let result = self.carry_out(&mut who, &narrator, &mut report);
        narrator.fail();
        report.name.clone_from(&who.label);
        report.mac = who.mac.map(|mac| to_hex(&mac, ":"));
        report.seconds = report.elapsed().unwrap_or_default();
        let failure = result.err();
        if let Some(failure) = &failure {
            report.outcome = Outcome::Failed;
            report.error = Some(failure.sentence());
        }
        (report, failure)
    }

    fn carry_out(
        &self,
        who: &mut Who,
        narrator: &Narrator,
        report: &mut DeviceOutcome,
    ) -> Result<(), Failure> {
        let login = who.login.clone();
        let done = self.by_the_first_way(who, narrator, report)?;
        report.outcome = done.outcome;
        if matches!(done.outcome, Outcome::Unchanged | Outcome::Planned) {
            return Ok(());
        }
        self.learn(who, &done, report.way);
        let login = self.work.login(&done.after, login.or_else(|| who.login.clone()));
        let passed = self.test(&done, login, narrator)?;
        report.address = done.seen.and_then(|seen| seen.socket()).map(|address| address.to_string());
        report.checks = done.checks.into_iter().chain(passed.checks).collect();
        Ok(())
    }

    /// Network, console, loader: the first at which somebody answers, unless one was chosen.
    fn by_the_first_way(
        &self,
        who: &mut Who,
        narrator: &Narrator,
        report: &mut DeviceOutcome,
    ) -> Result<Done, Failure> {
        let via = self.which.via;
        let can = |way: Via| via == way || via == Via::Auto;
        if can(Via::Network) && (via == Via::Network || !who.addresses.is_empty()) {
            match self.over_network(who, narrator, report) {
                Err(Attempt::Elsewhere(failure)) if via == Via::Auto && who.serial.is_some() => {
                    narrator.fail();
                    self.context.screen.line(format!(
                        "Not over the network: {}. Going on over its serial port.",
                        failure.sentence()
                    ));
                }
                Err(Attempt::Elsewhere(failure) | Attempt::Over(failure)) => return Err(failure),
                Ok(done) => return Ok(done),
            }
        }
        let Some(serial) = who.serial.clone() else {
            return Err(match who.addresses.is_empty() {
                true => ReconfigureError::NoAddress { name: who.label.clone() }.into(),
                false => ReconfigureError::NoSerial { name: who.label.clone() }.into(),
            });
        };
        if can(Via::Console) && (via == Via::Console || self.which.loader.is_plain()) {
            match console::run(self, who, &serial, narrator, report) {
                Err(Attempt::Elsewhere(failure)) if via == Via::Auto => {
                    narrator.end(&format!("{}; going through the boot loader", failure.sentence()));
                }
                Err(Attempt::Elsewhere(failure) | Attempt::Over(failure)) => return Err(failure),
                Ok(done) => return Ok(done),
            }
        }
        report.way = Some(Way::Loader);
        loader::run(self, who, &serial, narrator, report)
    }

    fn over_network(
        &self,
        who: &mut Who,
        narrator: &Narrator,
        report: &mut DeviceOutcome,
    ) -> Result<Done, Attempt> {
        let elsewhere = |error: ReconfigureError| Attempt::Elsewhere(error.into());
        if who.addresses.is_empty() {
            return Err(elsewhere(ReconfigureError::NoAddress { name: who.label.clone() }));
        }
        if who.keys.is_empty() {
            return Err(elsewhere(ReconfigureError::NoKey { name: who.label.clone() }));
        }
        let (mac, cancel) = (who.mac, &self.context.cancel);
        let find = move || mac.and_then(|mac| Who::search(mac, cancel));
        let carrier = Network::new(who.addresses.clone(), Box::new(find));
        let remote = Remote::new(Box::new(carrier), who.keys.clone(), cancel);
        self.sealed(remote, Way::Network, who, narrator, report)
    }

    /// Reads, shows, asks, writes and waits, over any carrier of sealed frames.
    fn sealed(
        &self,
        mut remote: Remote<'_>,
        way: Way,
        who: &mut Who,
        narrator: &Narrator,
        report: &mut DeviceOutcome,
    ) -> Result<Done, Attempt> {
        let over = |failure: Failure| Attempt::Over(failure);
        let snapshot = narrator
            .step("read", &format!("asking over the {way}"), || {
                let snapshot = first_contact(&mut remote)?;
                let place = remote.carrier.place();
                Ok((snapshot, format!("`{}` answers over the {way}, sealed: {place}", who.label)))
            })
            .map_err(|error: RemoteError| match error {
                // Nothing was asked for yet, so any other way is as good.
                RemoteError::Stopped => Attempt::Over(error.into()),
                error => Attempt::Elsewhere(error.into()),
            })?;
        report.way = Some(way);
        who.label.clone_from(&snapshot.config.name);
        let Some(after) = self.plan(&snapshot.config, who, narrator, report).map_err(over)? else {
            return Ok(self.undone(snapshot.config, report));
        };
        let bytes =
            codec::encode(&after).map_err(SetupError::ConfigTooLong).map_err(|error| over(error.into()))?;
        self.work.keep(who.mac, &snapshot.config, &after, self.context).map_err(over)?;
        let sequence = trial::write(self, &mut remote, &snapshot, &after, &bytes, narrator).map_err(over)?;
        report.sequence = Some(sequence);
        if let Some(key) = &after.admin_key {
            remote.expect_key(key);
        }
        let seen =
            trial::wait(self, &mut remote, (&snapshot.config, &after), sequence, narrator).map_err(over)?;
        report.applied_seconds = report.elapsed();
        Ok(Done { outcome: Outcome::Kept, after, seen, version: None, checks: Vec::new() })
    }

    /// The config after the change, once the user has seen the difference and agreed; `None` when nothing is to be done.
    fn plan(
        &self,
        before: &Config,
        who: &Who,
        narrator: &Narrator,
        report: &mut DeviceOutcome,
    ) -> Result<Option<Config>, Failure> {
        let after = self.work.change(before)?;
        let screen = self.context.screen;
        slots::encode_sector(&after, 1).map_err(SetupError::ConfigTooLong)?;
        if after == *before {
            narrator.above(|screen| screen.line("Nothing to change: the device has these settings already."));
            return Ok(None);
        }
        report.changes = difference(before, &after)?;
        for sentence in not_yet(&after).into_iter().filter(|sentence| !not_yet(before).contains(sentence)) {
            screen.warning(sentence);
        }
        if self.how.dry_run && !self.how.json {
            crate::print(&format!("{}\n", lines(&report.changes)))?;
        } else {
            screen.line(lines(&report.changes));
        }
        if self.how.dry_run {
            return Ok(None);
        }
        self.agree(who, screen)?;
        Ok(Some(after))
    }

    fn agree(&self, who: &Who, screen: Screen) -> Result<(), Failure> {
        if self.how.yes {
            return Ok(());
        }
        if !screen.can_ask() {
            return Err(ReconfigureError::WouldChange { name: who.label.clone() }.into());
        }
        let agreed = wizard::confirm(&format!("Change `{}`", who.label))?;
        if agreed { Ok(()) } else { Err(wizard::WizardError::Declined.into()) }
    }

    fn undone(&self, config: Config, report: &DeviceOutcome) -> Done {
        let outcome = if report.changes.is_empty() { Outcome::Unchanged } else { Outcome::Planned };
        Done { outcome, after: config, seen: None, version: None, checks: Vec::new() }
    }

    /// Tells the registry; a MAC address is what it knows a device by.
    fn learn(&self, who: &Who, done: &Done, way: Option<Way>) {
        let Some(mac) = who.mac else { return };
        let port = who.serial.as_ref().filter(|_| way != Some(Way::Network)).map(Device::name);
        let learnt = Learnt {
            mac,
            config: &done.after,
            version: done.version.as_deref(),
            port,
            login: None,
            seen: done.seen,
        };
        learn(&learnt, self.context.screen);
    }

    fn test(&self, done: &Done, login: Option<Login>, narrator: &Narrator) -> Result<Passed, Failure> {
        let broker = &done.after.broker;
        let websocket_port = done.seen.and_then(|seen| seen.websocket_port).unwrap_or(broker.websocket_port);
        let unlimited = |login: &Login| {
            let user = broker.users.iter().find(|user| user.name == login.user);
            user.is_some_and(|user| user.permissions.is_empty())
        };
        let Some(address) = done.seen.and_then(|seen| seen.socket()) else {
            return Ok(Passed { checks: Vec::new(), round_trip: None });
        };
        let target = check::Target {
            host: address.ip().to_string(),
            port: address.port(),
            websocket_port: (websocket_port != 0).then_some(websocket_port),
            sends_message: login.as_ref().is_some_and(unlimited),
            login,
            anonymous_refused: broker.anonymous == Anonymous::Refused,
        };
        narrator.step("test", "logging in as a user would", || {
            let passed = check::run(&target)?;
            let result = match (&target.login, passed.checks.len()) {
                (Some(login), count) => format!("{count} of {count} checks passed, as `{}`", login.user),
                (None, count) => {
                    format!(
                        "{count} of {count} checks passed; no password is known here, so nobody logged in"
                    )
                }
            };
            Ok((passed, result))
        })
    }
}

/// Whether another way may still be tried.
enum Attempt {
    /// Nobody was reached.
    Elsewhere(Failure),
    /// Somebody was, and the answer stands.
    Over(Failure),
}

/// Reads the config; a device that is not where it was, or another one that is there, makes the network be searched.
fn first_contact(remote: &mut Remote<'_>) -> Result<Snapshot, RemoteError> {
    match remote.read() {
        Err(error) if error.is_absence() || error.is_wrong_key() => {
            if !remote.carrier.relocate() {
                return Err(error);
            }
            remote.read()
        }
        result => result,
    }
}
