//! Flash through the SPI controller's registers: id, reading, and the erase of exactly one sector.
//!
//! The boot ROM has commands for none of the three, but it writes and reads registers ([`crate::protocol::spi`]).
//! It is slow: one reply for every four bytes read.

use std::time::Duration;

use crate::link::{COMMAND_TIMEOUT, CommandError};
use crate::pipeline::Queued;
use crate::protocol::{Command, Opcode, ROM_FLASH_BLOCK, RegisterWrite, spi};
use crate::session::{Loader, Session};

/// A sector may take 400 ms by the data sheets of common chips.
const SECTOR_ERASE_LIMIT: Duration = Duration::from_secs(3);
const POLL_PAUSE: Duration = Duration::from_millis(5);
/// Microseconds between two one-shot commands of one request: far longer than eight bits take.
const ONE_SHOT_DELAY: u32 = 10;
const POLLS: u32 = 10;

impl Session<'_> {
    /// Sets the flash pins and the controller up, and lifts block protection: what the ROM does before it erases,
    /// here with nothing to erase. A stub has done it when it started.
    pub(crate) fn attach_flash(&mut self) -> Result<(), CommandError> {
        if self.loader == Loader::Rom && !self.flash_attached {
            let block_size = u32::try_from(ROM_FLASH_BLOCK).unwrap_or(u32::MAX);
            let command = Command::FlashBegin { erase_size: 0, blocks: 0, block_size, offset: 0 };
            self.repeatable(&command, COMMAND_TIMEOUT)?;
            self.flash_attached = true;
        }
        Ok(())
    }

    /// The three bytes of JEDEC "read identification", first byte lowest.
    pub(crate) fn flash_id_word(&mut self) -> Result<u32, CommandError> {
        self.attach_flash()?;
        let saved = self.save_user_registers()?;
        let ask = [
            RegisterWrite::new(spi::USER1, spi::user1(0, 24)),
            RegisterWrite::new(spi::USER, spi::USER_COMMAND | spi::USER_MISO),
            RegisterWrite::new(spi::USER2, spi::user2(spi::FLASH_READ_ID)),
            RegisterWrite::new(spi::W0, 0),
            RegisterWrite::new(spi::CMD, spi::CMD_USR),
        ];
        if let Some(word) = self.flash_id_at_once(&ask, &saved)? {
            return Ok(word);
        }
        self.write_registers(&ask)?;
        self.wait_for_controller()?;
        let word = self.read_register(spi::W0)?;
        self.write_registers(&saved)?;
        Ok(word & 0x00FF_FFFF)
    }

    /// Where requests may be sent ahead, all steps in one go: the id takes the controller microseconds, and a request
    /// more than that. `None` where it was not so, or the loader takes no requests ahead.
    fn flash_id_at_once(
        &mut self,
        ask: &[RegisterWrite],
        saved: &[RegisterWrite],
    ) -> Result<Option<u32>, CommandError> {
        let Some(info) = self.stub_info else { return Ok(None) };
        let requests = [
            Command::WriteRegister(ask.to_vec()),
            Command::ReadRegister { address: spi::CMD },
            Command::ReadRegister { address: spi::W0 },
            Command::WriteRegister(saved.to_vec()),
        ];
        let (mut busy, mut word) = (true, 0);
        let requests = requests.map(Queued::plain);
        let result = self.link.pipeline(info.receive_window, requests, |_, number, response| match number {
            1 => busy = response.value != 0,
            2 => word = response.value & 0x00FF_FFFF,
            _ => {}
        });
        match result {
            Ok(()) => Ok((!busy).then_some(word)),
            Err(error) if error.is_retryable() => self.resync().map(|()| None),
            Err(error) => Err(error),
        }
    }

    /// Reads `length` bytes at `offset`, 64 at a time; `progress` hears how many are done.
    pub(crate) fn read_by_register(
        &mut self,
        offset: u32,
        length: u32,
        mut progress: impl FnMut(&mut Self, u32),
    ) -> Result<Vec<u8>, CommandError> {
        self.attach_flash()?;
        let saved = self.save_user_registers()?;
        let mut bytes = Vec::new();
        let mut done = 0;
        while done < length {
            let count = (length - done).min(64);
            let whole_words = count.next_multiple_of(4);
            self.write_registers(&[
                RegisterWrite::new(spi::USER1, spi::user1(24, whole_words * 8)),
                RegisterWrite::new(spi::USER, spi::USER_COMMAND | spi::USER_ADDR | spi::USER_MISO),
                RegisterWrite::new(spi::USER2, spi::user2(spi::FLASH_READ)),
                RegisterWrite::new(spi::ADDR, offset.saturating_add(done) << 8),
                RegisterWrite::new(spi::CMD, spi::CMD_USR),
            ])?;
            self.wait_for_controller()?;
            for word in 0..whole_words / 4 {
                bytes.extend(self.read_register(spi::W0 + 4 * word)?.to_le_bytes());
            }
            done += count;
            progress(self, done);
        }
        bytes.truncate(usize::try_from(length).unwrap_or(usize::MAX));
        self.write_registers(&saved)?;
        Ok(bytes)
    }

    /// Erases the one sector that begins at `offset`, and nothing else.
    pub(crate) fn erase_sector_by_register(&mut self, offset: u32) -> Result<(), CommandError> {
        self.attach_flash()?;
        let after =
            |address, value| RegisterWrite { delay: ONE_SHOT_DELAY, ..RegisterWrite::new(address, value) };
        self.write_registers(&[
            RegisterWrite::new(spi::CMD, spi::CMD_WREN),
            after(spi::ADDR, offset),
            RegisterWrite::new(spi::CMD, spi::CMD_SE),
        ])?;
        let deadline = self.link.now() + SECTOR_ERASE_LIMIT;
        loop {
            self.wait_for_controller()?;
            self.write_registers(&[
                RegisterWrite::new(spi::RD_STATUS, 0),
                RegisterWrite::new(spi::CMD, spi::CMD_RDSR),
            ])?;
            self.wait_for_controller()?;
            if self.read_register(spi::RD_STATUS)? & spi::STATUS_BUSY == 0 {
                return Ok(());
            }
            if self.link.now() >= deadline {
                return Err(CommandError::NoReply {
                    opcode: Opcode::WriteRegister,
                    waited: SECTOR_ERASE_LIMIT,
                });
            }
            self.link.sleep(POLL_PAUSE);
        }
    }

    /// The one-shot bits of CMD read 0 once their command is done.
    fn wait_for_controller(&mut self) -> Result<(), CommandError> {
        for _ in 0..POLLS {
            if self.read_register(spi::CMD)? == 0 {
                return Ok(());
            }
        }
        Err(CommandError::NoReply { opcode: Opcode::ReadRegister, waited: COMMAND_TIMEOUT })
    }

    fn save_user_registers(&mut self) -> Result<[RegisterWrite; 3], CommandError> {
        let addresses = [spi::USER, spi::USER1, spi::USER2];
        let values = self.read_registers(addresses)?;
        let [user, user1, user2] = [0, 1, 2].map(|index: usize| {
            let at = |words: &[u32]| words.get(index).copied().unwrap_or_default();
            RegisterWrite::new(at(&addresses), at(&values))
        });
        Ok([user, user1, user2])
    }
}
