//! `selftest`: finds out on a real board what no emulator can tell, and writes it down.
//!
//! One session asks the boot ROM and then the stub; what needs more resets comes after it. Only one step writes: to a
//! block of the store region, after a question, and what was there is put back and verified.

mod report;
mod scratch;

use std::time::Duration;

use espbroker_flasher::{
    BAUD_LADDER, BootVerdict, Cancel, CommandError as LoaderError, ConnectOptions, Console, DeviceInfo,
    FlasherError, Session, Stub, StubStart, UnknownReply, Wiring, ports,
};
use report::{Finding, Outcome, Report};

use super::{Context, refuse_existing, save_private};
use crate::{
    arguments::{Execution, SelftestArguments},
    device::{Device, describe, identify},
    failure::Failure,
    narrator::Narrator,
    preflight,
    simulation::{self, Access},
    wizard,
};

/// Rates at which the boot ROM itself is asked; nobody has written down whether it can.
const DIRECT_RATES: [u32; 3] = [230_400, 460_800, 921_600];

/// Register reads for one figure.
const ROUND_TRIPS: usize = 20;

/// Bytes and number of the frames that go there and back at each rate.
const ECHO: (usize, usize) = (2048, 8);

/// What is measured for the speed of digests.
const DIGEST_SPAN: u32 = 0x10_0000;

/// How long a firmware may take to say something after a soft start.
const FIRST_WORD: Duration = Duration::from_secs(3);

/// Why a self-test is not passed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SelftestError {
    #[error("{} of {asked} questions were answered wrongly: {}", failed.len(), failed.join(", "))]
    Failed { failed: Vec<&'static str>, asked: usize },
    #[error("what was in the scratch region could not be put back; it is saved in `{file}`")]
    NotRestored { file: String },
}

/// The walk and what it has found so far.
struct Walk<'a> {
    device: &'a Device,
    narrator: &'a Narrator,
    cancel: Cancel,
    report: Report,
}

/// Asks everything that can be asked, prints the report and saves it.
///
/// # Errors
///
/// When the device does not answer at all, or an answer was wrong.
pub(crate) fn run(given: &SelftestArguments, context: &Context) -> Result<(), Failure> {
    if let Some(path) = &given.report {
        refuse_existing(path)?;
    }
    let device = if given.simulate {
        Device::Simulated(simulation::start(
            &given.simulation,
            Execution::Lx106,
            None,
            None,
            Access::InProcess,
        )?)
    } else {
        Device::find(&given.device, context.screen)?
    };
    let may_write = may_write(given, context)?;
    let narrator = Narrator::new(context.screen);
    let report = Report::new(port_words(&device), given.simulate);
    let mut walk = Walk { device: &device, narrator: &narrator, cancel: context.cancel.clone(), report };
    let result = walk.everything(may_write);
    let report = walk.report;
    // Also what was found before the device was lost is worth a report.
    let text = report.markdown();
    crate::print(&text)?;
    if let Some(path) = &given.report {
        let is_json = path.extension().is_some_and(|extension| extension == "json");
        let bytes = if is_json {
            serde_json::to_vec_pretty(&report).map_err(crate::PrintError::Json)?
        } else {
            text.into_bytes()
        };
        save_private(path, &bytes)?;
        context.screen.line(format!("Report saved in `{}`.", path.display()));
    }
    result?;
    let asked = report.findings.len() - report.count(Outcome::Skipped);
    let failed: Vec<_> =
        report.findings.iter().filter(|finding| finding.outcome == Outcome::Failed).collect();
    if failed.is_empty() {
        return Ok(());
    }
    let failed = failed.iter().map(|finding| finding.name).collect();
    Err(SelftestError::Failed { failed, asked }.into())
}

/// Whether the scratch region may be used: a question to who can be asked.
fn may_write(given: &SelftestArguments, context: &Context) -> Result<bool, Failure> {
    if given.no_write || given.simulate || given.yes {
        return Ok(!given.no_write);
    }
    if !context.screen.can_ask() {
        context.screen.warning("nothing is written without a word of consent; --yes gives it");
        return Ok(false);
    }
    context.screen.line(
        "One step writes to 64 KB of the store region, which the broker keeps retained messages in, and puts back what \
         was there.",
    );
    Ok(wizard::confirm("May it")?)
}

fn port_words(device: &Device) -> String {
    let known = ports::list().unwrap_or_default();
    let port = known.iter().find(|port| port.name == device.name());
    port.map_or_else(|| device.name().to_owned(), describe)
}

impl Walk<'_> {
    fn everything(&mut self, may_write: bool) -> Result<(), Failure> {
        let narrator = self.narrator;
        let mut events = |event| narrator.event(event);
        let mut session = self.connect(115_200, 7, &mut events)?;
        let info = identify(&mut session, narrator)?;
        self.note_device(&info);
        self.boot_rom(&mut session);
        if self.stub(&mut session)? {
            if session.may_change_baud() {
                self.rates(&mut session)?;
            }
            self.digests(&mut session, &info);
            self.scratch(&mut session, &info, may_write)?;
            self.soft_reset(session.into_console())?;
        } else {
            drop(session);
        }
        self.direct_sync();
        self.boot_log()
    }

    fn connect<'e>(
        &self,
        baud: u32,
        attempts: u32,
        events: &'e mut dyn FnMut(espbroker_flasher::Event),
    ) -> Result<Session<'e>, FlasherError> {
        let options =
            ConnectOptions { baud, attempts, cancel: self.cancel.clone(), ..ConnectOptions::default() };
        Ok(Session::connect(self.device.open()?, options, events)?)
    }

    /// Notes one answer.
    fn note(&mut self, name: &'static str, outcome: Outcome, answer: impl Into<String>) {
        let answer = answer.into();
        self.narrator.begin(name, "");
        if outcome == Outcome::Failed {
            self.narrator.fail();
            self.narrator.above(|screen| screen.warning(answer.clone()));
        } else {
            self.narrator.end(&answer);
        }
        self.report.findings.push(Finding { name, outcome, answer });
    }

    /// Notes what a measurement gave, or that it failed.
    fn judge<T>(
        &mut self,
        name: &'static str,
        result: Result<T, LoaderError>,
        words: impl FnOnce(T) -> String,
    ) {
        match result {
            Ok(value) => self.note(name, Outcome::Passed, words(value)),
            Err(error) => self.note(name, Outcome::Failed, error.to_string()),
        }
    }

    /// The last three bytes of the MAC address are nobody's business.
    fn note_device(&mut self, info: &DeviceInfo) {
        let [a, b, c, ..] = info.mac;
        self.report.device = format!(
            "{}, {} MHz, flash {}, MAC {a:02x}:{b:02x}:{c:02x}:...",
            info.chip,
            info.crystal_mhz,
            info.flash.hex()
        );
    }

    fn boot_rom(&mut self, session: &mut Session<'_>) {
        let result = session.round_trips(ROUND_TRIPS);
        self.judge("boot ROM: round trip", result, |times| times_words(&times));
        let (outcome, answer) = match session.unknown_opcode() {
            Ok(UnknownReply::Refused { status, error }) => {
                (Outcome::Noted, format!("refused with status {status:#04x}, error {error:#04x}"))
            }
            Ok(UnknownReply::Silence) => (Outcome::Noted, "no reply".to_owned()),
            Err(error) => (Outcome::Failed, error.to_string()),
        };
        self.note("boot ROM: unknown opcode", outcome, answer);
        let result = session.round_trips(1);
        self.judge("boot ROM: answers after it", result, |_| "yes".to_owned());
    }

    /// Starts the stub at the rate of the session.
    fn stub(&mut self, session: &mut Session<'_>) -> Result<bool, Failure> {
        let stub = Stub::bundled().map_err(FlasherError::from)?;
        let started = session.now();
        let start = session.start_stub(&stub, &[]).map_err(FlasherError::from)?;
        let took = session.now().saturating_sub(started);
        if let StubStart::RomOnly { reason } = start {
            self.note("stub: starts", Outcome::Failed, reason.to_string());
            return Ok(false);
        }
        let Some(info) = session.stub_info() else {
            self.note("stub: starts", Outcome::Failed, "it greets, but does not say who it is");
            return Ok(false);
        };
        self.note(
            "stub: starts",
            Outcome::Passed,
            format!(
                "{} bytes in {} ms; version {}, window {} bytes, block {} bytes",
                stub.length(),
                took.as_millis(),
                info.version,
                info.receive_window,
                info.block_max
            ),
        );
        let result = session.round_trips(ROUND_TRIPS);
        self.judge("stub: round trip", result, |times| times_words(&times));
        Ok(true)
    }

    /// Every rate, up and down again, with what gets through.
    fn rates(&mut self, session: &mut Session<'_>) -> Result<(), Failure> {
        const NAMES: [(u32, &str); 5] = [
            (230_400, "rate: 230400"),
            (460_800, "rate: 460800"),
            (921_600, "rate: 921600"),
            (1_000_000, "rate: 1000000"),
            (1_500_000, "rate: 1500000"),
        ];
        for (baud, name) in NAMES {
            let result = session.set_stub_baud(baud).and_then(|()| {
                let started = session.now();
                session.probe_line(ECHO.0, ECHO.1)?;
                Ok(session.now().saturating_sub(started))
            });
            let bytes = ECHO.0 * ECHO.1;
            match result {
                Ok(took) => {
                    self.note(
                        name,
                        Outcome::Passed,
                        format!("{bytes} bytes there and back in {} ms", took.as_millis()),
                    );
                }
                Err(error) => {
                    // What a ladder leaves out is no failure; its rates should work, or it costs time each time.
                    let outcome = if BAUD_LADDER.contains(&baud) { Outcome::Failed } else { Outcome::Noted };
                    self.note(name, outcome, error.to_string());
                    self.start_over(session)?;
                }
            }
        }
        let down = session.set_stub_baud(230_400).and_then(|()| session.set_stub_baud(115_200));
        let failed = down.is_err();
        self.judge("rate: down again to 115200", down, |()| "yes".to_owned());
        if failed {
            self.start_over(session)?;
        }
        Ok(())
    }

    /// A stub that is lost at some rate is uploaded anew.
    fn start_over(&self, session: &mut Session<'_>) -> Result<(), Failure> {
        session.reset_into_loader().map_err(FlasherError::from)?;
        let stub = Stub::bundled().map_err(FlasherError::from)?;
        session.start_stub(&stub, &[]).map_err(FlasherError::from)?;
        Ok(())
    }

    fn digests(&mut self, session: &mut Session<'_>, info: &DeviceInfo) {
        let length = info.flash.capacity.unwrap_or(DIGEST_SPAN).min(DIGEST_SPAN);
        let kilobytes = length / 1024;
        let result = session.time_digests(0..length);
        self.judge("digests: by sector", result, |took| format!("{kilobytes} KB in {} ms", took.as_millis()));
        let result = session.time_digest(0..length);
        self.judge("digests: of a span", result, |took| format!("{kilobytes} KB in {} ms", took.as_millis()));
    }

    fn scratch(
        &mut self,
        session: &mut Session<'_>,
        info: &DeviceInfo,
        may_write: bool,
    ) -> Result<(), Failure> {
        if !may_write {
            self.note("scratch: erase and write", Outcome::Skipped, "not agreed to");
            return Ok(());
        }
        let map = match preflight::flash_map(info) {
            Ok(map) => map,
            Err(error) => {
                self.note("scratch: erase and write", Outcome::Skipped, error.to_string());
                return Ok(());
            }
        };
        // The fastest rate that just worked makes the figures comparable with a real run.
        if session.may_change_baud()
            && let Err(error) = session.set_stub_baud(BAUD_LADDER[0])
        {
            self.note("scratch: rate", Outcome::Noted, error.to_string());
            self.start_over(session)?;
        }
        for (name, outcome, answer) in scratch::run(session, map)? {
            self.note(name, outcome, answer);
        }
        Ok(())
    }

    /// Starts what is in flash without a reset line.
    fn soft_reset(&mut self, mut console: Console<'_>) -> Result<(), Failure> {
        let started = console.start_by_stub().map_err(FlasherError::from)?;
        let line = if started { console.next_line(FIRST_WORD).map_err(FlasherError::from)? } else { None };
        let (outcome, answer) = match (started, line) {
            (false, _) => (Outcome::Failed, "the stub did not answer".to_owned()),
            (true, Some(line)) => {
                (Outcome::Noted, format!("first line at 115200 baud: {}", printable(&line)))
            }
            (true, None) => {
                let seconds = FIRST_WORD.as_secs();
                (Outcome::Noted, format!("accepted; no line at 115200 baud within {seconds} s"))
            }
        };
        self.note("soft reset", outcome, answer);
        Ok(())
    }

    /// Whether the boot ROM measures faster rates as well; nothing depends on it yet.
    fn direct_sync(&mut self) {
        const NAMES: [&str; 3] = ["direct sync: 230400", "direct sync: 460800", "direct sync: 921600"];
        let narrator = self.narrator;
        for (baud, name) in DIRECT_RATES.into_iter().zip(NAMES) {
            let mut events = |event| narrator.event(event);
            let answer = match self.connect(baud, 2, &mut events) {
                Ok(mut session) => match session.round_trips(ROUND_TRIPS) {
                    Ok(times) => times_words(&times),
                    Err(error) => format!("answers SYNC, then: {error}"),
                },
                Err(error) => error.to_string(),
            };
            self.note(name, Outcome::Noted, answer);
        }
    }

    /// The boot ROM's log after a hard reset, which also leaves the device in its firmware.
    fn boot_log(&mut self) -> Result<(), Failure> {
        let narrator = self.narrator;
        let mut events = |event| narrator.event(event);
        let transport = self.device.open()?;
        let mut console = Console::new(transport, Wiring::Usual, self.cancel.clone(), &mut events);
        let (outcome, answer) = match console.time_boot_log().map_err(FlasherError::from)? {
            None => (Outcome::Skipped, "the port cannot reset the chip or run at 74880 baud".to_owned()),
            Some(timed) => {
                let first = timed.heard.start.as_millis();
                let last = timed.heard.end.as_millis();
                let text = timed.log.text.lines().next().unwrap_or_default().to_owned();
                let answer = format!(
                    "{} bytes, the first after {first} ms and the last after {last} ms: {}",
                    timed.bytes,
                    printable(&text)
                );
                let heard = timed.log.verdict != BootVerdict::NoLog;
                (if heard { Outcome::Passed } else { Outcome::Failed }, answer)
            }
        };
        self.note("boot log at 74880", outcome, answer);
        Ok(())
    }
}

fn times_words(times: &[Duration]) -> String {
    let mut times = times.to_vec();
    times.sort_unstable();
    let milliseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1000.0);
    format!(
        "{} times; median {:.1} ms, longest {:.1} ms",
        times.len(),
        milliseconds(times.get(times.len() / 2)),
        milliseconds(times.last())
    )
}

/// What a report can carry of a line: its beginning, without what a terminal would act on.
fn printable(line: &str) -> String {
    line.chars().filter(|letter| letter.is_ascii_graphic() || *letter == ' ').take(100).collect()
}
