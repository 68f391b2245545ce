//! Software timers on the hardware timer FRC2, which counts 312500 times a second.
//!
//! A timer is `{next (-1 = not armed), expiry, period, function, argument}`; armed ones are in a list by expiry. The
//! hardware's alarm posts an event to task 31, which calls what is due. 30 to 60 cycles a function; arming divides.

use super::Entry;
use super::call::{Call, Exception, Outcome};
use super::data::{TIMER_QUEUE, TIMERS};
use super::interrupts::{attach_handler, unmask_interrupts};
use super::tasks;
use crate::machine::Step;

const FRC2_LOAD: u32 = 0x6000_0620;
const FRC2_COUNT: u32 = 0x6000_0624;
const FRC2_CONTROL: u32 = 0x6000_0628;
const FRC2_ALARM: u32 = 0x6000_0630;
/// Running, a 256th of the clock.
const FRC2_RUN: u32 = 0x88;
const EDGE_ENABLE: u32 = 0x3FF0_0004;
const EDGE_FRC2: u32 = 1 << 2;
const INTERRUPT: u32 = 10;
const TASK: u32 = 31;
const QUEUE_LENGTH: u32 = 4;
/// The least number of ticks that an alarm is set ahead.
const LEAD: u32 = 40;

const NOT_ARMED: u32 = u32::MAX;
/// Fields of a timer.
const EXPIRY: u32 = 4;
const PERIOD: u32 = 8;
const FUNCTION: u32 = 12;
const ARGUMENT: u32 = 16;

/// Milliseconds up to which the ticks fit into 32 bits on the way.
const SHORT: u32 = 0x30CE;
/// The ROM's number for ticks in 1000 s; 312500 would be exact.
const TICKS: u32 = 0x0004_C4B4;

const INTERRUPT_HANDLER: u32 = 0x4000_2E24;
const TASK_FUNCTION: u32 = 0x4000_2E3C;
const HANDLER: u32 = 0x4000_2DA8;
/// In the handler: looking for what is due, and behind a call.
const DUE: u32 = 0x4000_2DE0;
const CALLED: u32 = 0x4000_2E09;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_2C48, "ets_timer_setfn", set_function),
    (0x4000_2C64, "timer_insert", insert_timer),
    (0x4000_2CC4, "ets_timer_arm", arm_timer),
    (0x4000_2D40, "ets_timer_disarm", disarm_timer),
    (0x4000_2D80, "ets_timer_done", done),
    (HANDLER, "ets_timer_handler_isr", handle),
    (DUE, "ets_timer_handler_isr", due),
    (CALLED, "ets_timer_handler_isr", called),
    (INTERRUPT_HANDLER, "the timers' interrupt handler", interrupt),
    (TASK_FUNCTION, "the timers' task", run_task),
    (0x4000_2E68, "ets_timer_init", initialise),
];

/// Makes a timer of what is at `timer`, not armed.
pub(super) fn define(call: &mut Call<'_>, timer: u32, function: u32, argument: u32) -> Result<(), Exception> {
    for (offset, value) in
        [(FUNCTION, function), (ARGUMENT, argument), (EXPIRY, 0), (PERIOD, 0), (0, NOT_ARMED)]
    {
        call.set_word(timer.wrapping_add(offset), value)?;
    }
    Ok(())
}

fn set_function(call: &mut Call<'_>) -> Outcome {
    let [timer, function, argument, ..] = call.arguments();
    define(call, timer, function, argument)?;
    Ok(Step::Return { cycles: 8 })
}

/// Sets the alarm for `expiry`, or for as soon as the hardware surely notices.
fn set_alarm(call: &mut Call<'_>, expiry: u32) -> Result<(), Exception> {
    let now = call.word(FRC2_COUNT)?;
    let ahead = expiry.wrapping_sub(now).cast_signed();
    let alarm = if ahead > LEAD.cast_signed() {
        expiry
    } else if ahead > 0 {
        expiry.wrapping_add(LEAD + 4)
    } else {
        now.wrapping_add(LEAD)
    };
    call.set_word(FRC2_ALARM, alarm)
}

/// Whether `first` comes after `second`, on a counter that wraps.
fn is_later(first: u32, second: u32) -> bool {
    first.wrapping_sub(second).cast_signed() > 0
}

/// Puts a timer into the list.
fn insert(call: &mut Call<'_>, expiry: u32, timer: u32) -> Result<(), Exception> {
    let mut before = None;
    let mut next = call.word(TIMERS)?;
    while next != 0 && is_later(expiry, call.word(next.wrapping_add(EXPIRY))?) {
        before = Some(next);
        next = call.word(next)?;
    }
    call.set_word(timer, next)?;
    call.set_word(timer.wrapping_add(EXPIRY), expiry)?;
    match before {
        Some(before) => call.set_word(before, timer),
        None => {
            call.set_word(TIMERS, timer)?;
            set_alarm(call, expiry)
        }
    }
}

fn insert_timer(call: &mut Call<'_>) -> Outcome {
    let [expiry, timer, ..] = call.arguments();
    insert(call, expiry, timer)?;
    Ok(Step::Return { cycles: 45 })
}

/// Arms a timer; false when it is armed already, and then the ROM prints a line and spins.
pub(super) fn arm(call: &mut Call<'_>, timer: u32, time: u32, repeat: u32) -> Result<bool, Exception> {
    if call.word(timer)? != NOT_ARMED {
        return Ok(false);
    }
    let ticks = match time {
        0 => 0,
        1..=SHORT => time.wrapping_mul(TICKS) / 1000 + 1,
        _ => (time & 3).wrapping_mul(313).wrapping_add((time >> 2).wrapping_mul(1250)),
    };
    if repeat != 0 {
        call.set_word(timer.wrapping_add(PERIOD), ticks)?;
    }
    let now = call.word(FRC2_COUNT)?;
    insert(call, now.wrapping_add(ticks), timer)?;
    Ok(true)
}

fn spins(function: &str, timer: u32) -> Step {
    Step::Stuck(format!("the boot ROM's {function} spins: the timer at {timer:#010x} is armed already"))
}

fn arm_timer(call: &mut Call<'_>) -> Outcome {
    let [timer, time, repeat, ..] = call.arguments();
    if !arm(call, timer, time, repeat)? {
        return Ok(spins("ets_timer_arm", timer));
    }
    Ok(Step::Return { cycles: 200 })
}

/// Takes a timer out of the list, if it is in it.
pub(super) fn disarm(call: &mut Call<'_>, timer: u32) -> Result<(), Exception> {
    let mut link = TIMERS;
    let mut next = call.word(link)?;
    while next != 0 && next != timer {
        link = next;
        next = call.word(next)?;
    }
    if next != 0 {
        let behind = call.word(timer)?;
        call.set_word(link, behind)?;
    }
    call.set_word(timer, NOT_ARMED)?;
    call.set_word(timer.wrapping_add(PERIOD), 0)
}

fn disarm_timer(call: &mut Call<'_>) -> Outcome {
    let timer = call.a2();
    disarm(call, timer)?;
    Ok(Step::Return { cycles: 20 })
}

fn done(call: &mut Call<'_>) -> Outcome {
    let timer = call.a2();
    if call.word(timer)? != NOT_ARMED {
        return Ok(spins("ets_timer_done", timer));
    }
    define(call, timer, 0, 0)?;
    Ok(Step::Return { cycles: 16 })
}

/// Frame: return address and a12, the timer that is being served.
fn handle(call: &mut Call<'_>) -> Outcome {
    let (sp, a0) = (call.sp().wrapping_sub(16), call.a0());
    let a12 = call.machine.cpu.a[12];
    call.set_word(sp, a0)?;
    call.set_word(sp.wrapping_add(4), a12)?;
    call.set_sp(sp);
    Ok(call.go(DUE, 8))
}

fn due(call: &mut Call<'_>) -> Outcome {
    let timer = call.word(TIMERS)?;
    if timer != 0 {
        let expiry = call.word(timer.wrapping_add(EXPIRY))?;
        let now = call.word(FRC2_COUNT)?;
        if !is_later(expiry, now) {
            let (next, function) = (call.word(timer)?, call.word(timer.wrapping_add(FUNCTION))?);
            let argument = call.word(timer.wrapping_add(ARGUMENT))?;
            // Whom the ROM is calling, for whoever looks.
            call.set_word(TIMERS + 4, timer)?;
            call.set_word(TIMERS + 8, function)?;
            call.set_word(TIMERS, next)?;
            call.set_word(timer, NOT_ARMED)?;
            call.machine.cpu.a[12] = timer;
            call.set_a2(argument);
            return Ok(call.call(function, CALLED, 22));
        }
        set_alarm(call, expiry)?;
    }
    let sp = call.sp();
    let (a0, a12) = (call.word(sp)?, call.word(sp.wrapping_add(4))?);
    call.set_a0(a0);
    call.machine.cpu.a[12] = a12;
    call.set_sp(sp.wrapping_add(16));
    Ok(Step::Return { cycles: 30 })
}

fn called(call: &mut Call<'_>) -> Outcome {
    let timer = call.machine.cpu.a[12];
    let period = call.word(timer.wrapping_add(PERIOD))?;
    if call.word(timer)? == NOT_ARMED && period != 0 {
        let expiry = call.word(timer.wrapping_add(EXPIRY))?.wrapping_add(period);
        insert(call, expiry, timer)?;
    }
    Ok(call.go(DUE, 40))
}

fn interrupt(call: &mut Call<'_>) -> Outcome {
    tasks::enqueue(call, TASK, 0, 0)?;
    Ok(Step::Return { cycles: 70 })
}

fn run_task(call: &mut Call<'_>) -> Outcome {
    let event = call.a2();
    if call.word(event)? != 0 {
        return Ok(Step::Return { cycles: 7 });
    }
    Ok(call.go(HANDLER, 8))
}

fn initialise(call: &mut Call<'_>) -> Outcome {
    call.set_word(TIMERS, 0)?;
    attach_handler(call, INTERRUPT, INTERRUPT_HANDLER, 0)?;
    call.modify(EDGE_ENABLE, 0, EDGE_FRC2)?;
    unmask_interrupts(call, 1 << INTERRUPT)?;
    tasks::define(call, TASK_FUNCTION, TASK, TIMER_QUEUE, QUEUE_LENGTH)?;
    call.set_word(FRC2_ALARM, 0)?;
    call.set_word(FRC2_CONTROL, FRC2_RUN)?;
    call.set_word(FRC2_LOAD, 0)?;
    Ok(Step::Return { cycles: 110 })
}
