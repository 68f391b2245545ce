//! The program that both execute: harness and cases as machine code at 0x50000000, no assembler needed.
//!
//! Each case loads all registers and SAR from its record, runs, and stores them into the record. Exceptions and
//! BREAK append cause, address, place and PS to the log and go on behind the instruction. In the end the program
//! writes records, log and scratch memory to its standard output with SIMCALL and exits.

use super::random::Random;
use super::sequence;

/// Where the program is loaded and starts.
pub(crate) const BASE: u32 = 0x5000_0000;
/// The vectors; VECBASE is set to this.
const VECTORS: u32 = BASE + 0x100;
/// The harness's start and its exception code.
const START: u32 = BASE + 0x400;
/// The log's write pointer, then scratch memory, records, log.
const POINTER: u32 = 0x5200_0000;
pub(crate) const SCRATCH: u32 = POINTER + 0x100;
const SCRATCH_LENGTH: u32 = 2048;
const RECORDS: u32 = SCRATCH + SCRATCH_LENGTH;
/// Sixteen registers, SAR, and the PS of the start.
pub(super) const RECORD_LENGTH: u32 = 72;
const LOG: u32 = 0x5280_0000;
const LOG_ENTRY: u32 = 16;

/// Special registers that the harness uses.
const SAR: u32 = 3;
const EPC1: u32 = 177;
const EPC2: u32 = 178;
const EPS2: u32 = 194;
const EXCSAVE1: u32 = 209;
const EXCSAVE2: u32 = 210;
const EXCSAVE3: u32 = 211;
const PS: u32 = 230;
const VECBASE: u32 = 231;
const EXCCAUSE: u32 = 232;
const DEBUGCAUSE: u32 = 233;
const EXCVADDR: u32 = 238;

/// Machine code under construction.
pub(super) struct Code {
    pub(super) bytes: Vec<u8>,
}

impl Code {
    /// The address of what comes next.
    pub(super) fn here(&self) -> u32 {
        BASE + u32::try_from(self.bytes.len()).unwrap_or(u32::MAX)
    }

    /// Fills up to an address with zeros, which are illegal instructions.
    fn fill_to(&mut self, address: u32) {
        self.bytes.resize((address - BASE) as usize, 0);
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    pub(super) fn word(&mut self, value: u32) -> u32 {
        let at = self.here();
        self.bytes.extend(value.to_le_bytes());
        at
    }

    /// A 24-bit instruction.
    pub(super) fn wide(&mut self, word: u32) {
        let [a, b, c, _] = word.to_le_bytes();
        self.bytes.extend([a, b, c]);
    }

    fn jump(&mut self, target: u32) {
        let word = 0x06 | target.wrapping_sub(self.here() + 4) << 6;
        self.wide(word);
    }

    pub(super) fn l32r(&mut self, register: u32, literal: u32) {
        let words = literal.wrapping_sub((self.here() + 3) & !3) >> 2;
        self.wide(0x01 | register << 4 | (words & 0xFFFF) << 8);
    }

    fn l32i(&mut self, register: u32, base: u32, offset: u32) {
        self.wide(0x2002 | register << 4 | base << 8 | (offset >> 2) << 16);
    }

    fn s32i(&mut self, register: u32, base: u32, offset: u32) {
        self.wide(0x6002 | register << 4 | base << 8 | (offset >> 2) << 16);
    }

    fn addi(&mut self, register: u32, base: u32, number: u32) {
        self.wide(0xC002 | register << 4 | base << 8 | (number & 0xFF) << 16);
    }

    fn movi(&mut self, register: u32, number: u32) {
        self.wide(0xA002 | register << 4 | (number >> 8 & 15) << 8 | (number & 0xFF) << 16);
    }

    fn rsr(&mut self, register: u32, special: u32) {
        self.wide(0x03_0000 | register << 4 | special << 8);
    }

    fn wsr(&mut self, register: u32, special: u32) {
        self.wide(0x13_0000 | register << 4 | special << 8);
        // RSYNC
        self.wide(0x2010);
    }

    /// The code behind a vector: logs two special registers, the place and PS, and returns behind the
    /// instruction.
    fn log_and_skip(&mut self, pointer: u32, logged: [u32; 2], place: u32, state: u32, back: u32) {
        self.wsr(0, EXCSAVE2);
        self.wsr(2, EXCSAVE3);
        self.l32r(0, pointer);
        self.l32i(2, 0, 0);
        for (offset, special) in [(0, logged[0]), (4, logged[1]), (12, state), (8, place)] {
            self.rsr(0, special);
            self.s32i(0, 2, offset);
        }
        // Two bytes when bit 3 of the first byte is set, else three.
        self.wide(0x0002 | 2 << 4); // l8ui a2, a0, 0
        self.wide(0xE007 | 3 << 4 | 2 << 8 | 2 << 16); // bbsi a2, 3, over the next instruction
        self.addi(0, 0, 1);
        self.addi(0, 0, 2);
        self.wsr(0, place);
        self.l32r(0, pointer);
        self.l32i(2, 0, 0);
        self.addi(2, 2, LOG_ENTRY);
        self.s32i(2, 0, 0);
        self.rsr(0, EXCSAVE2);
        self.rsr(2, EXCSAVE3);
        self.wide(back);
    }
}

/// The program and what is in it.
pub(crate) struct Program {
    pub(crate) image: Vec<u8>,
    /// Of each case: where its own instructions lie.
    pub(super) cases: Vec<(u32, u32)>,
}

impl Program {
    /// The number of bytes of the records in the output; they come first.
    pub(super) fn records_length(&self) -> usize {
        self.cases.len() * RECORD_LENGTH as usize
    }
}

/// Makes the program with so many cases.
pub(crate) fn generate(random: &mut Random, cases: u32) -> Program {
    let mut code = Code { bytes: Vec::new() };
    code.jump(START);
    code.fill_to(VECTORS);
    let pointer = code.word(POINTER);
    let vectors = code.word(VECTORS);
    let log = code.word(LOG);
    // Vectors lie 16 bytes apart: debug, kernel, user, double. Their code follows.
    let handlers = VECTORS + 0x80;
    let second = VECTORS + 0x180;
    for (vector, target) in [(0x10, second), (0x30, handlers), (0x50, handlers)] {
        code.fill_to(VECTORS + vector);
        code.jump(target);
    }
    code.fill_to(VECTORS + 0x70);
    code.movi(2, 1);
    code.movi(3, 9);
    code.wide(0x5100);
    code.fill_to(handlers);
    code.log_and_skip(pointer, [EXCCAUSE, EXCVADDR], EPC1, PS, 0x3000);
    code.fill_to(second);
    code.log_and_skip(pointer, [DEBUGCAUSE, EPS2], EPC2, PS, 0x3210);
    code.fill_to(START);
    code.l32r(1, vectors);
    code.wsr(1, VECBASE);
    code.l32r(1, pointer);
    code.l32r(2, log);
    code.s32i(2, 1, 0);
    let mut places = Vec::new();
    let mut records = Vec::new();
    for case in 0..cases {
        let record = RECORDS + case * RECORD_LENGTH;
        let after_literals = code.here();
        // Jump over the literals, patched when their number is known.
        code.wide(0);
        code.align();
        let own = code.word(record);
        let aligned = code.word(SCRATCH + 4 * random.below(200));
        let odd = code.word(SCRATCH + 1 + random.below(700));
        let begin = code.here();
        let jump = 0x06 | begin.wrapping_sub(after_literals + 4) << 6;
        let index = (after_literals - BASE) as usize;
        for (place, byte) in code.bytes.iter_mut().skip(index).zip(jump.to_le_bytes().into_iter().take(3)) {
            *place = byte;
        }
        for _ in 0..16 {
            records.extend(random.operand().to_le_bytes());
        }
        records.extend(random.below(33).to_le_bytes());
        records.extend((random.below(2) * 0x20).to_le_bytes());
        code.l32r(1, own);
        code.l32i(0, 1, 64);
        code.wsr(0, SAR);
        code.l32i(0, 1, 68);
        code.wsr(0, PS);
        for register in [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 1] {
            code.l32i(register, 1, register * 4);
        }
        let first = code.here();
        sequence::append(&mut code, random, aligned, odd);
        places.push((first, code.here()));
        code.wsr(1, EXCSAVE1);
        code.l32r(1, own);
        for register in [0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15] {
            code.s32i(register, 1, register * 4);
        }
        code.rsr(0, EXCSAVE1);
        code.s32i(0, 1, 4);
        code.rsr(0, SAR);
        code.s32i(0, 1, 64);
        code.rsr(0, PS);
        code.s32i(0, 1, 68);
    }
    finish(&mut code, cases);
    let mut image = code.bytes;
    image.resize((SCRATCH - BASE) as usize, 0);
    image.extend((0..SCRATCH_LENGTH).map(|_| random.bits().to_le_bytes()[0]));
    image.extend(records);
    Program { image, cases: places }
}

/// Writes records, scratch memory and log out, and exits.
fn finish(code: &mut Code, cases: u32) {
    let after_literals = code.here();
    let begin = (after_literals + 3).next_multiple_of(4) + 24;
    code.jump(begin);
    code.align();
    let records = code.word(RECORDS);
    let records_length = code.word(cases * RECORD_LENGTH);
    let scratch = code.word(SCRATCH);
    let scratch_length = code.word(SCRATCH_LENGTH);
    let log = code.word(LOG);
    let pointer = code.word(POINTER);
    for (address, length) in [(records, records_length), (scratch, scratch_length)] {
        code.movi(2, 4);
        code.movi(3, 1);
        code.l32r(4, address);
        code.l32r(5, length);
        code.wide(0x5100);
    }
    code.movi(2, 4);
    code.movi(3, 1);
    code.l32r(4, log);
    code.l32r(5, pointer);
    code.l32i(5, 5, 0);
    code.wide(0xC0_5540); // sub a5, a5, a4
    code.wide(0x5100);
    code.movi(2, 1);
    code.movi(3, 0);
    code.wide(0x5100);
}
