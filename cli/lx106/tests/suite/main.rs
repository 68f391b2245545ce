//! The CPU by the instruction set's definition: instructions one by one, then exceptions, interrupts and time.

mod board;
mod exceptions;
mod instructions;
mod interrupts;
mod properties;
mod waiting;
