//! A program on the interpreter, with the memory and the SIMCALLs of QEMU's simulation board.

use espbroker_lx106::{Bus, Cpu, Fault, Poll, SpecialRegister, Stop, Width};

use crate::process::Failure;

/// The board's memories: address and length.
const MEMORIES: [(u32, usize); 7] = [
    (0x3FF4_0000, 0x4_0000),
    (0x3FF8_0000, 0x4_0000),
    (0x3FFC_0000, 0x4_0000),
    (0x4000_0000, 0x10_0000),
    (0x4010_0000, 0x10_0000),
    (0x4020_0000, 0x10_0000),
    (0x5000_0000, 0x400_0000),
];
/// SIMCALL numbers, in a2.
const EXIT: u32 = 1;
const WRITE: u32 = 4;

/// How a program ended.
pub(crate) struct Ended {
    pub(crate) code: u32,
    pub(crate) output: Vec<u8>,
    pub(crate) cycles: u64,
}

/// The board.
pub(crate) struct Board {
    memories: Vec<(u32, Vec<u8>)>,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { memories: MEMORIES.iter().map(|(at, length)| (*at, vec![0; *length])).collect() }
    }

    /// The memory from an address to its end.
    fn memory(&mut self, address: u32) -> Option<&mut [u8]> {
        self.memories.iter_mut().rev().find_map(|(at, bytes)| {
            address.checked_sub(*at).and_then(|offset| bytes.get_mut(offset as usize..))
        })
    }

    /// Puts bytes into memory.
    ///
    /// # Errors
    ///
    /// When there is no memory for all of them.
    pub(crate) fn write(&mut self, address: u32, bytes: &[u8]) -> Result<(), Failure> {
        let place = self.memory(address).and_then(|memory| memory.get_mut(..bytes.len()));
        place.ok_or_else(|| format!("no memory at {address:#x}"))?.copy_from_slice(bytes);
        Ok(())
    }

    /// Runs from `entry` until the program exits.
    ///
    /// # Errors
    ///
    /// When it has not exited after `limit` cycles, or does what the board does not know.
    pub(crate) fn run(&mut self, entry: u32, limit: u64) -> Result<Ended, Failure> {
        let mut cpu = Cpu::reset();
        cpu.pc = entry;
        let mut output = Vec::new();
        loop {
            match cpu.run(self, limit) {
                Stop::Simulator => match (cpu.a[2], cpu.a[3]) {
                    (EXIT, code) => return Ok(Ended { code, output, cycles: cpu.cycles() }),
                    (WRITE, 1 | 2) => {
                        let length = cpu.a[5];
                        let bytes = self.memory(cpu.a[4]).and_then(|memory| memory.get(..length as usize));
                        output.extend_from_slice(bytes.ok_or("SIMCALL writes what is not in memory")?);
                        cpu.a[2] = length;
                        cpu.a[3] = 0;
                    }
                    (number, _) => return Err(format!("unknown SIMCALL {number}: {cpu:?}").into()),
                },
                // Nothing here changes by itself but the timer.
                Stop::Spinning | Stop::Waiting if cpu.timer_due() < limit => {
                    cpu.pass(cpu.timer_due().saturating_sub(cpu.cycles()));
                }
                stop => {
                    let cause = cpu.special(SpecialRegister::Exccause);
                    return Err(format!("{stop:?} after {limit} cycles, cause {cause}: {cpu:?}").into());
                }
            }
        }
    }
}

impl Bus for Board {
    fn fetch(&mut self, address: u32) -> Result<u32, Fault> {
        let word = self.memory(address).and_then(|memory| memory.first_chunk());
        word.map(|word| u32::from_le_bytes(*word)).ok_or(Fault::FetchError)
    }

    fn load(&mut self, address: u32, width: Width, _at: u64) -> Result<u32, Fault> {
        let memory = self.memory(address).ok_or(Fault::LoadStoreError)?;
        let value = match width {
            Width::Byte => memory.first().map(|byte| u32::from(*byte)),
            Width::Half => memory.first_chunk().map(|half| u32::from(u16::from_le_bytes(*half))),
            Width::Word => memory.first_chunk().map(|word| u32::from_le_bytes(*word)),
        };
        value.ok_or(Fault::LoadStoreError)
    }

    fn store(&mut self, address: u32, width: Width, value: u32, _at: u64) -> Result<(), Fault> {
        let memory = self.memory(address).ok_or(Fault::LoadStoreError)?;
        let bytes = value.to_le_bytes();
        for (place, byte) in memory.iter_mut().zip(bytes).take(width.bytes() as usize) {
            *place = byte;
        }
        Ok(())
    }

    fn is_device(&self, _address: u32) -> bool {
        false
    }

    fn poll(&mut self, _at: u64) -> Poll {
        Poll { levels: 0, edges: 0, next: u64::MAX }
    }

    fn is_native(&self, _pc: u32) -> bool {
        false
    }
}
