//! Exception vectors, the dispatcher of level-1 interrupts, and C exception handlers (Tensilica's XTOS).
//!
//! The user vector makes a frame of 256 bytes on the stack of the interrupted code and jumps through the table of
//! handlers in RAM. The dispatcher calls the handler of the highest pending interrupt with only higher ones enabled,
//! at interrupt level 0, until none is left. Everything it has to remember is in the frame. The cycles are those of
//! the instructions: 11 in the vector, about 45 to the first handler, 26 behind the last.

use espbroker_lx106::SpecialRegister;

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::{
    C_HANDLERS, C_WRAPPER, ENABLED, EXCEPTION_HANDLERS, NO_HANDLER, PRIORITY_MASKS, RETURN_FROM_EXCEPTION,
    TEXT_EXCEPTION, TEXT_REGISTERS, TEXT_STACK, UNHANDLED_EXCEPTION, VIRTUAL_PRIORITY,
};
use super::interrupts::handler_at;
use super::printf;
use crate::machine::Step;

const FRAME: u32 = 256;
const FRAME_EPC: u32 = 0;
const FRAME_PS: u32 = 4;
const FRAME_SAR: u32 = 8;
const FRAME_PRIORITY: u32 = 12;
const FRAME_A0: u32 = 16;
const FRAME_A2: u32 = 20;
const FRAME_A3: u32 = 24;
const FRAME_A4: u32 = 28;
const FRAME_CAUSE: u32 = 76;

const PS_EXCEPTION: u32 = 1 << 4;
/// PS while a frame is being filled: user mode, level 1 masked.
const PS_DISPATCHING: u32 = 0x21;
const DEBUG_VECTOR: u32 = 0x10;
/// DEBUGCAUSE of BREAK.
const BREAK: u32 = 8;
/// Bytes of the SYSCALL instruction.
const SYSTEM_CALL_LENGTH: u32 = 3;
/// Interrupts that are no NMI.
const MASKABLE: u32 = 0x3FFF;

/// Behind the call of an interrupt handler.
const AFTER_INTERRUPT: u32 = 0x4000_050C;
/// Behind the call of a C exception handler.
const AFTER_HANDLER: u32 = 0x4000_05E1;
/// In the middle and at the end of the handler that prints.
const AFTER_FIRST_LINE: u32 = 0x4000_1887;
const AFTER_SECOND_LINE: u32 = 0x4000_189C;
const AFTER_STACK_LINE: u32 = 0x4000_182C;
const AFTER_STACK_REGISTERS: u32 = 0x4000_1861;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_0010, "_DebugExceptionVector", debug_vector),
    (0x4000_0020, "_NMIExceptionVector", nmi_vector),
    (0x4000_0030, "_KernelExceptionVector", endless_break),
    (0x4000_0050, "_UserExceptionVector", user_vector),
    (0x4000_0070, "_DoubleExceptionVector", endless_break),
    (0x4000_0454, "_xtos_set_exception_handler", set_handler),
    (0x4000_048C, "_xtos_l1int_handler", dispatch_interrupts),
    (AFTER_INTERRUPT, "_xtos_l1int_handler", after_interrupt),
    (0x4000_0590, "_xtos_cause3_handler", as_cause_3),
    (C_WRAPPER, "_xtos_c_wrapper_handler", call_handler),
    (AFTER_HANDLER, "_xtos_c_wrapper_handler", after_handler),
    (0x4000_17E0, "the handler of unaligned accesses", print_stack),
    (AFTER_STACK_LINE, "the handler of unaligned accesses", print_stack_registers),
    (AFTER_STACK_REGISTERS, "the handler of unaligned accesses", printed),
    (0x4000_1878, "the handler of fatal exceptions", print_exception),
    (AFTER_FIRST_LINE, "the handler of fatal exceptions", print_registers),
    (AFTER_SECOND_LINE, "the handler of fatal exceptions", printed),
    (0x4000_DBE0, "_xtos_alloca_handler", alloca),
    (0x4000_DBE4, "_xtos_syscall_handler", skip_system_call),
    (NO_HANDLER, "_xtos_p_none", no_handler),
    (0x4000_DC3C, "_xtos_unhandled_interrupt", unhandled_interrupt),
    (0x4000_DC3F, "_xtos_unhandled_interrupt", no_handler),
    (UNHANDLED_EXCEPTION, "_xtos_unhandled_exception", unhandled_exception),
    (0x4000_DC4E, "_xtos_unhandled_exception", alloca),
    (RETURN_FROM_EXCEPTION, "_xtos_return_from_exc", leave),
];

fn user_vector(call: &mut Call<'_>) -> Outcome {
    let frame = call.sp().wrapping_sub(FRAME);
    let [a2, a3, a4, ..] = call.arguments();
    call.set_word(frame + FRAME_A2, a2)?;
    call.set_word(frame + FRAME_A3, a3)?;
    let cause = call.special(SpecialRegister::Exccause);
    let handler = call.word(EXCEPTION_HANDLERS + 4 * (cause & 63))?;
    call.set_word(frame + FRAME_A4, a4)?;
    call.set_sp(frame);
    call.set_a2(cause);
    call.set_a3(handler);
    Ok(call.go(handler, 9))
}

/// Fills the frame that the vector began.
fn save(call: &mut Call<'_>) -> Result<(), Exception> {
    let frame = call.sp();
    let epc = call.special(SpecialRegister::Epc1);
    let ps = call.special(SpecialRegister::Ps);
    let sar = call.special(SpecialRegister::Sar);
    let [a0, _, _, _, _, rest @ ..] = call.machine.cpu.a;
    for (place, value) in [(FRAME_EPC, epc), (FRAME_PS, ps), (FRAME_SAR, sar), (FRAME_A0, a0)] {
        call.set_word(frame + place, value)?;
    }
    for (place, value) in (frame + FRAME_A4 + 4..).step_by(4).zip(rest) {
        call.set_word(place, value)?;
    }
    call.set_special(SpecialRegister::Ps, PS_DISPATCHING);
    Ok(())
}

fn dispatch_interrupts(call: &mut Call<'_>) -> Outcome {
    let frame = call.sp();
    let priority = call.word(VIRTUAL_PRIORITY)?;
    call.set_word(frame + FRAME_PRIORITY, priority)?;
    save(call)?;
    let enabled = call.special(SpecialRegister::Intenable);
    let pending = call.special(SpecialRegister::Interrupt) & enabled & MASKABLE;
    serve(call, pending, enabled, priority, 43)
}

/// Calls the handler of the highest of the `pending` interrupts; without any, goes back with the masks given.
fn serve(call: &mut Call<'_>, pending: u32, enable: u32, priority: u32, cycles: u64) -> Outcome {
    let Some(number) = pending.checked_ilog2() else {
        call.set_word(VIRTUAL_PRIORITY, priority)?;
        call.set_special(SpecialRegister::Intenable, enable);
        call.set_interrupt_level(1);
        return Ok(call.go(RETURN_FROM_EXCEPTION, 12));
    };
    let higher = call.word(PRIORITY_MASKS - 8 * number)?;
    let enabled = call.word(ENABLED)?;
    let handler = call.word(handler_at(number))?;
    let argument = call.word(handler_at(number) + 4)?;
    call.set_word(VIRTUAL_PRIORITY, higher)?;
    call.set_special(SpecialRegister::Intclear, 1 << number);
    call.set_special(SpecialRegister::Intenable, enabled & higher);
    call.set_interrupt_level(0);
    call.set_a2(argument);
    call.set_a3(call.sp());
    Ok(call.call(handler, AFTER_INTERRUPT, cycles))
}

fn after_interrupt(call: &mut Call<'_>) -> Outcome {
    let frame = call.sp();
    call.set_interrupt_level(2);
    let priority = call.word(frame + FRAME_PRIORITY)?;
    let enabled = call.word(ENABLED)? & priority;
    let pending = call.special(SpecialRegister::Interrupt) & enabled & MASKABLE;
    serve(call, pending, enabled, priority, 32)
}

/// Restores everything from the frame and goes back to where the exception was.
fn leave(call: &mut Call<'_>) -> Outcome {
    let frame = call.sp();
    let mut registers = call.machine.cpu.a;
    for (number, register) in (0..).zip(&mut registers) {
        if number != 1 {
            *register = call.word(frame + if number == 0 { FRAME_A0 } else { FRAME_A2 - 8 + 4 * number })?;
        }
    }
    let (epc, ps) = (call.word(frame + FRAME_EPC)?, call.word(frame + FRAME_PS)?);
    let sar = call.word(frame + FRAME_SAR)?;
    call.set_special(SpecialRegister::Sar, sar);
    call.machine.cpu.a = registers;
    call.set_sp(frame.wrapping_add(FRAME));
    call.set_special(SpecialRegister::Epc1, epc);
    call.set_special(SpecialRegister::Ps, ps & !PS_EXCEPTION);
    Ok(call.go(epc, 21))
}

fn set_handler(call: &mut Call<'_>) -> Outcome {
    let [cause, handler, ..] = call.arguments();
    if cause >= 64 {
        return returned(call, 0, 3);
    }
    let (c_handler, entry) =
        if handler == 0 { (NO_HANDLER, UNHANDLED_EXCEPTION) } else { (handler, C_WRAPPER) };
    let before = call.word(C_HANDLERS + 4 * cause)?;
    call.set_word(C_HANDLERS + 4 * cause, c_handler)?;
    call.set_word(EXCEPTION_HANDLERS + 4 * cause, entry)?;
    returned(call, if before == NO_HANDLER { 0 } else { before }, 19)
}

fn as_cause_3(call: &mut Call<'_>) -> Outcome {
    call.set_a2(3);
    Ok(call.go(C_WRAPPER, 2))
}

fn call_handler(call: &mut Call<'_>) -> Outcome {
    let (frame, cause) = (call.sp(), call.a2());
    call.set_word(frame + FRAME_CAUSE, cause)?;
    let handler = call.word(C_HANDLERS + 4 * (cause & 63))?;
    save(call)?;
    call.set_interrupt_level(0);
    if handler == 0 {
        return Ok(call.go(AFTER_HANDLER, 31));
    }
    call.set_a2(frame);
    call.set_a3(cause);
    Ok(call.call(handler, AFTER_HANDLER, 32))
}

fn after_handler(call: &mut Call<'_>) -> Outcome {
    call.set_interrupt_level(1);
    Ok(call.go(RETURN_FROM_EXCEPTION, 5))
}

/// RFE with the registers that the vector saved.
fn skip_system_call(call: &mut Call<'_>) -> Outcome {
    let frame = call.sp();
    let a3 = call.word(frame + FRAME_A3)?;
    let epc = call.special(SpecialRegister::Epc1).wrapping_add(SYSTEM_CALL_LENGTH);
    call.set_special(SpecialRegister::Epc1, epc);
    call.set_a2(u32::MAX);
    call.set_a3(a3);
    call.set_sp(frame.wrapping_add(FRAME));
    alloca(call)
}

/// RFE and nothing else.
fn alloca(call: &mut Call<'_>) -> Outcome {
    let ps = call.special(SpecialRegister::Ps);
    let epc = call.special(SpecialRegister::Epc1);
    call.set_special(SpecialRegister::Ps, ps & !PS_EXCEPTION);
    Ok(call.go(epc, 8))
}

fn no_handler(_: &mut Call<'_>) -> Outcome {
    Ok(Step::Return { cycles: 1 })
}

fn unhandled_exception(call: &mut Call<'_>) -> Outcome {
    let frame = call.sp();
    let (a2, a3) = (call.word(frame + FRAME_A2)?, call.word(frame + FRAME_A3)?);
    call.set_a2(a2);
    call.set_a3(a3);
    call.set_sp(frame.wrapping_add(FRAME));
    Ok(break_at(call, 0x4000_DC4B, 0x4000_DC4E))
}

fn unhandled_interrupt(call: &mut Call<'_>) -> Outcome {
    Ok(break_at(call, 0x4000_DC3C, 0x4000_DC3F))
}

fn endless_break(call: &mut Call<'_>) -> Outcome {
    let pc = call.machine.cpu.pc;
    if call.machine.cpu.interrupt_level() >= 2 {
        return Ok(Step::Stuck(report(call, "an exception in exception mode")));
    }
    Ok(break_at(call, pc, pc))
}

/// BREAK: the debug exception below level 2, nothing from there on.
fn break_at(call: &mut Call<'_>, pc: u32, next: u32) -> Step {
    if call.machine.cpu.interrupt_level() >= 2 {
        return call.go(next, 1);
    }
    let ps = call.special(SpecialRegister::Ps);
    call.set_special(SpecialRegister::Eps2, ps);
    call.set_special(SpecialRegister::Epc2, pc);
    call.set_special(SpecialRegister::Debugcause, BREAK);
    call.set_interrupt_level(2);
    let ps = call.special(SpecialRegister::Ps);
    call.set_special(SpecialRegister::Ps, ps | PS_EXCEPTION);
    let vector = call.special(SpecialRegister::Vecbase).wrapping_add(DEBUG_VECTOR);
    call.go(vector, 5)
}

/// The ROM waits there for ever, with everything masked that could end it.
fn debug_vector(call: &mut Call<'_>) -> Outcome {
    Ok(Step::Stuck(report(call, "an exception or interrupt without a handler")))
}

fn report(call: &Call<'_>, what: &str) -> String {
    let [cause, epc1, epc2, address, depc] = [
        SpecialRegister::Exccause,
        SpecialRegister::Epc1,
        SpecialRegister::Epc2,
        SpecialRegister::Excvaddr,
        SpecialRegister::Depc,
    ]
    .map(|register| call.special(register));
    format!(
        "the CPU stopped in the boot ROM's vector: {what}: cause {cause}, epc1 {epc1:#010x}, epc2 {epc2:#010x}, \
         excvaddr {address:#010x}, depc {depc:#010x}"
    )
}

fn nmi_vector(call: &mut Call<'_>) -> Outcome {
    let (ps, pc) = (call.special(SpecialRegister::Eps3), call.special(SpecialRegister::Epc3));
    call.set_special(SpecialRegister::Ps, ps);
    Ok(call.go(pc, 1))
}

/// Makes a small frame with the return address and prints `text` with these arguments.
fn print(call: &mut Call<'_>, text: u32, arguments: [u32; 5], back: u32) -> Step {
    call.set_a2(text);
    let [a3, a4, a5, a6, a7] = arguments;
    [call.machine.cpu.a[3], call.machine.cpu.a[4], call.machine.cpu.a[5]] = [a3, a4, a5];
    [call.machine.cpu.a[6], call.machine.cpu.a[7]] = [a6, a7];
    call.call(printf::PRINTF, back, 8)
}

fn open_frame(call: &mut Call<'_>) -> Result<(), Exception> {
    let (sp, a0) = (call.sp().wrapping_sub(16), call.a0());
    call.set_word(sp, a0)?;
    call.set_sp(sp);
    Ok(())
}

fn print_exception(call: &mut Call<'_>) -> Outcome {
    open_frame(call)?;
    let cause = call.special(SpecialRegister::Exccause);
    Ok(print(call, TEXT_EXCEPTION, [cause, 0, 0, 0, 0], AFTER_FIRST_LINE))
}

/// The ROM also follows stack frames as a CPU with register windows would have them; here there are none.
fn print_stack(call: &mut Call<'_>) -> Outcome {
    open_frame(call)?;
    let sp = call.sp();
    Ok(print(call, TEXT_STACK, [sp, 0, 0, 0, 0], AFTER_STACK_LINE))
}

fn registers(call: &Call<'_>) -> [u32; 5] {
    [
        SpecialRegister::Epc1,
        SpecialRegister::Epc2,
        SpecialRegister::Epc3,
        SpecialRegister::Excvaddr,
        SpecialRegister::Depc,
    ]
    .map(|register| call.special(register))
}

fn print_registers(call: &mut Call<'_>) -> Outcome {
    let registers = registers(call);
    Ok(print(call, TEXT_REGISTERS, registers, AFTER_SECOND_LINE))
}

fn print_stack_registers(call: &mut Call<'_>) -> Outcome {
    let registers = registers(call);
    Ok(print(call, TEXT_REGISTERS, registers, AFTER_STACK_REGISTERS))
}

fn printed(call: &mut Call<'_>) -> Outcome {
    let sp = call.sp();
    let a0 = call.word(sp)?;
    call.set_a0(a0);
    call.set_sp(sp.wrapping_add(16));
    Ok(Step::Return { cycles: 3 })
}
