//! Requests one behind the other, without waiting for each answer: the line never falls idle between two blocks.
//!
//! The project's stub says how many bytes of requests it can hold ([`StubInfo::receive_window`]) and answers in order.
//! So an answer to a later request means that an earlier one was lost, and nobody has to wait for that one's time to
//! pass.

use std::collections::VecDeque;
use std::time::Duration;

use crate::event::Secrecy;
use crate::link::{COMMAND_TIMEOUT, CommandError, Link, wire_time};
use crate::protocol::{Command, Opcode, Response, StubInfo};

/// Bytes of header in front of a request's data.
const REQUEST_HEADER: u32 = 8;
/// Bytes of header in front of a block, both headers together.
const BLOCK_HEADER: u32 = 24;

/// A request that waits for its turn.
pub(crate) struct Queued<'a> {
    /// What is asked.
    pub(crate) command: Command<'a>,
    /// Whether its blocks and its answer may be traced.
    pub(crate) secrecy: Secrecy,
    /// How long the device may work on it, beyond the usual.
    pub(crate) work: Duration,
}

impl<'a> Queued<'a> {
    /// A request with nothing secret in it that is answered at once.
    pub(crate) const fn plain(command: Command<'a>) -> Self {
        Self { command, secrecy: Secrecy::Public, work: Duration::ZERO }
    }
}

/// A request without an answer.
struct Sent {
    opcode: Opcode,
    secrecy: Secrecy,
    /// Bytes in the device's window.
    length: u32,
    /// Time on the wire.
    wire: Duration,
    work: Duration,
}

/// The best block of a write: four in the window, so that one can be on the wire, one in the device's hands, and two on
/// their way between.
pub(crate) fn block_size(info: StubInfo) -> u32 {
    let quarter = (info.receive_window / 4).saturating_sub(BLOCK_HEADER);
    (quarter.clamp(64, info.block_max.max(64)) / 4) * 4
}

impl Link<'_> {
    /// Sends all requests with at most `window` bytes unanswered, and hands each answer over with its number.
    ///
    /// After an error some requests may still be on their way: [`crate::Session::resync`] brings both sides together.
    pub(crate) fn pipeline<'a>(
        &mut self,
        window: u32,
        requests: impl IntoIterator<Item = Queued<'a>>,
        mut answered: impl FnMut(&mut Self, usize, Response),
    ) -> Result<(), CommandError> {
        let mut requests = requests.into_iter().peekable();
        let mut sent: VecDeque<Sent> = VecDeque::new();
        let mut number = 0;
        // A block is acknowledged before it is written, so the answer behind it waits for it.
        let mut work_before = Duration::ZERO;
        loop {
            while let Some(request) = requests.next_if(|next| {
                let open: u32 = sent.iter().map(|sent| sent.length).sum();
                sent.is_empty() || open.saturating_add(request_length(&next.command)) <= window
            }) {
                sent.push_back(self.send_queued(&request)?);
            }
            let Some(first) = sent.front() else { return Ok(()) };
            let (work, wire) = sent.iter().fold((work_before, Duration::ZERO), |(work, wire), sent| {
                (work + sent.work, wire + sent.wire)
            });
            let later: Vec<Opcode> = sent.iter().skip(1).map(|sent| sent.opcode).collect();
            let outer = self.secrecy();
            if first.secrecy == Secrecy::Secret {
                self.set_secrecy(Secrecy::Secret);
            }
            let response = self.reply_in_order(first.opcode, &later, COMMAND_TIMEOUT + work + wire);
            self.set_secrecy(outer);
            let response = response?;
            work_before = first.work;
            sent.pop_front();
            answered(self, number, response);
            number += 1;
        }
    }

    fn send_queued(&mut self, request: &Queued<'_>) -> Result<Sent, CommandError> {
        self.check_cancel()?;
        let outer = self.secrecy();
        if request.secrecy == Secrecy::Secret {
            self.set_secrecy(Secrecy::Secret);
        }
        let bytes = self.send(&request.command);
        self.set_secrecy(outer);
        Ok(Sent {
            opcode: request.command.opcode(),
            secrecy: request.secrecy,
            length: request_length(&request.command),
            wire: wire_time(bytes?, self.baud()),
            work: request.work,
        })
    }
}

/// What a request takes of the window.
fn request_length(command: &Command<'_>) -> u32 {
    let data = match command {
        Command::FlashData { block, .. }
        | Command::MemData { block, .. }
        | Command::FlashDeflateData { block, .. } => block.len() + 16,
        Command::Echo { bytes } => bytes.len(),
        Command::WriteRegister(writes) => writes.len() * 16,
        // Nothing else is longer than SYNC.
        _ => 36,
    };
    REQUEST_HEADER.saturating_add(u32::try_from(data).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_blocks_with_their_headers_fit_into_the_window() {
        for receive_window in [512, 4_096, 8_192, 12_000, 40_000] {
            for block_max in [256, 1_024, 4_096, 16_384] {
                let size = block_size(StubInfo { version: 1, receive_window, block_max });
                assert!(size <= block_max && size.is_multiple_of(4) && size >= 64);
                assert!((size + BLOCK_HEADER) * 4 <= receive_window, "{receive_window} {block_max}: {size}");
            }
        }
    }
}
