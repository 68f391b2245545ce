//! `bench batch`: what it costs to set up many devices at once.
//!
//! First eight virtual devices in real time, each in a process of its own, in turns with one alone: the line takes the
//! time, so eight must take hardly longer than one. That is so at 115200 baud; at four times that rate eight emulated
//! chips keep two processor cores busy for most of the time, and fall behind as soon as anybody else wants some of it. Then a hundred devices that take no time, through eight ports, every
//! tenth of them with a fault; each has to be in the report, and a second run finishes those whose fault can pass.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::{
    process::{self, Failure},
    watched::Watched,
};

/// Devices at once.
const PORTS: u8 = 8;
/// The most that eight may take, as a share of one.
const SHARE_MAX: f64 = 1.15;
/// Devices in the second part.
const MANY: usize = 100;
/// One in so many has a fault.
const FAULTY: usize = 10;
/// The longest that one batch may take.
const PATIENCE: Duration = Duration::from_secs(600);
/// Faults of the second part, in turn.
const FAULTS: [&str; 5] = ["power-cut=60", "unplug=60000", "silent", "wrong-chip", "flash-1mb"];

/// How to measure a batch.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Measure only this
    #[arg(long, value_enum)]
    part: Option<Part>,
    /// Runs with one device and with eight, in turns, of which the median counts
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Baud rate of the eight
    #[arg(long, default_value_t = 115_200)]
    baud: u32,
    /// Measure this program instead of building one
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Print JSON in place of the table
    #[arg(long)]
    json: bool,
}

/// A part of the report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Eight devices beside one, in real time
    Eight,
    /// A hundred devices through eight ports, with faults
    Hundred,
}

/// Everything measured; a part that was not measured is `null`.
#[derive(Debug, Serialize)]
struct Report {
    version: u32,
    eight: Option<Eight>,
    hundred: Option<Hundred>,
}

#[derive(Debug, Serialize)]
struct Eight {
    /// Seconds of a whole batch, process included, median.
    one: f64,
    all: f64,
    share: f64,
    bound: f64,
    /// Seconds of the program's processor time for one device and for eight.
    cpu_one: f64,
    cpu_all: f64,
}

#[derive(Debug, Serialize)]
struct Hundred {
    devices: usize,
    done: usize,
    failed: usize,
    /// No row: they did not say who they are.
    unanswered: usize,
    /// Rows that were left without a device in the first run, because theirs did not say who it is.
    open: usize,
    seconds: f64,
}

/// What `batch --json` says, as far as it is looked at.
#[derive(Debug, Deserialize)]
struct Outcome {
    done: usize,
    failed: usize,
    open: usize,
    rows: Vec<Row>,
    unanswered: Vec<serde_json::Value>,
}

#[derive(Debug, Deserialize)]
struct Row {
    state: String,
    mac: Option<String>,
}

impl Arguments {
    /// Measures, prints, and judges.
    ///
    /// # Errors
    ///
    /// When a device is lost or eight take too long.
    pub(super) fn run(&self) -> Result<(), Failure> {
        let program = self.program.clone().map_or_else(process::program, Ok)?;
        let wants = |part| self.part.is_none_or(|only| only == part);
        let eight = if wants(Part::Eight) { Some(eight(&program, self.runs, self.baud)?) } else { None };
        let hundred = if wants(Part::Hundred) { Some(hundred(&program)?) } else { None };
        let report = Report { version: 1, eight, hundred };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            print!("{}", report.text());
        }
        report.verdict()
    }
}

impl Report {
    fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        if let Some(Eight { one, all, share, bound, cpu_one, cpu_all }) = &self.eight {
            let _ = writeln!(
                text,
                "one device {one:.2} s (program's processor time {cpu_one:.2} s), {PORTS} at once {all:.2} s \
                 ({cpu_all:.2} s): {share:.3} of the time, at most {bound}"
            );
        }
        if let Some(Hundred { devices, done, failed, unanswered, open, seconds }) = &self.hundred {
            let _ = writeln!(
                text,
                "{devices} devices through {PORTS} ports in {seconds:.1} s: {done} done, {failed} failed, {unanswered} \
                 without an answer, {open} rows left open"
            );
        }
        text
    }

    fn verdict(&self) -> Result<(), Failure> {
        if let Some(eight) = &self.eight
            && eight.share > eight.bound
        {
            return Err(format!("eight devices take {:.3} of the time of one", eight.share).into());
        }
        Ok(())
    }
}

/// A folder with a fleet of `count` devices.
fn fleet(folder: &Path, count: usize) -> Result<PathBuf, Failure> {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
    let path = folder.join("fleet.toml");
    let text = format!(
        "[template]\nname = \"plug-{{mac:4}}\"\nwifi = {{ ssid = \"home\", open = true }}\n\
         [template.broker]\nmqtt_port = {port}\n[[device]]\ncount = {count}\n"
    );
    fs::write(&path, text)?;
    Ok(path)
}

/// A device at this port of this computer, `None` for any; it has an address of its own for its broker.
fn device(
    program: &Path,
    number: usize,
    port: Option<u16>,
    more: &[&str],
) -> Result<(Watched, String), Failure> {
    let (high, low) = (number / 256, number % 256);
    let mut command = Command::new(program);
    command
        .args(["simulate", "--network", "home", "--mac", &format!("5e:cf:7f:01:{high:02x}:{low:02x}")])
        .args(["--bind", &format!("127.0.{}.{}", 64 + number / 200, 1 + number % 200)])
        .args(["--rfc2217", &format!("127.0.0.1:{}", port.unwrap_or(0))])
        .args(more);
    Watched::virtual_device(&mut command)
}

/// `batch` with a home of its own.
fn batch(program: &Path, folder: &Path, fleet: &Path, ports: &str, wait: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args(["batch", "--json", "--wait", wait, "--ports", ports])
        .arg(fleet)
        .env("HOME", folder)
        .env("XDG_DATA_HOME", folder.join("data"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("ESPBROKER_KEYRING", "off");
    command
}

fn eight(program: &Path, runs: u32, baud: u32) -> Result<Eight, Failure> {
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let mut order = [1, PORTS];
        // What the machine does besides gets slowly more or less: neither is always first.
        if run % 2 == 1 {
            order.reverse();
        }
        for count in order {
            let measured = at_once(program, count, baud)?;
            eprintln!(
                "{count} at once: {:.2} s, the program's processor time {:.2} s",
                measured.0, measured.1
            );
            if count == 1 { one.push(measured) } else { all.push(measured) }
        }
    }
    let ((one, cpu_one), (all, cpu_all)) = (median(one)?, median(all)?);
    Ok(Eight { one, all, share: all / one, bound: SHARE_MAX, cpu_one, cpu_all })
}

/// Seconds of a batch of blank devices in real time, and of processor time that the program took.
fn at_once(program: &Path, count: u8, baud: u32) -> Result<(f64, f64), Failure> {
    let folder = tempfile::tempdir()?;
    let fleet = fleet(folder.path(), usize::from(count))?;
    let devices = (1..=usize::from(count))
        .map(|number| device(program, number, None, &[]))
        .collect::<Result<Vec<_>, Failure>>()?;
    let ports: Vec<&str> = devices.iter().map(|(_, port)| port.as_str()).collect();
    let mut command = batch(program, folder.path(), &fleet, &ports.join(","), "20");
    command.args(["--baud", &baud.to_string()]);
    let before = children_time();
    let begun = Instant::now();
    let output = command.output()?;
    let seconds = begun.elapsed().as_secs_f64();
    let cpu = children_time() - before;
    if !output.status.success() {
        return Err(format!("a batch of {count} fails:\n{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok((seconds, cpu))
}

/// Processor time of children that have ended, from field 16 and 17 of /proc/self/stat (proc(5)); 0 elsewhere.
fn children_time() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let fields: Vec<f64> = after_name.split(' ').filter_map(|field| field.parse().ok()).collect();
    // The first number behind the name and the state is field 4; a tick is 10 ms on Linux.
    [12, 13].iter().filter_map(|index| fields.get(*index)).sum::<f64>() / 100.0
}

fn median(mut measured: Vec<(f64, f64)>) -> Result<(f64, f64), Failure> {
    measured.sort_by(|a, b| a.0.total_cmp(&b.0));
    Ok(*measured.get(measured.len() / 2).ok_or("nothing was measured")?)
}

/// What is plugged in at a port, and what the journal must say before the next one comes.
struct Plugged {
    device: Option<Watched>,
    mac: String,
    port: u16,
    since: usize,
}

fn hundred(program: &Path) -> Result<Hundred, Failure> {
    let folder = tempfile::tempdir()?;
    let fleet = fleet(folder.path(), MANY)?;
    let plug = |number: usize, port: Option<u16>, lines: usize| -> Result<Plugged, Failure> {
        let fault = FAULTS.get(number / FAULTY % FAULTS.len()).filter(|_| number.is_multiple_of(FAULTY));
        let mut more = vec!["--pace", "instant"];
        more.extend(fault.map(|fault| ["--fault", *fault]).into_iter().flatten());
        let (device, name) = device(program, number, port, &more)?;
        let port = name.rsplit(':').next().and_then(|port| port.parse().ok()).ok_or("no port")?;
        let mac = format!("5e:cf:7f:01:{:02x}:{:02x}", number / 256, number % 256);
        Ok(Plugged { device: Some(device), mac, port, since: lines })
    };
    let mut plugged =
        (1..=usize::from(PORTS)).map(|number| plug(number, None, 0)).collect::<Result<Vec<_>, Failure>>()?;
    let mut used = plugged.len();
    let ports: Vec<String> = plugged.iter().map(|one| format!("rfc2217://127.0.0.1:{}", one.port)).collect();
    let output = folder.path().join("result.json");
    let mut running = batch(program, folder.path(), &fleet, &ports.join(","), "15");
    running.stdout(fs::File::create(&output)?).stderr(fs::File::create(folder.path().join("log"))?);
    let begun = Instant::now();
    let mut running = running.spawn()?;
    let journal = folder.path().join("fleet.toml.journal");
    while running.try_wait()?.is_none() {
        if begun.elapsed() > PATIENCE {
            running.kill()?;
            return Err("the batch does not end".into());
        }
        let text = fs::read_to_string(&journal).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        for place in &mut plugged {
            if used < MANY && is_over(place, &lines) {
                let port = place.port;
                used += 1;
                // The new one takes the port when the old one has let go of it.
                let end = Instant::now() + Duration::from_secs(10);
                drop(place.device.take());
                *place = loop {
                    match plug(used, Some(port), lines.len()) {
                        Ok(plugged) => break plugged,
                        Err(error) if Instant::now() > end => return Err(error),
                        Err(_) => std::thread::sleep(Duration::from_millis(50)),
                    }
                };
            }
        }
        std::thread::sleep(Duration::from_millis(30));
    }
    let seconds = begun.elapsed().as_secs_f64();
    let result: Outcome = serde_json::from_slice(&fs::read(&output)?)?;
    account(&result)?;
    Ok(Hundred {
        devices: MANY,
        done: result.done,
        failed: result.failed,
        unanswered: result.unanswered.len(),
        open: result.open,
        seconds,
    })
}

/// Whether the journal has the end of what is plugged in there.
fn is_over(place: &Plugged, lines: &[&str]) -> bool {
    let new = lines.get(place.since..).unwrap_or_default();
    let says =
        |line: &&str, event: &str, what: &str| line.contains(&format!("\"{event}\"")) && line.contains(what);
    let port = format!("127.0.0.1:{}\"", place.port);
    new.iter().any(|line| {
        says(line, "done", &place.mac) || says(line, "failed", &place.mac) || says(line, "unanswered", &port)
    })
}

/// Every device is done, or has failed by name, or did not say who it is.
fn account(result: &Outcome) -> Result<(), Failure> {
    let faulty = MANY / FAULTY;
    let macs: BTreeSet<&String> = result.rows.iter().filter_map(|row| row.mac.as_ref()).collect();
    let with_mac = result.rows.iter().filter(|row| row.mac.is_some()).count();
    let half = result.rows.iter().filter(|row| row.state == "half-done").count();
    let (done, failed, silent) = (result.done, result.failed, result.unanswered.len());
    let all = done == MANY - faulty
        && failed + silent == faulty
        && result.open == silent
        && half == 0
        && macs.len() == with_mac;
    if all {
        Ok(())
    } else {
        let unanswered = &result.unanswered;
        Err(format!(
            "not all are accounted for: {done} done, {failed} failed, {} open, {half} half done, unanswered: {unanswered:?}",
            result.open
        )
        .into())
    }
}
