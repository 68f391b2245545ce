//! `memcpy` and its family, with the widths that the ROM accesses memory in: where they do not fit, they fault.
//!
//! `memcpy` copies words as soon as the target is aligned, from a source of any alignment (by aligned words that are
//! shifted), and what is left by halfwords and bytes; `memset` and `memmove` do alike. 1 to 3 cycles a word, 5 a byte.
//! Long ones stop after every [`SPAN`] bytes inside the function, with pointers and count in registers.

use espbroker_lx106::Width;

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use crate::machine::Step;

/// Bytes in a step; a multiple of 16.
const SPAN: u32 = 256;
const MAIN_COPY: u32 = 0x4000_DF51;
const MAIN_FILL: u32 = 0x4000_E1A8;
const MEMCPY: u32 = 0x4000_DF48;
const MEMMOVE: u32 = 0x4000_E04C;
const MOVE_WORDS: u32 = 0x4000_E0D1;
const MOVE_BYTES: u32 = 0x4000_E12C;
const MEMSET: u32 = 0x4000_E190;
const MEMCMP: u32 = 0x4000_DEA8;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_18A4, "ets_memset", |call| Ok(call.go(MEMSET, 6))),
    (0x4000_18B4, "ets_memcpy", |call| Ok(call.go(MEMCPY, 6))),
    (0x4000_18C4, "ets_memmove", |call| Ok(call.go(MEMMOVE, 6))),
    (0x4000_18D4, "ets_memcmp", |call| Ok(call.go(MEMCMP, 6))),
    (0x4000_2AE8, "ets_bzero", zero),
    (0x4000_DE84, "bzero", zero),
    (MEMCMP, "memcmp", compare),
    (MEMCPY, "memcpy", copy),
    (MAIN_COPY, "memcpy", copy_aligned),
    (MEMMOVE, "memmove", move_bytes),
    (MOVE_WORDS, "memmove", |call| move_forwards(call, true)),
    (MOVE_BYTES, "memmove", |call| move_forwards(call, false)),
    (MEMSET, "memset", fill),
    (MAIN_FILL, "memset", fill_aligned),
];

/// Moves one item of this width.
fn transfer(call: &mut Call<'_>, target: u32, source: u32, width: Width) -> Result<(), Exception> {
    let value = call.load(source, width)?;
    call.store(target, width, value)
}

fn copy_bytes(call: &mut Call<'_>, target: u32, source: u32, length: u32) -> Result<(), Exception> {
    for offset in 0..length {
        transfer(call, target.wrapping_add(offset), source.wrapping_add(offset), Width::Byte)?;
    }
    Ok(())
}

/// `memcpy`: bytes up to an aligned target, unless there are too few.
fn copy(call: &mut Call<'_>) -> Outcome {
    let [target, source, length, ..] = call.arguments();
    let head = target.wrapping_neg() & 3;
    let threshold = match target & 3 {
        0 => 0,
        2 => 6,
        _ => 7,
    };
    if length < threshold {
        copy_bytes(call, target, source, length)?;
        return Ok(Step::Return { cycles: 6 + 5 * u64::from(length) });
    }
    copy_bytes(call, target, source, head)?;
    call.set_a3(source.wrapping_add(head));
    call.set_a4(length - head);
    call.set_a5(target.wrapping_add(head));
    Ok(call.go(MAIN_COPY, 5 + 5 * u64::from(head)))
}

/// The part of `memcpy` with an aligned target: a3 source, a4 length, a5 target.
fn copy_aligned(call: &mut Call<'_>) -> Outcome {
    let [_, source, length, target, ..] = call.arguments();
    let aligned = source & 3 == 0;
    let span = if length > SPAN { SPAN } else { length };
    let words = span & !3;
    let rate = if aligned { 2 } else { 3 };
    if aligned {
        for offset in (0..words).step_by(4) {
            transfer(call, target.wrapping_add(offset), source.wrapping_add(offset), Width::Word)?;
        }
    } else if span != 0 {
        let (start, shift) = (source & !3, 8 * (source & 3));
        let mut low = call.word(start)?;
        for offset in (0..words).step_by(4) {
            let high = call.word(start.wrapping_add(offset + 4))?;
            call.set_word(target.wrapping_add(offset), low >> shift | high << (32 - shift))?;
            low = high;
        }
    }
    let cycles = u64::from(words / 4) * rate + 4;
    if span < length {
        call.set_a3(source.wrapping_add(span));
        call.set_a4(length - span);
        call.set_a5(target.wrapping_add(span));
        return Ok(call.go(MAIN_COPY, cycles));
    }
    let (mut from, mut to) = (source.wrapping_add(words), target.wrapping_add(words));
    if aligned && length & 2 != 0 {
        transfer(call, to, from, Width::Half)?;
        (from, to) = (from.wrapping_add(2), to.wrapping_add(2));
    }
    let bytes = if aligned { length & 1 } else { length & 3 };
    copy_bytes(call, to, from, bytes)?;
    Ok(Step::Return { cycles: cycles + 10 })
}

/// `memmove`: from the end by bytes where the target begins inside the source, else as they come. A move from the end
/// only shortens a4.
fn move_bytes(call: &mut Call<'_>) -> Outcome {
    let [target, source, length, ..] = call.arguments();
    if source < target && target < source.wrapping_add(length) {
        let span = length.min(SPAN);
        for offset in (length - span..length).rev() {
            transfer(call, target.wrapping_add(offset), source.wrapping_add(offset), Width::Byte)?;
        }
        let cycles = 8 + 5 * u64::from(span);
        if span == length {
            return Ok(Step::Return { cycles });
        }
        call.set_a4(length - span);
        return Ok(call.go(MEMMOVE, cycles));
    }
    call.machine.cpu.a[8] = source;
    call.machine.cpu.a[9] = target;
    let by_words = length >= 16 && (source | target) & 3 == 0;
    Ok(call.go(if by_words { MOVE_WORDS } else { MOVE_BYTES }, 10))
}

/// The parts of `memmove` that go forwards: a8 source, a9 target, a4 length.
fn move_forwards(call: &mut Call<'_>, words: bool) -> Outcome {
    let [source, target, length] = [call.machine.cpu.a[8], call.machine.cpu.a[9], call.machine.cpu.a[4]];
    let span = length.min(SPAN);
    let in_words = if words { span & !3 } else { 0 };
    for offset in (0..in_words).step_by(4) {
        transfer(call, target.wrapping_add(offset), source.wrapping_add(offset), Width::Word)?;
    }
    copy_bytes(call, target.wrapping_add(in_words), source.wrapping_add(in_words), span - in_words)?;
    let cycles = 10 + 2 * u64::from(in_words / 4) + 5 * u64::from(span - in_words);
    if span == length {
        return Ok(Step::Return { cycles });
    }
    call.machine.cpu.a[8] = source.wrapping_add(span);
    call.machine.cpu.a[9] = target.wrapping_add(span);
    call.set_a4(length - span);
    let pc = call.machine.cpu.pc;
    Ok(call.go(pc, cycles))
}

fn fill(call: &mut Call<'_>) -> Outcome {
    let [target, value, length, ..] = call.arguments();
    let [byte, ..] = value.to_le_bytes();
    let pattern = u32::from_le_bytes([byte; 4]);
    let mut place = target;
    let mut left = length;
    let by_bytes = |call: &mut Call<'_>, place: u32, left: u32| {
        (0..left).try_for_each(|offset| call.set_byte(place.wrapping_add(offset), byte))
    };
    if place & 3 != 0 && left < 8 {
        by_bytes(call, place, left)?;
        return Ok(Step::Return { cycles: 10 + 3 * u64::from(left) });
    }
    if place & 1 != 0 {
        call.set_byte(place, byte)?;
        (place, left) = (place.wrapping_add(1), left - 1);
    }
    if place & 2 != 0 {
        if left < 8 {
            by_bytes(call, place, left)?;
            return Ok(Step::Return { cycles: 16 + 3 * u64::from(left) });
        }
        call.store(place, Width::Half, pattern & 0xFFFF)?;
        (place, left) = (place.wrapping_add(2), left - 2);
    }
    call.set_a3(pattern);
    call.set_a4(left);
    call.set_a5(place);
    Ok(call.go(MAIN_FILL, 16))
}

/// The part of `memset` with an aligned target: a3 pattern, a4 length, a5 target.
fn fill_aligned(call: &mut Call<'_>) -> Outcome {
    let [_, pattern, length, target, ..] = call.arguments();
    let span = length.min(SPAN);
    let words = span & !3;
    for offset in (0..words).step_by(4) {
        call.set_word(target.wrapping_add(offset), pattern)?;
    }
    let cycles = 4 + u64::from(words / 4) * 3 / 2;
    if span < length {
        call.set_a4(length - span);
        call.set_a5(target.wrapping_add(span));
        return Ok(call.go(MAIN_FILL, cycles));
    }
    let mut place = target.wrapping_add(words);
    if length & 2 != 0 {
        call.store(place, Width::Half, pattern & 0xFFFF)?;
        place = place.wrapping_add(2);
    }
    if length & 1 != 0 {
        call.store(place, Width::Byte, pattern & 0xFF)?;
    }
    Ok(Step::Return { cycles: cycles + 8 })
}

fn zero(call: &mut Call<'_>) -> Outcome {
    let [target, length, ..] = call.arguments();
    let span = length.min(SPAN);
    for offset in 0..span {
        call.set_byte(target.wrapping_add(offset), 0)?;
    }
    call.set_a2(target.wrapping_add(span));
    call.set_a3(length - span);
    let cycles = 6 + 2 * u64::from(span);
    if span == length {
        return Ok(Step::Return { cycles });
    }
    let pc = call.machine.cpu.pc;
    Ok(call.go(pc, cycles))
}

/// `memcmp`: by words where both are aligned, then by bytes.
fn compare(call: &mut Call<'_>) -> Outcome {
    let [first, second, length, ..] = call.arguments();
    let span = length.min(SPAN);
    let mut offset = 0;
    if length >= 4 && (first | second) & 3 == 0 {
        while span - offset >= 4 {
            if call.word(first.wrapping_add(offset))? != call.word(second.wrapping_add(offset))? {
                break;
            }
            offset += 4;
        }
    }
    let mut cycles = 12 + 2 * u64::from(offset);
    while offset < span {
        let (a, b) = (call.byte(first.wrapping_add(offset))?, call.byte(second.wrapping_add(offset))?);
        if a != b {
            return returned(call, u32::from(a).wrapping_sub(b.into()), cycles + 8);
        }
        offset += 1;
        cycles += 7;
    }
    if span == length {
        return returned(call, 0, cycles);
    }
    call.set_a2(first.wrapping_add(span));
    call.set_a3(second.wrapping_add(span));
    call.set_a4(length - span);
    Ok(call.go(MEMCMP, cycles))
}
