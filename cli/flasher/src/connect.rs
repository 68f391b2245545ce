//! Connecting: reset into the loader, SYNC, and a diagnosis of the silence when there is no reply.
//!
//! Attempts and times follow the esptool serial protocol and its practice: seven attempts of one reset and five
//! SYNCs each, 100 ms for a reply. When nobody answers, the boot log says why: the ESP8266's boot ROM prints it with
//! the divider for a 40 MHz crystal, which makes 74880 baud of 115200 with the usual 26 MHz one.

use std::time::Duration;

use crate::cancel::Cancel;
use crate::event::{Event, Stage, Warning};
use crate::link::{CommandError, Link};
use crate::protocol::{Command, SYNC_REPLIES};
use crate::reset::{Strategy, Wiring};
use crate::session::{Loader, Session};
use crate::transport::{Transport, TransportError};

/// What the boot ROM's log runs at with a 26 MHz crystal.
pub const BOOT_LOG_BAUD: u32 = 74_880;
/// What everything else runs at, and the boot log with a 40 MHz crystal.
pub const DEFAULT_BAUD: u32 = 115_200;

const SYNCS_PER_ATTEMPT: u32 = 5;
const SYNC_TIMEOUT: Duration = Duration::from_millis(100);
const SYNC_PAUSE: Duration = Duration::from_millis(50);
/// The boot ROM often only measures the first SYNC after a reset; a reply takes 6 ms, and an adapter up to 16 ms more.
const FIRST_SYNC: Duration = Duration::from_millis(40);
/// The value that the boot ROM echoes: the first word of SYNC's payload. A stub echoes nothing.
const ROM_SYNC_VALUE: u32 = 0x2012_0707;
/// How long a boot log may take to begin, and to go on.
const LOG_BEGIN: Duration = Duration::from_millis(400);
const LOG_GAP: Duration = Duration::from_millis(150);
/// A boot log is some 300 bytes and over within a second; a firmware that talks without end, fast or slowly, must not
/// hold the diagnosis up.
const LOG_LIMIT: usize = 4096;
const LOG_TIME: Duration = Duration::from_secs(2);
/// How often polling says that it still goes on.
const POLL_REPORT: Duration = Duration::from_secs(1);

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// How DTR and RTS reach the chip.
    pub wiring: Wiring,
    /// Resets to try, each with five SYNCs; at least one.
    pub attempts: u32,
    /// The rate of the session; the boot ROM measures it. Stubs expect 115200.
    pub baud: u32,
    /// How long to go on polling when the attempts are used up, without touching the lines, so that a user can ground
    /// GPIO0 and power-cycle the device. Zero gives up at once.
    pub patience: Duration,
    /// Stops it.
    pub cancel: Cancel,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            wiring: Wiring::Usual,
            attempts: 7,
            baud: DEFAULT_BAUD,
            patience: Duration::ZERO,
            cancel: Cancel::default(),
        }
    }
}

/// What the straps said when the chip came out of reset: the first number of `boot mode:(3,6)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootMode(pub u8);

impl BootMode {
    /// GPIO0 low: serial loader.
    pub const DOWNLOAD: Self = Self(1);
    /// GPIO0 high: from flash.
    pub const FLASH: Self = Self(3);

    /// GPIO15 was high, so the chip waits for an SDIO host.
    pub const fn is_sdio(self) -> bool {
        self.0 >= 4 && self.0 <= 7
    }
}

/// Why the loader did not answer, as far as the boot log tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// The chip started what is in its flash: GPIO0 was not low.
    BootedFromFlash {
        /// Always 3.
        boot_mode: BootMode,
        /// What it printed.
        log: String,
    },
    /// The chip is in its serial loader and prints, but does not hear: the adapter's TX does not reach its RX.
    LoaderDoesNotHear {
        /// What it printed.
        log: String,
    },
    /// GPIO15 or GPIO2 is at the wrong level.
    OtherBootMode {
        /// Neither 1 nor 3.
        boot_mode: BootMode,
        /// What it printed.
        log: String,
    },
    /// Not one byte.
    Silence,
    /// Bytes that are no boot log.
    Noise {
        /// How many.
        bytes: usize,
        /// Those that can be printed.
        log: String,
    },
    /// The port cannot run at 74880 baud, so nobody listened.
    CannotListen,
}

impl std::fmt::Display for Diagnosis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BootedFromFlash { boot_mode, .. } => {
                write!(formatter, "boot log shows boot mode {} (running from flash)", boot_mode.0)
            }
            Self::LoaderDoesNotHear { .. } => {
                write!(formatter, "boot log shows boot mode 1 (serial loader), but it does not hear")
            }
            Self::OtherBootMode { boot_mode, .. } if boot_mode.is_sdio() => {
                write!(formatter, "boot log shows boot mode {} (waiting for SDIO)", boot_mode.0)
            }
            Self::OtherBootMode { boot_mode, .. } => {
                write!(formatter, "boot log shows boot mode {}", boot_mode.0)
            }
            Self::Silence => write!(formatter, "the port stayed silent"),
            Self::Noise { bytes, .. } => write!(formatter, "{bytes} bytes came that are no boot log"),
            Self::CannotListen => write!(formatter, "the port cannot listen at {BOOT_LOG_BAUD} baud"),
        }
    }
}

impl Diagnosis {
    /// What came after a reset; `None` unless the bytes hold a boot log.
    fn from_log(bytes: &[u8]) -> Option<Self> {
        let log = printable(bytes);
        let boot_mode = boot_mode(bytes)?;
        Some(match boot_mode {
            BootMode::FLASH => Self::BootedFromFlash { boot_mode, log },
            BootMode::DOWNLOAD => Self::LoaderDoesNotHear { log },
            _ => Self::OtherBootMode { boot_mode, log },
        })
    }
}

/// Why no session came about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The port failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// [`Cancel`] was asked.
    #[error("cancelled")]
    Cancelled,
    /// The loader did not answer.
    #[error("no reply from the ESP8266 on `{port}` after {attempts} reset attempts: {diagnosis}")]
    NoReply {
        /// As the user wrote it.
        port: String,
        /// Resets that were tried.
        attempts: u32,
        /// What the boot log said.
        diagnosis: Diagnosis,
    },
    /// The user was waited for, and the loader still did not answer.
    #[error("no reply from the ESP8266 on `{port}` within: {} s", waited.as_secs())]
    NotInDownloadMode {
        /// As the user wrote it.
        port: String,
        /// How long.
        waited: Duration,
    },
}

impl From<CommandError> for ConnectError {
    /// Only port failures and cancellation get here; every other failed command means "try again".
    fn from(error: CommandError) -> Self {
        match error {
            CommandError::Transport(error) => Self::Transport(error),
            _ => Self::Cancelled,
        }
    }
}

impl<'e> Session<'e> {
    /// Resets the chip into its loader and finds it, or says why it cannot be found.
    ///
    /// # Errors
    /// [`ConnectError`]; the device is then left as its user or its straps had it, and nothing was written.
    pub fn connect(
        transport: Box<dyn Transport>,
        options: ConnectOptions,
        events: &'e mut dyn FnMut(Event),
    ) -> Result<Self, ConnectError> {
        let mut link = Link::new(transport, options.cancel.clone(), events);
        let mut wiring = options.wiring;
        let loader = find_loader(&mut link, &options, &mut wiring)?;
        let mut session = Self::new(link, loader, ConnectOptions { wiring, ..options });
        session.ask_if_stub()?;
        Ok(session)
    }

    /// A stub that was running already may be the project's own.
    fn ask_if_stub(&mut self) -> Result<(), CommandError> {
        if self.loader == Loader::Stub { self.ask_stub() } else { Ok(()) }
    }

    /// Resets the chip into the boot ROM's loader once more, at the rate of the first connection.
    pub(crate) fn reconnect(&mut self) -> Result<(), ConnectError> {
        let options = self.options.clone();
        let mut wiring = options.wiring;
        let loader = find_loader(&mut self.link, &options, &mut wiring)?;
        self.enter(loader);
        Ok(self.ask_if_stub()?)
    }
}

fn find_loader(
    link: &mut Link<'_>,
    options: &ConnectOptions,
    wiring: &mut Wiring,
) -> Result<Loader, ConnectError> {
    link.set_baud(options.baud)?;
    let attempts = options.attempts.max(1);
    for attempt in 0..attempts {
        let Some(strategy) = nth_strategy(*wiring, attempt) else { break };
        link.check_cancel()?;
        link.stage(Stage::Reset);
        link.discard_input()?;
        match link.run(&strategy) {
            Ok(()) => {}
            Err(TransportError::NoControlLines { .. }) => {
                link.warn(Warning::NoControlLines);
                *wiring = Wiring::Manual;
                break;
            }
            Err(error) => return Err(error.into()),
        }
        link.discard_input()?;
        link.stage(Stage::Sync);
        if let Some(loader) = sync_once(link, FIRST_SYNC)? {
            return Ok(loader);
        }
        if let Some(loader) = sync(link, SYNCS_PER_ATTEMPT - 1)? {
            return Ok(loader);
        }
    }
    if *wiring == Wiring::Manual {
        return wait_for_user(link, options.patience.max(SYNC_TIMEOUT + SYNC_PAUSE));
    }
    link.stage(Stage::Diagnose);
    let diagnosis = diagnose(link, *wiring)?;
    link.set_baud(options.baud)?;
    if options.patience.is_zero() {
        return Err(ConnectError::NoReply { port: link.name().to_owned(), attempts, diagnosis });
    }
    link.event(Event::Diagnosed(diagnosis));
    wait_for_user(link, options.patience)
}

fn nth_strategy(wiring: Wiring, attempt: u32) -> Option<Strategy> {
    let strategies = wiring.into_loader();
    usize::try_from(attempt).ok().and_then(|attempt| strategies.iter().cycle().nth(attempt).copied())
}

/// Polls SYNC until someone answers.
fn wait_for_user(link: &mut Link<'_>, patience: Duration) -> Result<Loader, ConnectError> {
    link.stage(Stage::Sync);
    let start = link.now();
    let mut next_report = Duration::ZERO;
    loop {
        let waited = link.now().saturating_sub(start);
        if waited >= patience {
            return Err(ConnectError::NotInDownloadMode { port: link.name().to_owned(), waited });
        }
        if waited >= next_report {
            link.event(Event::WaitingForDownloadMode { waited });
            next_report = waited + POLL_REPORT;
        }
        if let Some(loader) = sync(link, 1)? {
            return Ok(loader);
        }
    }
}

/// Sends up to `tries` SYNCs and reads the surplus replies away.
pub(crate) fn sync(link: &mut Link<'_>, tries: u32) -> Result<Option<Loader>, CommandError> {
    for _ in 0..tries {
        if let Some(loader) = sync_once(link, SYNC_TIMEOUT)? {
            return Ok(Some(loader));
        }
        link.sleep(SYNC_PAUSE);
    }
    Ok(None)
}

/// Sends one SYNC, and reads the surplus replies away when there is one.
fn sync_once(link: &mut Link<'_>, timeout: Duration) -> Result<Option<Loader>, CommandError> {
    match link.command(&Command::Sync, timeout) {
        Ok(response) => {
            for _ in 1..SYNC_REPLIES {
                if link.reply(crate::protocol::Opcode::Sync, SYNC_TIMEOUT).is_err() {
                    break;
                }
            }
            let loader = if response.value == ROM_SYNC_VALUE { Loader::Rom } else { Loader::Stub };
            Ok(Some(loader))
        }
        Err(error) if error.is_retryable() => Ok(None),
        Err(error) => Err(error),
    }
}

/// Resets the way [`find_loader`] did and listens.
fn diagnose(link: &mut Link<'_>, wiring: Wiring) -> Result<Diagnosis, ConnectError> {
    let mut noise = None;
    for baud in [BOOT_LOG_BAUD, DEFAULT_BAUD] {
        match link.set_baud(baud) {
            Ok(()) => {}
            Err(TransportError::BaudRefused { .. }) => return Ok(Diagnosis::CannotListen),
            Err(error) => return Err(error.into()),
        }
        link.check_cancel()?;
        link.discard_input()?;
        if let Some(strategy) = wiring.into_loader().first() {
            link.run(strategy)?;
        }
        let bytes = listen(link)?;
        if bytes.is_empty() && noise.is_none() {
            return Ok(Diagnosis::Silence);
        }
        if let Some(diagnosis) = Diagnosis::from_log(&bytes) {
            return Ok(diagnosis);
        }
        noise.get_or_insert(Diagnosis::Noise { bytes: bytes.len(), log: printable(&bytes) });
    }
    Ok(noise.unwrap_or(Diagnosis::Silence))
}

/// What comes after a reset, until a pause or one of the limits.
pub(crate) fn listen(link: &mut Link<'_>) -> Result<Vec<u8>, TransportError> {
    let deadline = link.now() + LOG_TIME;
    let mut log = Vec::new();
    let mut timeout = LOG_BEGIN;
    while log.len() < LOG_LIMIT && link.now() < deadline {
        let bytes = link.read_raw(timeout)?;
        if bytes.is_empty() {
            break;
        }
        log.extend(bytes);
        timeout = LOG_GAP;
    }
    Ok(log)
}

/// Printable ASCII and line ends; everything else is dropped.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let kept = bytes.iter().filter(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\n'));
    kept.map(|&byte| char::from(byte)).collect::<String>().trim().to_owned()
}

/// The first number of the last `boot mode:(a,b)` in a log.
pub(crate) fn boot_mode(log: &[u8]) -> Option<BootMode> {
    const MARK: &[u8] = b"boot mode:(";
    let position = log.windows(MARK.len()).rposition(|window| window == MARK)?;
    match log.get(position + MARK.len()..)? {
        [digit @ b'0'..=b'7', b',', ..] => Some(BootMode(digit - b'0')),
        _ => None,
    }
}
