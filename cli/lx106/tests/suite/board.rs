//! A CPU with plain memory, a device register, and interrupt lines that a test sets.

use espbroker_lx106::{Bus, Cpu, Fault, Poll, Width};

/// Code is here; vectors are at 0x40000000 and native.
pub(crate) const CODE: u32 = 0x4010_0000;
pub(crate) const DATA: u32 = 0x3FFE_8000;
pub(crate) const DEVICE: u32 = 0x6000_0000;

#[derive(Debug)]
pub(crate) struct Board {
    pub(crate) code: Vec<u8>,
    pub(crate) data: Vec<u8>,
    pub(crate) levels: u32,
    pub(crate) edges: u32,
    pub(crate) next: u64,
    pub(crate) device: u32,
}

impl Board {
    pub(crate) fn new(instructions: &[u32]) -> Self {
        let mut code = Vec::new();
        for word in instructions {
            let length = if word & 8 == 0 { 3 } else { 2 };
            code.extend(word.to_le_bytes().into_iter().take(length));
        }
        code.resize(4096, 0);
        Self { code, data: vec![0; 4096], levels: 0, edges: 0, next: u64::MAX, device: 0 }
    }

    fn memory(&mut self, address: u32) -> Option<&mut [u8]> {
        if address >= CODE {
            self.code.get_mut((address - CODE) as usize..)
        } else {
            self.data.get_mut(address.checked_sub(DATA)? as usize..)
        }
    }
}

/// A CPU in user mode with nothing masked, at the first instruction.
pub(crate) fn cpu() -> Cpu {
    let mut cpu = Cpu::reset();
    cpu.pc = CODE;
    cpu.set_special(espbroker_lx106::SpecialRegister::Ps, 0x20);
    cpu
}

impl Bus for Board {
    fn fetch(&mut self, address: u32) -> Result<u32, Fault> {
        if address < CODE {
            return Err(Fault::FetchProhibited);
        }
        let word = self.memory(address).and_then(|memory| memory.first_chunk().copied());
        word.map(u32::from_le_bytes).ok_or(Fault::FetchError)
    }

    fn load(&mut self, address: u32, width: Width, _at: u64) -> Result<u32, Fault> {
        if address == DEVICE {
            return Ok(self.device);
        }
        if address >= CODE && width != Width::Word {
            return Err(Fault::LoadStoreError);
        }
        let bytes = self.memory(address).and_then(|memory| memory.get(..width.bytes() as usize));
        let bytes = bytes.ok_or(Fault::LoadProhibited)?;
        Ok(bytes.iter().rev().fold(0, |value, byte| value << 8 | u32::from(*byte)))
    }

    fn store(&mut self, address: u32, width: Width, value: u32, _at: u64) -> Result<(), Fault> {
        if address == DEVICE {
            self.device = value;
            return Ok(());
        }
        let count = width.bytes() as usize;
        let bytes = self.memory(address).and_then(|memory| memory.get_mut(..count));
        for (place, byte) in bytes.ok_or(Fault::StoreProhibited)?.iter_mut().zip(value.to_le_bytes()) {
            *place = byte;
        }
        Ok(())
    }

    fn is_device(&self, address: u32) -> bool {
        address == DEVICE
    }

    fn poll(&mut self, at: u64) -> Poll {
        let next = if at < self.next { self.next } else { u64::MAX };
        Poll { levels: self.levels, edges: std::mem::take(&mut self.edges), next }
    }

    fn is_native(&self, pc: u32) -> bool {
        pc >> 16 == 0x4000
    }

    fn is_idle_read(&self, address: u32) -> bool {
        address == DEVICE
    }
}
