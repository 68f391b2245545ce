//! [`Host`] and [`Running`]: starting a device, its serial console, and stopping it.

use std::{
    collections::VecDeque,
    hash::{BuildHasher as _, RandomState},
    io,
    net::IpAddr,
    panic,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use espbroker_config::{image::Target, model::Config};
use espbroker_node::{BootInfo, Heap, Network, status::ResetCause};
use mio::{Poll, Waker};

use crate::{
    datagrams::DiscoveryPorts,
    flash::Flash,
    outside::Doors,
    pump::{Pump, Restart},
    radio::Radio,
    sockets::WAKER,
};

/// Bytes of console output kept for a reader; the oldest go first, as on a serial line that nobody listens to.
const CONSOLE_BYTES: usize = 65_536;

/// Bytes of the heap that are never given away, as on the chip, unless the heap is small.
const HEAP_FLOOR: u32 = 10_000;

/// What an operating system takes without a second thought.
const NETWORK: Network = Network { window: 16_384, in_flight: u32::MAX, segment: 0 };

/// What a device is made of.
pub struct HostOptions {
    /// Flash with image and config.
    pub flash: Box<dyn Flash>,
    /// What joins networks.
    pub radio: Box<dyn Radio>,
    /// Address that ports are opened on.
    pub bind: IpAddr,
    /// TCP ports that are opened.
    pub ports: Ports,
    /// UDP ports through which the device is found; `None` leaves it unfound.
    pub discovery: Option<DiscoveryPorts>,
    /// Machine in the boot line.
    pub target: Target,
    /// Station MAC address.
    pub mac: [u8; 6],
    /// Cause in the boot line.
    pub reset: ResetCause,
    /// Bytes of heap that the device pretends to have for connections and messages. On the chip 45,000 to 50,000 are
    /// left when Wi-Fi is up.
    pub heap: u32,
}

/// Which TCP ports are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// Those in the config.
    Configured,
    /// Any free one for each; the `listening` line tells which. For tests that run side by side.
    Any,
}

/// Starts devices.
#[derive(Debug)]
pub struct Host;

impl Host {
    /// Starts a device on a thread of its own.
    ///
    /// # Errors
    /// The operating system has no selector or thread left.
    pub fn start(options: HostOptions) -> io::Result<Running> {
        let poll = Poll::new()?;
        let shared = Arc::new(Shared {
            waker: Arc::new(Waker::new(poll.registry(), WAKER)?),
            stop: AtomicBool::new(false),
            shut_down: AtomicBool::new(false),
            restart: AtomicBool::new(false),
            to_console: Mutex::default(),
            from_console: Mutex::default(),
            config: Mutex::default(),
        });
        let of_thread = Arc::clone(&shared);
        let run = move || {
            let HostOptions { flash, radio, bind, ports, discovery, target, mac, reset, heap } = options;
            let info = BootInfo {
                reset,
                mac,
                target,
                heap: Heap::Budget(heap),
                heap_floor: (heap / 4).min(HEAP_FLOOR),
                network: NETWORK,
                seed: RandomState::new().hash_one(mac),
            };
            let restart = Pump::new(
                poll,
                Arc::clone(&of_thread),
                flash,
                radio,
                Doors { bind, ports, discovery },
                info,
            )?
            .run()?;
            // Its sockets are closed and its flash is dropped by now.
            of_thread.restart.store(restart == Restart::Wanted, Ordering::Release);
            Ok(())
        };
        let thread = thread::Builder::new().name("espbroker device".to_owned()).spawn(run)?;
        Ok(Running { shared, thread: Some(thread) })
    }
}

/// A device that runs; dropping it stops it as [`Running::stop`] does.
#[derive(Debug)]
pub struct Running {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Running {
    /// Takes what the device has written to its serial port; 0 when there is nothing. Never waits.
    pub fn console_read(&self, bytes: &mut [u8]) -> usize {
        let mut console = lock(&self.shared.to_console);
        let length = bytes.len().min(console.len());
        bytes.iter_mut().zip(console.drain(..length)).for_each(|(place, byte)| *place = byte);
        length
    }

    /// Gives the device bytes on its serial port. Never waits.
    pub fn console_write(&self, bytes: &[u8]) {
        lock(&self.shared.from_console).extend_from_slice(bytes);
        self.wake();
    }

    /// Changes the config of the running device, as [`Input::Configured`](espbroker_node::Input::Configured) says. Its
    /// flash stays as it is. Never waits: a client that connects after this meets the new config, and a device that is
    /// not on its network yet takes the last one once it is.
    pub fn reconfigure(&self, config: Config) {
        *lock(&self.shared.config) = Some(config);
        self.wake();
    }

    /// Makes the device ask its radio at once whether something has happened.
    pub fn wake(&self) {
        // Fails only when the selector is gone, and with it the device.
        let _ = self.shared.waker.wake();
    }

    /// Whether the device has asked to be started again, by `restart` on its console. It has ended then: its sockets
    /// are closed, and whoever plays the chip starts it anew.
    pub fn wants_restart(&self) -> bool {
        self.shared.restart.load(Ordering::Acquire)
    }

    /// Whether the device runs: it was not stopped, has not asked to be started again, and nothing of the operating
    /// system has failed, which [`Running::stop`] tells.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Stops the device as [`Running::stop`] does, after it has written the retained messages of the last seconds to its
    /// flash. `stop` is the power cut, this is the switch.
    ///
    /// # Errors
    /// As [`Running::stop`].
    ///
    /// # Panics
    /// As [`Running::stop`].
    pub fn shut_down(self) -> io::Result<()> {
        self.shared.shut_down.store(true, Ordering::Release);
        self.stop()
    }

    /// Stops the device; its sockets are closed and its flash and radio dropped when this returns.
    ///
    /// # Errors
    /// What ended the device before, if something of the operating system failed.
    ///
    /// # Panics
    /// As the device's thread has.
    pub fn stop(mut self) -> io::Result<()> {
        match self.end() {
            Some(Err(panic)) => panic::resume_unwind(panic),
            Some(Ok(result)) => result,
            None => Ok(()),
        }
    }

    fn end(&mut self) -> Option<thread::Result<io::Result<()>>> {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        self.thread.take().map(JoinHandle::join)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // There is nobody left to tell how it ended.
        let _ = self.end();
    }
}

/// What the thread of the device and its holder share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) waker: Arc<Waker>,
    stop: AtomicBool,
    shut_down: AtomicBool,
    restart: AtomicBool,
    to_console: Mutex<VecDeque<u8>>,
    from_console: Mutex<Vec<u8>>,
    config: Mutex<Option<Config>>,
}

impl Shared {
    pub(crate) fn is_shut_down(&self) -> bool {
        self.shut_down.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    pub(crate) fn print(&self, bytes: &[u8]) {
        let mut console = lock(&self.to_console);
        console.extend(bytes);
        let surplus = console.len().saturating_sub(CONSOLE_BYTES);
        console.drain(..surplus);
    }

    pub(crate) fn typed(&self) -> Vec<u8> {
        std::mem::take(&mut lock(&self.from_console))
    }

    pub(crate) fn config(&self) -> Option<Config> {
        lock(&self.config).take()
    }
}

/// The bytes are whole at any moment, so a panic elsewhere does no harm to them.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
