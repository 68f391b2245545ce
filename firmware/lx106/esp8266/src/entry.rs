//! The SDK's way in: `user_pre_init`, `user_init`, and the task that is the device.

use core::{
    cell::{Cell, UnsafeCell},
    ffi::c_void,
    ptr,
    time::Duration,
};

use embedded_storage::nor_flash::{NorFlash as _, NorFlashErrorKind, ReadNorFlash as _};
use espbroker_config::{flash_map::FlashMap, image::Target};
use espbroker_lwip::{Device, NETWORK, Platform as _};
use espbroker_node::{BootInfo, Heap};

use crate::{
    bindings::{
        Event, Partition, Timer, ets_timer_arm_new, ets_timer_disarm, ets_timer_setfn, os_random,
        system_init_done_cb, system_os_post, system_os_task, system_partition_table_regist,
        system_soft_wdt_feed,
    },
    board::{Board, report_crash, reset_cause, resume_outputs},
    flash::Flash,
    heap, partitions, radio,
    radio::News,
    registers, rtc,
    single::Single,
    uart,
};

/// Bytes of the heap that are never given away to clients and messages; a quarter more must be free for a new client.
const HEAP_FLOOR: u32 = 8_000;
/// The lowest of the three priorities that programs may have.
const PRIORITY: u8 = 0;
/// Messages that wait for the task; there is never more than one.
const QUEUE: u8 = 2;
/// The longest rest: the serial port's queue of 128 bytes is full after 11 ms.
const REST_MAX: Duration = Duration::from_millis(5);

/// `esp_init_data_default`: 128 bytes of radio settings, put into the image when it is linked with the SDK.
const PHY_DATA_WORDS: usize = 32;

unsafe extern "C" {
    static espbroker_phy_data: [u32; PHY_DATA_WORDS];
}

/// What the SDK uses for as long as it runs.
struct Lasting<T>(UnsafeCell<T>);

// SAFETY: after the start only the SDK looks inside.
unsafe impl<T> Sync for Lasting<T> {}

static TABLE: [Partition; partitions::COUNT] = {
    let entries = partitions::table();
    let mut table = [const { Partition { kind: 0, address: 0, size: 0 } }; partitions::COUNT];
    let mut index = 0;
    while index < partitions::COUNT {
        #[expect(
            clippy::indexing_slicing,
            reason = "index is below the length of both, and this is not run but compiled"
        )]
        {
            let (kind, address, size) = entries[index];
            table[index] = Partition { kind, address, size };
        }
        index += 1;
    }
    table
};

static MESSAGES: Lasting<[Event; QUEUE as usize]> =
    Lasting(UnsafeCell::new([Event { signal: 0, parameter: 0 }; QUEUE as usize]));
static TIMER: Lasting<Timer> = Lasting(UnsafeCell::new(Timer { opaque: [0; 5] }));

static DEVICE: Single<Option<Device<Board>>> = Single::new(None);

/// Whether a message waits for the task.
struct Posted(Cell<bool>);

// SAFETY: one task, and no interrupt handler reaches here.
unsafe impl Sync for Posted {}

static POSTED: Posted = Posted(Cell::new(false));

/// The SDK's first call: it wants to know where everything is.
#[unsafe(no_mangle)]
extern "C" fn user_pre_init() {
    let count = u32::try_from(TABLE.len()).unwrap_or(0);
    // SAFETY: the table is there for ever.
    if !unsafe { system_partition_table_regist(TABLE.as_ptr(), count, partitions::SDK_MAP) } {
        // The SDK has said why, and starts no radio without a table.
        uart::print(match partitions::MAP {
            FlashMap::Map4M => {
                "\r\nfatal: the SDK refuses the partition table: has the flash less than 4 MB?\r\n"
            }
            FlashMap::Map1M => {
                "\r\nfatal: the SDK refuses the partition table: has the flash less than 1 MB?\r\n"
            }
        });
    }
    if set_phy_data().is_err() {
        uart::print("\r\nfatal: the flash cannot be read or written\r\n");
    }
}

/// Writes the radio's settings where there are none: the SDK does not start without.
fn set_phy_data() -> Result<(), NorFlashErrorKind> {
    let place = partitions::MAP.phy_data();
    let mut first = [0; 4];
    Flash.read(place.offset, &mut first)?;
    if first != [0xFF; 4] {
        return Ok(());
    }
    // SAFETY: whole words of the image, which nobody writes.
    let bytes = unsafe { &espbroker_phy_data }.map(u32::to_le_bytes);
    Flash.erase(place.offset, place.end())?;
    Flash.write(place.offset, bytes.as_flattened())
}

/// The SDK's second call; the radio is not there yet.
#[unsafe(no_mangle)]
extern "C" fn user_init() {
    // A relay is to drop out for as short a time as can be.
    resume_outputs();
    uart::set_up();
    radio::set_up();
    registers::unbound_tcp_connections();
    // SAFETY: both functions and both statics are there for ever; the timer is not armed yet.
    unsafe {
        system_os_task(run, PRIORITY, MESSAGES.0.get().cast(), QUEUE);
        ets_timer_setfn(TIMER.0.get(), on_timer, ptr::null_mut());
        system_init_done_cb(start);
    }
}

/// The SDK has started.
extern "C" fn start() {
    let (reset, crash) = reset_cause();
    report_crash(crash, rtc::take().as_ref());
    heap::set_up();
    let (free, lowest) = heap::figures();
    let info = BootInfo {
        reset,
        mac: radio::mac(),
        target: Target::Esp8266,
        heap: Heap::Measured { free, lowest },
        heap_floor: HEAP_FLOOR,
        network: NETWORK,
        seed: u64::from(os_random()) << 32 | u64::from(os_random()),
    };
    let outputs = resume_outputs();
    let mut device = Device::boot(Board::new(outputs), Flash, info);
    for (gpio, level) in outputs.iter() {
        device.pin(gpio, level);
    }
    *DEVICE.use_it() = Some(device);
    espbroker_lwip::wake_by(wake);
    wake();
}

/// Lets the task run soon.
pub(crate) fn wake() {
    if !POSTED.0.replace(true) && !system_os_post(PRIORITY, 0, 0) {
        // The timer tries again.
        POSTED.0.set(false);
    }
}

extern "C" fn on_timer(_: *mut c_void) {
    wake();
}

/// The task: carries everything in and out, and says when to be called again.
extern "C" fn run(_: *mut Event) {
    POSTED.0.set(false);
    system_soft_wdt_feed();
    let mut device = DEVICE.use_it();
    let Some(device) = device.as_mut() else { return };
    if device.platform().restarting {
        return;
    }
    while let Some(byte) = uart::receive() {
        device.console(&[byte]);
    }
    while let Some(news) = radio::news() {
        match news {
            News::Station(event) => device.station(event),
            News::AccessPoint(ip) => device.access_point_up(ip),
        }
    }
    for (gpio, level) in device.platform().look_at_pins() {
        device.pin(gpio, level);
    }
    let due = device.turn();
    let now = device.platform().now();
    let rest = due.map_or(REST_MAX, |due| due.saturating_sub(now).min(REST_MAX));
    let milliseconds = u32::try_from(rest.as_millis()).unwrap_or_default();
    // Armed also when a message is posted: without it a message that was refused would stop the device.
    // SAFETY: the timer is there for ever, and was given its function.
    unsafe {
        ets_timer_disarm(TIMER.0.get());
        ets_timer_arm_new(TIMER.0.get(), milliseconds.max(1), false, true);
    }
    if milliseconds == 0 {
        wake();
    }
}
