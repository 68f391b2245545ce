//! [`Stub`]: takes requests in order, and works on what they announced in between.

use crate::chip::Chip;
use crate::flash::{Flash, SECTOR};
use crate::read::{Reading, Reads, digest};
use crate::receive::{CUT, Input, Receiver};
use crate::transmit::{Frame, greet, respond};
use crate::wire::{BLOCK_MAX, INFO_MAGIC, Operation, RECEIVE_WINDOW, Refusal, VERSION};
use crate::write::{Buffers, Form, Rest, Write};

/// Bytes before a request's data.
const HEADER: usize = 8;
/// Bytes before a block: its length, its sequence number, two that are not used.
const BLOCK_HEADER: usize = 16;
/// The most sectors in one SECTOR_DIGESTS.
const DIGESTS_MAX: u32 = 1024;
/// The largest block of READ_FLASH.
const READ_BLOCK_MAX: u32 = 0x1000;
/// The largest ECHO.
const ECHO_MAX: usize = 0x1000;
/// What a checksum starts from.
const CHECKSUM_SEED: u8 = 0xEF;
/// The ROM answers eight times, and hosts wait for it.
const SYNC_RESPONSES: u32 = 8;
/// The end of what three address bytes reach.
const FLASH_MAX: u32 = 1 << 24;
/// The widest divider of the UART's clock.
const DIVIDER_MAX: u32 = 0xF_FFFF;

/// What the program does after a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Polls again.
    Poll,
    /// Leaves, once everything is sent, and calls the code there.
    Call(u32),
    /// Restarts the chip, once everything is sent.
    Restart,
    /// Leaves, once everything is sent, and lets the ROM start what is in flash.
    Boot,
}

/// The stub's state, apart from its large buffers.
#[derive(Debug)]
pub struct Stub<'a, C: Chip> {
    flash: Flash,
    write: Write<'a>,
    reading: Option<Reading<C::Digest>>,
    /// Bytes of a block that was answered and is not unpacked yet.
    left: usize,
    memory: Memory,
    /// Divider times rate, before the first change.
    clock: u32,
}

/// An upload to RAM.
#[derive(Debug)]
struct Memory {
    address: u32,
    left: u32,
    sequence: u32,
}

/// What is known of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Block {
    New,
    Again,
}

impl<'a, C: Chip> Stub<'a, C> {
    /// Finds the flash and greets the host; frames are received already.
    pub fn start(buffers: &'a mut Buffers, chip: &mut C) -> Self {
        chip.attach_flash();
        let flash = Flash::identify(chip);
        greet(chip);
        Self {
            flash,
            write: Write::new(buffers),
            reading: None,
            left: 0,
            memory: Memory { address: 0, left: 0, sequence: 0 },
            clock: 0,
        }
    }

    /// Does the next piece of work: at most one operation of the flash, one round of unpacking, one request.
    #[inline(never)]
    pub fn poll<const N: usize>(&mut self, chip: &mut C, receiver: &Receiver<N>) -> Next {
        self.write.poll(chip, &mut self.flash, Rest::Wait);
        if self.left > 0 {
            self.write.take(Input::new(receiver, &mut self.left));
            return Next::Poll;
        }
        let Some(length) = receiver.take_frame() else {
            if let Some(reading) = &mut self.reading
                && reading.send(chip) == Reads::Done
            {
                self.reading = None;
            }
            return Next::Poll;
        };
        if length >= HEADER {
            self.reading = None;
            return self.request(chip, &Request { receiver, length });
        }
        if let (Some(reading), 4) = (&mut self.reading, length) {
            reading.acknowledge(word(receiver, 0));
        }
        receiver.skip(length);
        Next::Poll
    }
}

/// A frame that lies in the ring, of at least [`HEADER`] bytes.
struct Request<'a, const N: usize> {
    receiver: &'a Receiver<N>,
    length: usize,
}

impl<const N: usize> Request<'_, N> {
    fn operation(&self) -> u8 {
        self.receiver.peek(1)
    }

    /// The length of the data, if the header says the same.
    fn data_length(&self) -> Result<u32, Refusal> {
        let stated = word(self.receiver, 0) >> 16;
        let fits = stated as usize == self.length - HEADER;
        if self.receiver.peek(0) == 0 && fits { Ok(stated) } else { Err(Refusal::DataLength) }
    }

    /// A word of the data by its number.
    fn word(&self, number: usize) -> u32 {
        word(self.receiver, HEADER + 4 * number)
    }

    /// Checks length and checksum of a block; its length.
    fn block(&self) -> Result<usize, Refusal> {
        let length = self.length - HEADER - BLOCK_HEADER;
        if self.word(0) as usize != length {
            return Err(Refusal::DataLength);
        }
        let first = HEADER + BLOCK_HEADER;
        let sum = (first..self.length).fold(CHECKSUM_SEED, |sum, offset| sum ^ self.receiver.peek(offset));
        if sum == self.receiver.peek(4) { Ok(length) } else { Err(Refusal::Checksum) }
    }

    /// Gives the frame back to the interrupt.
    fn release(&self) {
        self.receiver.skip(self.length);
    }
}

#[inline(never)]
fn word<const N: usize>(receiver: &Receiver<N>, offset: usize) -> u32 {
    u32::from_le_bytes([0, 1, 2, 3].map(|byte| receiver.peek(offset + byte)))
}

/// Where a block stands in its sequence.
fn place(expected: &mut u32, sequence: u32) -> Result<Block, Refusal> {
    if sequence == *expected {
        *expected += 1;
        Ok(Block::New)
    } else if sequence.wrapping_add(1) == *expected {
        Ok(Block::Again)
    } else {
        Err(Refusal::Message)
    }
}

impl<C: Chip> Stub<'_, C> {
    fn request<const N: usize>(&mut self, chip: &mut C, request: &Request<'_, N>) -> Next {
        let byte = request.operation();
        let direction = request.receiver.peek(0);
        if direction != 0 && direction != CUT {
            // Not a request: noise, or our own words come back.
            request.release();
            return Next::Poll;
        }
        match self.serve(chip, request) {
            Ok(Served::Value(value)) => {
                request.release();
                respond(chip, byte, Ok(value));
                Next::Poll
            }
            Ok(Served::Then(next)) => {
                request.release();
                respond(chip, byte, Ok(0));
                next
            }
            Ok(Served::Answered) => {
                request.release();
                Next::Poll
            }
            Ok(Served::Block(length)) => {
                request.receiver.skip(request.length - length);
                self.left = length;
                respond(chip, byte, Ok(0));
                Next::Poll
            }
            Err(refusal) => {
                request.release();
                respond(chip, byte, Err(refusal));
                Next::Poll
            }
        }
    }

    #[inline(never)]
    fn serve<const N: usize>(&mut self, chip: &mut C, request: &Request<'_, N>) -> Result<Served, Refusal> {
        let stated = request.data_length()?;
        let length = stated as usize;
        let byte = request.operation();
        let Some(&(operation, least)) = Operation::ALL.iter().find(|entry| entry.0 as u8 == byte) else {
            // esptool's operations for other chips: encrypted writes, NAND.
            let is_known = (0xD4..=0xDE).contains(&byte);
            return Err(if is_known { Refusal::NotImplemented } else { Refusal::UnknownCommand });
        };
        if length < usize::from(least) {
            return Err(Refusal::DataLength);
        }
        let first = request.word(0);
        let second = request.word(1);
        let form = match operation {
            Operation::FlashBegin | Operation::FlashData => Form::Plain,
            _ => Form::Zlib,
        };
        if let Operation::FlashData | Operation::FlashDeflateData = operation {
            return self.block(request, form);
        }
        // Whatever else is asked for finds in flash what was answered before.
        self.write.settle(chip, &mut self.flash);
        match operation {
            Operation::FlashData | Operation::FlashDeflateData => {}
            Operation::FlashBegin | Operation::FlashDeflateBegin => {
                let offset = request.word(3);
                self.write.form = Form::None;
                if request.word(2) > BLOCK_MAX {
                    return Err(Refusal::BlockSize);
                }
                self.check(offset, first)?;
                self.flash.unlock(chip)?;
                self.write.begin(form, offset, first);
            }
            Operation::FlashEnd | Operation::FlashDeflateEnd => {
                if self.write.form == Form::None {
                    return Err(Refusal::NotInFlashMode);
                }
                self.write.state()?;
                if !self.write.is_complete() {
                    return Err(Refusal::NotEnoughData);
                }
                self.write.form = Form::None;
                if request.receiver.peek(HEADER) == 0 {
                    return Ok(Served::Then(Next::Restart));
                }
            }
            Operation::MemBegin => {
                let address = request.word(3);
                if !address.is_multiple_of(4) {
                    return Err(Refusal::DataLength);
                }
                self.memory = Memory { address, left: first, sequence: 0 };
            }
            Operation::MemData => self.upload(chip, request)?,
            Operation::MemEnd => {
                if self.memory.left > 0 {
                    return Err(Refusal::NotEnoughData);
                }
                if first == 0 {
                    return Ok(Served::Then(Next::Call(second)));
                }
            }
            Operation::Sync => {
                for _ in 1..SYNC_RESPONSES {
                    respond(chip, byte, Ok(0));
                }
            }
            Operation::WriteRegister => {
                if !length.is_multiple_of(16) {
                    return Err(Refusal::DataLength);
                }
                for number in (0..length / 4).step_by(4) {
                    let address = request.word(number);
                    let (value, mask) = (request.word(number + 1), request.word(number + 2));
                    if !address.is_multiple_of(4) {
                        return Err(Refusal::DataLength);
                    }
                    chip.delay(request.word(number + 3));
                    // A register may act on being read.
                    let kept = if mask == u32::MAX { 0 } else { chip.read_word(address) & !mask };
                    chip.write_word(address, value & mask | kept);
                }
            }
            Operation::ReadRegister => {
                if !first.is_multiple_of(4) {
                    return Err(Refusal::DataLength);
                }
                return Ok(Served::Value(chip.read_word(first)));
            }
            Operation::SpiSetParameters => self.flash.size = second.min(FLASH_MAX),
            Operation::SpiAttach => chip.attach_flash(),
            Operation::ChangeBaud => {
                let divider = self.divider(chip, first, second).ok_or(Refusal::DataLength)?;
                respond(chip, byte, Ok(0));
                chip.drain();
                chip.set_divider(divider);
                return Ok(Served::Answered);
            }
            Operation::SpiFlashMd5 => {
                self.check(first, second)?;
                // Nothing of the frame is sent before the digest is there: hosts count their time-out from its start.
                let digest = digest(chip, first, second);
                let mut frame = Frame::response(chip, byte, 0, 16);
                frame.bytes(&digest);
                frame.succeed();
                return Ok(Served::Answered);
            }
            Operation::EraseFlash => {
                let size = self.flash.size;
                self.write.erase(chip, &mut self.flash, 0, size)?;
            }
            Operation::EraseRegion => {
                if !(first | second).is_multiple_of(SECTOR) {
                    return Err(Refusal::DataLength);
                }
                self.check(first, second)?;
                self.write.erase(chip, &mut self.flash, first, second)?;
            }
            Operation::ReadFlash => {
                let block = request.word(2);
                if block == 0 || block > READ_BLOCK_MAX {
                    return Err(Refusal::BlockSize);
                }
                self.check(first, second)?;
                self.reading = Some(Reading::new(first, second, block, request.word(3), chip.digest()));
            }
            Operation::RunUserCode => return Ok(Served::Then(Next::Boot)),
            Operation::StubInfo => {
                let mut frame = Frame::response(chip, byte, 0, 16);
                frame.bytes(&INFO_MAGIC);
                for word in [u32::from(VERSION), RECEIVE_WINDOW, BLOCK_MAX] {
                    frame.bytes(&word.to_le_bytes());
                }
                frame.succeed();
                return Ok(Served::Answered);
            }
            Operation::SectorDigests => {
                if !first.is_multiple_of(SECTOR) || second == 0 || second > DIGESTS_MAX {
                    return Err(Refusal::DataLength);
                }
                self.check(first, second * SECTOR)?;
                let mut frame = Frame::response(chip, byte, 0, second * 16);
                for sector in 0..second {
                    let digest = digest(frame.chip(), first + sector * SECTOR, SECTOR);
                    frame.bytes(&digest);
                }
                frame.succeed();
                return Ok(Served::Answered);
            }
            Operation::Echo => {
                if length > ECHO_MAX {
                    return Err(Refusal::DataLength);
                }
                let mut frame = Frame::response(chip, byte, 0, stated);
                for offset in HEADER..request.length {
                    frame.byte(request.receiver.peek(offset));
                }
                frame.succeed();
                return Ok(Served::Answered);
            }
        }
        Ok(Served::Value(0))
    }

    /// Takes a block of a write: `Served::Block` is answered now and unpacked in the polls that follow.
    fn block<const N: usize>(&mut self, request: &Request<'_, N>, form: Form) -> Result<Served, Refusal> {
        let length = request.block()?;
        if self.write.form != form {
            return Err(Refusal::NotInFlashMode);
        }
        self.write.state()?;
        Ok(match place(&mut self.write.sequence, request.word(1))? {
            Block::New => Served::Block(length),
            Block::Again => Served::Value(0),
        })
    }

    fn upload<const N: usize>(&mut self, chip: &mut C, request: &Request<'_, N>) -> Result<(), Refusal> {
        let length = request.block()?;
        // Whole words: a part of one cannot be written to instruction RAM.
        if !length.is_multiple_of(4) {
            return Err(Refusal::DataLength);
        }
        let memory = &mut self.memory;
        if place(&mut memory.sequence, request.word(1))? == Block::New {
            memory.left = memory.left.checked_sub(request.word(0)).ok_or(Refusal::TooMuchData)?;
            for number in 0..length / 4 {
                chip.write_word(memory.address, request.word(BLOCK_HEADER / 4 + number));
                memory.address = memory.address.wrapping_add(4);
            }
        }
        Ok(())
    }

    /// The divider for a rate, if there is one.
    fn divider(&mut self, chip: &mut C, new: u32, old: u32) -> Option<u32> {
        if self.clock == 0 {
            let divider = chip.divider();
            // Any real clock is below 2^27; without a product of 64 bits, which would be the only one in the stub.
            if old == 0 || divider.leading_zeros() + old.leading_zeros() < 32 {
                return None;
            }
            self.clock = divider * old;
        }
        self.clock.checked_div(new).filter(|divider| (1..=DIVIDER_MAX).contains(divider))
    }

    fn check(&self, offset: u32, length: u32) -> Result<(), Refusal> {
        if self.flash.holds(offset, length) { Ok(()) } else { Err(Refusal::SpiOperation) }
    }
}

/// What came of a request.
enum Served {
    /// Success; the response is still to be sent.
    Value(u32),
    /// Success; the response is still to be sent, and the poll ends so.
    Then(Next),
    /// Success; a block of so many bytes stays in the ring.
    Block(usize),
    /// The response is sent.
    Answered,
}
