//! [`Call`]: the CPU inside a ROM function.
//!
//! Memory is reached as machine code reaches it: by width, aligned, with the exceptions of the address. A native
//! function may be left at any exception and called again, so it keeps what it has done in registers and RAM.

use std::time::Duration;

use espbroker_lx106::{Cause, SpecialRegister, Width};

use crate::machine::{Machine, Step};

/// PS: mask of the interrupt level.
const PS_LEVEL: u32 = 0xF;

/// An exception at the function's present address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exception {
    pub(super) cause: Cause,
    pub(super) address: u32,
}

/// What a native function comes to.
pub(super) type Outcome = Result<Step, Exception>;

/// The CPU in a ROM function.
pub(super) struct Call<'a> {
    pub(super) machine: &'a mut Machine,
}

/// Done, with a result in a2.
pub(super) fn returned(call: &mut Call<'_>, result: u32, cycles: u64) -> Outcome {
    call.set_a2(result);
    Ok(Step::Return { cycles })
}

impl Call<'_> {
    /// The first six arguments, a2 to a7.
    pub(super) const fn arguments(&self) -> [u32; 6] {
        let [_, _, a2, a3, a4, a5, a6, a7, ..] = self.machine.cpu.a;
        [a2, a3, a4, a5, a6, a7]
    }

    pub(super) const fn a0(&self) -> u32 {
        self.machine.cpu.a[0]
    }

    pub(super) const fn sp(&self) -> u32 {
        self.machine.cpu.a[1]
    }

    pub(super) const fn a2(&self) -> u32 {
        self.machine.cpu.a[2]
    }

    pub(super) const fn a3(&self) -> u32 {
        self.machine.cpu.a[3]
    }

    pub(super) const fn set_a0(&mut self, value: u32) {
        self.machine.cpu.a[0] = value;
    }

    pub(super) const fn set_sp(&mut self, value: u32) {
        self.machine.cpu.a[1] = value;
    }

    pub(super) const fn set_a2(&mut self, value: u32) {
        self.machine.cpu.a[2] = value;
    }

    pub(super) const fn set_a3(&mut self, value: u32) {
        self.machine.cpu.a[3] = value;
    }

    pub(super) const fn set_a4(&mut self, value: u32) {
        self.machine.cpu.a[4] = value;
    }

    pub(super) const fn set_a5(&mut self, value: u32) {
        self.machine.cpu.a[5] = value;
    }

    pub(super) fn special(&self, register: SpecialRegister) -> u32 {
        self.machine.cpu.special(register)
    }

    pub(super) fn set_special(&mut self, register: SpecialRegister, value: u32) {
        self.machine.cpu.set_special(register, value);
    }

    /// RSIL: masks interrupts up to `level`; gives the PS from before.
    pub(super) fn set_interrupt_level(&mut self, level: u32) -> u32 {
        let before = self.special(SpecialRegister::Ps);
        self.set_special(SpecialRegister::Ps, before & !PS_LEVEL | level);
        before
    }

    /// Goes on at `address`.
    pub(super) const fn go(&mut self, address: u32, cycles: u64) -> Step {
        self.machine.cpu.pc = address;
        Step::Go { cycles }
    }

    /// Calls `address`, which comes back to `back`.
    pub(super) const fn call(&mut self, address: u32, back: u32, cycles: u64) -> Step {
        self.set_a0(back);
        self.go(address, cycles)
    }

    /// The same address again after so many cycles, as a polling loop does.
    pub(super) fn poll(&self, cycles: u64) -> Step {
        let cycle = self.machine.cpu.cycles().saturating_add(cycles.max(1));
        Step::Wait { until: self.machine.bus.time.at(cycle) }
    }

    pub(super) fn now(&self) -> Duration {
        self.machine.now()
    }

    fn access(address: u32, width: Width) -> Result<(), Exception> {
        if address.is_multiple_of(width.bytes()) {
            Ok(())
        } else {
            Err(Exception { cause: Cause::Unaligned, address })
        }
    }

    /// L8UI, L16UI, L32I.
    pub(super) fn load(&mut self, address: u32, width: Width) -> Result<u32, Exception> {
        Self::access(address, width)?;
        self.machine.load(address, width).map_err(|fault| Exception { cause: fault.cause(), address })
    }

    /// S8I, S16I, S32I.
    pub(super) fn store(&mut self, address: u32, width: Width, value: u32) -> Result<(), Exception> {
        Self::access(address, width)?;
        self.machine.store(address, width, value).map_err(|fault| Exception { cause: fault.cause(), address })
    }

    pub(super) fn word(&mut self, address: u32) -> Result<u32, Exception> {
        self.load(address, Width::Word)
    }

    pub(super) fn set_word(&mut self, address: u32, value: u32) -> Result<(), Exception> {
        self.store(address, Width::Word, value)
    }

    pub(super) fn byte(&mut self, address: u32) -> Result<u8, Exception> {
        let [byte, ..] = self.load(address, Width::Byte)?.to_le_bytes();
        Ok(byte)
    }

    pub(super) fn set_byte(&mut self, address: u32, value: u8) -> Result<(), Exception> {
        self.store(address, Width::Byte, value.into())
    }

    /// Reads a word, clears and sets bits of it, and writes it back.
    pub(super) fn modify(&mut self, address: u32, clear: u32, set: u32) -> Result<(), Exception> {
        let value = self.word(address)?;
        self.set_word(address, value & !clear | set)
    }
}
