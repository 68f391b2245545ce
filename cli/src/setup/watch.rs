//! Boot and join: starts the firmware and follows its status lines until it is ready or has failed.

use std::time::{Duration, Instant};

use espbroker_flasher::{
    FlasherError,
    boot::{BootLog, BootVerdict, Console, Reset},
};
use espbroker_node::status::{ConfigChoice, ImageCheck, Status, WifiState};

use crate::{
    failure::Failure,
    narrator::Narrator,
    start_up::{Expected, Running, StartUp, StartUpError, wifi_words},
};

/// How long a device may take from reset to ready: joining and DHCP take 4 s, and 10 s at worst, three times.
const READY_TIMEOUT: Duration = Duration::from_secs(45);

/// How long a device may be silent after its reset before the boot ROM is asked what it did.
const FIRST_WORD_TIMEOUT: Duration = Duration::from_secs(8);

/// How long the user may take to remove the GPIO0 wire and power-cycle the device.
const USER_TIMEOUT: Duration = Duration::from_secs(180);

/// How long a device may say nothing before it is asked; a lost byte may have taken its last word.
pub(super) const QUIET: Duration = Duration::from_secs(3);

/// How often it is asked.
const QUESTIONS: u32 = 5;

/// The firmware's console command that makes it repeat all status lines.
pub(crate) const QUESTION: &[u8] = b"status\r\n";

/// What only the user can do where no line reaches the chip.
const BY_USER: &str = "remove the wire from GPIO0 to GND, and power-cycle the device";

/// How long one wait for a line is.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// Resets the device into its firmware and follows it, as the steps `boot` and `join`.
///
/// # Errors
///
/// The port's, or what the device says it could not do.
pub(crate) fn follow(
    console: &mut Console<'_>,
    expected: Expected,
    narrator: &Narrator,
) -> Result<Running, Failure> {
    narrator.begin("boot", "starting the firmware");
    let reset = console.reset(BootLog::Skip).map_err(FlasherError::from)?;
    let mut by_user = reset == Reset::ByUser;
    if by_user {
        narrator.doing(BY_USER);
    }
    let mut start_up = StartUp::new(expected);
    let first_word = if by_user { USER_TIMEOUT } else { FIRST_WORD_TIMEOUT };
    let mut patience = Patience::new(first_word);
    let (mut spoken, mut joining) = (false, false);
    let mut quiet = Duration::ZERO;
    let mut questions = 0;
    loop {
        if patience.is_over() {
            // The stub was asked to start the firmware, and nothing came of it.
            if reset != Reset::ByStub || spoken || by_user {
                break;
            }
            by_user = true;
            narrator.doing(BY_USER);
            patience = Patience::new(USER_TIMEOUT);
        }
        if spoken && questions < QUESTIONS && (quiet >= QUIET || start_up.lacks_a_line()) {
            questions += 1;
            quiet = Duration::ZERO;
            start_up.asked();
            console.write(QUESTION).map_err(FlasherError::from)?;
        }
        let Some(line) = console.next_line(SLICE).map_err(FlasherError::from)? else {
            patience.waited(SLICE);
            quiet += SLICE;
            continue;
        };
        quiet = Duration::ZERO;
        let Ok(Some(status)) = Status::parse(&line) else { continue };
        narrator.detail(line.trim());
        if !spoken {
            spoken = true;
            patience = Patience::new(READY_TIMEOUT);
        }
        let ready = start_up.observe(&status)?;
        narrate(&status, narrator, &start_up, &mut joining);
        if let Some(running) = ready {
            narrator.end(&reached(&running));
            return Ok(running);
        }
    }
    if !spoken && !by_user {
        explain_silence(console, narrator)?;
    }
    Err(start_up.timed_out(patience.limit.as_secs()).into())
}

/// Time that is left, by two clocks: a simulated port waits without any time passing here, and a port on which bytes
/// never end does not wait.
pub(super) struct Patience {
    limit: Duration,
    begun: Instant,
    waited: Duration,
}

impl Patience {
    pub(super) fn new(limit: Duration) -> Self {
        Self { limit, begun: Instant::now(), waited: Duration::ZERO }
    }

    pub(super) fn waited(&mut self, time: Duration) {
        self.waited += time;
    }

    pub(super) fn is_over(&self) -> bool {
        self.waited.max(self.begun.elapsed()) >= self.limit
    }
}

fn narrate(status: &Status, narrator: &Narrator, start_up: &StartUp, joining: &mut bool) {
    match status {
        Status::Config(ConfigChoice::Loaded { .. }) if !*joining => {
            *joining = true;
            narrator.end(&start_up.verified_words());
            narrator.begin("join", "joining the Wi-Fi network");
        }
        Status::Wifi(WifiState::Failed { reason, attempt, .. }) => {
            narrator.doing(&format!("attempt {attempt} failed: {}; trying again", wifi_words(*reason)));
        }
        Status::Wifi(WifiState::Joined { .. }) => narrator.doing("joined; waiting for an address"),
        _ => {}
    }
}

fn reached(running: &Running) -> String {
    let address = running.address.map_or_else(|| "no address".to_owned(), |address| address.to_string());
    let port = running.mqtt_port.map_or_else(String::new, |port| format!(", MQTT on port {port}"));
    let websocket =
        running.websocket_port.map_or_else(String::new, |port| format!(", WebSocket on port {port}"));
    let heap = running.heap_free.map_or_else(String::new, |heap| format!(", {heap} bytes of heap free"));
    format!("{address}{port}{websocket}{heap}")
}

/// Starts a silent device once more and listens to its boot ROM instead, to say why it is silent.
fn explain_silence(console: &mut Console<'_>, narrator: &Narrator) -> Result<(), Failure> {
    narrator.doing("the device is silent; listening to its boot log");
    let Reset::Done { log: Some(log) } = console.reset(BootLog::Read).map_err(FlasherError::from)? else {
        return Ok(());
    };
    let error = match log.verdict {
        BootVerdict::Started => StartUpError::StartedSilent,
        BootVerdict::ChecksumError => StartUpError::BootChecksum,
        BootVerdict::NothingToStart => StartUpError::NothingToStart,
        BootVerdict::OtherBootMode(mode) => StartUpError::StaysInLoader { boot_mode: mode.0 },
        BootVerdict::NoLog => return Ok(()),
    };
    Err(error.into())
}

/// Starts the firmware and takes the length and SHA-256 that it measures of its own image.
///
/// # Errors
///
/// The port's, or [`StartUpError`] when the firmware does not say.
pub(crate) fn measured(mut console: Console<'_>, narrator: &Narrator) -> Result<(u32, [u8; 32]), Failure> {
    narrator.doing("asking the firmware, which measures itself");
    console.reset(BootLog::Skip).map_err(FlasherError::from)?;
    let mut patience = Patience::new(FIRST_WORD_TIMEOUT);
    let mut quiet = Duration::ZERO;
    while !patience.is_over() {
        if quiet >= QUIET {
            quiet = Duration::ZERO;
            console.write(QUESTION).map_err(FlasherError::from)?;
        }
        let Some(line) = console.next_line(SLICE).map_err(FlasherError::from)? else {
            patience.waited(SLICE);
            quiet += SLICE;
            continue;
        };
        match Status::parse(&line) {
            Ok(Some(Status::Image(ImageCheck::Measured { length, sha256, .. }))) => {
                return Ok((length, sha256));
            }
            Ok(Some(Status::Image(_))) => return Err(StartUpError::NoImage.into()),
            Ok(Some(_)) => patience.limit = READY_TIMEOUT,
            _ => {}
        }
    }
    explain_silence(&mut console, narrator)?;
    Err(StartUpError::Silent { seconds: FIRST_WORD_TIMEOUT.as_secs() }.into())
}
