//! What the ROM keeps in RAM, from 0x3FFFC000 on: tables, structures and the texts that its functions print.
//!
//! Addresses and values are those of the ROM's data image and of its start-up code. Only what a function here or a
//! caller outside uses is filled in; the rest of the copied data (AES tables, jump tables, SDIO) stays 0.

use espbroker_lx106::Width;

use crate::machine::Machine;

/// First handler of each exception cause, in assembly.
pub(super) const EXCEPTION_HANDLERS: u32 = 0x3FFF_C000;
/// Handler of each exception cause, in C.
pub(super) const C_HANDLERS: u32 = 0x3FFF_C100;
/// Mask of enabled interrupts.
pub(super) const ENABLED: u32 = 0x3FFF_C200;
/// Mask that the dispatcher lowers.
pub(super) const VIRTUAL_PRIORITY: u32 = 0x3FFF_C204;
/// Handler and argument of interrupt 0; the higher ones are below it.
pub(super) const HANDLERS: u32 = 0x3FFF_C278;
/// Mask of the interrupts above interrupt 0, and its own bit; those of the higher ones are below it.
pub(super) const PRIORITY_MASKS: u32 = 0x3FFF_C2F0;
/// The C library's structure, with the random number generator's state.
pub(super) const REENTRANCY: u32 = 0x3FFF_C2F8;
/// Pointer to it.
pub(super) const REENTRANCY_POINTER: u32 = 0x3FFF_C6F8;
/// Priority of the task that runs; a byte.
pub(super) const TASK_PRIORITY: u32 = 0x3FFF_C6FC;
/// Cycles in a microsecond, as the ROM believes.
pub(super) const CYCLES_PER_MICROSECOND: u32 = 0x3FFF_C704;
/// Watchdog: mode and two intervals.
pub(super) const WATCHDOG_STATE: u32 = 0x3FFF_C708;
/// Pointer to the structure with the flash chip's sizes.
pub(super) const FLASH_CHIP_POINTER: u32 = 0x3FFF_C714;
const FLASH_CHIP: u32 = 0x3FFF_C718;
const DATA_POINTER: u32 = 0x3FFF_DAAC;

/// Idle callback and its argument, mask of ready tasks.
pub(super) const IDLE_CALLBACK: u32 = 0x3FFF_DAB0;
/// Mask of tasks that have something in their queue.
pub(super) const READY_TASKS: u32 = 0x3FFF_DAB8;
/// 32 tasks of 16 bytes.
pub(super) const TASKS: u32 = 0x3FFF_DAC0;
/// PS from before `ets_intr_lock`.
pub(super) const SAVED_PS: u32 = 0x3FFF_DCC0;
/// What the ROM starts.
pub(super) const USER_START: u32 = 0x3FFF_DCD0;
/// `printf`: two output functions at 12 and 16, one to call before at 20 and after at 24.
pub(super) const PRINTF: u32 = 0x3FFF_DD3C;
/// Head of the list of armed timers.
pub(super) const TIMERS: u32 = 0x3FFF_DDB0;
/// Queue of the timers' task.
pub(super) const TIMER_QUEUE: u32 = 0x3FFF_DDC0;
/// Timer of the watchdog's mode 1.
pub(super) const WATCHDOG_TIMER: u32 = 0x3FFF_DDE0;
/// The UART's structure.
pub(super) const UART_DEVICE: u32 = 0x3FFF_DE10;
/// Bytes received, in a ring of 256.
pub(super) const UART_RING: u32 = 0x3FFF_DE60;
/// GPIO interrupts: pending bits, handler, argument, and the kind of each pin at 16.
pub(super) const GPIO_STATE: u32 = 0x3FFF_DFD0;
/// Behind the RAM that start-up clears.
const CLEARED_END: u32 = 0x3FFF_EB30;

/// `_xtos_c_wrapper_handler`.
pub(super) const C_WRAPPER: u32 = 0x4000_0598;
/// `_xtos_p_none`.
pub(super) const NO_HANDLER: u32 = 0x4000_DBF8;
/// `_xtos_unhandled_interrupt`.
pub(super) const UNHANDLED_INTERRUPT: u32 = 0x4000_DC3C;
/// `_xtos_unhandled_exception`.
pub(super) const UNHANDLED_EXCEPTION: u32 = 0x4000_DC44;
/// `_xtos_return_from_exc`.
pub(super) const RETURN_FROM_EXCEPTION: u32 = 0x4000_DC54;

pub(super) const TEXT_DONE: u32 = 0x3FFF_D6DC;
pub(super) const TEXT_STACK: u32 = 0x3FFF_D784;
pub(super) const TEXT_REGISTERS: u32 = 0x3FFF_D7CC;
pub(super) const TEXT_EXCEPTION: u32 = 0x3FFF_D814;
pub(super) const TEXT_NULL: u32 = 0x3FFF_D870;

const TEXTS: [(u32, &[u8]); 5] = [
    (TEXT_DONE, b"user code done\n\0"),
    (TEXT_STACK, b"sp %p \n\0"),
    (TEXT_REGISTERS, b"epc1=0x%08x, epc2=0x%08x, epc3=0x%08x, excvaddr=0x%08x, depc=0x%08x\n\0"),
    (TEXT_EXCEPTION, b"Fatal exception (%d): \n\0"),
    (TEXT_NULL, b"<null>\0"),
];

/// Handlers in assembly that are not [`UNHANDLED_EXCEPTION`].
const SPECIAL_HANDLERS: [(u32, u32); 7] = [
    (1, 0x4000_DBE4),
    (4, 0x4000_048C),
    (5, 0x4000_DBE0),
    (12, 0x4000_0590),
    (13, 0x4000_0590),
    (14, 0x4000_0590),
    (15, 0x4000_0590),
];
/// C handlers that `main` installs before it starts code: causes that print a line, and the unaligned access.
const FATAL_CAUSES: [u32; 6] = [0, 2, 3, 28, 29, 8];
const FATAL_HANDLER: u32 = 0x4000_1878;
const UNALIGNED_CAUSE: u32 = 9;
const UNALIGNED_HANDLER: u32 = 0x4000_17E0;
/// `uart_rx_intr_handler`.
pub(super) const UART_HANDLER: u32 = 0x4000_3BBC;
/// `ets_install_uart_printf` installs it.
pub(super) const UART_PUT: u32 = 0x4000_1DCC;

/// The ROM's RAM as `main` leaves it to the code that it starts.
pub(crate) fn prepare(machine: &mut Machine) {
    let mut put = |address: u32, value: u32| {
        // All of it is data RAM, which takes any word.
        let _ = machine.bus.memory.store_data(address, Width::Word, value);
    };
    for cause in 0..64 {
        put(EXCEPTION_HANDLERS + 4 * cause, UNHANDLED_EXCEPTION);
        put(C_HANDLERS + 4 * cause, NO_HANDLER);
    }
    for (cause, handler) in SPECIAL_HANDLERS {
        put(EXCEPTION_HANDLERS + 4 * cause, handler);
    }
    let fatal = FATAL_CAUSES.map(|cause| (cause, FATAL_HANDLER));
    for (cause, handler) in fatal.into_iter().chain([(UNALIGNED_CAUSE, UNALIGNED_HANDLER)]) {
        put(EXCEPTION_HANDLERS + 4 * cause, C_WRAPPER);
        put(C_HANDLERS + 4 * cause, handler);
    }
    put(ENABLED, 0);
    put(VIRTUAL_PRIORITY, u32::MAX);
    for number in 0..=14 {
        put(HANDLERS - 8 * number, UNHANDLED_INTERRUPT);
        put(HANDLERS - 8 * number + 4, number);
        put(PRIORITY_MASKS - 8 * number, u32::MAX << (number + 1).min(14));
        put(PRIORITY_MASKS - 8 * number + 4, 1 << number);
    }
    // `uartAttach`; the interrupt stays masked.
    put(HANDLERS - 8 * 5, UART_HANDLER);
    put(HANDLERS - 8 * 5 + 4, UART_DEVICE + 24);
    for (offset, value) in [(160, 1), (164, 0), (168, 0xABCD_330E), (172, 0xE66D_1234)] {
        put(REENTRANCY + offset, value);
    }
    put(REENTRANCY_POINTER, REENTRANCY);
    put(TASK_PRIORITY, 0xFF);
    put(CYCLES_PER_MICROSECOND, 80);
    for (offset, value) in [(0, u32::MAX), (4, 6), (8, 12)] {
        put(WATCHDOG_STATE + offset, value);
    }
    put(FLASH_CHIP_POINTER, FLASH_CHIP);
    let sizes = [0x0016_40EF, 0x0040_0000, 0x0001_0000, 0x1000, 0x100, 0xFFFF];
    for (address, value) in (FLASH_CHIP..).step_by(4).zip(sizes) {
        put(address, value);
    }
    put(DATA_POINTER, EXCEPTION_HANDLERS);
    for address in (IDLE_CALLBACK..CLEARED_END).step_by(4) {
        put(address, 0);
    }
    put(PRINTF + 12, UART_PUT);
    let uart = [(0, 115_200), (4, 3), (24, 0x100), (28, UART_RING), (32, UART_RING), (36, UART_RING)];
    for (offset, value) in uart.into_iter().chain([(40, 1), (48, 100), (52, UART_RING + 0x100)]) {
        put(UART_DEVICE + offset, value);
    }
    for (address, text) in TEXTS {
        for (at, &byte) in (address..).zip(text) {
            let _ = machine.bus.memory.store_data(at, Width::Byte, byte.into());
        }
    }
}
