//! The ROM's tasks: 32 priorities, a queue of events each, run to the end one by one.
//!
//! `ets_run` calls the function of the highest priority that has an event, an interrupt at a time away from everything
//! else. It keeps its return address and the callee's registers in a frame, its own priority in a13.

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::{IDLE_CALLBACK, READY_TASKS, TASK_PRIORITY, TASKS};
use super::interrupts::lock_interrupts;
use crate::machine::Step;

/// Fields of a task.
const QUEUE: u32 = 4;
const LENGTH: u32 = 8;
const WRITE: u32 = 9;
const READ: u32 = 10;
const COUNT: u32 = 11;
const READY_BIT: u32 = 12;

pub(super) const RUN: u32 = 0x4000_0E04;
const NEXT: u32 = 0x4000_0F4F;
const TASK_DONE: u32 = 0x4000_0F49;
const IDLE_DONE: u32 = 0x4000_0F65;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_0DC0, "ets_set_idle_cb", set_idle_callback),
    (0x4000_0DD0, "ets_task", set_task),
    (RUN, "ets_run", run),
    (NEXT, "ets_run", next),
    (TASK_DONE, "ets_run", task_done),
    (IDLE_DONE, "ets_run", idle),
    (0x4000_0E24, "ets_post", post),
];

fn task(priority: u32) -> u32 {
    TASKS.wrapping_add(priority.wrapping_sub(1).wrapping_mul(16))
}

fn set_idle_callback(call: &mut Call<'_>) -> Outcome {
    let [callback, argument, ..] = call.arguments();
    call.set_word(IDLE_CALLBACK, callback)?;
    call.set_word(IDLE_CALLBACK + 4, argument)?;
    Ok(Step::Return { cycles: 4 })
}

/// Fills in a task of this priority, with an empty queue.
pub(super) fn define(
    call: &mut Call<'_>,
    function: u32,
    priority: u32,
    queue: u32,
    length: u32,
) -> Result<(), Exception> {
    let task = task(priority);
    call.set_word(task, function)?;
    call.set_word(task.wrapping_add(QUEUE), queue)?;
    call.set_word(task.wrapping_add(LENGTH), length & 0xFF)?;
    call.set_word(task.wrapping_add(READY_BIT), 1_u32.wrapping_shl(priority.wrapping_sub(1)))
}

fn set_task(call: &mut Call<'_>) -> Outcome {
    let [function, priority, queue, length, ..] = call.arguments();
    define(call, function, priority, queue, length)?;
    Ok(Step::Return { cycles: 16 })
}

/// The place behind this one in a queue.
fn behind(place: u8, length: u8) -> u8 {
    let next = place.wrapping_add(1);
    if next == length { 0 } else { next }
}

/// Puts an event into a task's queue; false when it is full. Leaves interrupts unmasked.
pub(super) fn enqueue(
    call: &mut Call<'_>,
    priority: u32,
    signal: u32,
    parameter: u32,
) -> Result<bool, Exception> {
    let task = task(priority);
    lock_interrupts(call)?;
    let (length, count) = (call.byte(task.wrapping_add(LENGTH))?, call.byte(task.wrapping_add(COUNT))?);
    if count < length {
        let place = call.byte(task.wrapping_add(WRITE))?;
        let item = call.word(task.wrapping_add(QUEUE))?.wrapping_add(8 * u32::from(place));
        call.set_word(item, signal)?;
        call.set_word(item.wrapping_add(4), parameter)?;
        call.set_byte(task.wrapping_add(WRITE), behind(place, length))?;
        call.set_byte(task.wrapping_add(COUNT), count.wrapping_add(1))?;
        if count == 0 {
            let bit = call.word(task.wrapping_add(READY_BIT))?;
            call.modify(READY_TASKS, 0, bit)?;
        }
    }
    call.set_interrupt_level(0);
    Ok(count < length)
}

fn post(call: &mut Call<'_>) -> Outcome {
    let [priority, signal, parameter, ..] = call.arguments();
    let posted = enqueue(call, priority, signal, parameter)?;
    returned(call, u32::from(!posted), 60)
}

fn run(call: &mut Call<'_>) -> Outcome {
    let (sp, a0) = (call.sp().wrapping_sub(48), call.a0());
    let [.., a12, a13, a14, a15] = call.machine.cpu.a;
    for (offset, value) in (0..).step_by(4).zip([a0, a12, a13, a14, a15]) {
        call.set_word(sp.wrapping_add(offset), value)?;
    }
    call.set_byte(TASK_PRIORITY, 0)?;
    call.set_sp(sp);
    call.machine.cpu.a[13] = 0;
    Ok(call.go(NEXT, 25))
}

fn next(call: &mut Call<'_>) -> Outcome {
    lock_interrupts(call)?;
    let ready = call.word(READY_TASKS)?;
    let priority = 32 - ready.leading_zeros();
    if priority > call.machine.cpu.a[13] {
        return start(call, priority, ready);
    }
    let callback = call.word(IDLE_CALLBACK)?;
    if callback == 0 {
        return idle(call);
    }
    let argument = call.word(IDLE_CALLBACK + 4)?;
    call.set_a2(argument);
    Ok(call.call(callback, IDLE_DONE, 20))
}

/// Takes an event out of the queue and calls the task with it.
fn start(call: &mut Call<'_>, priority: u32, ready: u32) -> Outcome {
    let task = task(priority);
    let function = call.word(task)?;
    let (length, place) = (call.byte(task.wrapping_add(LENGTH))?, call.byte(task.wrapping_add(READ))?);
    let count = call.byte(task.wrapping_add(COUNT))?.wrapping_sub(1);
    let item = call.word(task.wrapping_add(QUEUE))?.wrapping_add(8 * u32::from(place));
    let bit = call.word(task.wrapping_add(READY_BIT))?;
    call.set_byte(task.wrapping_add(READ), behind(place, length))?;
    call.set_byte(task.wrapping_add(COUNT), count)?;
    if count == 0 {
        call.set_word(READY_TASKS, ready & !bit)?;
    }
    let [byte, ..] = priority.to_le_bytes();
    call.set_byte(TASK_PRIORITY, byte)?;
    call.set_interrupt_level(0);
    call.set_a2(item);
    Ok(call.call(function, TASK_DONE, 55))
}

fn task_done(call: &mut Call<'_>) -> Outcome {
    let [priority, ..] = call.machine.cpu.a[13].to_le_bytes();
    call.set_byte(TASK_PRIORITY, priority)?;
    Ok(call.go(NEXT, 2))
}

/// WAITI 0: the interrupt that ends it finds the CPU where it looks for tasks next.
fn idle(call: &mut Call<'_>) -> Outcome {
    call.set_interrupt_level(0);
    call.machine.cpu.pc = NEXT;
    Ok(Step::Wait { until: std::time::Duration::MAX })
}
