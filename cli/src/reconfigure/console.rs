//! Over the serial console of a running device: the same sealed frames as over the network, as lines of text.
//!
//! The device is found to run when it answers `status`; its boot line says who it is. No control line is touched.

use std::time::{Duration, Instant};

use espbroker_admin::console::{Parts, line};
use espbroker_flasher::{FlasherError, boot::Console, cancel::Cancel, event::Event, reset::Wiring};
use espbroker_node::status::{Service, Status};

use super::{
    Attempt, Done, Job, ReconfigureError, Who,
    remote::{ANSWER_TIMEOUT, Carrier, Remote, RemoteError},
    report::{DeviceOutcome, Way},
};
use crate::{device::Device, narrator::Narrator, registry::Seen, setup::QUESTION};

/// How long a device that runs takes to say so.
const FIRST_WORD: Duration = Duration::from_millis(600);
/// How long one that has said something takes to say who it is; it may just be starting.
const BOOT_LINE: Duration = Duration::from_secs(4);
/// Between two questions.
const ASK_AGAIN: Duration = Duration::from_millis(300);
/// How long one wait for a line is.
const SLICE: Duration = Duration::from_millis(50);

pub(super) fn run(
    job: &Job<'_>,
    who: &mut Who,
    device: &Device,
    narrator: &Narrator,
    report: &mut DeviceOutcome,
) -> Result<Done, Attempt> {
    let over = |error: FlasherError| Attempt::Over(error.into());
    let mut events = |event: Event| narrator.event(event);
    narrator.begin("console", "listening for a running device");
    let transport = device.open().map_err(over)?;
    let mut console = Console::new(transport, Wiring::Manual, job.context.cancel.clone(), &mut events);
    let Some(mac) = boot_line(&mut console).map_err(over)? else {
        let port = device.name().to_owned();
        return Err(Attempt::Elsewhere(ReconfigureError::NotRunning { port }.into()));
    };
    device.must_have(mac).map_err(|error| Attempt::Over(error.into()))?;
    who.recognise(mac, job.context);
    if who.keys.is_empty() {
        return Err(Attempt::Elsewhere(ReconfigureError::NoKey { name: who.label.clone() }.into()));
    }
    narrator.end(&format!("a device runs on {}, MAC {}", device.name(), crate::hex::to_hex(&mac, ":")));
    let carrier = Serial { console, port: device.name().to_owned() };
    let remote = Remote::new(Box::new(carrier), who.keys.clone(), &job.context.cancel);
    job.sealed(remote, Way::Console, who, narrator, report)
}

/// The MAC address of the device that runs here; `None` where none does.
fn boot_line(console: &mut Console<'_>) -> Result<Option<[u8; 6]>, FlasherError> {
    let begun = Instant::now();
    let (mut heard, mut waited, mut asked) = (false, Duration::ZERO, Duration::MAX);
    loop {
        // A simulated port waits without any time passing here.
        let passed = waited.max(begun.elapsed());
        if passed >= if heard { BOOT_LINE } else { FIRST_WORD } {
            return Ok(None);
        }
        if asked == Duration::MAX || passed >= asked + ASK_AGAIN {
            // An empty line ends what somebody else has left there.
            console.write(b"\r\n")?;
            console.write(QUESTION)?;
            asked = passed;
        }
        let Some(line) = console.next_line(SLICE)? else {
            waited += SLICE;
            continue;
        };
        match Status::parse(&line) {
            Ok(Some(Status::Boot { mac, .. })) => return Ok(Some(mac)),
            Ok(Some(_)) => heard = true,
            _ => {}
        }
    }
}

struct Serial<'e> {
    console: Console<'e>,
    port: String,
}

impl Serial<'_> {
    /// Waits for lines until `take` has what it waits for.
    fn wait<T>(
        &mut self,
        cancel: &Cancel,
        limit: Duration,
        mut take: impl FnMut(&Status) -> Option<T>,
    ) -> Result<Option<T>, RemoteError> {
        let begun = Instant::now();
        let mut waited = Duration::ZERO;
        while waited.max(begun.elapsed()) < limit {
            if cancel.is_cancelled() {
                return Err(RemoteError::Stopped);
            }
            let Some(line) = self.console.next_line(SLICE).map_err(port)? else {
                waited += SLICE;
                continue;
            };
            if let Ok(Some(status)) = Status::parse(&line)
                && let Some(found) = take(&status)
            {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

fn port(error: espbroker_flasher::boot::BootError) -> RemoteError {
    match FlasherError::from(error) {
        error if error.is_cancelled() => RemoteError::Stopped,
        error => RemoteError::Port(error),
    }
}

impl Carrier for Serial<'_> {
    fn exchange(&mut self, frame: &[u8], cancel: &Cancel) -> Result<Vec<u8>, RemoteError> {
        let mut text = line(frame);
        text.push_str("\r\n");
        self.console.write(text.as_bytes()).map_err(port)?;
        let mut parts = Parts::default();
        let reply = self.wait(cancel, ANSWER_TIMEOUT, |status| match status {
            Status::Admin { part, of, data } => parts.push(*part, *of, data).map(Some),
            // It has just started, and what was asked before that is lost.
            Status::Boot { .. } => Some(None),
            _ => None,
        })?;
        reply.flatten().ok_or_else(|| RemoteError::Silent { place: self.port.clone() })
    }

    fn seen(&mut self, cancel: &Cancel) -> Result<Option<Seen>, RemoteError> {
        let mut seen = Seen { address: None, mqtt_port: None, websocket_port: None };
        self.console.write(QUESTION).map_err(port)?;
        self.wait(cancel, ANSWER_TIMEOUT, |status| {
            match status {
                Status::Address { ip, .. } => seen.address = Some(*ip),
                Status::Listening { service: Service::Mqtt, port } => seen.mqtt_port = Some(*port),
                Status::Listening { service: Service::WebSocket, port } => seen.websocket_port = Some(*port),
                Status::Ready { .. } => return Some(()),
                _ => {}
            }
            None
        })?;
        Ok(seen.address.is_some().then_some(seen))
    }

    fn place(&self) -> String {
        self.port.clone()
    }
}
