//! The two tools: how each is told to do a case, and by which line it says that the flash is as it should be.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use espbroker_config::flash_map::CONFIG_B;
use serde::Serialize;

use super::{
    Case,
    device::{Device, Port, Used},
    image::Contents,
};
use crate::{
    process::{self, Failure},
    watched::Watched,
};

/// The longest that a case takes: 345 KB at 115200 baud are half a minute.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tool {
    Espbroker,
    Esptool,
}

/// One run.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Measured {
    /// From the start of the process until it says that the flash was verified.
    pub(super) seconds: f64,
    /// What the device did for it.
    pub(super) device: Used,
}

/// Programs and files.
pub(super) struct Bench {
    pub(super) espbroker: PathBuf,
    pub(super) esptool: PathBuf,
    /// The program that is the device.
    pub(super) device: PathBuf,
    folder: tempfile::TempDir,
    contents: Contents,
}

impl Bench {
    /// Writes the files.
    ///
    /// # Errors
    ///
    /// When they cannot be written.
    pub(super) fn new(
        espbroker: PathBuf,
        esptool: PathBuf,
        device: PathBuf,
        contents: Contents,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let bench = Self { espbroker, esptool, device, folder, contents };
        fs::write(bench.path("image.bin"), &bench.contents.image)?;
        fs::write(bench.path("before.bin"), &bench.contents.before)?;
        fs::write(bench.path("config.bin"), &bench.contents.config)?;
        let settings = "name = \"attic\"\n[wifi]\nssid = \"home\"\n[[broker.users]]\nname = \"home\"\npassword = \"secret\"\n";
        fs::write(bench.path("settings.toml"), settings)?;
        Ok(bench)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs one case with a device that was just plugged in.
    ///
    /// # Errors
    ///
    /// When the tool fails, or the flash does not hold what it says.
    pub(super) fn run(&self, tool: Tool, case: Case, baud: u32) -> Result<Measured, Failure> {
        let flash = self.path("flash.bin");
        let before = match case {
            Case::First => Contents::blank(),
            Case::Same | Case::Config => self.contents.flash(&self.contents.image),
            Case::Changed => self.contents.flash(&self.contents.before),
        };
        fs::write(&flash, &before)?;
        let port = match tool {
            Tool::Espbroker => Port::Rfc2217,
            Tool::Esptool => Port::Pty,
        };
        let mut device = Device::start(&self.device, &flash, port)?;
        let at_start = device.used()?;
        let begun = Instant::now();
        let mut command = match tool {
            Tool::Espbroker => self.espbroker(case, baud, &device.port),
            Tool::Esptool => self.esptool(case, baud, &device.port),
        };
        let mut watched = Watched::start(&mut command)?;
        let what = format!("verified flash ({})", case.words());
        watched.line_within(PATIENCE, &what, |line| has_verified(tool, case, line))?;
        let seconds = begun.elapsed().as_secs_f64();
        let measured = Measured { seconds, device: device.used()?.since(&at_start) };
        // What follows (restart, start of the firmware) is no part of it.
        watched.kill()?;
        drop(device);
        self.check(case, &before, &flash)?;
        Ok(measured)
    }

    fn espbroker(&self, case: Case, baud: u32, port: &str) -> Command {
        let mut command = Command::new(&self.espbroker);
        match case {
            Case::First | Case::Same | Case::Changed => {
                command.args(["setup", "--image"]).arg(self.path("image.bin"));
            }
            Case::Config => {
                command.args(["config", "write"]);
            }
        }
        // What it remembers of adapters is the user's.
        command.env("XDG_STATE_HOME", self.folder.path()).env("XDG_CONFIG_HOME", self.folder.path());
        command.args(["--yes", "--port", port, "--baud", &baud.to_string(), "--settings"]);
        command.arg(self.path("settings.toml"));
        command
    }

    fn esptool(&self, case: Case, baud: u32, port: &str) -> Command {
        let mut command = Command::new(&self.esptool);
        // Its lines come when they are printed.
        command.env("PYTHONUNBUFFERED", "1");
        command.args(["--chip", "esp8266", "--port", port, "--baud", &baud.to_string()]);
        command.args(["--before", "no-reset", "--after", "no-reset-stub", "write-flash"]);
        command.args(["--compress", "--no-progress", "--flash-size", "keep"]);
        let (offset, file) = match case {
            Case::Config => (CONFIG_B.offset, "config.bin"),
            _ => (0, "image.bin"),
        };
        command.arg(format!("{offset:#x}")).arg(self.path(file));
        match case {
            Case::First | Case::Config => {}
            Case::Same => {
                command.arg("--skip-flashed");
            }
            Case::Changed => {
                command.arg("--diff-with").arg(self.path("before.bin"));
            }
        }
        command
    }

    /// Whether the flash file holds what the case was about.
    fn check(&self, case: Case, before: &[u8], flash: &Path) -> Result<(), Failure> {
        let flash = fs::read(flash)?;
        let is_right = match case {
            Case::First | Case::Same | Case::Changed => flash.starts_with(&self.contents.image),
            Case::Config => flash != before && flash.starts_with(&self.contents.image),
        };
        if is_right { Ok(()) } else { Err("the flash does not hold what was written".into()) }
    }

    /// The versions of both tools, in one line each.
    ///
    /// # Errors
    ///
    /// When one does not start.
    pub(super) fn versions(&self) -> Result<[String; 2], Failure> {
        let espbroker = process::run(Command::new(&self.espbroker).arg("--version"))?;
        let esptool = process::run(Command::new(&self.esptool).arg("version"))?;
        let first = |text: &str| text.lines().next().unwrap_or_default().trim().to_owned();
        Ok([first(&espbroker), first(&esptool)])
    }
}

/// Whether this line says that all is in flash and was compared.
fn has_verified(tool: Tool, case: Case, line: &str) -> bool {
    match (tool, case) {
        (Tool::Espbroker, Case::Config) => {
            line.starts_with("✓ configure") && line.ends_with("verified by the loader")
        }
        (Tool::Espbroker, _) => line.starts_with("✓ flash") && line.ends_with("verified by the loader"),
        (Tool::Esptool, Case::Same) => line.contains("skipping write"),
        (Tool::Esptool, _) => line.starts_with("Hash of data verified"),
    }
}
