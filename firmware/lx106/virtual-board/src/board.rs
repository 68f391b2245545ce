//! The program: starts everything, then goes round for ever.

use alloc::format;
use core::panic::PanicInfo;

use espbroker_config::image::Target;
use espbroker_node::{BootInfo, Heap, Network};

use crate::{clock, crash, device::Device, flash::Flash, memory, outside, registers, uart, watchdog};

/// Bytes of the heap that are never given away to clients and messages; a quarter more must be free for a new client.
const HEAP_FLOOR: u32 = 8_000;

/// What the chip's network stack takes and costs, see `espbroker-lwip`: the broker must behave as it does there.
const NETWORK: Network = Network { window: 256, in_flight: 16_384, segment: 60 };

unsafe extern "C" {
    safe fn abort() -> !;
}

/// The program; start-up calls it.
#[unsafe(no_mangle)]
extern "C" fn board_main() -> ! {
    memory::set_up();
    watchdog::start();
    uart::set_up();
    let (reset, record) = crash::take();
    if let Some(record) = record {
        uart::print(format!("\r\n{record}\r\n").as_bytes());
    }
    outside::attach();
    let (free, lowest) = memory::figures();
    let info = BootInfo {
        reset,
        mac: registers::mac(),
        target: Target::Virtual,
        heap: Heap::Measured { free, lowest },
        heap_floor: HEAP_FLOOR,
        network: NETWORK,
        seed: u64::from(registers::random()) << 32 | u64::from(registers::random()),
    };
    let mut device = Device::boot(Flash::open(), info);
    loop {
        watchdog::feed();
        while let Some(byte) = uart::receive() {
            device.console(&[byte]);
        }
        let due = device.turn();
        if !outside::is_pending() {
            clock::wait_until(due);
        }
    }
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    abort()
}
