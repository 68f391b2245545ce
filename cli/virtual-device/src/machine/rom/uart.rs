//! UART: single characters, the receive interrupt and its ring, baud rate, frames.
//!
//! `uart_tx_one_char` waits for an empty transmit FIFO before each character and never fills it; its polling loop is
//! looked at eight times in a character, which is often enough for characters without a gap. A register access is
//! counted as 2 cycles with its MEMW. The serial loader's own functions are left out.

use std::time::Duration;

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::{UART_DEVICE, UART_HANDLER, UART_PUT, UART_RING};
use super::interrupts::{attach_handler, mask_interrupts};
use crate::machine::Step;

const BASE: u32 = 0x6000_0000;
const SECOND: u32 = 0xF00;
const FIFO: u32 = 0;
const INTERRUPT_STATUS: u32 = 0x08;
const INTERRUPT_ENABLE: u32 = 0x0C;
const INTERRUPT_CLEAR: u32 = 0x10;
const DIVIDER: u32 = 0x14;
const AUTOBAUD: u32 = 0x18;
const STATUS: u32 = 0x1C;
const CONF0: u32 = 0x20;
const CONF1: u32 = 0x24;
const LOW_PULSE: u32 = 0x28;
const HIGH_PULSE: u32 = 0x2C;
const PULSES: u32 = 0x30;

const RECEIVED: u32 = 0xFF;
const SENDING: u32 = 0xFF_0000;
const RESET_FIFOS: u32 = 1 << 17 | 1 << 18;
const PULSE: u32 = 0xF_FFFF;
const ALL_INTERRUPTS: u32 = 0x1FF;
/// The clock that the ROM believes in.
const BELIEVED_CLOCK: u32 = 80_000_000;
/// Fields of the UART structure.
const NUMBER: u32 = UART_DEVICE + 0x40;
const AUTOBAUD_STATE: u32 = UART_DEVICE + 0x38;
const RING: u32 = UART_DEVICE + 0x18;
/// Fields of a ring: start, where to write, where to read, state.
const RING_START: u32 = 4;
const RING_WRITE: u32 = 8;
const RING_READ: u32 = 12;
const RING_STATE: u32 = 20;
const RING_LENGTH: u32 = 0x100;
const CARRIAGE_RETURN: u8 = 13;
const LINE_FEED: u8 = 10;

/// IOMUX registers and the bits of them that choose a pin's function.
const IOMUX_U0TXD: u32 = 0x6000_0818;
const IOMUX_SD_DATA1: u32 = 0x6000_0824;
const IOMUX_GPIO2: u32 = 0x6000_0838;
const FUNCTION: u32 = 0x130;
const PULL_UP: u32 = 1 << 7;

pub(super) const TRANSMIT: u32 = 0x4000_3B30;
/// Behind the CR of a line feed.
const AFTER_RETURN: u32 = 0x4000_1DEA;
const AFTER_LINE_FEED: u32 = 0x4000_1DF0;
/// `send_packet` between two characters, and at its end.
const NEXT_OF_PACKET: u32 = 0x4000_3CAC;
const ESCAPED_OF_PACKET: u32 = 0x4000_3CC4;
const PACKET_SENT: u32 = 0x4000_3CE2;
const MESSAGE_SENT: u32 = 0x4000_3CFC;
const FRAME_END: u8 = 0xC0;
const FRAME_ESCAPE: u8 = 0xDB;

pub(super) const FUNCTIONS: &[Entry] = &[
    (UART_PUT, "the output function of ets_install_uart_printf", put),
    (AFTER_RETURN, "the output function of ets_install_uart_printf", put_line_feed),
    (AFTER_LINE_FEED, "the output function of ets_install_uart_printf", line_feed_sent),
    (0x4000_2BE8, "ets_putc", transmit),
    (0x4000_2BCC, "ets_getc", receive_to),
    (0x4000_383C, "uartAttach", attach),
    (0x4000_38A4, "uart_buff_switch", switch),
    (0x4000_3924, "uart_baudrate_detect", detect),
    (0x4000_39D8, "uart_div_modify", divide),
    (0x4000_3A14, "Uart_Init", initialise),
    (TRANSMIT, "uart_tx_one_char", transmit),
    (0x4000_3B64, "uart_rx_one_char_block", receive_blocking),
    (0x4000_3B8C, "uart_rx_one_char", receive),
    (UART_HANDLER, "uart_rx_intr_handler", interrupt),
    (0x4000_3C80, "send_packet", send_packet),
    (NEXT_OF_PACKET, "send_packet", next_of_packet),
    (ESCAPED_OF_PACKET, "send_packet", escaped_of_packet),
    (PACKET_SENT, "send_packet", packet_sent),
    (0x4000_3CF4, "SendMsg", send_message),
    (MESSAGE_SENT, "SendMsg", message_sent),
    (0x4000_3EC8, "uart_rx_readbuff", read_ring),
    (0x4000_3F4C, "GetUartDevice", device),
];

fn base(number: u32) -> u32 {
    BASE.wrapping_add(number.wrapping_mul(SECOND))
}

/// Registers of the UART that is in use.
fn selected(call: &mut Call<'_>) -> Result<u32, Exception> {
    Ok(base(call.byte(NUMBER)?.into()))
}

/// Cycles in an eighth of a character.
fn eighth(call: &mut Call<'_>, uart: u32) -> Result<u64, Exception> {
    Ok((u64::from(call.word(uart + DIVIDER)?) * 10 / 8).max(8))
}

fn transmit(call: &mut Call<'_>) -> Outcome {
    let character = call.a2();
    let uart = selected(call)?;
    if call.word(uart + STATUS)? & SENDING != 0 {
        let cycles = eighth(call, uart)?;
        return Ok(call.poll(cycles));
    }
    call.set_word(uart + FIFO, character)?;
    returned(call, 0, 18)
}

/// Output function: LF as CR LF, CR not at all.
fn put(call: &mut Call<'_>) -> Outcome {
    let character = call.a2();
    match u8::try_from(character) {
        Ok(CARRIAGE_RETURN) => Ok(Step::Return { cycles: 8 }),
        Ok(LINE_FEED) => {
            let (sp, a0) = (call.sp().wrapping_sub(16), call.a0());
            call.set_word(sp, a0)?;
            call.set_sp(sp);
            call.set_a2(CARRIAGE_RETURN.into());
            Ok(call.call(TRANSMIT, AFTER_RETURN, 6))
        }
        _ => Ok(call.go(TRANSMIT, 8)),
    }
}

fn put_line_feed(call: &mut Call<'_>) -> Outcome {
    call.set_a2(LINE_FEED.into());
    Ok(call.call(TRANSMIT, AFTER_LINE_FEED, 2))
}

fn line_feed_sent(call: &mut Call<'_>) -> Outcome {
    let sp = call.sp();
    let a0 = call.word(sp)?;
    call.set_a0(a0);
    call.set_sp(sp.wrapping_add(16));
    Ok(Step::Return { cycles: 3 })
}

fn receive_blocking(call: &mut Call<'_>) -> Outcome {
    let uart = selected(call)?;
    if call.word(uart + STATUS)? & RECEIVED == 0 {
        // Ends when anything happens on the board.
        return Ok(Step::Wait { until: Duration::MAX });
    }
    let character = call.word(uart + FIFO)? & 0xFF;
    returned(call, character, 14)
}

fn receive_to(call: &mut Call<'_>) -> Outcome {
    let target = call.a2();
    let uart = selected(call)?;
    if call.word(uart + STATUS)? & RECEIVED == 0 {
        // Ends when anything happens on the board.
        return Ok(Step::Wait { until: Duration::MAX });
    }
    let [character, ..] = call.word(uart + FIFO)?.to_le_bytes();
    call.set_byte(target, character)?;
    Ok(Step::Return { cycles: 22 })
}

fn receive(call: &mut Call<'_>) -> Outcome {
    let target = call.a2();
    let uart = selected(call)?;
    if call.word(uart + STATUS)? & RECEIVED == 0 {
        return returned(call, 1, 12);
    }
    let [character, ..] = call.word(uart + FIFO)?.to_le_bytes();
    call.set_byte(target, character)?;
    returned(call, 0, 16)
}

/// The receive interrupt: moves the FIFO into the ring in a2, whether there is room or not.
fn interrupt(call: &mut Call<'_>) -> Outcome {
    let ring = call.a2();
    let uart = base(call.byte(NUMBER)?.into());
    if call.word(uart + INTERRUPT_STATUS)? & 1 == 0 {
        return Ok(Step::Return { cycles: 13 });
    }
    call.set_word(uart + INTERRUPT_CLEAR, 1)?;
    let start = call.word(ring + RING_START)?;
    let mut place = call.word(ring + RING_WRITE)?;
    let mut cycles = 24;
    while call.word(uart + STATUS)? & RECEIVED != 0 {
        let [character, ..] = call.word(uart + FIFO)?.to_le_bytes();
        call.set_byte(place, character)?;
        place = place.wrapping_add(1);
        if place == start.wrapping_add(RING_LENGTH) {
            place = start;
        }
        call.set_word(ring + RING_WRITE, place)?;
        if character == CARRIAGE_RETURN {
            call.set_word(ring + RING_STATE, 2)?;
        }
        cycles += 18;
    }
    Ok(Step::Return { cycles })
}

/// Takes a character out of the ring at `ring` into `target`; false when it is empty.
fn take(call: &mut Call<'_>, ring: u32, target: u32) -> Result<bool, Exception> {
    let place = call.word(ring + RING_READ)?;
    if call.word(ring + RING_WRITE)? == place {
        return Ok(false);
    }
    let character = call.byte(place)?;
    call.set_byte(target, character)?;
    let start = call.word(ring + RING_START)?;
    let next = place.wrapping_add(1);
    let next = if next == start.wrapping_add(RING_LENGTH) { start } else { next };
    call.set_word(ring + RING_READ, next)?;
    Ok(true)
}

fn read_ring(call: &mut Call<'_>) -> Outcome {
    let [ring, target, ..] = call.arguments();
    let taken = take(call, ring, target)?;
    returned(call, u32::from(!taken), if taken { 12 } else { 5 })
}

fn attach(call: &mut Call<'_>) -> Outcome {
    for offset in [8, 12, 16, 20, 44, 56, 60, 64] {
        call.set_word(UART_DEVICE + offset, 0)?;
    }
    let fields = [(0, 115_200), (4, 3), (24, RING_LENGTH), (28, UART_RING), (32, UART_RING), (36, UART_RING)];
    for (offset, value) in fields.into_iter().chain([(48, 100), (52, UART_RING + RING_LENGTH)]) {
        call.set_word(UART_DEVICE + offset, value)?;
    }
    call.set_byte(UART_DEVICE + 40, 1)?;
    mask_interrupts(call, 1 << 5)?;
    attach_handler(call, 5, UART_HANDLER, RING)?;
    Ok(Step::Return { cycles: 85 })
}

fn switch(call: &mut Call<'_>) -> Outcome {
    let number = call.a2();
    if number == 0 {
        // The other UART is silenced.
        let uart = base(1);
        call.set_word(uart + INTERRUPT_CLEAR, 0xFFFF)?;
        call.modify(uart + INTERRUPT_ENABLE, ALL_INTERRUPTS, 0)?;
        let selected = selected(call)?;
        while call.word(selected + STATUS)? & RECEIVED != 0 {
            call.word(selected + FIFO)?;
        }
        let written = call.word(RING + RING_WRITE)?;
        call.set_word(RING + RING_READ, written)?;
        call.set_word(RING + RING_STATE, 0)?;
    }
    call.set_word(NUMBER, number)?;
    Ok(Step::Return { cycles: if number == 0 { 60 } else { 11 } })
}

/// Sets the divider of the UART `number`, which empties both FIFOs.
fn set_divider(call: &mut Call<'_>, number: u32, divider: u32) -> Result<(), Exception> {
    let uart = base(number);
    call.set_word(uart + DIVIDER, divider)?;
    call.modify(uart + CONF0, 0, RESET_FIFOS)?;
    call.modify(uart + CONF0, RESET_FIFOS, 0)
}

fn divide(call: &mut Call<'_>) -> Outcome {
    let [number, divider, ..] = call.arguments();
    set_divider(call, number, divider)?;
    Ok(Step::Return { cycles: 22 })
}

fn initialise(call: &mut Call<'_>) -> Outcome {
    let number = call.a2();
    if number == 0 {
        call.modify(IOMUX_U0TXD, PULL_UP | FUNCTION, 0)?;
        call.modify(IOMUX_GPIO2, FUNCTION, 0x100)?;
    } else {
        call.modify(IOMUX_SD_DATA1, FUNCTION, FUNCTION)?;
    }
    let (baud, data_bits) = (call.word(UART_DEVICE)?, call.word(UART_DEVICE + 4)?);
    let parity = call.word(UART_DEVICE + 8)? | call.word(UART_DEVICE + 12)?;
    let stop_bits = call.word(UART_DEVICE + 16)?;
    set_divider(call, number, BELIEVED_CLOCK.checked_div(baud).unwrap_or(0) & 0xFFFF)?;
    let uart = base(number);
    call.set_word(uart + CONF0, parity | data_bits << 2 | stop_bits << 4)?;
    call.modify(uart + CONF0, 0, RESET_FIFOS)?;
    call.modify(uart + CONF0, RESET_FIFOS, 0)?;
    let threshold = call.byte(UART_DEVICE + 40)? & 0x7F;
    call.set_word(uart + CONF1, threshold.into())?;
    call.set_word(uart + INTERRUPT_CLEAR, 0xFFFF)?;
    call.modify(uart + INTERRUPT_ENABLE, 0, 1)?;
    Ok(Step::Return { cycles: 160 })
}

fn detect(call: &mut Call<'_>) -> Outcome {
    let [number, once, ..] = call.arguments();
    let uart = base(number);
    if call.word(AUTOBAUD_STATE)? == 0 {
        call.modify(uart + AUTOBAUD, 1, 0)?;
        call.set_word(uart + AUTOBAUD, 0x801)?;
        call.set_word(AUTOBAUD_STATE, 1)?;
    }
    if call.word(uart + PULSES)? <= 29 {
        if once != 0 {
            return returned(call, 0, 30);
        }
        // It looks once in what it takes for a millisecond.
        return Ok(call.poll(80_000));
    }
    let shortest = (call.word(uart + LOW_PULSE)? & PULSE) + (call.word(uart + HIGH_PULSE)? & PULSE);
    call.modify(uart + AUTOBAUD, 1, 0)?;
    returned(call, shortest / 2 + 12, 40)
}

fn device(call: &mut Call<'_>) -> Outcome {
    returned(call, UART_DEVICE, 2)
}

/// Frame of `send_packet`: return address, a12 (next byte) and a13 (bytes left).
fn send_packet(call: &mut Call<'_>) -> Outcome {
    let [buffer, length, ..] = call.arguments();
    let (sp, a0) = (call.sp().wrapping_sub(32), call.a0());
    let [a12, a13] = [call.machine.cpu.a[12], call.machine.cpu.a[13]];
    for (offset, value) in [(0, a0), (4, a12), (8, a13)] {
        call.set_word(sp.wrapping_add(offset), value)?;
    }
    call.set_sp(sp);
    call.machine.cpu.a[12] = buffer.wrapping_sub(1);
    call.machine.cpu.a[13] = length;
    call.set_a2(FRAME_END.into());
    Ok(call.call(TRANSMIT, NEXT_OF_PACKET, 10))
}

fn next_of_packet(call: &mut Call<'_>) -> Outcome {
    let place = call.machine.cpu.a[12].wrapping_add(1);
    let left = call.machine.cpu.a[13];
    if left.cast_signed() <= 0 {
        call.set_a2(FRAME_END.into());
        return Ok(call.call(TRANSMIT, PACKET_SENT, 3));
    }
    let byte = call.byte(place)?;
    let escaped = matches!(byte, FRAME_END | FRAME_ESCAPE);
    if !escaped {
        call.machine.cpu.a[12] = place;
        call.machine.cpu.a[13] = left - 1;
    }
    call.set_a2(if escaped { FRAME_ESCAPE } else { byte }.into());
    Ok(call.call(TRANSMIT, if escaped { ESCAPED_OF_PACKET } else { NEXT_OF_PACKET }, 7))
}

fn escaped_of_packet(call: &mut Call<'_>) -> Outcome {
    let place = call.machine.cpu.a[12].wrapping_add(1);
    let byte = if call.byte(place)? == FRAME_END { 0xDC } else { 0xDD };
    call.machine.cpu.a[12] = place;
    call.machine.cpu.a[13] = call.machine.cpu.a[13].wrapping_sub(1);
    call.set_a2(byte);
    Ok(call.call(TRANSMIT, NEXT_OF_PACKET, 3))
}

fn packet_sent(call: &mut Call<'_>) -> Outcome {
    let sp = call.sp();
    let [a0, a12, a13] = [call.word(sp)?, call.word(sp.wrapping_add(4))?, call.word(sp.wrapping_add(8))?];
    call.set_a0(a0);
    call.machine.cpu.a[12] = a12;
    call.machine.cpu.a[13] = a13;
    call.set_sp(sp.wrapping_add(32));
    Ok(Step::Return { cycles: 7 })
}

fn send_message(call: &mut Call<'_>) -> Outcome {
    let (sp, a0) = (call.sp().wrapping_sub(16), call.a0());
    call.set_word(sp, a0)?;
    call.set_sp(sp);
    Ok(call.call(0x4000_3C80, MESSAGE_SENT, 3))
}

fn message_sent(call: &mut Call<'_>) -> Outcome {
    let sp = call.sp();
    let a0 = call.word(sp)?;
    call.set_a0(a0);
    call.set_sp(sp.wrapping_add(16));
    returned(call, 0, 4)
}
