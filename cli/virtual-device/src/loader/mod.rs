//! The serial loader of the boot ROM turns frames into replies, flash work and a next step.
//!
//! It is written out as what it does ([`rom`]); flasher stubs, which take its place once they are uploaded, run as
//! machine code. The loader gets bytes that the UART received and works a request through at once; the time that it
//! takes is in the [`Reaction`].

pub(crate) mod rom;

use std::time::Duration;

use espbroker_flasher::protocol::{Command, Refusal, Response};

use crate::machine::Board;

/// Time that a request costs besides what it does.
const OVERHEAD: Duration = Duration::from_micros(100);

/// One frame to send, unescaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// When the loader begins to send it.
    pub(crate) at: Duration,
    /// What it sends.
    pub(crate) frame: Vec<u8>,
}

/// What the CPU does once a request is worked through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) enum Next {
    /// It waits for the next request.
    #[default]
    Stay,
    /// It loads and starts the image in flash.
    BootFromFlash,
    /// It jumps to uploaded code.
    Jump {
        /// Where to.
        entry: u32,
    },
}

/// All that follows from a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reaction {
    /// In the order sent.
    pub(crate) replies: Vec<Reply>,
    /// When the CPU is ready for the next request, not counting the time that sending takes.
    pub(crate) done_at: Duration,
    /// What then.
    pub(crate) next: Next,
}

impl Reaction {
    fn nothing(now: Duration) -> Self {
        Self { replies: Vec::new(), done_at: now, next: Next::Stay }
    }

    fn reply(response: &Response, at: Duration) -> Self {
        Self { replies: vec![Reply { at, frame: response.to_bytes() }], done_at: at, next: Next::Stay }
    }
}

/// Counts the blocks of an upload.
#[derive(Clone, Copy, Debug)]
struct Blocks {
    expected: u32,
    received: u32,
    size: u32,
    address: u32,
}

impl Blocks {
    /// Where the block with this number goes, if it is the next one.
    fn place(&self, sequence: u32) -> Option<u32> {
        let next = sequence == self.received && sequence < self.expected;
        next.then(|| self.address.wrapping_add(sequence.wrapping_mul(self.size)))
    }
}

/// Runs the commands that the ROM loader and a stub answer alike; `None` for the others.
///
/// On success gives the reply's value, where the command sets one.
fn common(
    command: &Command<'_>,
    memory: &mut Option<Blocks>,
    board: &mut Board,
    now: &mut Duration,
) -> Option<Result<Option<u32>, Refusal>> {
    Some(match command {
        Command::ReadRegister { address } => Ok(Some(board.read(*address, *now))),
        Command::WriteRegister(writes) => {
            for write in writes {
                *now += Duration::from_micros(u64::from(write.delay));
                // Reading first would be a second access that some registers notice.
                let kept =
                    if write.mask == u32::MAX { 0 } else { board.read(write.address, *now) & !write.mask };
                board.write(write.address, kept | (write.value & write.mask), *now);
            }
            Ok(None)
        }
        Command::MemBegin { blocks, block_size, address, .. } => {
            let upload = Blocks { expected: *blocks, received: 0, size: *block_size, address: *address };
            *memory = Some(upload);
            Ok(None)
        }
        Command::MemData { sequence, block } => {
            let place = memory.as_ref().and_then(|upload| upload.place(*sequence));
            match place {
                Some(address) if board.upload(address, block) => {
                    if let Some(upload) = memory {
                        upload.received += 1;
                    }
                    Ok(None)
                }
                Some(_) => Err(Refusal::OperationFailed),
                None => Err(Refusal::InvalidMessage),
            }
        }
        _ => return None,
    })
}
