//! Masking and attaching of interrupts: Tensilica's XTOS functions and the ROM's `ets_` names for them.
//!
//! State is in RAM: the mask of enabled interrupts and the mask that the dispatcher lowers while a handler runs
//! ("virtual priority"); INTENABLE is always both of them together. 15 to 25 cycles, counted from the instructions.

use espbroker_lx106::SpecialRegister;

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::{ENABLED, HANDLERS, SAVED_PS, UNHANDLED_INTERRUPT, VIRTUAL_PRIORITY};
use crate::machine::Step;

/// The highest interrupt that has a handler in the table; 14 is the NMI, which no C function can serve.
const LAST: u32 = 13;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_056C, "_xtos_restore_intlevel", restore_level),
    (0x4000_0574, "_xtos_set_vpri", set_virtual_priority),
    (0x4000_0F74, "ets_intr_lock", lock),
    (0x4000_0F80, "ets_intr_unlock", unlock),
    (0x4000_0F88, "ets_isr_attach", attach),
    (0x4000_0F98, "ets_isr_mask", mask),
    (0x4000_0FA8, "ets_isr_unmask", unmask),
    (0x4000_BD28, "_xtos_set_interrupt_handler_arg", attach),
    (0x4000_BD70, "_xtos_set_interrupt_handler", attach_with_number),
    (0x4000_BD84, "_xtos_ints_on", unmask),
    (0x4000_BDA4, "_xtos_ints_off", mask),
    (0x4000_DBFC, "_xtos_set_intlevel", set_level),
    (0x4000_DC18, "_xtos_set_min_intlevel", set_minimum_level),
];

/// Where the handler of an interrupt stands, its argument behind it.
pub(super) const fn handler_at(number: u32) -> u32 {
    HANDLERS - 8 * number
}

fn enable(call: &mut Call<'_>, enabled: u32, priority: u32) -> Result<(), Exception> {
    call.set_word(ENABLED, enabled)?;
    call.set_word(VIRTUAL_PRIORITY, priority)?;
    call.set_special(SpecialRegister::Intenable, enabled & priority);
    Ok(())
}

/// Sets bits of the mask of enabled interrupts; gives the mask from before.
pub(super) fn unmask_interrupts(call: &mut Call<'_>, bits: u32) -> Result<u32, Exception> {
    let (enabled, priority) = (call.word(ENABLED)?, call.word(VIRTUAL_PRIORITY)?);
    enable(call, enabled | bits, priority)?;
    Ok(enabled)
}

/// Clears bits of the mask of enabled interrupts; gives the mask from before.
pub(super) fn mask_interrupts(call: &mut Call<'_>, bits: u32) -> Result<u32, Exception> {
    let (enabled, priority) = (call.word(ENABLED)?, call.word(VIRTUAL_PRIORITY)?);
    enable(call, enabled & !bits, priority)?;
    Ok(enabled)
}

/// Puts a handler into the table, 0 takes it out; gives the handler from before, 0 for none.
pub(super) fn attach_handler(
    call: &mut Call<'_>,
    number: u32,
    handler: u32,
    argument: u32,
) -> Result<u32, Exception> {
    if number > LAST {
        return Ok(0);
    }
    let place = handler_at(number);
    let before = call.word(place)?;
    let (handler, argument) = if handler == 0 { (UNHANDLED_INTERRUPT, number) } else { (handler, argument) };
    call.set_word(place, handler)?;
    call.set_word(place + 4, argument)?;
    Ok(if before == UNHANDLED_INTERRUPT { 0 } else { before })
}

/// `ets_intr_lock`: level 3, which masks everything but the NMI.
pub(super) fn lock_interrupts(call: &mut Call<'_>) -> Result<(), Exception> {
    let ps = call.special(SpecialRegister::Ps);
    call.set_word(SAVED_PS, ps)?;
    call.set_interrupt_level(3);
    Ok(())
}

fn lock(call: &mut Call<'_>) -> Outcome {
    let ps = call.special(SpecialRegister::Ps);
    lock_interrupts(call)?;
    returned(call, ps, 4)
}

fn unlock(call: &mut Call<'_>) -> Outcome {
    let ps = call.set_interrupt_level(0);
    returned(call, ps, 2)
}

fn attach(call: &mut Call<'_>) -> Outcome {
    let [number, handler, argument, ..] = call.arguments();
    let before = attach_handler(call, number, handler, argument)?;
    returned(call, before, 24)
}

fn attach_with_number(call: &mut Call<'_>) -> Outcome {
    let [number, handler, ..] = call.arguments();
    let before = attach_handler(call, number, handler, number)?;
    returned(call, before, 24)
}

fn unmask(call: &mut Call<'_>) -> Outcome {
    let bits = call.a2();
    let before = unmask_interrupts(call, bits)?;
    returned(call, before, 17)
}

fn mask(call: &mut Call<'_>) -> Outcome {
    let bits = call.a2();
    let before = mask_interrupts(call, bits)?;
    returned(call, before, 18)
}

fn set_virtual_priority(call: &mut Call<'_>) -> Outcome {
    let priority = call.a2();
    let (enabled, before) = (call.word(ENABLED)?, call.word(VIRTUAL_PRIORITY)?);
    enable(call, enabled, priority)?;
    returned(call, before, 11)
}

fn restore_level(call: &mut Call<'_>) -> Outcome {
    let ps = call.a2();
    call.set_special(SpecialRegister::Ps, ps);
    Ok(Step::Return { cycles: 3 })
}

fn set_level(call: &mut Call<'_>) -> Outcome {
    let level = call.a2() & 0xF;
    let before = call.set_interrupt_level(level) & 0xF;
    returned(call, before, 9)
}

fn set_minimum_level(call: &mut Call<'_>) -> Outcome {
    let before = call.special(SpecialRegister::Ps) & 0xF;
    let level = call.a2() & 0xF;
    call.set_interrupt_level(level.max(before));
    returned(call, before, 11)
}
