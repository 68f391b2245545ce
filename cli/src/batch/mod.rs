//! `batch`: many devices on many ports at once, from a fleet file.
//!
//! `fleet file -> Row (template + overrides) -> Ledger (which row is a device for) -> worker (a thread a port; per device
//! the same work as `setup`) -> Journal -> Summary (table, JSON, labels)`. Where things are:
//!
//! - `fleet/`: [`Fleet`], [`Row`]: what the user wants, judged before a port is opened
//! - `matching`: [`Ledger`], `Claim`: which row a device is for; pure
//! - `journal`: [`Journal`], `Record`: what is done, line by line on the disk before anything that it announces
//! - `ports`: which ports there are, and who is behind one
//! - `worker`: one port, one device after the other, with [`crate::setup::Job`]
//! - `images`: each image read, checked and compressed once for all workers
//! - `lanes`: the screen, and which steps Ctrl-C lets finish
//! - `summary`, `labels`: what came of it
//!
//! This module starts a worker for each port that is there and has none, and ends when every row is settled, nothing was
//! connected for too long, the journal cannot be written, or the user says so. Workers share the ledger and the journal
//! behind a lock each, held for as long as a line takes. A device's failure is a state of its row and stops nobody.

pub(crate) mod fleet;
mod images;
pub(crate) mod journal;
mod labels;
mod lanes;
mod matching;
mod ports;
mod summary;
mod worker;

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use espbroker_flasher::cancel::Cancel;

pub(crate) use self::ports::Ports;
use self::{
    fleet::{Fleet, Mac, Row, RowError},
    images::Images,
    journal::{Journal, JournalError, Record},
    lanes::{Bell, Board, PortLane},
    matching::{Claim, Ledger, State},
    ports::Port,
    summary::Summary,
};
use crate::{
    arguments::BatchArguments, device::LoaderPlan, failure::Failure, screen::Screen, settings::find_profile,
    wizard,
};

/// Between two looks at the ports.
const LOOK: Duration = Duration::from_millis(250);
/// Between two looks whether all is over.
const GLANCE: Duration = Duration::from_millis(50);
/// How long nothing may be connected where nobody looks at a screen.
const WAIT: Duration = Duration::from_secs(60);

/// Why a batch did not do all that it should.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BatchError {
    #[error("row {row} cannot be used")]
    Row {
        row: usize,
        #[source]
        source: RowError,
    },
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("in the fleet are mains devices: {}", titles.join(", "))]
    OnMains { titles: Vec<String> },
    #[error("report is neither named .html nor .csv: `{}`", path.display())]
    ReportKind { path: PathBuf },
    #[error("cannot write the report: `{}`", path.display())]
    Report {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("no device was connected")]
    NoDevice,
    #[error("{} of {total} devices are not done: {failed} failed, {open} were not connected", failed + open)]
    NotAll { total: usize, failed: usize, open: usize },
    #[error("stopped; {done} of {total} devices are done")]
    Stopped { done: usize, total: usize },
}

/// A device that is no row's, for the report.
#[derive(Clone, Debug, serde::Serialize)]
struct Problem {
    port: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
    why: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// Devices that got no row.
#[derive(Clone, Debug, Default)]
struct Problems {
    /// They said who they are.
    refused: Vec<Problem>,
    /// They did not.
    unanswered: Vec<Problem>,
}

/// What is said once of each device on each port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    Finished(Mac, String),
    Refused(Mac, String),
}

/// What all workers share.
struct Batch<'a> {
    given: &'a BatchArguments,
    screen: Screen,
    loader: LoaderPlan,
    images: Images<'a>,
    board: Board,
    ledger: Mutex<Ledger>,
    journal: Mutex<Journal>,
    /// Why the journal cannot be written.
    journal_error: Mutex<Option<JournalError>>,
    /// No device is begun any more.
    ending: AtomicBool,
    /// Ports that are there.
    present: Mutex<BTreeSet<String>>,
    /// Where workers are.
    lanes: Mutex<Vec<PortLane>>,
    /// When a device has answered last, or was last looked for where one should be.
    active: Mutex<Instant>,
    /// Workers that are looking for one.
    looking: AtomicUsize,
    met: Mutex<BTreeSet<Met>>,
    problems: Mutex<Problems>,
}

/// Sets up the fleet.
///
/// # Errors
///
/// When it could not run, and when a device is not done.
pub(crate) fn run(given: &BatchArguments, screen: Screen, cancel: &Cancel) -> Result<(), Failure> {
    let begun = Instant::now();
    if let Some(path) = &given.report {
        labels::check_name(path)?;
    }
    let fleet = Fleet::read(given, screen)?;
    let loader = LoaderPlan::new(&given.loader, Cancel::default())?;
    let images = Images::new(given, screen)?;
    let place = given.journal.clone().unwrap_or_else(|| beside(&fleet.path));
    if given.dry_run {
        let (ledger, _) = Ledger::new(fleet.rows, &Journal::peek(&place)?);
        return summary::print_plan(&ledger, &place, given.json);
    }
    let (journal, records) = Journal::open(&place)?;
    let mut ledger = Ledger::new(fleet.rows.clone(), &records);
    resume(&mut ledger, given, screen);
    let (ledger, _) = ledger;
    if ledger.open() > 0 {
        confirm_off_mains(&fleet, given, screen)?;
    }
    let bell = if given.quiet_bell { Bell::IsQuiet } else { Bell::Rings };
    let batch = Batch {
        given,
        screen,
        loader,
        images,
        board: Board::new(screen, bell),
        ledger: Mutex::new(ledger),
        journal: Mutex::new(journal),
        journal_error: Mutex::new(None),
        ending: AtomicBool::new(false),
        present: Mutex::new(BTreeSet::new()),
        lanes: Mutex::new(Vec::new()),
        active: Mutex::new(Instant::now()),
        looking: AtomicUsize::new(0),
        met: Mutex::new(BTreeSet::new()),
        problems: Mutex::new(Problems::default()),
    };
    let worked = batch.work(cancel);
    batch.board.clear();
    batch.finish(worked, begun.elapsed(), cancel)
}

/// The journal's place where none was named.
fn beside(fleet: &Path) -> PathBuf {
    let mut name = OsString::from(fleet);
    name.push(".journal");
    name.into()
}

/// Says what an earlier run has left.
fn resume((ledger, without_row): &mut (Ledger, usize), given: &BatchArguments, screen: Screen) {
    if *without_row > 0 {
        screen.warning(format!(
            "{without_row} devices that the journal has as finished have no row in this fleet any more"
        ));
    }
    let outdated = ledger.outdated().len();
    if outdated > 0 && given.redo_changed {
        ledger.reopen_outdated();
    } else if outdated > 0 {
        screen.warning(format!(
            "{outdated} of the finished devices have other settings than the fleet says now; --redo-changed does them \
             again"
        ));
    }
    let (done, all) = (ledger.done(), ledger.entries().len());
    if done > 0 {
        screen.line(format!("{done} of {all} devices are finished already; they are left alone."));
    }
    for entry in ledger.entries().iter().filter(|entry| entry.half_done && entry.state == State::Open) {
        let mac = entry.mac_text().unwrap_or_default();
        screen.line(format!("`{}` ({mac}) was begun and not finished; it is done again.", entry.name()));
    }
}

/// A mains device is never written without a word on it, said once for all of them.
fn confirm_off_mains(fleet: &Fleet, given: &BatchArguments, screen: Screen) -> Result<(), Failure> {
    let ids: BTreeSet<&str> = fleet.profiles().collect();
    let mut titles = Vec::new();
    for id in ids {
        let profile = find_profile(id)?;
        if profile.mains {
            titles.push(profile.title);
        }
    }
    if titles.is_empty() || given.off_mains {
        return Ok(());
    }
    if !screen.can_ask() {
        return Err(BatchError::OnMains { titles }.into());
    }
    screen.warning(format!(
        "in the fleet are mains devices: {}. Their low-voltage side may be live: touching it, or the computer wired to it, \
         can kill. Unplug each of them from the mains before you connect it, and power it with 3.3 V from the adapter.",
        titles.join(", ")
    ));
    if wizard::confirm("All of them are unplugged from the mains, and stay so")? {
        Ok(())
    } else {
        Err(wizard::WizardError::Declined.into())
    }
}

impl Batch<'_> {
    /// Works until nothing is left to do.
    fn work(&self, cancel: &Cancel) -> Result<(), Failure> {
        thread::scope(|scope| {
            let mut workers: BTreeMap<String, thread::ScopedJoinHandle<'_, ()>> = BTreeMap::new();
            let mut looked: Option<Instant> = None;
            let result = loop {
                if cancel.is_cancelled() || !self.goes_on() || self.is_idle_too_long() {
                    break Ok(());
                }
                self.show_whole();
                if looked.is_none_or(|looked| looked.elapsed() >= LOOK) {
                    looked = Some(Instant::now());
                    let present = match self.given.ports.present() {
                        Ok(present) => present,
                        Err(error) => break Err(error.into()),
                    };
                    *lock(&self.present) = present.iter().map(|port| port.name.clone()).collect();
                    for port in present {
                        let is_served = workers.get(&port.name).is_some_and(|worker| !worker.is_finished());
                        if !is_served {
                            let name = port.name.clone();
                            workers.insert(name, scope.spawn(move || worker::serve(self, &port)));
                        }
                    }
                }
                thread::sleep(GLANCE);
            };
            // Nobody begins a device any more. Those that are at work finish it, unless the user has said to stop.
            self.ending.store(true, Ordering::SeqCst);
            let mut told = false;
            while workers.values().any(|worker| !worker.is_finished()) {
                if cancel.is_cancelled() && !told {
                    told = true;
                    if self.ledger().running() == 0 {
                        continue;
                    }
                    self.board.above(|screen| {
                        screen.line(
                            "Stopping: what is being written is finished first. Ctrl-C again leaves at once.",
                        );
                    });
                }
                for lane in lock(&self.lanes).iter() {
                    if cancel.is_cancelled() || !lane.is_at_work() {
                        lane.stop();
                    }
                }
                self.show_whole();
                thread::sleep(GLANCE);
            }
            result
        })
    }

    /// Tells what came of it, and gives the verdict.
    fn finish(&self, worked: Result<(), Failure>, took: Duration, cancel: &Cancel) -> Result<(), Failure> {
        let ledger = self.ledger().clone();
        let mut journal = lock(&self.journal);
        let written = journal.catch_up();
        let lost = journal.waiting().len();
        let problems = self.problems().clone();
        let summary = Summary::new(&ledger, &problems, journal.path(), took);
        if self.given.json {
            crate::print_json(&summary)?;
        } else {
            self.screen.line(summary.text());
        }
        if let Some(path) = &self.given.report {
            labels::write(path, &ledger)
                .map_err(|source| BatchError::Report { path: path.clone(), source })?;
            self.screen.line(format!(
                "Labels of finished devices ({}) are in `{}`.",
                ledger.done(),
                path.display()
            ));
        }
        worked?;
        if let Some(error) = lock(&self.journal_error).take() {
            if lost > 0 {
                self.screen.warning(format!("{lost} lines are not in the journal; the table above is right"));
            }
            return Err(BatchError::Journal(written.err().unwrap_or(error)).into());
        }
        let (done, total) = (ledger.done(), ledger.entries().len());
        let (failed, open) = (ledger.failed(), ledger.open());
        let nobody = failed == 0 && problems.refused.is_empty() && problems.unanswered.is_empty();
        if done == total {
            Ok(())
        } else if cancel.is_cancelled() {
            Err(BatchError::Stopped { done, total }.into())
        } else if nobody && lock(&self.met).is_empty() && !self.has_met_anybody() {
            Err(BatchError::NoDevice.into())
        } else {
            Err(BatchError::NotAll { total, failed, open }.into())
        }
    }

    fn has_met_anybody(&self) -> bool {
        self.ledger().entries().iter().any(|entry| matches!(&entry.state, State::Done { earlier: false, .. }))
    }

    /// Whether another device may be begun.
    fn goes_on(&self) -> bool {
        !self.ending.load(Ordering::SeqCst) && lock(&self.journal_error).is_none() && self.ledger().open() > 0
    }

    fn is_idle_too_long(&self) -> bool {
        let wait = match self.given.wait {
            Some(seconds) => Duration::from_secs(seconds),
            None if self.screen.is_terminal() => return false,
            None => WAIT,
        };
        let is_looking = self.looking.load(Ordering::SeqCst) > 0;
        !is_looking && self.ledger().running() == 0 && lock(&self.active).elapsed() > wait
    }

    fn show_whole(&self) {
        let ledger = self.ledger();
        let (done, failed, running, open) = (ledger.done(), ledger.failed(), ledger.running(), ledger.open());
        let total = ledger.entries().len();
        drop(ledger);
        let failed = if failed > 0 { format!(", {failed} failed") } else { String::new() };
        let next = match open {
            0 => "the last ones are at work".to_owned(),
            open => format!("{open} to go: connect the next one"),
        };
        self.board.whole(&format!("{done} of {total} done{failed}, {running} at work; {next}"));
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    fn problems(&self) -> MutexGuard<'_, Problems> {
        lock(&self.problems)
    }

    fn is_present(&self, port: &str) -> bool {
        lock(&self.present).contains(port)
    }

    /// Something was done.
    fn busy(&self) {
        *lock(&self.active) = Instant::now();
    }

    fn is_first_time(&self, met: &Met) -> bool {
        lock(&self.met).insert(met.clone())
    }

    fn lane(&self, port: &str) -> PortLane {
        let lane = self.board.lane(port);
        lock(&self.lanes).push(lane.clone());
        lane
    }

    fn leave(&self, lane: &PortLane) {
        lane.close();
        lock(&self.lanes).retain(|known| !known.is(lane));
    }

    fn claim(&self, mac: Mac, port: &Port) -> Claim {
        self.ledger().claim(mac, &port.places(), &port.name)
    }

    fn settle(&self, index: usize, state: State) {
        self.ledger().settle(index, state);
    }

    fn row(&self, index: usize) -> Option<Row> {
        self.ledger().entries().get(index).map(|entry| entry.row.clone())
    }

    fn name(&self, index: usize) -> String {
        self.ledger().entries().get(index).map(matching::Entry::name).unwrap_or_default()
    }

    /// Adds a line to the journal; when that fails, no device is begun any more.
    fn write_down(&self, record: Record) -> Result<(), NotWritten> {
        let result = lock(&self.journal).add(record);
        result.map_err(|error| {
            lock(&self.journal_error).get_or_insert(error);
            NotWritten
        })
    }
}

/// A line is not in the journal; why is known to the batch.
#[derive(Debug)]
struct NotWritten;

/// A panic of another worker leaves nothing half done behind these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
