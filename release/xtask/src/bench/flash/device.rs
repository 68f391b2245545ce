//! The virtual device in a process of its own, as `espbroker simulate` runs it, that also says what it has done.
//!
//! Each line on its standard input is answered with its [`Used`]; it ends with that input.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use clap::{Args, ValueEnum};
use espbroker_virtual_device::{FlashButton, FlashSource, Options, Usage, VirtualDevice, Wiring};
use serde::{Deserialize, Serialize};

use crate::process::{self, Failure, root, scratch};

/// Which device, for the process.
#[derive(Debug, Args)]
pub(crate) struct DeviceArguments {
    #[arg(long)]
    flash: PathBuf,
    #[arg(long, value_enum)]
    port: Port,
}

/// How the serial port is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Port {
    /// RFC 2217, with DTR and RTS as on a development board.
    Rfc2217,
    /// A pseudo-terminal, which has no such lines: the chip is in its loader from the start.
    Pty,
}

/// [`Usage`] for programs; times in seconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(super) struct Used {
    /// The device's own time.
    pub(super) time: f64,
    /// By how much that is behind the real one.
    pub(super) behind: f64,
    pub(super) bytes_to_device: u64,
    pub(super) bytes_to_host: u64,
    /// On the wire.
    pub(super) wire_to_device: f64,
    pub(super) wire_to_host: f64,
    /// Erasing and programming.
    pub(super) flash_busy: f64,
}

impl Used {
    fn new(usage: &Usage) -> Self {
        Self {
            time: usage.time.as_secs_f64(),
            behind: usage.behind.as_secs_f64(),
            bytes_to_device: usage.to_device.bytes,
            bytes_to_host: usage.to_host.bytes,
            wire_to_device: usage.to_device.time.as_secs_f64(),
            wire_to_host: usage.to_host.time.as_secs_f64(),
            flash_busy: usage.flash_busy.as_secs_f64(),
        }
    }

    /// What was done since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        Self {
            time: self.time - before.time,
            behind: self.behind - before.behind,
            bytes_to_device: self.bytes_to_device - before.bytes_to_device,
            bytes_to_host: self.bytes_to_host - before.bytes_to_host,
            wire_to_device: self.wire_to_device - before.wire_to_device,
            wire_to_host: self.wire_to_host - before.wire_to_host,
            flash_busy: self.flash_busy - before.flash_busy,
        }
    }
}

/// Is the device, until standard input ends.
///
/// # Errors
///
/// When the flash file or the port cannot be had.
pub(crate) fn serve(given: &DeviceArguments) -> Result<(), Failure> {
    let wiring = match given.port {
        Port::Rfc2217 => Wiring::AutoReset,
        Port::Pty => Wiring::Manual(FlashButton::Held),
    };
    let flash = FlashSource::File(given.flash.clone());
    let device = VirtualDevice::new(Options { flash, wiring, ..Options::default() })?;
    match given.port {
        Port::Rfc2217 => {
            let served = device.serve_rfc2217(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            answer(&format!("rfc2217://{}", served.address()), &device)
        }
        Port::Pty => {
            let served = device.serve_pty()?;
            answer(&served.path().display().to_string(), &device)
        }
    }
}

fn answer(port: &str, device: &VirtualDevice) -> Result<(), Failure> {
    let mut output = std::io::stdout();
    writeln!(output, "{port}")?;
    for line in std::io::stdin().lines() {
        line?;
        writeln!(output, "{}", serde_json::to_string(&Used::new(&device.usage()))?)?;
    }
    Ok(())
}

/// Builds this program so that the device is as fast as a chip, and returns its path.
///
/// # Errors
///
/// When it does not build.
pub(super) fn build() -> Result<PathBuf, Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    process::run(Command::new(cargo).current_dir(root()).args(["build", "--release", "--package", "xtask"]))?;
    Ok(scratch().join("release").join(format!("xtask{}", std::env::consts::EXE_SUFFIX)))
}

/// A device in its process; ends with this.
pub(super) struct Device {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// As tools take it.
    pub(super) port: String,
}

/// From power-up to a loader that listens: the boot ROM's log takes 40 ms.
const START: Duration = Duration::from_millis(200);

impl Device {
    /// Plugs one in and waits until it has started.
    ///
    /// # Errors
    ///
    /// When the process does not start.
    pub(super) fn start(program: &Path, flash: &Path, port: Port) -> Result<Self, Failure> {
        let port = match port {
            Port::Rfc2217 => "rfc2217",
            Port::Pty => "pty",
        };
        let mut child = Command::new(program)
            .args(["bench", "flash-device", "--port", port, "--flash"])
            .arg(flash)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("the device's process has no streams".into());
        };
        let mut device = Self { child, input, output: BufReader::new(output), port: String::new() };
        device.port = device.line()?;
        std::thread::sleep(START);
        Ok(device)
    }

    /// What it has done so far.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub(super) fn used(&mut self) -> Result<Used, Failure> {
        self.input.write_all(b"\n")?;
        Ok(serde_json::from_str(&self.line()?)?)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        if line.is_empty() {
            Err("the device's process has ended".into())
        } else {
            Ok(line.trim().to_owned())
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
