//! Entry, state, and the way out.

use core::cell::UnsafeCell;
use core::panic::PanicInfo;

use espbroker_stub::{Buffers, Next, RING, Receiver, Stub};

use crate::board::{Board, Saved};
use crate::{registers, rom};

/// Where the ROM goes on to start what is in flash, with its stack as it was when it called [`entry`].
const BOOT: u32 = 0x4000_10A8;

static RECEIVER: Receiver<RING> = Receiver::new();

/// The buffers of the main loop. Static, as they are larger than the stack.
struct Shared(UnsafeCell<Buffers>);

// SAFETY: there is one CPU, and only `main_loop` uses it, which is entered once; the interrupt has `RECEIVER`.
unsafe impl Sync for Shared {}

static BUFFERS: Shared = Shared(UnsafeCell::new(Buffers::new()));

/// Called by `start.S` on the ROM's stack, with statics zeroed; the address where that goes on.
#[unsafe(no_mangle)]
extern "C" fn main_loop() -> u32 {
    // SAFETY: the only reference, see `Shared`; `start.S` calls this once.
    let buffers = unsafe { &mut *BUFFERS.0.get() };
    let mut board = Board;
    let saved = Saved::take();
    rom::attach_interrupt(registers::UART_INTERRUPT, on_interrupt);
    registers::receive_by_interrupt();
    rom::unmask_interrupts(1 << registers::UART_INTERRUPT);
    let mut stub = Stub::start(buffers, &mut board);
    let next = loop {
        match stub.poll(&mut board, &RECEIVER) {
            Next::Poll => {}
            next => break next,
        }
    };
    saved.restore();
    rom::mask_interrupts(1 << registers::UART_INTERRUPT);
    match next {
        Next::Call(address) => address,
        Next::Restart => rom::restart(),
        Next::Poll | Next::Boot => {
            rom::forget_user_start();
            BOOT
        }
    }
}

/// UART0 and UART1 share one interrupt, and UART1 raises none.
extern "C" fn on_interrupt() {
    let lost = registers::receive_overflowed();
    RECEIVER.interrupt(lost, registers::received());
    // Only now: what asks for the interrupt is a level, and cannot be cleared while bytes are there.
    registers::clear_interrupts();
}

/// Nothing in the stub panics, and the linked program holds no call of this; it is here as the language asks for it.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    rom::restart()
}

/// What the compiler calls where it says that no one gets there.
#[unsafe(no_mangle)]
extern "C" fn abort() -> ! {
    rom::restart()
}
