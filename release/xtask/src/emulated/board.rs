//! [`Board`]: the device in QEMU, with its flash, its console and its ports on loopback.
//!
//! QEMU puts the flash and the block of start parameters into the board's RAM before the program runs
//! (`firmware/lx106/emulated-board`), and forwards ports of loopback through its user-mode network.

use std::{
    fs,
    io::Write as _,
    path::Path,
    process::{ChildStdin, Command},
};

use espbroker_config::{
    model::Config,
    slots::{self, Slot},
};
use espbroker_node::{discovery::PROBE_PORT, status::Status};
use tempfile::TempDir;

use crate::{
    lx106::{build, tools},
    process::Failure,
    stage::Stage,
    watched::Watched,
};

/// Where the board has its flash, and its start parameters before that.
const FLASH: u32 = 0x6040_0000;
const START: u32 = 0x603F_F000;
const FLASH_LENGTH: usize = 4 << 20;
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
    _folder: TempDir,
}

impl Board {
    /// Builds the program, boots it, and waits until it says that it is ready.
    ///
    /// # Errors
    ///
    /// When a tool is missing, the program does not build, or the device does not come up.
    pub(crate) fn start(setup: &Setup) -> Result<Self, Failure> {
        tools::require(tools::QEMU)?;
        let program = build::build("emulated-board")?;
        let folder = tempfile::tempdir()?;
        let flash = folder.path().join("flash.bin");
        fs::write(&flash, flash_with(&setup.config)?)?;
        let start = folder.path().join("start.bin");
        let words = [u32::from_le_bytes(*b"EBBD"), setup.heap, 1];
        fs::write(&start, words.map(u32::to_le_bytes).concat())?;
        let [mqtt, websocket] = Stage::ports()?;
        let mut command = qemu(&program, &[(FLASH, &flash), (START, &start)], setup, [mqtt, websocket]);
        let (mut qemu, console) = Watched::start_with_input(&mut command)?;
        let ready = |line: &str| matches!(Status::parse(line.trim_end()), Ok(Some(Status::Ready { .. })));
        qemu.line("that the device is ready", ready)?;
        Ok(Self { qemu, console, mqtt, websocket, _folder: folder })
    }

    /// What is left of the heap: bytes free now, and the fewest ever.
    ///
    /// # Errors
    ///
    /// When the device does not answer.
    pub(crate) fn heap(&mut self) -> Result<(u32, u32), Failure> {
        self.console.write_all(b"status\n")?;
        let mut found = None;
        self.qemu.line("its heap", |line| {
            if let Ok(Some(Status::Heap { free, lowest })) = Status::parse(line.trim_end()) {
                found = Some((free, lowest));
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
fn flash_with(config: &Config) -> Result<Vec<u8>, Failure> {
    let mut flash = vec![0xFF; FLASH_LENGTH];
    let sector = slots::encode_sector(config, 1).map_err(|error| error.to_string())?;
    let start = usize::try_from(Slot::A.region().offset)?;
    flash
        .get_mut(start..start + sector.len())
        .ok_or("the config partition is outside the flash")?
        .copy_from_slice(&sector);
    Ok(flash)
}

fn qemu(program: &Path, loads: &[(u32, &Path)], setup: &Setup, ports: [u16; 2]) -> Command {
    let mut command = Command::new(tools::QEMU);
    command
        .args(["-M", "lx60-nommu", "-cpu", "lx106", "-m", "16M", "-semihosting", "-no-reboot"])
        .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
        .arg("-kernel")
        .arg(program);
    for (address, file) in loads {
        command.arg("-device").arg(format!("loader,file={},addr={address:#x},force-raw=on", file.display()));
    }
    if setup.time == Time::Instructions {
        command.args(["-icount", "shift=0"]);
    }
    let [mqtt, websocket] = ports;
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
