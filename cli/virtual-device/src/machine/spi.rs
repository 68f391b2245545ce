//! [`Spi`]: an SPI controller, as the flash hangs on SPI0 (0x60000200) and nothing on SPI1.
//!
//! Follows the vendor SDK's register header (`spi_register.h`) and the boot ROM's use of it: one-shot commands in
//! CMD, and USER commands of any command byte with address, dummy, MOSI and MISO phases through W0-W15. A command's
//! bit reads as 1 for as long as its bits take on the wire, at the clock that CTRL divides down; what takes longer is
//! the flash behind it, which software polls with RDSR. Left out: clock, pin and slave registers and interrupts
//! (registers are kept as plain memory), quad modes (they are as fast as one line here).

use std::time::Duration;

use espbroker_flasher::protocol::spi::{
    ADDR, BASE, CMD_RDSR, CMD_SE, CMD_USR, CMD_WREN, RD_STATUS, USER, USER_ADDR, USER_COMMAND, USER_MISO,
    USER1, USER2, W0,
};

use crate::nor::{Erase, Nor};
use crate::uart::CLOCK;

/// Bytes of register space.
pub(crate) const LENGTH: u32 = 0x100;
/// Controller state; 0 is idle, which is what every reader finds.
const STATE: u32 = BASE + 0xF8;
const CMD: u32 = BASE;
const CTRL: u32 = BASE + 0x08;
const CTRL_TWO_BYTE_STATUS: u32 = 1 << 22;
/// CTRL: the wire runs at the system clock, undivided.
const CTRL_SYSTEM_CLOCK: u32 = 1 << 12;

const CMD_READ: u32 = 1 << 31;
const CMD_WRDI: u32 = 1 << 29;
const CMD_RDID: u32 = 1 << 28;
const CMD_WRSR: u32 = 1 << 26;
const CMD_PP: u32 = 1 << 25;
const CMD_BE: u32 = 1 << 23;
const CMD_CE: u32 = 1 << 22;

const USER_DUMMY: u32 = 1 << 29;
const USER_MOSI: u32 = 1 << 27;
const USER_MOSI_HIGH: u32 = 1 << 25;
const USER_MISO_HIGH: u32 = 1 << 24;

/// Behind W15.
const BUFFER_END: u32 = W0 + 64;
/// Bytes in W0-W7, and in W8-W15.
const BUFFER_HALF: usize = 32;
/// Bits of a command byte, and of an address behind it.
const COMMAND_BITS: u32 = 8;
const ADDRESS_BITS: u32 = 24;

/// The register file of one controller; reset sets all of it to 0. Addresses are those of SPI0.
#[derive(Clone, Debug)]
pub(crate) struct Spi {
    registers: [u32; LENGTH as usize / 4],
    /// The commands on the wire, and until when.
    running: u32,
    busy_until: Duration,
}

impl Default for Spi {
    fn default() -> Self {
        Self { registers: [0; LENGTH as usize / 4], running: 0, busy_until: Duration::ZERO }
    }
}

impl Spi {
    /// The word at `offset`; 0 outside the register space.
    pub(crate) fn read(&self, offset: u32, now: Duration) -> u32 {
        match BASE.wrapping_add(offset) {
            CMD if now < self.busy_until => self.running,
            CMD | STATE => 0,
            address => self.register(address),
        }
    }

    /// Writes a word; a write to CMD runs the commands whose bits are set, highest bit first, on `nor`.
    pub(crate) fn write(&mut self, offset: u32, value: u32, nor: Option<&mut Nor>, now: Duration) {
        let address = BASE.wrapping_add(offset);
        if address == CMD {
            self.command(value, nor, now);
        } else {
            self.set(address, value);
        }
    }

    /// Runs the one-shot commands whose bits are set; gives when their bits are through on the wire.
    pub(crate) fn command(&mut self, commands: u32, nor: Option<&mut Nor>, now: Duration) -> Duration {
        self.running = commands;
        self.busy_until = now;
        let mut nor = nor;
        for bit in (0..32).rev().map(|bit| 1 << bit).filter(|bit| commands & bit != 0) {
            self.busy_until += self.wire_time(self.bits(bit));
            if let Some(nor) = nor.as_deref_mut() {
                self.run(bit, nor, self.busy_until);
            } else {
                self.run_alone(bit);
            }
        }
        self.busy_until
    }

    /// When the commands on the wire are through, if there are any.
    pub(crate) fn next_event(&self, now: Duration) -> Option<Duration> {
        (self.busy_until > now).then_some(self.busy_until)
    }

    /// The register of SPI0's address `address`.
    pub(crate) fn register(&self, address: u32) -> u32 {
        let index = (address.wrapping_sub(BASE) / 4) as usize;
        self.registers.get(index).copied().unwrap_or(0)
    }

    /// Sets a register without running anything.
    pub(crate) fn set(&mut self, address: u32, value: u32) {
        let index = (address.wrapping_sub(BASE) / 4) as usize;
        if let Some(register) = self.registers.get_mut(index) {
            *register = value;
        }
    }

    /// How many bits a command puts on the wire.
    fn bits(&self, command: u32) -> u32 {
        let [.., length] = self.register(ADDR).to_le_bytes();
        match command {
            CMD_READ | CMD_PP => COMMAND_BITS + ADDRESS_BITS + u32::from(length) * 8,
            CMD_SE | CMD_BE => COMMAND_BITS + ADDRESS_BITS,
            CMD_RDID => COMMAND_BITS + 24,
            CMD_RDSR | CMD_WRSR => COMMAND_BITS + 8,
            CMD_USR => {
                let (user, user1) = (self.register(USER), self.register(USER1));
                let phase = |bit, length: u32| if user & bit == 0 { 0 } else { length + 1 };
                phase(USER_COMMAND, self.register(USER2) >> 28)
                    + phase(USER_ADDR, user1 >> 26)
                    + phase(USER_DUMMY, user1 & 0xFF)
                    + phase(USER_MOSI, user1 >> 17 & 0x1FF)
                    + phase(USER_MISO, user1 >> 8 & 0x1FF)
            }
            _ => COMMAND_BITS,
        }
    }

    fn wire_time(&self, bits: u32) -> Duration {
        let ctrl = self.register(CTRL);
        let divider = if ctrl & CTRL_SYSTEM_CLOCK != 0 { 1 } else { (ctrl >> 8 & 0xF) + 1 };
        Duration::from_nanos(u64::from(bits * divider) * 1_000_000_000 / u64::from(CLOCK))
    }

    /// With nothing on the pins, the data line floats high.
    fn run_alone(&mut self, command: u32) {
        let user = self.register(USER);
        if command == CMD_USR && user & USER_MISO != 0 {
            let start = if user & USER_MISO_HIGH == 0 { 0 } else { BUFFER_HALF };
            let length = ((self.register(USER1) >> 8 & 0x1FF) as usize + 1).div_ceil(8);
            self.put(start, &vec![0xFF; length]);
        }
    }

    fn run(&mut self, command: u32, nor: &mut Nor, now: Duration) {
        let [a, b, c, length] = self.register(ADDR).to_le_bytes();
        let address = u32::from_le_bytes([a, b, c, 0]);
        let length = usize::from(length).min(BUFFER_HALF);
        match command {
            CMD_READ => {
                let mut bytes = [0; BUFFER_HALF];
                let bytes = bytes.get_mut(..length).unwrap_or_default();
                nor.read(address, bytes, now);
                self.put(0, bytes);
            }
            CMD_WREN => nor.write_enable(now),
            CMD_WRDI => nor.write_disable(now),
            CMD_RDID => {
                let [manufacturer, kind, capacity] = nor.read_id(now);
                self.set(W0, u32::from_le_bytes([manufacturer, kind, capacity, 0]));
            }
            CMD_RDSR => {
                let status = u32::from(nor.read_status(now));
                // The second status byte of this chip is always 0.
                let floating = if status == 0xFF { 0xFF00 } else { 0 };
                let two_bytes = self.register(CTRL) & CTRL_TWO_BYTE_STATUS != 0;
                self.set(RD_STATUS, if two_bytes { status | floating } else { status });
            }
            CMD_WRSR => {
                let [value, ..] = self.register(RD_STATUS).to_le_bytes();
                nor.write_status(value, now);
            }
            CMD_PP => nor.program(address, &self.take(0, length), now),
            CMD_SE => nor.erase(Erase::Sector(address), now),
            CMD_BE => nor.erase(Erase::Block(address), now),
            CMD_CE => nor.erase(Erase::Chip, now),
            CMD_USR => self.run_user(nor, now),
            _ => {}
        }
    }

    /// A USER command: what goes over the wire is up to USER, USER1 and USER2.
    fn run_user(&mut self, nor: &mut Nor, now: Duration) {
        let user = self.register(USER);
        let user1 = self.register(USER1);
        if user & USER_COMMAND == 0 {
            return;
        }
        let [command, ..] = self.register(USER2).to_le_bytes();
        let address_bits = if user & USER_ADDR == 0 { 0 } else { (user1 >> 26) + 1 };
        // The address register is shifted out from the top.
        let address = self.register(ADDR).checked_shr(32 - address_bits.min(32)).unwrap_or(0);
        let bytes_in = |bit, shift: u32| {
            let bits = ((user1 >> shift) & 0x1FF) as usize + 1;
            if user & bit == 0 { 0 } else { bits.div_ceil(8) }
        };
        let half = |bit| if user & bit == 0 { 0 } else { BUFFER_HALF };
        let output = self.take(half(USER_MOSI_HIGH), bytes_in(USER_MOSI, 17));
        let mut answer = vec![0xFF; bytes_in(USER_MISO, 8)];
        match command {
            0x9F => {
                let id = nor.read_id(now);
                answer.iter_mut().zip(id.iter().cycle()).for_each(|(byte, id)| *byte = *id);
            }
            0x03 | 0x0B => nor.read(address, &mut answer, now),
            0x05 => answer.fill(nor.read_status(now)),
            0x35 | 0x15 => answer.fill(0),
            0x01 => nor.write_status(output.first().copied().unwrap_or(0), now),
            0x06 => nor.write_enable(now),
            0x04 => nor.write_disable(now),
            0x02 => nor.program(address, &output, now),
            0x20 => nor.erase(Erase::Sector(address), now),
            0xD8 => nor.erase(Erase::Block(address), now),
            0xC7 | 0x60 => nor.erase(Erase::Chip, now),
            // A chip ignores what it does not know, and the data line floats high.
            _ => {}
        }
        self.put(half(USER_MISO_HIGH), &answer);
    }

    /// `length` bytes of W0-W15 from byte `start` on, as far as there are any.
    fn take(&self, start: usize, length: usize) -> Vec<u8> {
        let words = (W0..BUFFER_END).step_by(4).map(|address| self.register(address));
        words.flat_map(u32::to_le_bytes).skip(start).take(length).collect()
    }

    /// Puts `bytes` into W0-W15 from byte `start` on; the rest of the last word becomes 0.
    fn put(&mut self, start: usize, bytes: &[u8]) {
        let addresses = (W0..BUFFER_END).step_by(4).skip(start / 4);
        for (address, chunk) in addresses.zip(bytes.chunks(4)) {
            let mut word = [0; 4];
            word.iter_mut().zip(chunk).for_each(|(target, byte)| *target = *byte);
            self.set(address, u32::from_le_bytes(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use espbroker_flasher::protocol::spi::{user1, user2};
    use proptest::prelude::*;

    use super::*;
    use crate::nor::FlashSource;
    use crate::timing::Pace;

    const T0: Duration = Duration::ZERO;
    const DONE: Duration = Duration::from_millis(1);

    fn with_flash(bytes: &[u8]) -> (Spi, Nor) {
        let source = FlashSource::Bytes(bytes.to_vec());
        let nor = Nor::new(source, 0x40_0000, [0xEF, 0x40, 0x16], Pace::Instant, 0).unwrap();
        (Spi::default(), nor)
    }

    /// Runs commands as soon as those before them are through.
    fn run(spi: &mut Spi, commands: u32, nor: &mut Nor) {
        spi.command(commands, Some(nor), spi.busy_until);
    }

    fn user(spi: &mut Spi, nor: &mut Nor, phases: u32, lengths: u32, command: u32) {
        spi.set(USER1, lengths);
        spi.set(USER, USER_COMMAND | phases);
        spi.set(USER2, user2(command));
        run(spi, CMD_USR, nor);
        assert_eq!((spi.read(0, T0), spi.read(0, DONE)), (CMD_USR, 0));
    }

    #[test]
    fn the_flash_id_comes_through_a_user_command_and_through_the_one_shot() {
        let (mut spi, mut nor) = with_flash(&[]);
        user(&mut spi, &mut nor, USER_MISO, user1(0, 24), 0x9F);
        assert_eq!(spi.register(W0), 0x0016_40EF);
        spi.set(W0, 0);
        run(&mut spi, CMD_RDID, &mut nor);
        assert_eq!(spi.register(W0), 0x0016_40EF);
    }

    #[test]
    fn sixty_four_bytes_come_back_from_an_address_in_the_top_bits() {
        let bytes: Vec<u8> = (0..=255).collect();
        let (mut spi, mut nor) = with_flash(&bytes);
        spi.set(ADDR, 0x20 << 8);
        user(&mut spi, &mut nor, USER_ADDR | USER_MISO, user1(24, 512), 0x03);
        assert_eq!(spi.take(0, 64), &bytes[0x20..0x60]);
    }

    #[test]
    fn the_one_shot_read_takes_length_and_address_from_the_address_register() {
        let (mut spi, mut nor) = with_flash(&[9, 8, 7, 6, 5, 4, 3, 2, 1]);
        spi.set(ADDR, (6 << 24) | 2);
        run(&mut spi, CMD_READ, &mut nor);
        assert_eq!((spi.register(W0), spi.register(W0 + 4)), (0x0405_0607, 0x0000_0203));
    }

    #[test]
    fn program_and_erase_work_both_ways_and_only_after_write_enable() {
        let (mut spi, mut nor) = with_flash(&[]);
        spi.set(W0, 0x4433_2211);
        spi.set(ADDR, (4 << 24) | 0x1000);
        run(&mut spi, CMD_PP, &mut nor);
        assert_eq!(nor.operations(), 0);
        run(&mut spi, CMD_WREN, &mut nor);
        run(&mut spi, CMD_PP, &mut nor);
        let mut read = [0; 4];
        nor.read(0x1000, &mut read, DONE);
        assert_eq!(read, [0x11, 0x22, 0x33, 0x44]);

        user(&mut spi, &mut nor, 0, 0, 0x06);
        run(&mut spi, CMD_RDSR, &mut nor);
        assert_eq!(spi.register(RD_STATUS), 0x02);
        spi.set(ADDR, 0x1000 << 8);
        user(&mut spi, &mut nor, USER_ADDR, user1(24, 0), 0x20);
        nor.read(0x1000, &mut read, DONE);
        assert_eq!(read, [0xFF; 4]);
    }

    #[test]
    fn protection_is_written_from_the_status_register_and_lifted_the_same_way() {
        let (mut spi, mut nor) = with_flash(&[]);
        for value in [0x1C, 0] {
            run(&mut spi, CMD_WREN, &mut nor);
            spi.set(RD_STATUS, value);
            run(&mut spi, CMD_WRSR, &mut nor);
            assert_eq!(u32::from(nor.read_status(DONE)), value);
        }
    }

    proptest! {
        #[test]
        fn any_register_writes_are_taken(writes in proptest::collection::vec((0_u32..0x40, any::<u32>()), 0..40)) {
            let (mut spi, mut nor) = with_flash(&[]);
            for (register, value) in writes {
                spi.write(4 * register, value, Some(&mut nor), T0);
                spi.read(4 * register, T0);
            }
        }
    }
}
