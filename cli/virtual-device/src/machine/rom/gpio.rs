//! GPIO: outputs, inputs, and interrupts and wake-up by pin. 10 to 30 cycles, counted from the instructions.
//!
//! Left out: the ROM's own interrupt handler for pins and `gpio_init`, which installs it.

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::GPIO_STATE;
use super::interrupts::lock_interrupts;
use crate::machine::Step;

const BASE: u32 = 0x6000_0300;
const INPUT: u32 = BASE + 0x18;
const PIN: u32 = BASE + 0x28;
const PINS: u32 = 16;
const PIN_KIND: u32 = 7 << 7;
const PIN_WAKEUP: u32 = 1 << 10;
/// Kind of interrupt by pin, a byte each, in the ROM's RAM.
const KINDS: u32 = GPIO_STATE + 16;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_4CD0, "gpio_output_set", set_outputs),
    (0x4000_4CF0, "gpio_input_get", input),
    (0x4000_4D04, "gpio_register_set", set_register),
    (0x4000_4D5C, "gpio_register_get", register),
    (0x4000_4D88, "gpio_intr_pending", pending),
    (0x4000_4D90, "gpio_pin_intr_state_set", set_interrupt),
    (0x4000_4E28, "gpio_intr_handler_register", register_handler),
    (0x4000_4E90, "gpio_pin_wakeup_enable", enable_wakeup),
    (0x4000_4ED4, "gpio_pin_wakeup_disable", disable_wakeup),
];

fn set_outputs(call: &mut Call<'_>) -> Outcome {
    let [set, clear, enable, disable, ..] = call.arguments();
    for (offset, bits) in [(4, set), (8, clear), (0x10, enable), (0x14, disable)] {
        call.set_word(BASE + offset, bits)?;
    }
    Ok(Step::Return { cycles: 10 })
}

fn input(call: &mut Call<'_>) -> Outcome {
    let input = call.word(INPUT)?;
    returned(call, input, 4)
}

fn pin(number: u32) -> u32 {
    PIN.wrapping_add(number.wrapping_mul(4))
}

fn set_register(call: &mut Call<'_>) -> Outcome {
    let [number, value, ..] = call.arguments();
    lock_interrupts(call)?;
    call.set_word(pin(number), value)?;
    if number < PINS {
        let kind = value >> 7 & 7;
        call.set_byte(KINDS + number, kind.to_le_bytes()[0])?;
        if kind == 0 {
            call.modify(GPIO_STATE, 1 << number, 0)?;
        }
    }
    call.set_interrupt_level(0);
    Ok(Step::Return { cycles: 35 })
}

fn register(call: &mut Call<'_>) -> Outcome {
    let number = call.a2();
    let mut value = call.word(pin(number))?;
    if number < PINS {
        value = value & !PIN_KIND | u32::from(call.byte(KINDS + number)?) << 7;
    }
    returned(call, value, 14)
}

fn pending(call: &mut Call<'_>) -> Outcome {
    let pending = call.word(GPIO_STATE)?;
    returned(call, pending, 3)
}

fn change_pin(call: &mut Call<'_>, set: u32) -> Result<(), Exception> {
    let number = call.a2();
    lock_interrupts(call)?;
    call.modify(pin(number), PIN_KIND, set)?;
    call.set_interrupt_level(0);
    Ok(())
}

fn set_interrupt(call: &mut Call<'_>) -> Outcome {
    let kind = call.a3();
    change_pin(call, kind << 7)?;
    Ok(Step::Return { cycles: 27 })
}

fn enable_wakeup(call: &mut Call<'_>) -> Outcome {
    let kind = call.a3();
    change_pin(call, kind << 7 | PIN_WAKEUP)?;
    Ok(Step::Return { cycles: 29 })
}

fn disable_wakeup(call: &mut Call<'_>) -> Outcome {
    for number in 0..PINS {
        let value = call.word(pin(number))?;
        if value & PIN_WAKEUP != 0 {
            call.set_word(pin(number), value & !(PIN_KIND | PIN_WAKEUP))?;
        }
    }
    Ok(Step::Return { cycles: 130 })
}

fn register_handler(call: &mut Call<'_>) -> Outcome {
    let [handler, argument, ..] = call.arguments();
    call.set_word(GPIO_STATE + 4, handler)?;
    call.set_word(GPIO_STATE + 8, argument)?;
    Ok(Step::Return { cycles: 4 })
}
