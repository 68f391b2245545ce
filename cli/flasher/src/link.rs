//! [`Link`]: requests out, replies in, over one transport.
//!
//! Matches a reply to its request by opcode, as the esptool serial protocol asks for: some ESP8266s send more SYNC
//! replies than documented, and a late reply must not be taken for the next one.

use std::collections::VecDeque;
use std::time::Duration;

use crate::cancel::Cancel;
use crate::event::{Event, Payload, Progress, Secrecy, Stage, Trace, TraceEntry, Warning};
use crate::protocol::{Command, FRAME_MAX, Opcode, Refusal, Response};
use crate::reset::{Step, Strategy};
use crate::slip::{self, Decoder};
use crate::transport::{Transport, TransportError};

/// Time for a command that does nothing slow.
pub(crate) const COMMAND_TIMEOUT: Duration = Duration::from_secs(3);
/// Frames that may go by before the reply to a request counts as lost.
const FRAMES_PER_REPLY: u32 = 100;
/// A line that was silent for this long has nothing more to say.
const QUIET: Duration = Duration::from_millis(100);
/// The longest that [`Link::settle`] waits for silence.
const SETTLE_LIMIT: Duration = Duration::from_secs(2);

/// Why one command failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The port failed.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// [`Cancel`] was asked before the command was sent.
    #[error("cancelled")]
    Cancelled,
    /// Nothing that answers it came in time.
    #[error("no reply to {opcode} within: {} ms", waited.as_millis())]
    NoReply {
        /// To what.
        opcode: Opcode,
        /// How long.
        waited: Duration,
    },
    /// The loader answered with a failure.
    #[error("{opcode} was refused: {refusal}")]
    Refused {
        /// What.
        opcode: Opcode,
        /// Why.
        refusal: Refusal,
    },
    /// The reply has not the form that the command calls for.
    #[error("reply to {opcode} has a wrong length: {length}")]
    Malformed {
        /// To what.
        opcode: Opcode,
        /// Bytes of data.
        length: usize,
    },
}

impl CommandError {
    /// Whether trying again can help: the port is there and nobody asked to stop.
    pub const fn is_retryable(&self) -> bool {
        !matches!(self, Self::Transport(_) | Self::Cancelled)
    }
}

/// A transport with frames, events and cancellation.
pub(crate) struct Link<'e> {
    transport: Box<dyn Transport>,
    decoder: Decoder,
    frames: VecDeque<Vec<u8>>,
    events: &'e mut dyn FnMut(Event),
    cancel: Cancel,
    secrecy: Secrecy,
}

impl<'e> Link<'e> {
    pub(crate) fn new(
        transport: Box<dyn Transport>,
        cancel: Cancel,
        events: &'e mut dyn FnMut(Event),
    ) -> Self {
        Self {
            transport,
            decoder: Decoder::new(FRAME_MAX),
            frames: VecDeque::new(),
            events,
            cancel,
            secrecy: Secrecy::Public,
        }
    }

    pub(crate) fn into_transport(self) -> Box<dyn Transport> {
        self.transport
    }

    pub(crate) fn name(&self) -> &str {
        self.transport.name()
    }

    pub(crate) fn baud(&self) -> u32 {
        self.transport.baud()
    }

    pub(crate) fn now(&self) -> Duration {
        self.transport.now()
    }

    pub(crate) fn sleep(&mut self, duration: Duration) {
        self.transport.sleep(duration);
    }

    pub(crate) fn secrecy(&self) -> Secrecy {
        self.secrecy
    }

    /// From now on, what goes over the line is (or is not) withheld from traces.
    pub(crate) fn set_secrecy(&mut self, secrecy: Secrecy) {
        self.secrecy = secrecy;
    }

    pub(crate) fn stage(&mut self, stage: Stage) {
        (self.events)(Event::Stage(stage));
    }

    pub(crate) fn warn(&mut self, warning: Warning) {
        (self.events)(Event::Warning(warning));
    }

    pub(crate) fn event(&mut self, event: Event) {
        (self.events)(event);
    }

    pub(crate) fn progress(&mut self, stage: Stage, region: &str, done: u32, total: u32) {
        (self.events)(Event::Progress(Progress { stage, region: region.to_owned(), done, total }));
    }

    fn trace(&mut self, entry: TraceEntry) {
        let at = self.transport.now();
        (self.events)(Event::Trace(Trace { at, entry }));
    }

    pub(crate) fn check_cancel(&self) -> Result<(), CommandError> {
        if self.cancel.is_cancelled() { Err(CommandError::Cancelled) } else { Ok(()) }
    }

    pub(crate) fn set_baud(&mut self, baud: u32) -> Result<(), TransportError> {
        if self.transport.baud() != baud {
            self.transport.set_baud(baud)?;
            self.trace(TraceEntry::Baud(baud));
        }
        self.decoder.reset();
        Ok(())
    }

    /// Drives the control lines through a strategy.
    pub(crate) fn run(&mut self, strategy: &Strategy) -> Result<(), TransportError> {
        for step in strategy.steps {
            match *step {
                Step::Lines(lines) => {
                    self.transport.set_lines(lines)?;
                    self.trace(TraceEntry::Lines(lines));
                }
                Step::Wait(duration) => self.transport.sleep(duration),
            }
        }
        Ok(())
    }

    /// Throws away everything that has come.
    pub(crate) fn discard_input(&mut self) -> Result<(), TransportError> {
        self.frames.clear();
        self.decoder.reset();
        self.transport.discard_input()
    }

    /// Reads until the line is quiet, so that no late reply meets the next request.
    pub(crate) fn settle(&mut self) -> Result<(), TransportError> {
        let deadline = self.now() + SETTLE_LIMIT;
        let mut buffer = [0; 1024];
        while self.now() < deadline && self.transport.read(&mut buffer, QUIET)? > 0 {}
        self.discard_input()
    }

    /// Raw bytes, for boot logs; `Ok` is empty when `timeout` passed in silence.
    pub(crate) fn read_raw(&mut self, timeout: Duration) -> Result<Vec<u8>, TransportError> {
        let mut buffer = [0; 1024];
        let length = self.transport.read(&mut buffer, timeout)?;
        Ok(buffer.get(..length).unwrap_or_default().to_vec())
    }

    pub(crate) fn write_raw(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        self.transport.write_all(bytes)
    }

    /// Sends a request and takes the reply that belongs to it; `timeout` counts from when the last byte is out.
    pub(crate) fn command(
        &mut self,
        command: &Command<'_>,
        timeout: Duration,
    ) -> Result<Response, CommandError> {
        self.check_cancel()?;
        let sent = self.send(command)?;
        self.reply(command.opcode(), timeout + wire_time(sent, self.transport.baud()))
    }

    /// Sends a request and returns the bytes that it took on the wire.
    pub(crate) fn send(&mut self, command: &Command<'_>) -> Result<usize, TransportError> {
        let request = command.to_bytes();
        let opcode = command.opcode();
        let secrecy = if opcode.carries_block() { self.secrecy } else { Secrecy::Public };
        let payload = Payload::new(request.get(8..).unwrap_or_default(), secrecy);
        self.trace(TraceEntry::Sent { opcode, payload });
        let frame = slip::encode(&request);
        self.transport.write_all(&frame)?;
        Ok(frame.len())
    }

    /// Sends bytes as a frame of their own: the acknowledgements of READ_FLASH.
    pub(crate) fn send_frame(&mut self, payload: &[u8]) -> Result<(), TransportError> {
        self.transport.write_all(&slip::encode(payload))
    }

    /// The reply to `opcode`, with everything else on the way there skipped.
    pub(crate) fn reply(&mut self, opcode: Opcode, timeout: Duration) -> Result<Response, CommandError> {
        self.reply_in_order(opcode, &[], timeout)
    }

    /// The reply to `opcode`, which is lost once one to a later request is there.
    pub(crate) fn reply_in_order(
        &mut self,
        opcode: Opcode,
        later: &[Opcode],
        timeout: Duration,
    ) -> Result<Response, CommandError> {
        let deadline = self.now() + timeout;
        for _ in 0..FRAMES_PER_REPLY {
            let Some(frame) = self.next_frame(deadline)? else { break };
            let Ok(response) = Response::parse(&frame) else {
                self.trace(TraceEntry::Frame(Payload::new(&frame, self.secrecy)));
                continue;
            };
            let content: Vec<u8> =
                response.value.to_le_bytes().into_iter().chain(response.data.iter().copied()).collect();
            self.trace(TraceEntry::Received {
                opcode: response.opcode,
                status: response.status,
                error: response.error,
                payload: Payload::new(&content, self.secrecy),
            });
            if response.opcode != opcode.byte() {
                if later.iter().any(|later| later.byte() == response.opcode) {
                    break;
                }
                continue;
            }
            return match response.refusal() {
                Some(refusal) => Err(CommandError::Refused { opcode, refusal }),
                None => Ok(response),
            };
        }
        Err(CommandError::NoReply { opcode, waited: timeout })
    }

    /// The next frame of any kind; `None` when the deadline passed.
    pub(crate) fn frame(&mut self, timeout: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let deadline = self.now() + timeout;
        let frame = self.next_frame(deadline)?;
        if let Some(frame) = &frame {
            self.trace(TraceEntry::Frame(Payload::new(frame, self.secrecy)));
        }
        Ok(frame)
    }

    fn next_frame(&mut self, deadline: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(Some(frame));
            }
            let remaining = deadline.saturating_sub(self.transport.now());
            if remaining.is_zero() {
                return Ok(None);
            }
            let length = self.transport.read(&mut buffer, remaining)?;
            for &byte in buffer.get(..length).unwrap_or_default() {
                match self.decoder.push(byte) {
                    Ok(Some(frame)) => self.frames.push_back(frame),
                    Ok(None) => {}
                    Err(reason) => self.trace(TraceEntry::Damaged { reason }),
                }
            }
        }
    }
}

/// Time that `bytes` need on the wire: 10 bits each.
pub(crate) fn wire_time(bytes: usize, baud: u32) -> Duration {
    let bits = u64::try_from(bytes).unwrap_or(u64::MAX).saturating_mul(10);
    Duration::from_micros(bits.saturating_mul(1_000_000) / u64::from(baud.max(1)))
}
