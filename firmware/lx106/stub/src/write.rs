//! [`Write`]: one span of flash, erased ahead, programmed as its bytes come out of the window.

use crate::chip::{Chip, FIFO};
use crate::flash::{BLOCK, Buffer, Flash, PIECE, SECTOR, Unit, is_all_ones};
use crate::inflate::{Inflate, Progress};
use crate::receive::Input;
use crate::window::Window;
use crate::wire::Refusal;

/// Sectors of a block that must hold something before the block is erased as one: a block takes as long as three or
/// four of its sectors (W25Q32: 150 ms and 45 ms).
const BLOCK_WORTH: u32 = 4;
/// Bytes unpacked between two looks at the flash, which takes about 0.2 ms for 64 bytes.
const ROUND: u32 = 64;

/// What the blocks hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Nothing is announced.
    None,
    Plain,
    Zlib,
}

/// What is too large for a stack. All zero before it is used.
#[derive(Debug)]
#[repr(C)]
pub struct Buffers {
    inflate: Inflate,
    window: Window,
}

impl Default for Buffers {
    fn default() -> Self {
        Self::new()
    }
}

impl Buffers {
    /// Unused ones.
    pub const fn new() -> Self {
        Self { inflate: Inflate::new(), window: Window::new() }
    }
}

#[derive(Debug)]
pub(crate) struct Write<'a> {
    pub(crate) form: Form,
    /// What went wrong, until the next beginning.
    error: Option<Refusal>,
    /// The sequence number of the block that comes next.
    pub(crate) sequence: u32,
    start: u32,
    size: u32,
    /// Everything before it, from `start` on, is erased or being erased.
    erased: u32,
    erase_end: u32,
    /// Up to here `dirty` is known.
    surveyed: u32,
    /// Which sectors of the block at `erased` hold something.
    dirty: u32,
    inflate: &'a mut Inflate,
    window: &'a mut Window,
}

impl<'a> Write<'a> {
    /// No write.
    pub(crate) const fn new(buffers: &'a mut Buffers) -> Self {
        Self {
            form: Form::None,
            error: None,
            sequence: 0,
            start: 0,
            size: 0,
            erased: 0,
            erase_end: 0,
            surveyed: 0,
            dirty: 0,
            inflate: &mut buffers.inflate,
            window: &mut buffers.window,
        }
    }

    /// Announces a span, which the flash holds.
    pub(crate) fn begin(&mut self, form: Form, start: u32, size: u32) {
        self.form = form;
        self.error = None;
        self.sequence = 0;
        self.start = start;
        self.size = size;
        self.erased = start & !(SECTOR - 1);
        self.erase_end = (start + size + SECTOR - 1) & !(SECTOR - 1);
        self.surveyed = self.erased;
        self.window.clear();
        self.inflate.restart();
    }

    /// What went wrong with bytes that were taken.
    pub(crate) fn state(&self) -> Result<(), Refusal> {
        self.error.map_or(Ok(()), Err)
    }

    /// Whether all bytes that were announced have come.
    pub(crate) fn is_complete(&self) -> bool {
        self.window.filled() == self.size
            && (self.form != Form::Zlib || self.size == 0 || self.inflate.is_at_end())
    }

    /// Takes the next bytes of a block: some, all, or none while there is no room.
    pub(crate) fn take<const N: usize>(&mut self, mut input: Input<'_, N>) {
        let ended = match self.form {
            _ if self.error.is_some() => true,
            Form::None => true,
            Form::Plain => {
                let mut count = ROUND.min(self.window.room()).min(self.size - self.window.filled());
                while count > 0 {
                    let Some(byte) = input.next() else { break };
                    self.window.push(byte);
                    count -= 1;
                }
                self.window.filled() == self.size
            }
            Form::Zlib => match self.inflate.step(self.window, &mut input, ROUND) {
                Ok(progress) => {
                    if self.window.filled() > self.size {
                        self.error = Some(Refusal::TooMuchData);
                    }
                    progress == Progress::End
                }
                Err(_) => {
                    self.error = Some(Refusal::Inflate);
                    true
                }
            },
        };
        if ended {
            input.for_each(drop);
        }
    }

    /// Starts what comes next in flash, if that is ready. `partial` programs also what does not fill the buffer yet.
    pub(crate) fn poll<C: Chip>(&mut self, chip: &mut C, flash: &mut Flash, rest: Rest) {
        if self.form != Form::None && self.error.is_none() {
            self.error = self.next_operation(chip, flash, rest).err();
        }
    }

    /// Programs all bytes that were taken.
    pub(crate) fn settle<C: Chip>(&mut self, chip: &mut C, flash: &mut Flash) {
        while self.form != Form::None && self.error.is_none() && self.waiting() > 0 {
            self.poll(chip, flash, Rest::Program);
        }
        if let Err(failure) = flash.wait(chip) {
            self.error = self.error.or(Some(failure.into()));
        }
    }

    /// Erases a span, which the flash holds and which is made of whole sectors. Ends a write.
    pub(crate) fn erase<C: Chip>(
        &mut self,
        chip: &mut C,
        flash: &mut Flash,
        start: u32,
        size: u32,
    ) -> Result<(), Refusal> {
        self.begin(Form::Plain, start, size);
        self.form = Form::None;
        flash.unlock(chip)?;
        while self.erased < self.erase_end {
            flash.wait(chip)?;
            self.erase_next(chip, flash)?;
        }
        Ok(flash.wait(chip)?)
    }

    /// Bytes in the window that are not programmed and belong into the span.
    fn waiting(&self) -> u32 {
        self.window.filled().min(self.size).saturating_sub(self.window.drained())
    }

    fn next_operation<C: Chip>(
        &mut self,
        chip: &mut C,
        flash: &mut Flash,
        rest: Rest,
    ) -> Result<(), Refusal> {
        if !flash.is_ready(chip)? {
            return Ok(());
        }
        let address = self.start + self.window.drained();
        let waiting = self.waiting();
        // Aligned, so that no piece goes over the end of a page.
        let piece = PIECE - address % PIECE;
        let is_last = rest == Rest::Program || self.window.filled() >= self.size;
        if waiting > 0 && address < self.erased && (waiting >= piece || is_last) {
            let length = piece.min(waiting);
            let mut buffer: Buffer = [u32::MAX; FIFO / 4];
            let mut left = length;
            for word in &mut buffer {
                let mut bytes = [0xFF; 4];
                for byte in &mut bytes {
                    if left > 0 {
                        *byte = self.window.pop();
                        left -= 1;
                    }
                }
                *word = u32::from_le_bytes(bytes);
            }
            // What was erased holds it already.
            if !is_all_ones(&buffer) {
                flash.start_program(chip, address, &mut buffer, length as usize)?;
            }
        } else if self.erased < self.erase_end {
            self.erase_next(chip, flash)?;
        }
        Ok(())
    }

    /// Starts erasing the next block or sector, or goes past one that is blank.
    fn erase_next<C: Chip>(&mut self, chip: &mut C, flash: &mut Flash) -> Result<(), Refusal> {
        let block = self.erased & !(BLOCK - 1);
        if self.erased >= self.surveyed {
            let end = self.erase_end.min(block + BLOCK);
            self.dirty = 0;
            let mut count = 0;
            for sector in (self.erased..end).step_by(SECTOR as usize) {
                if !Flash::is_blank(chip, sector) {
                    self.dirty |= 1 << ((sector - block) / SECTOR);
                    count += 1;
                }
            }
            self.surveyed = end;
            if self.erased == block && end == block + BLOCK && count >= BLOCK_WORTH {
                flash.start_erase(chip, block, Unit::Block)?;
                self.erased = end;
                return Ok(());
            }
        }
        if self.dirty >> ((self.erased - block) / SECTOR) & 1 != 0 {
            flash.start_erase(chip, self.erased, Unit::Sector)?;
        }
        self.erased += SECTOR;
        Ok(())
    }
}

/// What happens to bytes that do not fill the controller's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// They wait for more, unless they are the last of the span.
    Wait,
    /// They are programmed.
    Program,
}
