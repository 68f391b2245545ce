//! A worker: serves one port for as long as it is there, one device after the other.
//!
//! `nobody met -> connect -> identify -> row -> the same work as setup -> met -> (port gone, or another device) -> nobody
//! met`. A device that was met is asked now and then whether it is still there, without disturbing it; one that is silent
//! is reset into its loader, because a blank device that was connected instead says nothing either.

use std::{sync::atomic::Ordering, thread, time::Duration};

use espbroker_flasher::{BootLog, FlasherError, Session, cancel::Cancel, event::Event, identify::DeviceInfo};

use super::{
    Batch, BatchError, Met, Problem,
    fleet::{Mac, Row},
    journal::{Finished, MacText, Record, now},
    lanes::{Manner, PortLane},
    matching::{Claim, State},
    ports::{Behind, Port, Watch, is_there},
};
use crate::{
    device::{self, Device},
    failure::Failure,
    hex::to_hex,
    narrator::Narrator,
    preflight,
    report::rounded,
    screen::{Loudness, Screen},
    setup::{Done, Job, Registry, SetupError},
};

/// Between two looks at a port where nothing goes on.
const PAUSE: Duration = Duration::from_millis(1000);
/// How often a port that cannot be opened is tried once more.
const TRIES: u32 = 2;
/// How often a device must be silent before somebody else is looked for in its place.
const SILENCES: u32 = 2;

/// What one attempt at a port came to.
enum Attempt {
    /// A device was identified; whatever had to be done is done.
    Met(Mac),
    /// Somebody may be there, and did not say who.
    NoAnswer(Failure),
    /// The port could not be opened.
    NoPort(Failure),
}

/// How much a failed attempt is worth.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It is reported.
    Yes,
    /// Nobody has said that there is a device.
    No,
}

/// Serves `port` until it is gone or nothing is left to do.
pub(super) fn serve(batch: &Batch<'_>, port: &Port) {
    let lane = batch.lane(&port.name);
    let mut met = None;
    // A port that was named, or has appeared, has a device; one that was worked on may be empty for a while.
    let mut expected = Told::Yes;
    while batch.goes_on() && batch.is_present(&port.name) {
        if let Some(mac) = met {
            match next_one(batch, port, &lane, mac) {
                Next::Over => break,
                // Whoever is silent may still be the one that failed, so what was said of it stays.
                Next::Other => expected = Told::No,
                Next::Plugged => {
                    expected = Told::Yes;
                    lane.idle("connect the next one");
                }
            }
            met = None;
        }
        let is_expected = expected == Told::Yes;
        if is_expected {
            batch.looking.fetch_add(1, Ordering::SeqCst);
        }
        let attempted = attempt(batch, port, &lane, expected);
        if is_expected {
            batch.busy();
            batch.looking.fetch_sub(1, Ordering::SeqCst);
        }
        match attempted {
            Attempt::Met(mac) => met = Some(mac),
            Attempt::NoAnswer(failure) => {
                if expected == Told::Yes && batch.goes_on() {
                    batch.unanswered(&port.name, &failure);
                    lane.rest(false, "no answer: look at the hint, or connect another one");
                }
                expected = Told::No;
                batch.pause(PAUSE);
            }
            Attempt::NoPort(failure) => {
                if expected == Told::Yes && batch.goes_on() {
                    batch.unanswered(&port.name, &failure);
                }
                lane.idle("not there; connect the next one");
                wait_for_port(batch, port);
                expected = Told::Yes;
            }
        }
    }
    batch.leave(&lane);
}

/// Who is on a port on which a device was met.
enum Next {
    /// Perhaps somebody else.
    Other,
    /// The port was away, so somebody was plugged in.
    Plugged,
    /// It does not matter any more.
    Over,
}

/// Waits until somebody else may be there.
fn next_one(batch: &Batch<'_>, port: &Port, lane: &PortLane, met: Mac) -> Next {
    let mut watch = Watch::new(&port.name);
    let mut silences = 0;
    loop {
        let Some(open) = &mut watch else {
            wait_for_port(batch, port);
            return Next::Plugged;
        };
        batch.pause(PAUSE);
        if !batch.goes_on() || !batch.is_present(&port.name) {
            return Next::Over;
        }
        match open.who_is_behind() {
            Behind::Firmware(mac) if mac == met => silences = 0,
            Behind::Firmware(_) => return Next::Other,
            Behind::NoPort => watch = None,
            Behind::Silence => silences += 1,
        }
        if silences >= SILENCES {
            // Whoever is silent is asked by the loader; a device that was dealt with already stays as it is.
            drop(watch);
            if identified(batch, port, lane) != Some(met) {
                return Next::Other;
            }
            watch = Watch::new(&port.name);
            silences = 0;
            batch.pause(PAUSE * 4);
        }
    }
}

/// The device in its loader, if there is one.
fn identified(batch: &Batch<'_>, port: &Port, lane: &PortLane) -> Option<Mac> {
    let narrator = Narrator::new(Screen::new(Loudness::Quiet));
    let mut ignore = |_: Event| {};
    let device = Device::Port(port.name.clone());
    let cancel = lane.device(Manner::Quiet);
    let mut session = batch.loader.once(cancel).connect(&device, &narrator, &mut ignore).ok()?;
    device::identify(&mut session, &narrator).ok().map(|info| info.mac)
}

fn wait_for_port(batch: &Batch<'_>, port: &Port) {
    while batch.goes_on() && batch.is_present(&port.name) && !is_there(&port.name) {
        batch.pause(PAUSE / 4);
    }
}

/// Connects, and does what is to be done with whoever answers.
fn attempt(batch: &Batch<'_>, port: &Port, lane: &PortLane, expected: Told) -> Attempt {
    let cancel = lane.device(if expected == Told::Yes { Manner::Open } else { Manner::Quiet });
    let narrator = Narrator::in_lane(batch.screen, Box::new(lane.clone()));
    let device = Device::Port(port.name.clone());
    let loader = match expected {
        Told::Yes => batch.loader.stopped_by(cancel.clone()),
        Told::No => batch.loader.once(cancel.clone()),
    };
    let mut events = |event: Event| narrator.event(event);
    let mut tries = 0;
    let mut session = loop {
        // A port that has just appeared may not be ready, or still busy with who asked before.
        match loader.connect(&device, &narrator, &mut events) {
            Ok(session) => break session,
            Err(FlasherError::Transport(_)) if tries < TRIES && !cancel.is_cancelled() => {
                tries += 1;
                thread::sleep(PAUSE / 2);
            }
            Err(error @ FlasherError::Transport(_)) => return Attempt::NoPort(error.into()),
            Err(error) => return Attempt::NoAnswer(error.into()),
        }
    };
    let info = match device::identify(&mut session, &narrator) {
        Ok(info) => info,
        Err(error) => return Attempt::NoAnswer(error.into()),
    };
    batch.busy();
    let mac = info.mac;
    match batch.claim(mac, port) {
        Claim::Row { index, swapped } => {
            // An index comes from the ledger itself.
            if let Some(row) = batch.row(index) {
                let (narrator, cancel, device) = (&narrator, &cancel, &device);
                let one = One { batch, port, lane, index, row, narrator, cancel, device };
                one.set_up(session, &info, swapped);
            }
        }
        Claim::Finished { index } => {
            restart(session);
            let name = batch.name(index);
            if batch.is_first_time(&Met::Finished(mac, port.name.clone())) {
                batch.board.above(|screen| {
                    screen.line(format!(
                        "`{name}` ({}) on {} is finished already; it was left as it is",
                        to_hex(&mac, ":"),
                        port.name
                    ));
                });
            }
            lane.rest(true, &format!("{name} is finished: unplug it"));
        }
        refusal => {
            restart(session);
            batch.refuse(mac, port, &refusal);
            lane.rest(false, "not for this fleet: unplug it");
        }
    }
    batch.busy();
    Attempt::Met(mac)
}

/// Lets a device go that was only asked who it is.
fn restart(session: Session<'_>) {
    // It starts when it is plugged in again, at the latest.
    let _ = session.into_console().reset(BootLog::Skip);
}

/// One device, and the row that it is for.
struct One<'a> {
    batch: &'a Batch<'a>,
    port: &'a Port,
    lane: &'a PortLane,
    index: usize,
    row: Row,
    narrator: &'a Narrator,
    cancel: &'a Cancel,
    device: &'a Device,
}

impl One<'_> {
    fn set_up(&self, session: Session<'_>, info: &DeviceInfo, swapped: Option<Mac>) {
        let (batch, mac) = (self.batch, MacText(info.mac));
        let (row, name) = (self.row.identity.clone(), self.row.name(Some(info.mac)));
        self.lane.name(&name);
        if let Some(before) = swapped {
            self.narrator.warning(&format!(
                "this row was begun with another device: {} was swapped for {}",
                to_hex(&before, ":"),
                to_hex(&info.mac, ":")
            ));
            let before = MacText(before);
            if batch.write_down(Record::Swapped { at: now(), row: row.clone(), before, mac }).is_err() {
                return self.give_back(session);
            }
        }
        let port = self.port.name.clone();
        // Before anything is erased: what was begun must be known whatever comes next.
        if batch.write_down(Record::Begun { at: now(), row: row.clone(), mac, port: port.clone() }).is_err() {
            return self.give_back(session);
        }
        let began = std::time::Instant::now();
        match self.work(session, info) {
            Ok((done, firmware, digest)) => {
                let seconds = began.elapsed();
                let device = Finished {
                    name: done.config.name.clone(),
                    settings: digest,
                    firmware: firmware.0,
                    image_sha256: firmware.1,
                    profile: done.config.profile.as_ref().map(|profile| profile.id.clone()),
                    host: done.target.host.clone(),
                    mqtt_port: done.target.port,
                    seconds: seconds.as_secs(),
                };
                let record = Record::Done { at: now(), row, mac, port: port.clone(), device: device.clone() };
                // The device is done whether or not that can be kept; `write_down` says so.
                let _ = batch.write_down(record);
                batch.board.good(&format!(
                    "{name:20} {} on {port}  {:.1} s  mqtt://{}:{}",
                    to_hex(&info.mac, ":"),
                    rounded(seconds),
                    device.host,
                    device.mqtt_port,
                ));
                batch.settle(self.index, State::Done { device: Box::new(device), earlier: false });
                self.lane.rest(true, &format!("{name} is done: unplug it"));
            }
            Err(failure) => {
                self.narrator.fail();
                let (why, hint) = (failure.sentence(), failure.hint().map(str::to_owned));
                if failure.is_stopped() {
                    batch.settle(self.index, State::Open);
                    self.lane.rest(false, &format!("{name} was stopped"));
                    return;
                }
                let record = Record::Failed { at: now(), row, mac, port: port.clone(), why: why.clone() };
                let _ = batch.write_down(record);
                batch
                    .board
                    .bad(&format!("{name:20} {} on {port}: {why}", to_hex(&info.mac, ":")), hint.as_deref());
                batch.settle(self.index, State::Failed { port, why, hint });
                self.lane.rest(false, &format!("{name} has FAILED: unplug it"));
            }
        }
    }

    /// Nothing was written to it.
    fn give_back(&self, session: Session<'_>) {
        restart(session);
        self.batch.settle(self.index, State::Open);
        self.lane.rest(false, "not begun: the journal cannot be written");
    }

    fn work(
        &self,
        mut session: Session<'_>,
        info: &DeviceInfo,
    ) -> Result<(Done, (String, String), String), Failure> {
        let batch = self.batch;
        let row = &self.row;
        let answers = row.answers(info.mac).map_err(|source| BatchError::Row { row: row.number, source })?;
        let image = batch.images.image(preflight::machine(info))?;
        session.offer(image.prepared.clone());
        let loader = batch.loader.stopped_by(self.cancel.clone());
        let agree = |losses: Vec<String>| {
            if losses.is_empty() || batch.given.yes {
                Ok(())
            } else {
                Err(SetupError::WouldLose { what: losses }.into())
            }
        };
        let job = Job {
            answers: &answers,
            device: self.device,
            loader: &loader,
            firmware: &image.firmware,
            narrator: self.narrator,
            cancel: self.cancel,
            agree: &agree,
            registry: Registry::Learns,
        };
        let done = job.run(session, info)?;
        done.verdict()?;
        let descriptor = &image.firmware.descriptor;
        Ok((done, (descriptor.version.clone(), to_hex(&descriptor.digest, "")), row.digest.clone()))
    }
}

impl Batch<'_> {
    /// A device that is left as it is.
    fn refuse(&self, mac: Mac, port: &Port, claim: &Claim) {
        let why = match claim {
            Claim::SameMac { port } => {
                format!("a device with the same MAC address is being set up on {port}")
            }
            Claim::NameTaken { name, mac } => {
                format!("its name would be `{name}`, which is that of {}", to_hex(mac, ":"))
            }
            _ => "no open row of the fleet is for it".to_owned(),
        };
        if !self.is_first_time(&Met::Refused(mac, port.name.clone())) {
            return;
        }
        let record =
            Record::Refused { at: now(), mac: MacText(mac), port: port.name.clone(), why: why.clone() };
        let _ = self.write_down(record);
        self.board.bad(&format!("{} on {} was left as it is: {why}", to_hex(&mac, ":"), port.name), None);
        let problem = Problem { port: port.name.clone(), mac: Some(to_hex(&mac, ":")), why, hint: None };
        self.problems().refused.push(problem);
    }

    /// Something that did not say who it is.
    fn unanswered(&self, port: &str, failure: &Failure) {
        if failure.is_stopped() {
            return;
        }
        let (why, hint) = (failure.sentence(), failure.hint().map(str::to_owned));
        let _ = self.write_down(Record::Unanswered { at: now(), port: port.to_owned(), why: why.clone() });
        // Most messages name the port themselves.
        let text = if why.contains(port) { why.clone() } else { format!("{port}: {why}") };
        self.board.bad(&text, hint.as_deref());
        let problem = Problem { port: port.to_owned(), mac: None, why, hint };
        self.problems().unanswered.push(problem);
    }

    /// Waits, unless there is nothing left to wait for.
    fn pause(&self, duration: Duration) {
        const SLICE: Duration = Duration::from_millis(50);
        let mut left = duration;
        while !left.is_zero() && self.goes_on() {
            let slice = left.min(SLICE);
            thread::sleep(slice);
            left -= slice;
        }
    }
}
