//! The board: starts everything, then goes round for ever.

use alloc::collections::VecDeque;
use core::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use espbroker_config::image::Target;
use espbroker_lwip::{Device, NETWORK, Platform};
use espbroker_lx106_runtime::qemu::exit;
use espbroker_node::{BootInfo, Heap, Instant, RadioCommand, StationEvent, status::ResetCause};

use crate::{clock, ethernet, heap, nor::Nor, start::Start, uart};

/// What QEMU's user network gives a guest: address, mask, router, name server.
const ADDRESS: [u8; 4] = [10, 0, 2, 15];
const MASK: [u8; 4] = [255, 255, 255, 0];
const ROUTER: [u8; 4] = [10, 0, 2, 2];
const NAME_SERVER: [u8; 4] = [10, 0, 2, 3];
/// Locally administered.
const MAC: [u8; 6] = [0x02, 0x00, 0x00, 0x00, 0x60, 0x01];
/// Bytes of the heap that are never given away to clients and messages; a quarter more must be free for a new client.
const HEAP_FLOOR: u32 = 8_000;
/// QEMU's exit code when the device asked to be started again.
const EXIT_RESTART: u32 = 3;

unsafe extern "C" {
    fn board_network_start(
        mac: *const [u8; 6],
        address: *const [u8; 4],
        mask: *const [u8; 4],
        router: *const [u8; 4],
        name_server: *const [u8; 4],
    );
    fn board_network_timers();
    safe fn board_network_patience() -> u32;
}

/// The device's view of the board.
struct Board {
    /// Events of the radio that there is none of: the network is always there.
    events: VecDeque<StationEvent>,
    /// An access point that was asked for, whatever its name.
    access_point: bool,
}

impl Platform for Board {
    type Flash = Nor;

    fn now(&self) -> Instant {
        clock::now()
    }

    fn heap(&self) -> (u32, u32) {
        let figures = heap::figures();
        let bytes = |count| u32::try_from(count).unwrap_or(u32::MAX);
        (bytes(figures.free), bytes(figures.lowest))
    }

    fn print(&mut self, bytes: &[u8]) {
        uart::write_all(bytes);
    }

    fn radio(&mut self, command: RadioCommand) {
        match command {
            RadioCommand::Join(_) => {
                self.events.push_back(StationEvent::Associated { channel: 0, rssi: 0 });
                self.events.push_back(StationEvent::Address { ip: address() });
            }
            RadioCommand::Leave => self.events.clear(),
            RadioCommand::OpenAccessPoint { .. } => self.access_point = true,
            RadioCommand::CloseAccessPoint => self.access_point = false,
        }
    }

    fn restart(&mut self) {
        exit(EXIT_RESTART);
    }
}

fn address() -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(ADDRESS))
}

/// The program; start-up calls it.
#[unsafe(no_mangle)]
extern "C" fn lx106_main() -> u32 {
    let start = Start::read();
    heap::set_up(usize::try_from(start.heap).unwrap_or(usize::MAX));
    uart::set_up();
    ethernet::set_up(MAC);
    // SAFETY: the arrays outlive the call, which copies them; lwIP is started once.
    unsafe { board_network_start(&MAC, &ADDRESS, &MASK, &ROUTER, &NAME_SERVER) };
    // SAFETY: once, here.
    let flash = unsafe { Nor::take() };
    let figures = heap::figures();
    let bytes = |count| u32::try_from(count).unwrap_or(u32::MAX);
    let info = BootInfo {
        reset: ResetCause::External,
        mac: MAC,
        target: Target::EmulatedBoard,
        heap: Heap::Measured { free: bytes(figures.free), lowest: bytes(figures.lowest) },
        heap_floor: HEAP_FLOOR,
        network: NETWORK,
        seed: u64::from(start.seed),
    };
    let board = Board { events: VecDeque::new(), access_point: false };
    let mut device = Device::boot(board, flash, info);
    loop {
        let more = ethernet::receive();
        // SAFETY: lwIP was started, and nothing of it runs now.
        unsafe { board_network_timers() };
        while let Some(byte) = uart::receive() {
            device.console(&[byte]);
        }
        while let Some(event) = device.platform().events.pop_front() {
            device.station(event);
        }
        if core::mem::take(&mut device.platform().access_point) {
            device.access_point_up(address());
        }
        let due = device.turn();
        let timers = clock::now() + Duration::from_millis(u64::from(board_network_patience()));
        let due = due.map_or(timers, |due| due.min(timers));
        if !more {
            clock::wait_until(Some(due));
        }
    }
}
