//! [`Board`]: the device in QEMU, with its flash, its console and its ports on loopback.
//!
//! QEMU puts the flash and the block of start parameters into the board's RAM before the program runs
//! (`firmware/lx106/emulated-board`), and forwards ports of loopback through its user-mode network.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{ChildStdin, Command},
    time::Duration,
};

use espbroker_config::{
    model::Config,
    slots::{self, Slot},
};
use espbroker_node::{discovery::PROBE_PORT, status::Status};
use tempfile::TempDir;

use super::{
    debugger::Debugger,
    start::{START, Start},
};
use crate::{
    lx106::{build, tools},
    process::Failure,
    stage::Stage,
    watched::Watched,
};

/// Where the board has its flash.
const FLASH: u32 = 0x6040_0000;
const FLASH_LENGTH: usize = 4 << 20;
/// Longest wait for QEMU's monitor.
const PATIENCE: Duration = Duration::from_secs(10);
/// QEMU's user-mode network: the host as the guest sees it.
pub(crate) const HOST: &str = "10.0.2.2";

/// What the board starts with.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) config: Config,
    /// Bytes of heap.
    pub(crate) heap: u32,
    pub(crate) time: Time,
}

/// How the board's time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Time {
    /// As the host's.
    Host,
    /// One nanosecond an instruction: the counter of cycles counts instructions, the same in every run.
    Instructions,
}

/// A device that runs; QEMU ends when it is dropped.
pub(crate) struct Board {
    qemu: Watched,
    console: ChildStdin,
    pub(crate) mqtt: u16,
    pub(crate) websocket: u16,
    debugger: u16,
    monitor: u16,
    folder: TempDir,
}

/// The built program.
#[derive(Clone, Debug)]
pub(crate) struct Program(PathBuf);

impl Program {
    /// Builds it.
    ///
    /// # Errors
    ///
    /// When a tool is missing or the build fails.
    pub(crate) fn build() -> Result<Self, Failure> {
        tools::require(tools::QEMU)?;
        Ok(Self(build::build("emulated-board")?))
    }

    /// The ELF file.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Board {
    /// Builds the program, boots it, and waits until it says that it is ready.
    ///
    /// # Errors
    ///
    /// When a tool is missing, the program does not build, or the device does not come up.
    pub(crate) fn start(setup: &Setup) -> Result<Self, Failure> {
        Self::boot(&Program::build()?, setup, &flash_with(&setup.config)?, None)
    }

    /// Boots a program with this flash, and waits until it says that it is ready. `fail`: the first allocation that
    /// fails, and how many do.
    ///
    /// # Errors
    ///
    /// When the device does not come up.
    pub(crate) fn boot(
        program: &Program,
        setup: &Setup,
        flash: &[u8],
        fail: Option<(u32, u32)>,
    ) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let (flash_file, start_file) = (folder.path().join("flash.bin"), folder.path().join("start.bin"));
        fs::write(&flash_file, flash)?;
        fs::write(&start_file, Start { heap: setup.heap, seed: 1, fail }.encode())?;
        let [mqtt, websocket, debugger, monitor] = Stage::ports()?;
        let mut command = qemu(
            program.path(),
            &[(FLASH, &flash_file), (START, &start_file)],
            setup,
            [mqtt, websocket, debugger, monitor],
        );
        let (mut qemu, console) = Watched::start_with_input(&mut command)?;
        let ready = |line: &str| matches!(Status::parse(line.trim_end()), Ok(Some(Status::Ready { .. })));
        qemu.line("that the device is ready", ready)?;
        Ok(Self { qemu, console, mqtt, websocket, debugger, monitor, folder })
    }

    /// Attaches to the running board.
    ///
    /// # Errors
    ///
    /// When QEMU does not answer.
    pub(crate) fn debugger(&self) -> Result<Debugger, Failure> {
        Debugger::attach(self.debugger)
    }

    /// The whole flash as it is now, whether the board runs or stands.
    ///
    /// # Errors
    ///
    /// When QEMU does not write it.
    pub(crate) fn flash(&self) -> Result<Vec<u8>, Failure> {
        let file = self.folder.path().join("saved.bin");
        let mut monitor = TcpStream::connect((Ipv4Addr::LOCALHOST, self.monitor))?;
        monitor.set_read_timeout(Some(PATIENCE))?;
        let mut answers = BufReader::new(monitor.try_clone()?);
        monitor
            .write_all(format!("pmemsave {FLASH:#x} {FLASH_LENGTH} \"{}\"\n", file.display()).as_bytes())?;
        // Its prompt comes at the beginning, and again when that is done.
        for _ in 0..2 {
            answers.read_until(b')', &mut Vec::new())?;
        }
        Ok(fs::read(file)?)
    }

    /// What the board said last, if it has ended.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        self.qemu.last_words()
    }

    /// Asks the console for the state, and waits for a line of it that is wanted.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub(crate) fn ask_status(
        &mut self,
        what: &str,
        wanted: impl FnMut(&Status) -> bool,
    ) -> Result<(), Failure> {
        self.console.write_all(b"status\n")?;
        self.says(what, wanted)
    }

    /// Waits for a status line that is wanted.
    ///
    /// # Errors
    ///
    /// When it does not come.
    pub(crate) fn says(
        &mut self,
        what: &str,
        mut wanted: impl FnMut(&Status) -> bool,
    ) -> Result<(), Failure> {
        let wanted =
            |line: &str| matches!(Status::parse(line.trim_end()), Ok(Some(status)) if wanted(&status));
        self.qemu.line(what, wanted).map(drop)
    }

    /// What is left of the heap: bytes free now, and the fewest ever.
    ///
    /// # Errors
    ///
    /// When the device does not answer.
    pub(crate) fn heap(&mut self) -> Result<(u32, u32), Failure> {
        let mut found = None;
        self.ask_status("its heap", |status| {
            if let Status::Heap { free, lowest } = status {
                found = Some((*free, *lowest));
            }
            found.is_some()
        })?;
        found.ok_or_else(|| "no heap".into())
    }

    /// Prints the console until the device ends.
    pub(crate) fn follow(&mut self) {
        self.qemu.follow();
    }
}

/// A blank flash with this config in slot A.
pub(crate) fn flash_with(config: &Config) -> Result<Vec<u8>, Failure> {
    let mut flash = vec![0xFF; FLASH_LENGTH];
    let sector = slots::encode_sector(config, 1).map_err(|error| error.to_string())?;
    let start = usize::try_from(Slot::A.region().offset)?;
    flash
        .get_mut(start..start + sector.len())
        .ok_or("the config partition is outside the flash")?
        .copy_from_slice(&sector);
    Ok(flash)
}

fn qemu(program: &Path, loads: &[(u32, &Path)], setup: &Setup, ports: [u16; 4]) -> Command {
    let mut command = Command::new(tools::QEMU);
    command
        .args(["-M", "lx60-nommu", "-cpu", "lx106", "-m", "16M", "-semihosting", "-no-reboot"])
        .args(["-display", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(program);
    for (address, file) in loads {
        command.arg("-device").arg(format!("loader,file={},addr={address:#x},force-raw=on", file.display()));
    }
    if setup.time == Time::Instructions {
        command.args(["-icount", "shift=0"]);
    }
    let [mqtt, websocket, debugger, monitor] = ports;
    command.arg("-gdb").arg(format!("tcp:127.0.0.1:{debugger}"));
    command.arg("-monitor").arg(format!("tcp:127.0.0.1:{monitor},server=on,wait=off"));
    let broker = &setup.config.broker;
    let mut network = format!("user,model=open_eth,hostfwd=tcp:127.0.0.1:{mqtt}-:{}", broker.mqtt_port);
    // The probe has the number of the MQTT port, which UDP has a use of its own for.
    network.push_str(&format!(",hostfwd=udp:127.0.0.1:{mqtt}-:{PROBE_PORT}"));
    if broker.websocket_port != 0 {
        network.push_str(&format!(",hostfwd=tcp:127.0.0.1:{websocket}-:{}", broker.websocket_port));
    }
    command.arg("-nic").arg(network);
    command
}
