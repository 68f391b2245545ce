//! [`Stub`]: the protocol of a flasher stub, after one was uploaded and started.
//!
//! Follows the esptool serial protocol document and the behaviour of the two stubs that exist for this chip: the
//! legacy one (esptool's own, up to version 5.2) and the current one (esp-flasher-stub). The uploaded code itself is
//! not executed here: whatever was uploaded, the device goes on as one of these two. What their documents and sources
//! leave open (the error code of an unaligned erase, the time of an MD5) is a guess and says so.

use std::time::Duration;

use espbroker_flasher::protocol::{
    Command, CommandParseError, FRAME_MAX, Opcode, Refusal, Request, Response, STUB_GREETING, SYNC_REPLIES,
};
use espbroker_flasher::slip;
use md5::{Digest, Md5};

use super::{Blocks, Next, OVERHEAD, Reaction, Reply, common};
use crate::flash_routines::{Flash, FlashFailure, LARGEST_SIZE};
use crate::loader::write::Write;
use crate::nor::SECTOR;
use crate::peripherals::Peripherals;

/// Entry point of the legacy stub; every other one counts as current.
const LEGACY_ENTRY: u32 = 0x4010_D004;
/// Flash size that the legacy stub starts with.
const LEGACY_FLASH_SIZE: u32 = LARGEST_SIZE;
/// The most frames of READ_FLASH that may be unacknowledged.
const IN_FLIGHT_MAX: u32 = 64;
/// The largest frame of READ_FLASH.
const READ_BLOCK_MAX: u32 = 4096;
/// Wait before and after a change of the baud rate.
const BAUD_CHANGE: Duration = Duration::from_millis(10);

/// Which of the two stubs; they differ in small things that break hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Generation {
    /// Resets on FLASH_END(0), runs user code, takes the old baud rate at its word.
    Legacy,
    /// Never leaves, skips blank sectors, takes 115200 as the old baud rate.
    Current,
}

/// A span that is being sent to the host.
#[derive(Debug)]
struct Reading {
    next: u32,
    end: u32,
    block: u32,
    in_flight: u32,
    sent_frames: u32,
    acknowledged: u32,
    total: u32,
    digest: Md5,
}

/// The stub's state between two bytes.
#[derive(Debug)]
pub(crate) struct Stub {
    generation: Generation,
    decoder: slip::Decoder,
    memory: Option<Blocks>,
    flash_size: u32,
    write: Option<Write>,
    reading: Option<Reading>,
}

impl Stub {
    /// Starts the stub whose code begins at `entry`; the reaction is its greeting.
    pub(crate) fn start(entry: u32, peripherals: &Peripherals, now: Duration) -> (Self, Reaction) {
        let generation = if entry == LEGACY_ENTRY { Generation::Legacy } else { Generation::Current };
        let now = now + BAUD_CHANGE;
        let [_, _, capacity] = peripherals.nor.lock().read_id(now);
        let flash_size = match (generation, capacity) {
            (Generation::Current, 0x12..=0x1C) => 1 << capacity,
            _ => LEGACY_FLASH_SIZE,
        };
        let decoder = slip::Decoder::new(FRAME_MAX);
        let stub = Self { generation, decoder, memory: None, flash_size, write: None, reading: None };
        let greeting = Reply { at: now, frame: STUB_GREETING.to_vec() };
        (stub, Reaction { replies: vec![greeting], done_at: now, next: Next::Stay })
    }

    /// Takes a byte that the CPU picks up at `now`.
    pub(crate) fn receive(&mut self, byte: u8, peripherals: &mut Peripherals, now: Duration) -> Reaction {
        let Ok(Some(frame)) = self.decoder.push(byte) else { return Reaction::nothing(now) };
        let now = now + OVERHEAD;
        if let Some(reading) = self.reading.take() {
            return self.acknowledge(reading, &frame, peripherals, now);
        }
        let Ok(request) = Request::parse(&frame) else { return Reaction::nothing(now) };
        self.run(&request, peripherals, now)
    }

    fn run(&mut self, request: &Request<'_>, peripherals: &mut Peripherals, mut now: Duration) -> Reaction {
        let command = match Command::parse(&without_encryption_word(request)) {
            Ok(command) => command,
            Err(error) => {
                let refusal = match error {
                    CommandParseError::UnknownOpcode(_) => Refusal::StubUnknownCommand,
                    CommandParseError::Length { .. } => Refusal::StubDataLength,
                };
                return Reaction::reply(&Response::failure(request.opcode, 0, refusal), now);
            }
        };
        if !request.checksum_fits() {
            return Reaction::reply(&Response::failure(request.opcode, 0, Refusal::StubChecksum), now);
        }
        if let Some(result) = common(&command, &mut self.memory, peripherals, &mut now) {
            return answer(request.opcode, result.map(|value| (value.unwrap_or(0), Vec::new())), now);
        }
        match command {
            Command::Sync => {
                let frame = Response::success(request.opcode, 0, Vec::new()).to_bytes();
                let replies = (0..SYNC_REPLIES).map(|_| Reply { at: now, frame: frame.clone() }).collect();
                Reaction { replies, done_at: now, next: Next::Stay }
            }
            Command::FlashData { block, .. } | Command::FlashDeflateData { block, .. } => {
                self.take_block(request.opcode, &block, peripherals, now)
            }
            Command::MemEnd { stay, entry } => {
                let mut reaction = answer(request.opcode, Ok((0, Vec::new())), now);
                if stay == 0 {
                    reaction.next = Next::Jump { entry };
                }
                reaction
            }
            Command::FlashEnd { stay } | Command::FlashDeflateEnd { stay } => {
                let result = self.end_write();
                let resets = result.is_ok() && stay == 0 && self.generation == Generation::Legacy;
                let mut reaction = answer(request.opcode, result.map(|()| (0, Vec::new())), now);
                if resets {
                    reaction.next = Next::SoftwareReset;
                }
                reaction
            }
            Command::ChangeBaud { new, old } => {
                let mut reaction = answer(request.opcode, Ok((0, Vec::new())), now);
                let from = if self.generation == Generation::Legacy { old } else { 115_200 };
                let divider = u64::from(peripherals.divider) * u64::from(from) / u64::from(new.max(1));
                reaction.next = Next::Divider(u32::try_from(divider).unwrap_or(u32::MAX));
                reaction.done_at += BAUD_CHANGE;
                reaction
            }
            Command::ReadFlash { offset, size, block_size, in_flight } => {
                let in_flight =
                    if self.generation == Generation::Legacy { in_flight.clamp(1, IN_FLIGHT_MAX) } else { 1 };
                if block_size == 0 || block_size > READ_BLOCK_MAX {
                    return Reaction::reply(
                        &Response::failure(request.opcode, 0, Refusal::StubBlockSize),
                        now,
                    );
                }
                let reading = Reading {
                    next: offset,
                    end: offset.saturating_add(size),
                    block: block_size,
                    in_flight,
                    sent_frames: 0,
                    acknowledged: 0,
                    total: offset.saturating_add(size) - offset,
                    digest: Md5::new(),
                };
                let mut reaction = answer(request.opcode, Ok((0, Vec::new())), now);
                self.send_blocks(reading, peripherals, &mut reaction);
                reaction
            }
            Command::RunUserCode => {
                let mut reaction = Reaction::nothing(now);
                if self.generation == Generation::Legacy {
                    reaction.next = Next::BootFromFlash;
                }
                reaction
            }
            other => {
                let mut flash = Flash::new(peripherals.nor.lock(), self.flash_size, now);
                let result = self.use_flash(&other, &mut flash);
                let now = flash.now;
                answer(request.opcode, result.map(|data| (0, data)), now)
            }
        }
    }

    /// The commands that are answered when the flash is done.
    fn use_flash(&mut self, command: &Command<'_>, flash: &mut Flash<'_>) -> Result<Vec<u8>, Refusal> {
        match *command {
            Command::FlashBegin { erase_size: size, offset, .. } => {
                flash.unlock().map_err(|_| Refusal::StubUnlock)?;
                self.write = Some(Write::raw(offset, size));
            }
            Command::FlashDeflateBegin { size, offset, .. } => {
                flash.unlock().map_err(|_| Refusal::StubUnlock)?;
                self.write = Some(Write::compressed(offset, size));
            }
            Command::SpiSetParameters { words: [_, size, ..] } => self.flash_size = size,
            Command::SpiAttach { .. } => {}
            Command::SpiFlashMd5 { offset, size } => return digest(flash, offset, size),
            Command::EraseFlash => {
                flash.unlock().map_err(|_| Refusal::StubUnlock)?;
                flash.erase_chip().map_err(spi_failure)?;
            }
            Command::EraseRegion { offset, size } => {
                // Both stubs refuse; the error code of either is not documented.
                if !offset.is_multiple_of(SECTOR) || !size.is_multiple_of(SECTOR) {
                    return Err(Refusal::StubDataLength);
                }
                flash.unlock().map_err(|_| Refusal::StubUnlock)?;
                let mut region = Write::raw(offset, size);
                region.erase_all(flash, self.generation).map_err(spi_failure)?;
            }
            _ => return Err(Refusal::StubUnknownCommand),
        }
        Ok(Vec::new())
    }

    /// Acknowledges a block first and writes it then: an error shows up in the answer to the next command.
    fn take_block(&mut self, opcode: u8, block: &[u8], peripherals: &Peripherals, now: Duration) -> Reaction {
        let Some(write) = &mut self.write else {
            return Reaction::reply(&Response::failure(opcode, 0, Refusal::StubNotInFlashMode), now);
        };
        if let Some(refusal) = write.error() {
            return Reaction::reply(&Response::failure(opcode, 0, refusal), now);
        }
        let mut reaction = answer(opcode, Ok((0, Vec::new())), now);
        let mut flash = Flash::new(peripherals.nor.lock(), self.flash_size, now);
        write.take(block, &mut flash, self.generation);
        reaction.done_at = flash.now;
        reaction
    }

    fn end_write(&mut self) -> Result<(), Refusal> {
        let Some(write) = &self.write else { return Err(Refusal::StubNotInFlashMode) };
        if let Some(refusal) = write.error() {
            return Err(refusal);
        }
        if write.remaining() > 0 {
            return Err(match self.generation {
                Generation::Legacy => Refusal::StubNotEnoughData,
                Generation::Current => Refusal::StubDataLength,
            });
        }
        self.write = None;
        Ok(())
    }

    /// Sends as many blocks as may be unacknowledged, and the digest after the last acknowledgement.
    fn send_blocks(&mut self, mut reading: Reading, peripherals: &Peripherals, reaction: &mut Reaction) {
        let mut flash = Flash::new(peripherals.nor.lock(), self.flash_size, reaction.done_at);
        let acknowledged_frames = reading.acknowledged.div_ceil(reading.block);
        while reading.next < reading.end && reading.sent_frames < acknowledged_frames + reading.in_flight {
            let length = reading.block.min(reading.end - reading.next);
            let mut block = vec![0xFF; length as usize];
            // The stub has no way to report an address out of range here; it sends what its buffer holds.
            let _ = flash.read(reading.next, &mut block);
            reading.digest.update(&block);
            reading.next += length;
            reading.sent_frames += 1;
            reaction.replies.push(Reply { at: flash.now, frame: block });
        }
        reaction.done_at = flash.now;
        if reading.acknowledged >= reading.total {
            let frame = reading.digest.finalize().to_vec();
            reaction.replies.push(Reply { at: flash.now, frame });
        } else {
            self.reading = Some(reading);
        }
    }

    /// Takes the host's count of bytes received; anything else ends the transfer.
    fn acknowledge(
        &mut self,
        mut reading: Reading,
        frame: &[u8],
        peripherals: &Peripherals,
        now: Duration,
    ) -> Reaction {
        let mut reaction = Reaction::nothing(now);
        if let Ok(count) = frame.try_into() {
            // Nobody can have received more than was sent.
            let sent = reading.total - (reading.end - reading.next);
            reading.acknowledged = u32::from_le_bytes(count).min(sent);
            self.send_blocks(reading, peripherals, &mut reaction);
        }
        reaction
    }
}

/// esptool sends a fifth word with the begin commands, "encrypt", which is always 0 for this chip.
fn without_encryption_word<'a>(request: &Request<'a>) -> Request<'a> {
    let opcode = Opcode::from_byte(request.opcode);
    match (opcode, request.data) {
        (Some(Opcode::FlashBegin | Opcode::FlashDeflateBegin), [words @ .., 0, 0, 0, 0])
            if words.len() == 16 =>
        {
            Request { data: words, ..*request }
        }
        _ => *request,
    }
}

fn answer(opcode: u8, result: Result<(u32, Vec<u8>), Refusal>, now: Duration) -> Reaction {
    let response = match result {
        Ok((value, data)) => Response::success(opcode, value, data),
        Err(refusal) => Response::failure(opcode, 0, refusal),
    };
    Reaction::reply(&response, now)
}

const fn spi_failure(_: FlashFailure) -> Refusal {
    Refusal::StubSpiOperation
}

/// MD5 of a span. Its time is that of reading the span, as the time of the digest itself is not known.
fn digest(flash: &mut Flash<'_>, offset: u32, size: u32) -> Result<Vec<u8>, Refusal> {
    let end = offset.checked_add(size).ok_or(Refusal::StubSpiOperation)?;
    let mut digest = Md5::new();
    let mut buffer = [0; SECTOR as usize];
    let mut address = offset;
    while address < end {
        let length = SECTOR.min(end - address);
        let chunk = buffer.get_mut(..length as usize).unwrap_or_default();
        flash.read(address, chunk).map_err(spi_failure)?;
        digest.update(chunk);
        address += length;
    }
    Ok(digest.finalize().to_vec())
}

#[cfg(test)]
#[path = "stub_tests.rs"]
mod tests;
