//! Delay, clock, reset, sleep registers, and where started code comes back to.
//!
//! `ets_delay_us` counts cycles, as many per microsecond as its variable says (80 after a reset), whatever the clock
//! really is: at 52 MHz it takes 1.54 times what was asked for.

use espbroker_lx106::SpecialRegister;

use super::Entry;
use super::call::{Call, Outcome, returned};
use super::data::{CYCLES_PER_MICROSECOND, TEXT_DONE, USER_START};
use super::{printf, tasks};
use crate::machine::Step;

const RTC: u32 = 0x6000_0700;
const RTC_SLEEP_TARGET: u32 = RTC + 0x04;
const RTC_CONTROL: u32 = RTC + 0x08;
const RTC_STATE_1: u32 = RTC + 0x14;
const RTC_STATE_2: u32 = RTC + 0x18;
const RTC_COUNTER: u32 = RTC + 0x1C;
const SOFTWARE_RESET: u32 = 1 << 31;
const CONTROL_AFTER_SLEEP: u32 = 1 << 21;
const DEEP_SLEEP: u32 = 5;
const SDIO: u32 = 6;

/// The counting loop of `ets_delay_us`.
const DELAY_LOOP: u32 = 0x4000_2EEE;
/// In `main`, behind the call of the code that was started.
const DONE: u32 = 0x4000_1100;
const DONE_PRINTED: u32 = 0x4000_1106;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_0FBC, "ets_set_user_start", set_user_start),
    (DONE, "main", user_code_done),
    (DONE_PRINTED, "main", |call| Ok(call.call(tasks::RUN, 0x4000_1109, 1))),
    (0x4000_25E0, "rtc_get_reset_reason", reset_reason),
    (0x4000_264C, "software_reset", reset),
    (0x4000_2668, "rtc_set_sleep_mode", set_sleep_mode),
    (0x4000_2ECC, "ets_delay_us", delay),
    (DELAY_LOOP, "ets_delay_us", delay_loop),
    (0x4000_2F04, "ets_update_cpu_frequency", set_frequency),
    (0x4000_2F0C, "ets_get_cpu_frequency", frequency),
];

fn set_user_start(call: &mut Call<'_>) -> Outcome {
    let start = call.a2();
    call.set_word(USER_START, start)?;
    Ok(Step::Return { cycles: 3 })
}

fn user_code_done(call: &mut Call<'_>) -> Outcome {
    call.set_a2(TEXT_DONE);
    Ok(call.call(printf::PRINTF, DONE_PRINTED, 2))
}

/// 1 power-on, 2 external, 3 software, 4 watchdog, 5 deep sleep, 6 SDIO.
fn reset_reason(call: &mut Call<'_>) -> Outcome {
    let mut reason = call.word(RTC_STATE_1)? & 0xF;
    if reason == DEEP_SLEEP {
        reason = match call.word(RTC_STATE_2)? >> 8 & 0x3F {
            1 => SDIO,
            8 => DEEP_SLEEP,
            _ => 0,
        };
    }
    call.modify(RTC_CONTROL, CONTROL_AFTER_SLEEP, 0)?;
    returned(call, reason, 22)
}

fn reset(call: &mut Call<'_>) -> Outcome {
    call.modify(RTC, 0, SOFTWARE_RESET)?;
    Ok(Step::Return { cycles: 8 })
}

fn set_sleep_mode(call: &mut Call<'_>) -> Outcome {
    let [mode, time, wake, ..] = call.arguments();
    let target = call.word(RTC_COUNTER)?.wrapping_add(time.wrapping_mul(100_000));
    call.set_word(RTC_SLEEP_TARGET, target)?;
    call.set_word(RTC_STATE_2, wake)?;
    call.modify(RTC_CONTROL, 0, mode)?;
    Ok(Step::Return { cycles: 16 })
}

/// Frame: return address, a12 (cycles to wait) and a13 (CCOUNT at the beginning).
fn delay(call: &mut Call<'_>) -> Outcome {
    let microseconds = call.a2();
    let cycles = microseconds.wrapping_mul(call.word(CYCLES_PER_MICROSECOND)?);
    let (sp, a0) = (call.sp().wrapping_sub(16), call.a0());
    let [a12, a13] = [call.machine.cpu.a[12], call.machine.cpu.a[13]];
    for (offset, value) in [(0, a0), (4, a12), (8, a13)] {
        call.set_word(sp.wrapping_add(offset), value)?;
    }
    call.set_sp(sp);
    call.machine.cpu.a[12] = cycles;
    call.machine.cpu.a[13] = call.special(SpecialRegister::Ccount);
    Ok(call.go(DELAY_LOOP, 14))
}

fn delay_loop(call: &mut Call<'_>) -> Outcome {
    let [cycles, start] = [call.machine.cpu.a[12], call.machine.cpu.a[13]];
    let passed = call.special(SpecialRegister::Ccount).wrapping_sub(start);
    if passed < cycles {
        return Ok(call.poll((cycles - passed).into()));
    }
    let sp = call.sp();
    let [a0, a12, a13] = [call.word(sp)?, call.word(sp.wrapping_add(4))?, call.word(sp.wrapping_add(8))?];
    call.set_a0(a0);
    call.machine.cpu.a[12] = a12;
    call.machine.cpu.a[13] = a13;
    call.set_sp(sp.wrapping_add(16));
    Ok(Step::Return { cycles: 10 })
}

fn set_frequency(call: &mut Call<'_>) -> Outcome {
    let megahertz = call.a2();
    call.set_word(CYCLES_PER_MICROSECOND, megahertz)?;
    Ok(Step::Return { cycles: 3 })
}

fn frequency(call: &mut Call<'_>) -> Outcome {
    let megahertz = call.word(CYCLES_PER_MICROSECOND)?;
    returned(call, megahertz, 3)
}
