//! The LX106, the CPU of the ESP8266, as an interpreter: the processor alone, without a chip around it.
//!
//! Implements the Xtensa instruction set architecture in the configuration of the LX106: base instructions,
//! density, MUL16 and MULL, NSA, extended L32R, exceptions, level-1 interrupts and the NMI, CCOUNT with one
//! CCOMPARE. Memory, peripherals and interrupt lines are the [`Bus`]'s.
//!
//! Left out: hardware breakpoints and the instruction counter (their registers hold what is written, nothing
//! more), on-chip debug mode, and the access rights of the region protection (the bus has them).
//!
//! Time: one instruction is one cycle, an exception entry too. Pipeline stalls, the cycles a taken branch
//! loses, and waits of the instruction cache are not modelled.

mod bus;
mod cache;
mod cause;
mod cpu;
mod decode;
mod disassemble;
mod execute;
mod idle;
mod interrupts;
mod special;

pub use bus::{Bus, Fault, Poll, Width};
pub use cause::Cause;
pub use cpu::{Cpu, Stop};
pub use decode::{Instruction, Operation};
pub use disassemble::{Disassembly, disassemble};
pub use special::SpecialRegister;
