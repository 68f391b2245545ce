//! [`Board`]: the chip, by its registers and its ROM.

use espbroker_stub::{Chip, FIFO, Transfer};

use crate::registers::{
    self, CMD_USR, SPI_ADDR, SPI_CMD, SPI_USER, SPI_USER1, SPI_USER2, SPI_W0, UART_CONF1, USER_ADDR,
    USER_COMMAND, USER_MISO, USER_MOSI,
};
use crate::rom;

/// The one chip that there is.
pub(crate) struct Board;

impl Chip for Board {
    type Digest = rom::Md5;

    fn send(&mut self, byte: u8) {
        registers::send(byte);
    }

    fn drain(&mut self) {
        registers::wait_until_sent();
        // The byte in the shift register, ten bits, twice: CPU and UART have the same clock here.
        let start = rom::cycles();
        while rom::cycles().wrapping_sub(start) < 20 * registers::divider() {}
    }

    fn divider(&mut self) -> u32 {
        registers::divider()
    }

    fn set_divider(&mut self, divider: u32) {
        rom::set_divider(divider);
    }

    fn read_word(&mut self, address: u32) -> u32 {
        registers::read(address)
    }

    fn write_word(&mut self, address: u32, value: u32) {
        registers::write(address, value);
    }

    fn delay(&mut self, microseconds: u32) {
        rom::delay(microseconds);
    }

    fn cycles(&mut self) -> u32 {
        rom::cycles()
    }

    fn attach_flash(&mut self) {
        rom::attach_flash();
    }

    /// A command of the controller's user mode. Lengths are in bits less one, the address is shifted out from the top.
    fn transfer(&mut self, transfer: Transfer, buffer: &mut [u32]) {
        registers::wait_for_controller();
        let mut user = USER_COMMAND;
        let mut lengths = 23 << 26;
        if let Some(address) = transfer.address {
            user |= USER_ADDR;
            registers::write(SPI_ADDR, address << 8);
        }
        if transfer.send > 0 {
            user |= USER_MOSI;
            lengths |= bits_less_one(transfer.send) << 17;
            for (index, word) in (SPI_W0..).step_by(4).zip(buffer.iter()).take(transfer.send.div_ceil(4)) {
                registers::write(index, *word);
            }
        }
        if transfer.receive > 0 {
            user |= USER_MISO;
            lengths |= bits_less_one(transfer.receive) << 8;
        }
        registers::write(SPI_USER, user);
        registers::write(SPI_USER1, lengths);
        registers::write(SPI_USER2, 7 << 28 | u32::from(transfer.command));
        registers::write(SPI_CMD, CMD_USR);
        registers::wait_for_controller();
        for (index, word) in (SPI_W0..).step_by(4).zip(buffer.iter_mut()).take(transfer.receive.div_ceil(4)) {
            *word = registers::read(index);
        }
    }

    fn digest(&mut self) -> rom::Md5 {
        rom::Md5::new()
    }

    fn update(&mut self, digest: &mut rom::Md5, buffer: &[u32; FIFO / 4], length: usize) {
        digest.update(buffer, length);
    }

    fn finish(&mut self, digest: &mut rom::Md5) -> [u8; 16] {
        digest.finish()
    }
}

/// Registers as the ROM left them: what runs after the stub finds them so.
pub(crate) struct Saved {
    user: u32,
    lengths: u32,
    command: u32,
    receive: u32,
    interrupts: u32,
}

impl Saved {
    pub(crate) fn take() -> Self {
        Self {
            user: registers::read(SPI_USER),
            lengths: registers::read(SPI_USER1),
            command: registers::read(SPI_USER2),
            receive: registers::read(UART_CONF1),
            interrupts: registers::interrupts_enabled(),
        }
    }

    /// Once everything is sent.
    pub(crate) fn restore(self) {
        Board.drain();
        registers::write(SPI_USER, self.user);
        registers::write(SPI_USER1, self.lengths);
        registers::write(SPI_USER2, self.command);
        registers::enable_interrupts(self.interrupts);
        registers::write(UART_CONF1, self.receive);
    }
}

/// A length of the controller's user mode.
fn bits_less_one(bytes: usize) -> u32 {
    u32::try_from(8 * bytes - 1).unwrap_or_default()
}
