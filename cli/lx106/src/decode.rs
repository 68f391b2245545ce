//! The decoder: one instruction word to an operation with its operands.
//!
//! Implements the formats of the Xtensa instruction set for what the LX106 has. Every word decodes; what does
//! not exist is [`Operation::Ill`].

use crate::SpecialRegister;

/// What an instruction does; the names are the assembler's mnemonics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the mnemonics are documented by the instruction set")]
#[rustfmt::skip]
pub enum Operation {
    Ill, IllN,
    Abs, Add, AddN, Addi, AddiN, Addmi, Addx2, Addx4, Addx8, And, Neg, Or, Sub, Subx2, Subx4, Subx8, Xor,
    Movi, MoviN, MovN, Moveqz, Movgez, Movltz, Movnez,
    Extui, Nsa, Nsau, Mul16s, Mul16u, Mull,
    Sll, Slli, Sra, Srai, Src, Srl, Srli, Ssa8b, Ssa8l, Ssai, Ssl, Ssr,
    L16si, L16ui, L32i, L32iN, L32r, L8ui, S16i, S32i, S32iN, S8i,
    Ball, Bany, Bbc, Bbci, Bbs, Bbsi, Beq, Beqi, Beqz, BeqzN, Bge, Bgei, Bgeu, Bgeui, Bgez, Blt, Blti, Bltu,
    Bltui, Bltz, Bnall, Bne, Bnei, Bnez, BnezN, Bnone,
    Call0, Callx0, J, Jx, Ret, RetN,
    Break, BreakN, Simcall, Syscall, Rfe, Rfde, Rfi, Rsil, Waiti,
    Rsr, Wsr, Xsr, Rer, Wer,
    Dsync, Esync, Excw, Extw, Isync, Memw, Nop, NopN, Rsync,
    Idtlb, Iitlb, Pdtlb, Pitlb, Rdtlb0, Rdtlb1, Ritlb0, Ritlb1, Wdtlb, Witlb,
}

/// A decoded instruction.
///
/// `r`, `s` and `t` are the register fields, whichever of them the operation uses. `immediate` is the constant
/// operand: of J, CALL0 and L32R the address (L32R: of the literal, without LITBASE), of EXTUI the mask, of
/// RSR, WSR and XSR the register number, of shifts the amount (EXTUI: in `amount`). `offset` is where a
/// conditional branch goes, from its own address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instruction {
    /// What it does.
    pub operation: Operation,
    /// Register field r.
    pub r: u8,
    /// Register field s.
    pub s: u8,
    /// Register field t.
    pub t: u8,
    /// The constant operand.
    pub immediate: u32,
    /// The target of a conditional branch, from the instruction's address.
    pub offset: i16,
    /// The number of a bit (BBCI, BBSI) or the shift of EXTUI.
    pub amount: u8,
    /// Bytes: 2 or 3.
    pub length: u8,
}

/// The constants that BEQI, BNEI, BLTI and BGEI can compare with.
const SIGNED: [u32; 16] = [u32::MAX, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256];
/// The constants that BLTUI and BGEUI can compare with.
const UNSIGNED: [u32; 16] = [32768, 65536, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 32, 64, 128, 256];

/// The low bits of `word` from bit `from` on.
const fn field(word: u32, from: u32, bits: u32) -> u32 {
    (word >> from) & ((1 << bits) - 1)
}

/// A field of four bits.
fn nibble(word: u32, from: u32) -> u8 {
    (word >> from).to_le_bytes()[0] & 15
}

/// Extends the sign of a number of `bits` bits.
const fn signed(value: u32, bits: u32) -> u32 {
    (value << (32 - bits)).cast_signed().wrapping_shr(32 - bits).cast_unsigned()
}

/// The low 16 bits as an offset.
const fn offset(value: u32) -> i16 {
    let [low, high, ..] = value.to_le_bytes();
    i16::from_le_bytes([low, high])
}

impl Instruction {
    /// The number of bytes of the instruction that begins with this byte.
    #[must_use]
    pub const fn length_of(first: u8) -> u32 {
        // Density: the major opcodes 8 to 13. 14 and 15 do not exist.
        if first & 15 >= 8 { 2 } else { 3 }
    }

    /// Decodes the instruction in the low 24 (or 16) bits of `word`, as it stands at `pc`.
    #[must_use]
    pub fn decode(word: u32, pc: u32) -> Self {
        let mut instruction = Self {
            operation: Operation::Ill,
            r: nibble(word, 12),
            s: nibble(word, 8),
            t: nibble(word, 4),
            immediate: 0,
            offset: 0,
            amount: 0,
            length: 3,
        };
        instruction.operation = match word & 15 {
            0 => instruction.general(word),
            1 => {
                let back = (0xFFFF_0000 | field(word, 8, 16)) << 2;
                instruction.immediate = (pc.wrapping_add(3) & !3).wrapping_add(back);
                Operation::L32r
            }
            2 => instruction.memory(word),
            5 if field(word, 4, 2) == 0 => {
                let words = signed(field(word, 6, 18), 18);
                instruction.immediate = (pc & !3).wrapping_add(words << 2).wrapping_add(4);
                Operation::Call0
            }
            6 => instruction.jump_or_compare_zero(word, pc),
            7 => instruction.branch(word),
            8..16 => {
                instruction.length = 2;
                instruction.density(word)
            }
            _ => Operation::Ill,
        };
        instruction
    }

    /// Major opcode 0: register to register, system.
    fn general(&mut self, word: u32) -> Operation {
        let high = field(word, 20, 4);
        match field(word, 16, 4) {
            0 => self.arithmetic(high),
            1 => self.shift(high),
            2 if high == 8 => Operation::Mull,
            3 => self.special(high),
            low @ (4 | 5) => {
                self.amount = if low == 5 { 16 | self.s } else { self.s };
                self.immediate = (2 << high) - 1;
                Operation::Extui
            }
            _ => Operation::Ill,
        }
    }

    fn arithmetic(&mut self, high: u32) -> Operation {
        match high {
            0 => self.system(),
            1 => Operation::And,
            2 => Operation::Or,
            3 => Operation::Xor,
            4 => self.shift_amount(),
            5 => match self.r {
                3 => Operation::Ritlb0,
                4 if self.t == 0 => Operation::Iitlb,
                5 => Operation::Pitlb,
                6 => Operation::Witlb,
                7 => Operation::Ritlb1,
                11 => Operation::Rdtlb0,
                12 if self.t == 0 => Operation::Idtlb,
                13 => Operation::Pdtlb,
                14 => Operation::Wdtlb,
                15 => Operation::Rdtlb1,
                _ => Operation::Ill,
            },
            6 => match self.s {
                0 => Operation::Neg,
                1 => Operation::Abs,
                _ => Operation::Ill,
            },
            8 => Operation::Add,
            9 => Operation::Addx2,
            10 => Operation::Addx4,
            11 => Operation::Addx8,
            12 => Operation::Sub,
            13 => Operation::Subx2,
            14 => Operation::Subx4,
            15 => Operation::Subx8,
            _ => Operation::Ill,
        }
    }

    fn system(&mut self) -> Operation {
        match (self.r, self.s, self.t) {
            (0, _, 8) => Operation::Ret,
            (0, _, 10) => Operation::Jx,
            (0, _, 12) => Operation::Callx0,
            (2, 0, 0) => Operation::Isync,
            (2, 0, 1) => Operation::Rsync,
            (2, 0, 2) => Operation::Esync,
            (2, 0, 3) => Operation::Dsync,
            (2, 0, 8) => Operation::Excw,
            (2, 0, 12) => Operation::Memw,
            (2, 0, 13) => Operation::Extw,
            (2, 0, 15) => Operation::Nop,
            (3, 0, 0) => Operation::Rfe,
            (3, 2, 0) => Operation::Rfde,
            (3, 2..=3, 1) => Operation::Rfi,
            (4, _, _) => Operation::Break,
            (5, 0, 0) => Operation::Syscall,
            (5, 1, 0) => Operation::Simcall,
            (6, _, _) => Operation::Rsil,
            (7, _, 0) => Operation::Waiti,
            _ => Operation::Ill,
        }
    }

    fn shift_amount(&mut self) -> Operation {
        match (self.r, self.t) {
            (0, 0) => Operation::Ssr,
            (1, 0) => Operation::Ssl,
            (2, 0) => Operation::Ssa8l,
            (3, 0) => Operation::Ssa8b,
            (4, 0 | 1) => {
                self.immediate = u32::from(self.t) << 4 | u32::from(self.s);
                Operation::Ssai
            }
            (6, _) => Operation::Rer,
            (7, _) => Operation::Wer,
            (14, _) => Operation::Nsa,
            (15, _) => Operation::Nsau,
            _ => Operation::Ill,
        }
    }

    fn shift(&mut self, high: u32) -> Operation {
        match high {
            0 | 1 => {
                self.immediate = 32 - (high << 4 | u32::from(self.t));
                Operation::Slli
            }
            2 | 3 => {
                self.immediate = (high & 1) << 4 | u32::from(self.s);
                Operation::Srai
            }
            4 => {
                self.immediate = u32::from(self.s);
                Operation::Srli
            }
            6 => self.with_special(Operation::Xsr, SpecialRegister::is_exchangeable),
            8 => Operation::Src,
            9 if self.s == 0 => Operation::Srl,
            10 if self.t == 0 => Operation::Sll,
            11 if self.s == 0 => Operation::Sra,
            12 => Operation::Mul16u,
            13 => Operation::Mul16s,
            _ => Operation::Ill,
        }
    }

    fn special(&mut self, high: u32) -> Operation {
        match high {
            0 => self.with_special(Operation::Rsr, SpecialRegister::is_readable),
            1 => self.with_special(Operation::Wsr, SpecialRegister::is_writable),
            8 => Operation::Moveqz,
            9 => Operation::Movnez,
            10 => Operation::Movltz,
            11 => Operation::Movgez,
            _ => Operation::Ill,
        }
    }

    /// RSR, WSR or XSR, where the register exists and allows it.
    fn with_special(&mut self, operation: Operation, allows: fn(SpecialRegister) -> bool) -> Operation {
        let number = self.r << 4 | self.s;
        self.immediate = u32::from(number);
        match SpecialRegister::from_number(number) {
            Some(register) if allows(register) => operation,
            _ => Operation::Ill,
        }
    }

    /// Major opcode 2: loads, stores, and additions of constants.
    fn memory(&mut self, word: u32) -> Operation {
        let imm8 = field(word, 16, 8);
        match self.r {
            0 => self.with(imm8, Operation::L8ui),
            1 => self.with(imm8 << 1, Operation::L16ui),
            2 => self.with(imm8 << 2, Operation::L32i),
            4 => self.with(imm8, Operation::S8i),
            5 => self.with(imm8 << 1, Operation::S16i),
            6 => self.with(imm8 << 2, Operation::S32i),
            9 => self.with(imm8 << 1, Operation::L16si),
            10 => self.with(signed(u32::from(self.s) << 8 | imm8, 12), Operation::Movi),
            12 => self.with(signed(imm8, 8), Operation::Addi),
            13 => self.with(signed(imm8, 8) << 8, Operation::Addmi),
            _ => Operation::Ill,
        }
    }

    fn with(&mut self, immediate: u32, operation: Operation) -> Operation {
        self.immediate = immediate;
        operation
    }

    /// Major opcode 6: J, and branches that compare with zero or a constant.
    fn jump_or_compare_zero(&mut self, word: u32, pc: u32) -> Operation {
        let long = offset(signed(field(word, 12, 12), 12).wrapping_add(4));
        let short = offset(signed(field(word, 16, 8), 8).wrapping_add(4));
        let index = usize::from(self.r);
        let (operation, offset, constant) = match self.t {
            0 | 4 | 8 | 12 => {
                self.immediate = pc.wrapping_add(4).wrapping_add(signed(field(word, 6, 18), 18));
                return Operation::J;
            }
            1 => (Operation::Beqz, long, None),
            5 => (Operation::Bnez, long, None),
            9 => (Operation::Bltz, long, None),
            13 => (Operation::Bgez, long, None),
            2 => (Operation::Beqi, short, SIGNED.get(index)),
            6 => (Operation::Bnei, short, SIGNED.get(index)),
            10 => (Operation::Blti, short, SIGNED.get(index)),
            14 => (Operation::Bgei, short, SIGNED.get(index)),
            11 => (Operation::Bltui, short, UNSIGNED.get(index)),
            15 => (Operation::Bgeui, short, UNSIGNED.get(index)),
            _ => return Operation::Ill,
        };
        self.offset = offset;
        self.immediate = constant.copied().unwrap_or(0);
        operation
    }

    /// Major opcode 7: branches that compare two registers or test bits.
    fn branch(&mut self, word: u32) -> Operation {
        self.offset = offset(signed(field(word, 16, 8), 8).wrapping_add(4));
        self.amount = (self.r & 1) << 4 | self.t;
        match self.r {
            0 => Operation::Bnone,
            1 => Operation::Beq,
            2 => Operation::Blt,
            3 => Operation::Bltu,
            4 => Operation::Ball,
            5 => Operation::Bbc,
            6 | 7 => Operation::Bbci,
            8 => Operation::Bany,
            9 => Operation::Bne,
            10 => Operation::Bge,
            11 => Operation::Bgeu,
            12 => Operation::Bnall,
            13 => Operation::Bbs,
            _ => Operation::Bbsi,
        }
    }

    /// Major opcodes 8 to 15: 16-bit instructions.
    fn density(&mut self, word: u32) -> Operation {
        let imm4 = u32::from(self.r);
        match word & 15 {
            8 => self.with(imm4 << 2, Operation::L32iN),
            9 => self.with(imm4 << 2, Operation::S32iN),
            10 => Operation::AddN,
            // Adding 0 would be useless: it means -1.
            11 => self.with(if self.t == 0 { u32::MAX } else { u32::from(self.t) }, Operation::AddiN),
            12 if self.t < 8 => {
                let value = u32::from(self.t) << 4 | imm4;
                // -32 to 95.
                self.with(if value >= 96 { value.wrapping_sub(128) } else { value }, Operation::MoviN)
            }
            12 => {
                self.offset = offset(((u32::from(self.t) & 3) << 4 | imm4) + 4);
                if self.t < 12 { Operation::BeqzN } else { Operation::BnezN }
            }
            13 => match (self.r, self.s, self.t) {
                (0, _, _) => Operation::MovN,
                (15, _, 0) => Operation::RetN,
                (15, _, 2) => Operation::BreakN,
                (15, 0, 3) => Operation::NopN,
                (15, 0, 6) => Operation::IllN,
                _ => Operation::Ill,
            },
            _ => Operation::Ill,
        }
    }
}
