//! Instructions as the assembler writes them.

use core::fmt;

use crate::{Instruction, Operation, SpecialRegister};

/// An instruction at an address, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disassembly {
    /// The instruction.
    pub instruction: Instruction,
    /// Where it stands.
    pub pc: u32,
}

/// Decodes the instruction in the low 24 (or 16) bits of `word` for display as the assembler writes it;
/// what does not exist is shown as `ill`.
#[must_use]
pub fn disassemble(word: u32, pc: u32) -> Disassembly {
    Disassembly { instruction: Instruction::decode(word, pc), pc }
}

/// The mnemonics with `.n`, whose names as operations end with N.
const DENSITY: [Operation; 12] = [
    Operation::IllN,
    Operation::AddN,
    Operation::AddiN,
    Operation::MoviN,
    Operation::MovN,
    Operation::L32iN,
    Operation::S32iN,
    Operation::BeqzN,
    Operation::BnezN,
    Operation::RetN,
    Operation::BreakN,
    Operation::NopN,
];

impl fmt::Display for Disassembly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Operation as O;
        let i = self.instruction;
        let name = format!("{:?}", i.operation).to_lowercase();
        let name = match name.strip_suffix('n') {
            Some(stem) if DENSITY.contains(&i.operation) => format!("{stem}.n"),
            _ => name,
        };
        let (r, s, t) = (i.r, i.s, i.t);
        let number = i.immediate.cast_signed();
        let target = self.pc.wrapping_add_signed(i32::from(i.offset));
        match i.operation {
            O::Add | O::AddN | O::Addx2 | O::Addx4 | O::Addx8 => write!(f, "{name} a{r}, a{s}, a{t}"),
            O::Sub | O::Subx2 | O::Subx4 | O::Subx8 => write!(f, "{name} a{r}, a{s}, a{t}"),
            O::And | O::Or | O::Xor | O::Mul16s | O::Mul16u | O::Mull => {
                write!(f, "{name} a{r}, a{s}, a{t}")
            }
            O::Moveqz | O::Movnez | O::Movltz | O::Movgez | O::Src => {
                write!(f, "{name} a{r}, a{s}, a{t}")
            }
            O::Neg | O::Abs | O::Srl | O::Sra => write!(f, "{name} a{r}, a{t}"),
            O::Sll => write!(f, "{name} a{r}, a{s}"),
            O::AddiN => write!(f, "{name} a{r}, a{s}, {number}"),
            O::Addi | O::Addmi => write!(f, "{name} a{t}, a{s}, {number}"),
            O::Movi => write!(f, "{name} a{t}, {number}"),
            O::MoviN => write!(f, "{name} a{s}, {number}"),
            O::MovN | O::Nsa | O::Nsau | O::Rer | O::Wer => write!(f, "{name} a{t}, a{s}"),
            O::Ritlb0 | O::Ritlb1 | O::Pitlb | O::Witlb => write!(f, "{name} a{t}, a{s}"),
            O::Rdtlb0 | O::Rdtlb1 | O::Pdtlb | O::Wdtlb => write!(f, "{name} a{t}, a{s}"),
            O::Extui => {
                write!(f, "{name} a{r}, a{t}, {}, {}", i.amount, i.immediate.trailing_ones())
            }
            O::Slli => write!(f, "{name} a{r}, a{s}, {number}"),
            O::Srai | O::Srli => write!(f, "{name} a{r}, a{t}, {number}"),
            O::Ssai => write!(f, "{name} {number}"),
            O::Ssr | O::Ssl | O::Ssa8l | O::Ssa8b | O::Jx | O::Callx0 | O::Iitlb | O::Idtlb => {
                write!(f, "{name} a{s}")
            }
            O::L32i | O::L32iN | O::L16ui | O::L16si | O::L8ui | O::S32i | O::S32iN | O::S16i | O::S8i => {
                write!(f, "{name} a{t}, a{s}, {number}")
            }
            O::L32r => write!(f, "{name} a{t}, {:#x}", i.immediate),
            O::J | O::Call0 => write!(f, "{name} {:#x}", i.immediate),
            O::Beqz | O::BeqzN | O::Bnez | O::BnezN | O::Bltz | O::Bgez => {
                write!(f, "{name} a{s}, {target:#x}")
            }
            O::Beqi | O::Bnei | O::Blti | O::Bgei | O::Bltui | O::Bgeui => {
                write!(f, "{name} a{s}, {number}, {target:#x}")
            }
            O::Bbci | O::Bbsi => write!(f, "{name} a{s}, {}, {target:#x}", i.amount),
            O::Beq | O::Bne | O::Blt | O::Bltu | O::Bge | O::Bgeu | O::Bnone | O::Bany => {
                write!(f, "{name} a{s}, a{t}, {target:#x}")
            }
            O::Ball | O::Bnall | O::Bbc | O::Bbs => write!(f, "{name} a{s}, a{t}, {target:#x}"),
            O::Rsr | O::Wsr | O::Xsr => {
                let register = SpecialRegister::from_number(i.r << 4 | i.s & 15);
                let special = match register {
                    Some(SpecialRegister::Interrupt) if i.operation == O::Wsr => "intset",
                    Some(register) => register.name(),
                    None => "?",
                };
                write!(f, "{name}.{special} a{t}")
            }
            O::Rsil => write!(f, "{name} a{t}, {s}"),
            O::Waiti | O::Rfi | O::BreakN => write!(f, "{name} {s}"),
            O::Break => write!(f, "{name} {s}, {t}"),
            O::Ill | O::IllN | O::Ret | O::RetN | O::Simcall | O::Syscall | O::Rfe | O::Rfde => {
                f.write_str(&name)
            }
            O::Nop | O::NopN | O::Isync | O::Rsync | O::Esync | O::Dsync | O::Excw | O::Extw | O::Memw => {
                f.write_str(&name)
            }
        }
    }
}
