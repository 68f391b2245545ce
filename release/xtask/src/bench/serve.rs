//! Our broker for the load generator: the whole device on loopback, in a process of its own.
//!
//! Prints `port N` when it can be used. Each line on the standard input is answered with `peak N`, the most bytes that
//! the broker has held; the end of the standard input ends it.

use std::{
    io::{self, BufRead as _},
    net::{IpAddr, Ipv4Addr},
    thread,
    time::{Duration, Instant},
};

use espbroker_config::{
    flash_map::{CONFIG_A, FlashMap},
    image::{Fields, Target, seal},
    model::{Anonymous, Config, Wifi},
    slots,
};
use espbroker_host::{Flash as _, Host, HostOptions, MemoryFlash, Ports, Running, Wired};
use espbroker_node::status::{ResetCause, Status};

use crate::process::Failure;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Bytes of heap that the device may use: far more than it needs, so that its limits are those of the config.
const HEAP: u32 = 64 << 20;

/// Longest wait for a status line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until the standard input ends.
///
/// # Errors
///
/// When the device does not start.
pub(crate) fn run() -> Result<(), Failure> {
    let mut device = Device { running: Host::start(options()?)?, unread: Vec::new() };
    let port = device.wait(|status| match status {
        Status::Listening { port, .. } => Some(*port),
        _ => None,
    })?;
    device.wait(|status| matches!(status, Status::Ready { .. }).then_some(()))?;
    println!("port {port}");
    for line in io::stdin().lock().lines() {
        line?;
        device.running.console_write(b"status\n");
        let lowest = device.wait(|status| match status {
            Status::Heap { lowest, .. } => Some(*lowest),
            _ => None,
        })?;
        println!("peak {}", HEAP - lowest);
    }
    Ok(device.running.stop()?)
}

/// A config with the highest limits there are, in a flash with an image that the device accepts.
fn options() -> Result<HostOptions, Failure> {
    let mut config = Config::new("bench");
    config.wifi = Some(Wifi::new("wired"));
    config.broker.anonymous = Anonymous::Allowed;
    config.broker.limits.clients = 128;
    config.broker.limits.queue_bytes = 65_535;
    let mut flash = MemoryFlash::blank(usize::try_from(FlashMap::Map4M.flash_size())?);
    let mut image = vec![0; 65_536];
    let version = env!("CARGO_PKG_VERSION");
    let fields = Fields { target: Target::Virtual, flash_map: FlashMap::Map4M, name: "espbroker", version };
    seal(&mut image, 0x1000, &fields).map_err(|error| format!("no image for the device: {error:?}"))?;
    flash.program(0, &image)?;
    let sector = slots::encode_sector(&config, 1).map_err(|error| format!("no config: {error:?}"))?;
    flash.program(CONFIG_A.offset, &sector)?;
    Ok(HostOptions {
        flash: Box::new(flash),
        radio: Box::new(Wired::new(LOCALHOST)),
        bind: LOCALHOST,
        ports: Ports::Any,
        discovery: None,
        target: Target::Virtual,
        mac: [0x5C, 0xCF, 0x7F, 0, 0, 1],
        reset: ResetCause::External,
        heap: HEAP,
    })
}

struct Device {
    running: Running,
    unread: Vec<u8>,
}

impl Device {
    /// Reads the console up to a status that `wanted` makes something of.
    fn wait<T>(&mut self, wanted: impl Fn(&Status) -> Option<T>) -> Result<T, Failure> {
        let started = Instant::now();
        let mut bytes = [0; 512];
        loop {
            while let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                if let Ok(Some(status)) = Status::parse(&line)
                    && let Some(found) = wanted(&status)
                {
                    return Ok(found);
                }
            }
            if started.elapsed() > PATIENCE {
                return Err("the device does not say what it should".into());
            }
            match self.running.console_read(&mut bytes) {
                0 => thread::sleep(Duration::from_millis(1)),
                length => self.unread.extend(bytes.iter().take(length)),
            }
        }
    }
}
