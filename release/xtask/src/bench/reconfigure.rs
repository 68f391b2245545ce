//! `bench reconfigure`: how long `espbroker reconfigure` takes until a change is applied, on the virtual device with the
//! serial line and the flash chip in real time.
//!
//! Over the network and the console that is until the device has kept the change: a bridge's new user is logged in at the
//! other broker, which is `espbroker broker` on this computer. Through the boot loader it is until the config sector is
//! written and verified, before the firmware starts again.

use std::{
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use serde::Serialize;

use crate::process::{self, Failure};

/// What to measure.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Runs of each way, of which the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Print JSON in place of the table
    #[arg(long)]
    json: bool,
}

/// How long a device may take to start.
const PATIENCE: Duration = Duration::from_secs(30);

/// The ways, what each is measured with, and the most that it may take, seconds.
const WAYS: [(&str, &[&str], f64); 3] = [
    ("network", &["--host", NAME], 0.5),
    // A read, a write and an answer as text at 115200 baud.
    ("console", &[], 1.5),
    ("loader", &[], 2.5),
];
const NAME: &str = "bench";

/// One way.
#[derive(Debug, Serialize)]
struct Row {
    way: &'static str,
    /// Seconds until it was applied, median.
    applied: f64,
    longest: f64,
    bound: f64,
}

impl Arguments {
    /// Measures all ways, in turns, and fails when one takes longer than it may.
    ///
    /// # Errors
    ///
    /// When something does not start or does not work, or takes too long.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let program = process::program()?;
        let home = tempfile::tempdir()?;
        let place = Place { program, home: home.path().to_owned() };
        let ports = [free_port()?, free_port()?].map(|port| port.to_string());
        let [own, other] = &ports;
        let network = ["--ssid", "home", "--open-network", "--mqtt-port", own];
        let device = ["--pace", "instant", "--flash", "flash.bin", "--name", NAME, "-q"];
        process::run(place.command(&["setup", "--simulate"]).args(device).args(network))?;
        let _broker =
            Running::start(&mut place.command(&["broker", "--anonymous", "--json", "--port", other]))?;
        let served = ["simulate", "--rfc2217", "127.0.0.1:0", "--flash", "flash.bin", "--network", "home"];
        let device = Running::start(&mut place.command(&served))?;

        let mut seconds = WAYS.map(|_| Vec::new());
        for run in 0..self.runs {
            for ((way, flags, _), seconds) in WAYS.iter().zip(&mut seconds) {
                listens(own)?;
                let user = format!("{way}-{run}");
                let flags: &[&str] = if flags.is_empty() { &["--port", &device.line] } else { flags };
                let bridge = ["--bridge-host", "127.0.0.1", "--bridge-port", other, "--bridge-user", &user];
                let output = place
                    .command(&["reconfigure", "--yes", "--json", "-q", "--via", way])
                    .args(flags)
                    .args(bridge)
                    .stderr(Stdio::inherit())
                    .output()?;
                let report: serde_json::Value = serde_json::from_slice(&output.stdout)?;
                let applied =
                    report.pointer("/devices/0/applied_seconds").and_then(serde_json::Value::as_f64);
                match (output.status.success(), applied) {
                    (true, Some(applied)) => seconds.push(applied),
                    _ => return Err(format!("no change over the {way}: {report}").into()),
                }
            }
        }
        let rows: Vec<Row> = WAYS.iter().zip(seconds).map(|(way, seconds)| Row::new(way, seconds)).collect();
        if self.json {
            println!("{}", serde_json::to_string(&rows)?);
        } else {
            println!("{:10} {:>9} {:>9} {:>9}", "way", "median s", "longest", "bound");
            for Row { way, applied, longest, bound } in &rows {
                println!("{way:10} {applied:>9.3} {longest:>9.3} {bound:>9.1}");
            }
        }
        match rows.iter().find(|row| row.applied > row.bound) {
            Some(row) => {
                Err(format!("over the {} a change takes longer than {} s", row.way, row.bound).into())
            }
            None => Ok(()),
        }
    }
}

impl Row {
    fn new(&(way, _, bound): &(&'static str, &[&str], f64), mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let applied = seconds.get(seconds.len() / 2).copied().unwrap_or_default();
        Self { way, applied, longest: seconds.last().copied().unwrap_or_default(), bound }
    }
}

/// The program, and a home of its own.
struct Place {
    program: PathBuf,
    home: PathBuf,
}

impl Place {
    fn command(&self, arguments: &[&str]) -> Command {
        let folder = |name: &str| -> PathBuf { Path::new(&self.home).join(name) };
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(&self.home)
            .env("HOME", &self.home)
            .env("XDG_DATA_HOME", folder("data"))
            .env("XDG_CACHE_HOME", folder("cache"))
            .env("XDG_STATE_HOME", folder("state"))
            .env("ESPBROKER_KEYRING", "off")
            .env_remove("ESPBROKER_PORT")
            .stdin(Stdio::null());
        command
    }
}

/// A process in the background; ends with this.
struct Running {
    child: Child,
    /// First line on standard output.
    line: String,
    _output: BufReader<std::process::ChildStdout>,
}

impl Running {
    fn start(command: &mut Command) -> Result<Self, Failure> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        let mut output = BufReader::new(child.stdout.take().ok_or("a process has no standard output")?);
        let mut line = String::new();
        output.read_line(&mut line)?;
        if line.is_empty() {
            return Err("a process has ended at once".into());
        }
        Ok(Self { child, line: line.trim().to_owned(), _output: output })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// Waits until the device has joined its network and its broker listens.
fn listens(port: &str) -> Result<(), Failure> {
    let port: u16 = port.parse()?;
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
        if Instant::now() >= deadline {
            return Err("the device does not listen".into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
