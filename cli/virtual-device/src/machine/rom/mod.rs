//! The boot ROM's public functions, as native code at their addresses.
//!
//! Names and addresses are those of the vendor SDK's linker script (`eagle.rom.addr.v6.ld`); behaviour is that of the
//! ROM's machine code: arguments and RAM structures, the width and alignment of memory accesses, what is polled, what
//! an interrupt finds. What is in no data sheet is left out: the radio and SDIO functions, and the serial loader,
//! which [`crate::loader`] acts. A call to such an address ends in [`Step::Stuck`].
//!
//! A native function keeps no state outside of registers and guest RAM. Long ones return in the middle with their
//! loop's state in the argument registers, so interrupts are taken there with EPC1 inside the ROM; those that call
//! machine code leave a continuation address of the real function in a0 and what they need on the guest's stack.
//!
//! Cycles are estimates at one cycle per instruction of the real function, plus what its registers make it wait for;
//! each module says what its figures rest on.

mod cache;
mod call;
mod data;
mod exceptions;
mod float;
mod gpio;
mod hash;
mod integer;
mod interrupts;
mod memory;
mod printf;
mod random;
mod spi;
mod strings;
mod system;
mod tasks;
#[cfg(test)]
mod tests;
mod timers;
mod uart;
mod watchdog;
mod xthal;

use std::sync::LazyLock;

pub(crate) use data::prepare;

use super::{Machine, Step};
use call::{Call, Outcome};

/// A native function, or the part of one behind a continuation address.
type Native = fn(&mut Call<'_>) -> Outcome;

/// Where a function lives, what it is called, and what it does.
type Entry = (u32, &'static str, Native);

/// Cycles from an exception to the first instruction of its vector.
const EXCEPTION_CYCLES: u64 = 5;

static TABLE: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    let groups = [
        cache::FUNCTIONS,
        exceptions::FUNCTIONS,
        float::FUNCTIONS,
        gpio::FUNCTIONS,
        hash::FUNCTIONS,
        integer::FUNCTIONS,
        interrupts::FUNCTIONS,
        memory::FUNCTIONS,
        printf::FUNCTIONS,
        random::FUNCTIONS,
        spi::FUNCTIONS,
        strings::FUNCTIONS,
        system::FUNCTIONS,
        tasks::FUNCTIONS,
        timers::FUNCTIONS,
        uart::FUNCTIONS,
        watchdog::FUNCTIONS,
        xthal::FUNCTIONS,
    ];
    let mut table: Vec<Entry> = groups.concat();
    table.sort_unstable_by_key(|&(address, ..)| address);
    table
});

fn find(address: u32) -> Option<&'static Entry> {
    let index = TABLE.binary_search_by_key(&address, |&(address, ..)| address).ok()?;
    TABLE.get(index)
}

/// Executes what is at the CPU's PC in the ROM.
pub(crate) fn step(machine: &mut Machine) -> Step {
    let pc = machine.cpu.pc;
    let Some((_, _, function)) = find(pc) else {
        let caller = machine.cpu.a[0];
        return Step::Stuck(format!(
            "the boot ROM has no function at {pc:#010x} in this device, called from {caller:#010x}"
        ));
    };
    match function(&mut Call { machine }) {
        Ok(step) => {
            if matches!(step, Step::Return { .. }) {
                machine.cpu.pc = machine.cpu.a[0];
            }
            step
        }
        Err(exception) => {
            machine.cpu.raise(exception.cause, exception.address);
            Step::Go { cycles: EXCEPTION_CYCLES }
        }
    }
}
