//! [`Fault`]: what goes wrong, and [`Faults`], which make it happen on the serial line.
//!
//! Faults of the flash chip are set up in [`crate::nor`] when the device is made; those of the line and the loader
//! are looked at for every byte and reply. Everything is counted from the making of the device, so that a test can
//! name the byte it means.

use std::time::Duration;

use espbroker_flasher::protocol::Opcode;

use crate::random::Random;

/// One way along the serial line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// What the host sends.
    ToDevice,
    /// What the host receives.
    ToHost,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The byte with this number (from 0) does not arrive.
    LoseByte {
        /// Which way.
        direction: Direction,
        /// Which byte.
        at: u64,
    },
    /// The byte with this number arrives with these bits inverted.
    FlipBits {
        /// Which way.
        direction: Direction,
        /// Which byte.
        at: u64,
        /// Ones are inverted.
        mask: u8,
    },
    /// Bytes that nobody sent arrive before the byte with this number.
    Noise {
        /// Which way.
        direction: Direction,
        /// Before which byte.
        at: u64,
        /// How many.
        length: u32,
    },
    /// Replies to an opcode come later.
    LateReply {
        /// Which opcode.
        opcode: Opcode,
        /// By how much.
        delay: Duration,
        /// How often.
        times: u32,
    },
    /// The device never sends a byte, as with a broken or swapped wire.
    SilentLine,
    /// The register that tells chips apart holds something else.
    WrongChip {
        /// What; 0x00F01D83 is an ESP32.
        magic: u32,
    },
    /// GPIO15 is not pulled low: the chip waits for an SDIO host instead of starting.
    Gpio15High,
    /// The flash answers with this id, whatever its size.
    FlashId([u8; 3]),
    /// The flash reads as 0, its id too: its data line is shorted to ground.
    UnreadableFlash,
    /// A sector that does not erase any more.
    WornSector {
        /// Any address in it.
        address: u32,
    },
    /// The supply goes away in the middle of an erase or program, after so many that succeeded.
    PowerCutAfterFlashOperations(u64),
    /// The adapter is pulled after so many bytes in both directions together.
    UnplugAfterBytes(u64),
    /// An uploaded stub hangs before its greeting.
    StubDoesNotStart,
    /// The line is good up to this rate; above it every byte is damaged.
    BaudCeiling(u32),
}

/// The line's and the loader's faults, with how far they have come.
#[derive(Debug)]
pub(crate) struct Faults {
    planned: Vec<Fault>,
    to_device: u64,
    to_host: u64,
    random: Random,
}

impl Faults {
    /// Everything in `planned` is still to come; `seed` decides what noise looks like.
    pub(crate) const fn new(planned: Vec<Fault>, seed: u64) -> Self {
        Self { planned, to_device: 0, to_host: 0, random: Random::new(seed) }
    }

    /// What becomes of one byte sent at `baud`.
    pub(crate) fn pass(&mut self, direction: Direction, byte: u8, baud: u32) -> Vec<u8> {
        let counter = match direction {
            Direction::ToDevice => &mut self.to_device,
            Direction::ToHost => &mut self.to_host,
        };
        let number = *counter;
        *counter += 1;
        let mut bytes = vec![byte];
        for fault in &self.planned {
            match *fault {
                Fault::LoseByte { direction: way, at } if (way, at) == (direction, number) => {
                    bytes.pop();
                }
                Fault::FlipBits { direction: way, at, mask } if (way, at) == (direction, number) => {
                    bytes.iter_mut().for_each(|byte| *byte ^= mask);
                }
                Fault::Noise { direction: way, at, length } if (way, at) == (direction, number) => {
                    let noise: Vec<u8> = (0..length).map(|_| self.random.byte()).collect();
                    bytes.splice(0..0, noise);
                }
                Fault::BaudCeiling(ceiling) if baud > ceiling => {
                    bytes.iter_mut().for_each(|byte| *byte ^= self.random.byte() | 1);
                }
                Fault::SilentLine if direction == Direction::ToHost => bytes.clear(),
                _ => {}
            }
        }
        bytes
    }

    /// Whether the adapter is gone by now.
    pub(crate) fn unplugged(&self) -> bool {
        let passed = self.to_device + self.to_host;
        self.planned.iter().any(|fault| matches!(fault, Fault::UnplugAfterBytes(limit) if passed >= *limit))
    }

    /// The adapter was plugged in again.
    pub(crate) fn plugged_in(&mut self) {
        self.planned.retain(|fault| !matches!(fault, Fault::UnplugAfterBytes(_)));
    }

    /// Whether a reply may be late.
    pub(crate) fn delays_replies(&self) -> bool {
        self.planned.iter().any(|fault| matches!(fault, Fault::LateReply { times: 1.., .. }))
    }

    /// How much later the reply to `opcode` is sent; counts down.
    pub(crate) fn delay(&mut self, opcode: u8) -> Duration {
        let mut delay = Duration::ZERO;
        for fault in &mut self.planned {
            if let Fault::LateReply { opcode: late, delay: by, times } = fault
                && late.byte() == opcode
                && *times > 0
            {
                *times -= 1;
                delay += *by;
            }
        }
        delay
    }

    /// Whether `fault` is planned.
    pub(crate) fn has(&self, fault: &Fault) -> bool {
        self.planned.contains(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_meet_the_byte_they_name_and_no_other() {
        let direction = Direction::ToHost;
        let planned = vec![
            Fault::LoseByte { direction, at: 1 },
            Fault::FlipBits { direction, at: 2, mask: 0x0F },
            Fault::Noise { direction, at: 3, length: 4 },
            Fault::UnplugAfterBytes(5),
        ];
        let mut faults = Faults::new(planned, 1);
        assert_eq!(faults.pass(Direction::ToDevice, 9, 1), [9]);
        assert_eq!(faults.pass(direction, 0, 1), [0]);
        assert_eq!(faults.pass(direction, 0, 1), [] as [u8; 0]);
        assert_eq!(faults.pass(direction, 0, 1), [0x0F]);
        assert!(!faults.unplugged());
        let noisy = faults.pass(direction, 7, 1);
        assert_eq!((noisy.len(), noisy[4]), (5, 7));
        assert!(faults.unplugged());
        faults.plugged_in();
        assert!(!faults.unplugged());
    }

    #[test]
    fn a_reply_is_late_as_often_as_planned() {
        let delay = Duration::from_secs(1);
        let mut faults = Faults::new(vec![Fault::LateReply { opcode: Opcode::Sync, delay, times: 1 }], 1);
        let delays = [0x02, 0x08, 0x08].map(|opcode| faults.delay(opcode));
        assert_eq!(delays, [Duration::ZERO, delay, Duration::ZERO]);
    }
}
