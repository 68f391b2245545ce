//! Prints how many instructions a second the interpreter executes, on loops like those of a flasher stub.

use std::time::Instant;

use espbroker_lx106::{Bus, Cpu, Fault, Poll, Stop, Width};

/// Memory from 0x40100000 (code) and 0x3FFE8000 (data), as on the chip.
struct Board {
    code: Vec<u8>,
    data: Vec<u8>,
}

const CODE: u32 = 0x4010_0000;
const DATA: u32 = 0x3FFE_8000;
const LENGTH: usize = 0x1_0000;

fn word(bytes: &[u8], offset: u32) -> Option<u32> {
    bytes.get(offset as usize..)?.first_chunk().map(|word| u32::from_le_bytes(*word))
}

impl Bus for Board {
    fn fetch(&mut self, address: u32) -> Result<u32, Fault> {
        word(&self.code, address.wrapping_sub(CODE)).ok_or(Fault::FetchError)
    }

    fn load(&mut self, address: u32, width: Width, _at: u64) -> Result<u32, Fault> {
        let memory = if address < CODE { &self.data } else { &self.code };
        let offset = address.wrapping_sub(if address < CODE { DATA } else { CODE });
        match width {
            Width::Word => word(memory, offset).ok_or(Fault::LoadProhibited),
            Width::Half => memory
                .get(offset as usize..)
                .and_then(|rest| rest.first_chunk())
                .map(|half| u32::from(u16::from_le_bytes(*half)))
                .ok_or(Fault::LoadProhibited),
            Width::Byte => {
                memory.get(offset as usize).map(|byte| u32::from(*byte)).ok_or(Fault::LoadProhibited)
            }
        }
    }

    fn store(&mut self, address: u32, width: Width, value: u32, _at: u64) -> Result<(), Fault> {
        let offset = address.wrapping_sub(DATA) as usize;
        let rest = self.data.get_mut(offset..).ok_or(Fault::StoreProhibited)?;
        let bytes = value.to_le_bytes();
        match width {
            Width::Word => *rest.first_chunk_mut().ok_or(Fault::StoreProhibited)? = bytes,
            Width::Half => {
                *rest.first_chunk_mut().ok_or(Fault::StoreProhibited)? = [bytes[0], bytes[1]];
            }
            Width::Byte => *rest.first_mut().ok_or(Fault::StoreProhibited)? = bytes[0],
        }
        Ok(())
    }

    fn is_device(&self, address: u32) -> bool {
        address >= 0x6000_0000 || address.wrapping_sub(0x3FF0_0000) < 0x4_0000
    }

    fn poll(&mut self, at: u64) -> Poll {
        Poll { levels: 0, edges: 0, next: at + 5200 }
    }

    fn is_native(&self, pc: u32) -> bool {
        pc.wrapping_sub(0x4000_0000) < 0x1_0000
    }
}

/// The bytes of instructions, each a word whose first byte tells its length.
fn program(words: &[u32]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in words {
        let length = if word & 8 == 0 { 3 } else { 2 };
        bytes.extend(word.to_le_bytes().into_iter().take(length));
    }
    bytes.resize(LENGTH, 0);
    bytes
}

/// ADD.N, XOR, SLLI, SRLI, ADDI.N, OR, SUB, EXTUI, ADDX4, MOVI.N, MULL, BNEZ taken over NOP, J.
const ARITHMETIC: [u32; 14] = [
    0x334A, 0x305350, 0x116570, 0x417650, 0x443B, 0x206670, 0xC05560, 0x748450, 0xA09890, 0x1A1C, 0x8299A0,
    0x002256, 0x0020F0, 0xFFF606,
];
/// MOV.N, then L32I.N, L8UI, ADD.N, S32I.N, L16UI, S8I, ADDI.N, EXTUI, ADD.N, L8UI, S8I, MOV.N, J.
const MEMORY: [u32; 14] = [
    0x027D, 0x0238, 0x110242, 0x334A, 0x1239, 0x101252, 0x284252, 0x661B, 0x744060, 0x274A, 0x090252,
    0xC84252, 0x072D, 0xFFF786,
];
/// A function that saves a0 on the stack; from byte 20 on a loop that calls it twice.
const CALLS: [u32; 13] = [
    0xF0C112, 0x3109, 0x331B, 0x01B326, 0x3108, 0x10C112, 0xF00D, 0x0020F0, 0x530C, 0xFFFE85, 0x553A,
    0xFFFE45, 0xFFFC86,
];
/// A step of MD5: F(b, c, d) with AND, XOR, OR, additions, two loads, a rotation with SRC, moves.
const DIGEST: [u32; 19] = [
    0x107450, 0xF87C, 0x308480, 0x108860, 0x207780, 0x337A, 0x0298, 0x339A, 0x12A8, 0x33AA, 0x404910,
    0x813330, 0x334A, 0x06BD, 0x056D, 0x045D, 0x034D, 0x0B3D, 0xFFF486,
];

/// Each mix: its code and where it starts.
const MIXES: [(&str, &[u32], u32); 4] = [
    ("arithmetic", &ARITHMETIC, 0),
    ("loads and stores", &MEMORY, 0),
    ("calls", &CALLS, 20),
    ("digest", &DIGEST, 0),
];
const INSTRUCTIONS: u64 = 100_000_000;

fn main() -> Result<(), String> {
    let mut total = 0.0;
    for (name, words, start) in MIXES {
        let mut board = Board { code: program(words), data: vec![0; LENGTH] };
        let mut cpu = Cpu::reset();
        cpu.pc = CODE + start;
        cpu.a[1] = DATA + 0x8000;
        for (number, register) in cpu.a.iter_mut().enumerate().skip(3) {
            *register = 0x9E37_79B9_u32.wrapping_mul(u32::try_from(number).unwrap_or(1));
        }
        cpu.a[2] = DATA;
        let begun = Instant::now();
        // Each stretch changes memory or registers: nothing is skipped, every cycle is an instruction.
        let stop = cpu.run(&mut board, INSTRUCTIONS);
        let seconds = begun.elapsed().as_secs_f64();
        if stop != Stop::Until || cpu.cycles() != INSTRUCTIONS {
            return Err(format!("{name}: {stop:?}, {cpu:?}"));
        }
        total += seconds;
        println!("{name:17} {INSTRUCTIONS} instructions {:6.1} million a second", rate(1, seconds));
    }
    let count = u64::try_from(MIXES.len()).unwrap_or(0);
    println!(
        "{:17} {} instructions {:6.1} million a second",
        "all",
        count * INSTRUCTIONS,
        rate(count, total)
    );
    Ok(())
}

/// Millions of instructions a second, for so many stretches.
fn rate(stretches: u64, seconds: f64) -> f64 {
    let millions = INSTRUCTIONS * stretches / 1_000_000;
    f64::from(u32::try_from(millions).unwrap_or(u32::MAX)) / seconds
}
