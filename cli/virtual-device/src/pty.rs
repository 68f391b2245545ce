//! Serves a virtual device's serial port as a pseudo-terminal, for tools that only open device files.
//!
//! The host's baud rate is read from the terminal's settings before every write, so a tool that changes it is
//! followed. A pseudo-terminal has no DTR and RTS: use [`crate::Wiring::Manual`], with which the chip enters the serial
//! loader at power-up as the flash button says. What the device sends while no tool has the terminal open is lost, as
//! on a serial line.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::io::Errno;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use crate::device::{Clock, VirtualDevice};

/// How often the threads look whether they shall end.
const POLL: Duration = Duration::from_millis(20);

/// A served pseudo-terminal; dropping it closes it.
#[derive(Debug)]
pub struct ServedPty {
    path: PathBuf,
    end: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl ServedPty {
    /// The device file to open.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ServedPty {
    fn drop(&mut self) {
        self.end.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A panic in there was printed already, and there is nobody to tell.
            let _ = thread.join();
        }
    }
}

impl VirtualDevice {
    /// Serves the device's serial port as a pseudo-terminal.
    ///
    /// # Errors
    /// The system's error when it has no pseudo-terminal left; `InvalidInput` on the simulated clock, which stands
    /// still between a client's requests.
    pub fn serve_pty(&self) -> std::io::Result<ServedPty> {
        if self.clock() == Clock::Simulated {
            return Err(std::io::ErrorKind::InvalidInput.into());
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let name = ptsname(&master, Vec::new())?;
        let path = PathBuf::from(name.to_string_lossy().into_owned());
        // A fresh terminal echoes and edits lines, which would reach the chip before a tool could turn it off.
        let terminal = open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty())?;
        let mut settings = tcgetattr(&terminal)?;
        settings.make_raw();
        settings.set_speed(115_200)?;
        tcsetattr(&terminal, OptionalActions::Now, &settings)?;
        fcntl_setfl(&master, OFlags::NONBLOCK)?;
        let master = Arc::new(master);
        let end = Arc::new(AtomicBool::new(false));
        let threads = vec![spawn(self, &master, &end, to_device), spawn(self, &master, &end, to_terminal)];
        Ok(ServedPty { path, end, threads })
    }
}

fn spawn(
    device: &VirtualDevice,
    master: &Arc<OwnedFd>,
    end: &Arc<AtomicBool>,
    turn: fn(&VirtualDevice, &OwnedFd, &AtomicBool),
) -> JoinHandle<()> {
    let (device, master, end) = (device.clone(), Arc::clone(master), Arc::clone(end));
    std::thread::spawn(move || {
        while !end.load(Ordering::Relaxed) {
            turn(&device, &master, &end);
        }
    })
}

fn to_device(device: &VirtualDevice, master: &OwnedFd, end: &AtomicBool) {
    let _ = poll(&mut [PollFd::new(master, PollFlags::IN)], Some(&poll_time()));
    let mut buffer = [0; 1024];
    match rustix::io::read(master, &mut buffer) {
        Ok(count @ 1..) => {
            let baud = tcgetattr(master).map_or(115_200, |settings| settings.output_speed());
            let bytes = buffer.get(..count).unwrap_or_default();
            device.shared().use_chip(|chip| {
                chip.set_host_baud(baud);
                chip.host_write(bytes)
            });
            device.shared().wait_for_line(|| end.load(Ordering::Relaxed));
        }
        // Nobody has the terminal open.
        Err(Errno::IO) | Ok(0) => std::thread::sleep(POLL),
        Err(_) => {}
    }
}

fn to_terminal(device: &VirtualDevice, master: &OwnedFd, _: &AtomicBool) {
    let mut buffer = [0; 1024];
    let mut chip = device.shared().wait_for_bytes(POLL);
    // Asked only now, as it may have been opened during the wait.
    let open = is_open(master);
    let is_idle = !chip.is_plugged() || !open && chip.is_open();
    let count = if is_idle { 0 } else { chip.host_read(&mut buffer) };
    drop(chip);
    match buffer.get(..count) {
        Some(bytes @ [_, ..]) if open => write(master, bytes),
        _ if is_idle => std::thread::sleep(POLL),
        _ => {}
    }
}

/// Whether a tool has the terminal open.
fn is_open(master: &OwnedFd) -> bool {
    let mut descriptor = [PollFd::new(master, PollFlags::empty())];
    let _ = poll(&mut descriptor, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    let [descriptor] = descriptor;
    !descriptor.revents().contains(PollFlags::HUP)
}

fn write(master: &OwnedFd, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        match rustix::io::write(master, bytes) {
            Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
            Err(Errno::AGAIN) => {
                let full = poll(&mut [PollFd::new(master, PollFlags::OUT)], Some(&poll_time())) != Ok(1);
                // A terminal that nobody reads loses bytes, as a real adapter does.
                if full {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

fn poll_time() -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: POLL.subsec_nanos().into() }
}

#[cfg(test)]
mod tests {
    use espbroker_flasher::{ConnectOptions, Event, Session, Wiring, transport};

    use super::*;
    use crate::{FlashButton, Options};

    #[test]
    fn the_flashers_native_port_finds_the_loader_behind_the_terminal() {
        let wiring = crate::Wiring::Manual(FlashButton::Held);
        let device = VirtualDevice::new(Options { wiring, ..Options::default() }).unwrap();
        let served = device.serve_pty().unwrap();
        for _ in 0..2 {
            let port = transport::open(served.path().to_str().unwrap(), 115_200).unwrap();
            let options = ConnectOptions {
                wiring: Wiring::Manual,
                patience: Duration::from_secs(10),
                ..ConnectOptions::default()
            };
            let mut ignore = |_| {};
            let mut session = Session::connect(port, options, &mut ignore).unwrap();
            assert_eq!(session.identify().unwrap().mac, [0x5C, 0xCF, 0x7F, 0, 0, 1]);
        }
    }

    #[test]
    fn a_terminal_that_nobody_opened_takes_nothing_from_a_client_of_the_server() {
        let device = VirtualDevice::new(Options::default()).unwrap();
        let _terminal = device.serve_pty().unwrap();
        let served = device.serve_rfc2217(([127, 0, 0, 1], 0).into()).unwrap();
        let port = transport::open(&format!("rfc2217://{}", served.address()), 115_200).unwrap();
        let mut events = Vec::new();
        let mut note = |event| events.push(event);
        let mut session = Session::connect(port, ConnectOptions::default(), &mut note).unwrap();
        for _ in 0..20 {
            session.identify().unwrap();
        }
        drop(session);
        let retries = events.iter().filter(|event| matches!(event, Event::Retry { .. })).count();
        assert_eq!(retries, 0, "no reply was lost");
    }

    #[test]
    fn the_simulated_clock_is_not_served() {
        let device = VirtualDevice::new(Options { clock: Clock::Simulated, ..Options::default() }).unwrap();
        assert!(device.serve_pty().is_err());
        assert!(device.serve_rfc2217(([127, 0, 0, 1], 0).into()).is_err());
    }
}
