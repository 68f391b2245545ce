//! The watchdog's modes, in the ROM's numbers: 1 fed by a timer, 2 by its interrupt, 3 and 4 by nobody.

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::{WATCHDOG_STATE, WATCHDOG_TIMER};
use super::interrupts::{attach_handler, mask_interrupts, unmask_interrupts};
use super::timers;
use crate::machine::Step;

const CONTROL: u32 = 0x6000_0900;
const STAGE_1: u32 = 0x6000_0904;
const STAGE_2: u32 = 0x6000_0908;
const STATE: u32 = 0x6000_0910;
const FEED: u32 = 0x6000_0914;
const ACKNOWLEDGE: u32 = 0x6000_0918;
const ENABLED: u32 = 1;
/// What the last two registers take.
const FOOD: u32 = 0x73;
const EDGE_ENABLE: u32 = 0x3FF0_0004;
const EDGE: u32 = 1;
const INTERRUPT: u32 = 8;
const HANDLER: u32 = 0x4000_2F88;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_2F34, "ets_wdt_get_mode", mode),
    (HANDLER, "the watchdog's handler", handle),
    (0x4000_2FA0, "ets_wdt_enable", enable),
    (0x4000_30F0, "ets_wdt_disable", disable),
    (0x4000_3158, "ets_wdt_restore", restore),
    (0x4000_3170, "ets_wdt_init", initialise),
];

/// The hardware's code for an interval.
const fn code(interval: u32) -> u32 {
    match interval {
        3 => 11,
        6 => 12,
        12 => 13,
        _ => 0,
    }
}

fn mode(call: &mut Call<'_>) -> Outcome {
    let mode = call.word(WATCHDOG_STATE)?;
    returned(call, mode, 3)
}

fn handle(call: &mut Call<'_>) -> Outcome {
    match call.word(WATCHDOG_STATE)? {
        1 => call.set_word(FEED, FOOD)?,
        2 if call.word(STATE)? == 1 => {
            call.set_word(ACKNOWLEDGE, FOOD)?;
            call.set_word(FEED, FOOD)?;
        }
        _ => {}
    }
    Ok(Step::Return { cycles: 24 })
}

/// False when the timer of mode 1 is armed already, and then the ROM spins.
fn set_mode(call: &mut Call<'_>, mode: u32, first: u32, second: u32) -> Result<bool, Exception> {
    if call.word(WATCHDOG_STATE)? == 2 {
        mask_interrupts(call, 1 << INTERRUPT)?;
    }
    call.set_word(WATCHDOG_STATE + 4, first)?;
    call.set_word(WATCHDOG_STATE + 8, second)?;
    call.modify(CONTROL, ENABLED, 0)?;
    match mode {
        1 => {
            timers::define(call, WATCHDOG_TIMER, HANDLER, 0)?;
            if !timers::arm(call, WATCHDOG_TIMER, first >> 10, 1)? {
                return Ok(false);
            }
            call.set_word(CONTROL, 0x3C)?;
            call.set_word(STAGE_1, code(second))?;
        }
        2 | 4 => {
            call.set_word(CONTROL, 0x38)?;
            call.set_word(STAGE_1, code(first))?;
            call.set_word(STAGE_2, code(first))?;
            if mode == 2 {
                unmask_interrupts(call, 1 << INTERRUPT)?;
            }
        }
        3 => {
            call.set_word(CONTROL, 0x3C)?;
            call.set_word(STAGE_1, code(second))?;
        }
        _ => {}
    }
    call.modify(CONTROL, 0, ENABLED)?;
    call.set_word(WATCHDOG_STATE, mode)?;
    Ok(true)
}

fn enable_with(call: &mut Call<'_>, mode: u32, first: u32, second: u32) -> Outcome {
    if !set_mode(call, mode, first, second)? {
        return Ok(Step::Stuck("the boot ROM's ets_wdt_enable spins: its timer is armed already".to_owned()));
    }
    Ok(Step::Return { cycles: if mode == 1 { 300 } else { 70 } })
}

fn enable(call: &mut Call<'_>) -> Outcome {
    let [mode, first, second, ..] = call.arguments();
    enable_with(call, mode, first, second)
}

fn disable(call: &mut Call<'_>) -> Outcome {
    let mode = call.word(WATCHDOG_STATE)?;
    call.modify(CONTROL, ENABLED, 0)?;
    call.set_word(FEED, FOOD)?;
    call.set_word(WATCHDOG_STATE, 0)?;
    match mode {
        1 => timers::disarm(call, WATCHDOG_TIMER)?,
        2 => {
            mask_interrupts(call, 1 << INTERRUPT)?;
        }
        _ => {}
    }
    returned(call, mode, 45)
}

fn restore(call: &mut Call<'_>) -> Outcome {
    let mode = call.a2();
    if mode == 0 {
        return Ok(Step::Return { cycles: 7 });
    }
    let (first, second) = (call.word(WATCHDOG_STATE + 4)?, call.word(WATCHDOG_STATE + 8)?);
    enable_with(call, mode, first, second)
}

fn initialise(call: &mut Call<'_>) -> Outcome {
    call.modify(CONTROL, ENABLED, 0)?;
    attach_handler(call, INTERRUPT, HANDLER, 0)?;
    call.modify(EDGE_ENABLE, 0, EDGE)?;
    Ok(Step::Return { cycles: 50 })
}
