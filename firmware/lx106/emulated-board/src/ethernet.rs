//! The board's OpenCores Ethernet MAC ("Ethernet IP Core Specification"), as far as QEMU has it: a ring of buffers in
//! each direction.

use core::{cell::Cell, ptr::without_provenance_mut, slice};

/// lwIP's buffer, as far as C shares it with Rust.
#[repr(C)]
struct Pbuf {
    next: *const Pbuf,
    payload: *const u8,
    total_length: u16,
    length: u16,
}

unsafe extern "C" {
    fn board_network_input(frame: *const u8, length: u16) -> i32;
}

const REGISTERS: *mut u32 = without_provenance_mut(0x9D03_0000);
const DESCRIPTORS: *mut u32 = without_provenance_mut(0x9D03_0400);

/// Offsets of registers, in words.
const MODE: usize = 0;
const INTERRUPT_SOURCE: usize = 1;
const INTERRUPT_MASK: usize = 2;
const PACKET_LENGTH: usize = 6;
const TRANSMIT_DESCRIPTORS: usize = 8;
const MAC_LOW: usize = 16;
const MAC_HIGH: usize = 17;

/// Reset; then pad, CRC, full duplex, transmitter and receiver on.
const MODE_RESET: u32 = 0x800;
const MODE_RUN: u32 = 0xA403;
/// Frames from 64 to 1,536 bytes.
const LENGTHS: u32 = 0x0040_0600;
/// A frame was received, or found no buffer.
const RECEIVED: u32 = 0x14;

/// Bits of a descriptor: ready to send or empty to receive, interrupt, last of the ring, pad, CRC.
const READY: u32 = 0x8000;
const INTERRUPT: u32 = 0x4000;
const LAST: u32 = 0x2000;
const PAD_AND_CRC: u32 = 0x1800;
/// Bytes of CRC behind a received frame.
const CRC: usize = 4;

const FRAME: usize = 1536;
const SENDERS: usize = 16;
const RECEIVERS: usize = 32;
const FRAMES_AT_ONCE: usize = 4;

#[repr(C, align(4))]
struct Frames([[u8; FRAME]; SENDERS + RECEIVERS]);

/// The board's, not the device's: the chip's frames lie with the radio.
#[unsafe(link_section = ".board")]
static mut FRAMES: Frames = Frames([[0; FRAME]; SENDERS + RECEIVERS]);

struct Position(Cell<usize>);

// SAFETY: one thread, and no interrupt handler reaches here.
unsafe impl Sync for Position {}

static NEXT_TO_SEND: Position = Position(Cell::new(0));
static NEXT_TO_RECEIVE: Position = Position(Cell::new(0));

fn read(register: usize) -> u32 {
    // SAFETY: the board has the Ethernet there.
    unsafe { REGISTERS.add(register).read_volatile() }
}

fn write(register: usize, value: u32) {
    // SAFETY: as above.
    unsafe { REGISTERS.add(register).write_volatile(value) };
}

fn descriptor(index: usize) -> *mut u32 {
    DESCRIPTORS.wrapping_add(2 * index)
}

fn status(index: usize) -> u32 {
    // SAFETY: the board has the descriptors there, 128 of them.
    unsafe { descriptor(index).read_volatile() }
}

fn set_status(index: usize, value: u32) {
    let last = if index == SENDERS - 1 || index == SENDERS + RECEIVERS - 1 { LAST } else { 0 };
    // SAFETY: as above.
    unsafe { descriptor(index).write_volatile(value | last) };
}

fn frame(index: usize) -> *mut u8 {
    // SAFETY: only the address is taken; every caller's index is one of the array.
    unsafe { (&raw mut FRAMES.0).cast::<u8>().add(index * FRAME) }
}

/// Starts the Ethernet with this address.
pub(crate) fn set_up(mac: [u8; 6]) {
    write(MODE, MODE_RESET);
    write(MODE, 0);
    write(TRANSMIT_DESCRIPTORS, 16);
    for index in 0..SENDERS + RECEIVERS {
        // SAFETY: the second word of a descriptor is the buffer's address.
        unsafe { descriptor(index).add(1).write_volatile(u32::try_from(frame(index).addr()).unwrap_or(0)) };
        set_status(index, if index < SENDERS { 0 } else { READY | INTERRUPT });
    }
    let [high @ .., a, b, c, d] = mac;
    write(MAC_LOW, u32::from_be_bytes([a, b, c, d]));
    write(MAC_HIGH, u32::from(u16::from_be_bytes(high)));
    write(PACKET_LENGTH, LENGTHS);
    write(INTERRUPT_MASK, RECEIVED);
    write(MODE, MODE_RUN);
}

/// Gives lwIP frames that have come in, not more than a few, as the device has to take out of lwIP's memory what was in
/// them; `true` when there may be more.
pub(crate) fn receive() -> bool {
    write(INTERRUPT_SOURCE, read(INTERRUPT_SOURCE));
    for _ in 0..FRAMES_AT_ONCE {
        let next = NEXT_TO_RECEIVE.0.get();
        let index = SENDERS + next;
        let found = status(index);
        if found & READY != 0 {
            return false;
        }
        let length = usize::try_from(found >> 16).unwrap_or_default().min(FRAME).saturating_sub(CRC);
        // SAFETY: the descriptor says that the frame is there, and the Ethernet leaves it alone until it is given back.
        // A frame that lwIP has no memory for is lost, as on any network.
        unsafe { board_network_input(frame(index), u16::try_from(length).unwrap_or_default()) };
        set_status(index, READY | INTERRUPT);
        NEXT_TO_RECEIVE.0.set((next + 1) % RECEIVERS);
    }
    true
}

/// lwIP's way out: copies a frame and sends it.
#[unsafe(no_mangle)]
extern "C" fn board_transmit(chain: *const Pbuf) {
    let index = NEXT_TO_SEND.0.get();
    while status(index) & READY != 0 {}
    // SAFETY: the Ethernet is done with this buffer, and nothing else has it.
    let buffer = unsafe { slice::from_raw_parts_mut(frame(index), FRAME) };
    let (mut length, mut link) = (0, chain);
    // SAFETY: lwIP's chain, valid during the call.
    while let Some(part) = unsafe { link.as_ref() } {
        // SAFETY: as above: payload and length are a span.
        let bytes = unsafe { slice::from_raw_parts(part.payload, usize::from(part.length)) };
        let Some(room) = buffer.get_mut(length..length + bytes.len()) else { return };
        room.copy_from_slice(bytes);
        length += bytes.len();
        if length >= usize::from(part.total_length) && part.length == part.total_length {
            break;
        }
        link = part.next;
    }
    set_status(index, u32::try_from(length).unwrap_or_default() << 16 | READY | PAD_AND_CRC);
    NEXT_TO_SEND.0.set((index + 1) % SENDERS);
}
