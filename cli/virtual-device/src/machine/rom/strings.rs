//! Text functions of the C library, with the widths that the ROM reads in: words where the alignment allows it.
//!
//! So `strlen` works on text in flash, `strcpy` out of it, and `strcmp` does not, as it looks at a byte first.
//! About 2 cycles a byte by words and 6 by bytes. Each runs through in one step.

use espbroker_lx106::Width;

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};

const STRCMP: u32 = 0x4000_BDC8;
const STRCPY: u32 = 0x4000_BEC8;
const STRLEN: u32 = 0x4000_BF4C;
const STRNCMP: u32 = 0x4000_BFA8;
const STRNCPY: u32 = 0x4000_C0A0;
const STRSTR: u32 = 0x4000_E1E0;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_2A88, "ets_strcpy", |call| Ok(call.go(STRCPY, 6))),
    (0x4000_2A98, "ets_strncpy", |call| Ok(call.go(STRNCPY, 6))),
    (0x4000_2AA8, "ets_strcmp", |call| Ok(call.go(STRCMP, 6))),
    (0x4000_2AB8, "ets_strncmp", |call| Ok(call.go(STRNCMP, 6))),
    (0x4000_2AC8, "ets_strlen", |call| Ok(call.go(STRLEN, 6))),
    (0x4000_2AD8, "ets_strstr", |call| Ok(call.go(STRSTR, 6))),
    (0x4000_2B74, "ets_char2xdigit", digit),
    (STRCMP, "strcmp", compare),
    (STRCPY, "strcpy", copy),
    (STRLEN, "strlen", length),
    (STRNCMP, "strncmp", compare_limited),
    (STRNCPY, "strncpy", copy_limited),
    (STRSTR, "strstr", find),
];

/// Bytes that are read by the words they are in.
struct Words {
    at: u32,
    word: u32,
}

impl Words {
    fn new(call: &mut Call<'_>, address: u32) -> Result<Self, Exception> {
        Ok(Self { at: address, word: call.word(address & !3)? })
    }

    fn next(&mut self, call: &mut Call<'_>) -> Result<u8, Exception> {
        let [byte, ..] = (self.word >> (8 * (self.at & 3))).to_le_bytes();
        self.at = self.at.wrapping_add(1);
        if self.at & 3 == 0 && byte != 0 {
            self.word = call.word(self.at)?;
        }
        Ok(byte)
    }
}

fn length(call: &mut Call<'_>) -> Outcome {
    let text = call.a2();
    // Only a text at an odd address has its first byte read by itself.
    if text & 1 != 0 && call.byte(text)? == 0 {
        return returned(call, 0, 12);
    }
    let mut at = text.wrapping_add(text & 1);
    let mut words = Words::new(call, at)?;
    while words.next(call)? != 0 {
        at = at.wrapping_add(1);
    }
    let length = at.wrapping_sub(text);
    returned(call, length, 14 + 2 * u64::from(length))
}

/// The result of comparing two bytes, and of where one ends.
fn difference(a: u8, b: u8) -> u32 {
    u32::from(a).wrapping_sub(b.into())
}

fn compare(call: &mut Call<'_>) -> Outcome {
    let [first, second, ..] = call.arguments();
    let (a, b) = (call.byte(first)?, call.byte(second)?);
    if a != b {
        return returned(call, difference(a, b), 6);
    }
    let by_words = (first ^ second) & 3 == 0;
    let mut offset = 0_u32;
    loop {
        let (at, other) = (first.wrapping_add(offset), second.wrapping_add(offset));
        let (a, b) = if by_words && first & 3 == 0 {
            let shift = 8 * (at & 3);
            let (a, b) = (call.word(at & !3)? >> shift, call.word(other & !3)? >> shift);
            (a.to_le_bytes()[0], b.to_le_bytes()[0])
        } else {
            (call.byte(at)?, call.byte(other)?)
        };
        if a != b || a == 0 {
            let cycles = if by_words { 2 } else { 7 } * u64::from(offset);
            return returned(call, difference(a, b), 14 + cycles);
        }
        offset = offset.wrapping_add(1);
    }
}

fn compare_limited(call: &mut Call<'_>) -> Outcome {
    let [first, second, limit, ..] = call.arguments();
    let by_words = (first | second) & 3 == 0 && limit >= 4;
    for offset in 0..limit {
        let (at, other) = (first.wrapping_add(offset), second.wrapping_add(offset));
        let same_word =
            by_words && limit - (offset & !3) >= 4 && call.word(at & !3)? == call.word(other & !3)?;
        let (a, b) = if same_word {
            let [byte, ..] = (call.word(at & !3)? >> (8 * (at & 3))).to_le_bytes();
            (byte, byte)
        } else {
            (call.byte(at)?, call.byte(other)?)
        };
        if a != b || a == 0 {
            return returned(call, difference(a, b), 14 + 8 * u64::from(offset));
        }
    }
    returned(call, 0, 14 + 8 * u64::from(limit))
}

/// `strcpy`: an aligned target is written by words, but the last one; the source is read by words where both are.
fn copy(call: &mut Call<'_>) -> Outcome {
    let [target, source, ..] = call.arguments();
    let copied = copy_text(call, target, source, u32::MAX)?;
    returned(call, target, 12 + 5 * u64::from(copied))
}

/// Copies up to and with the 0, at most `limit` bytes; gives how many.
fn copy_text(call: &mut Call<'_>, target: u32, source: u32, limit: u32) -> Result<u32, Exception> {
    let mut offset = 0_u32;
    // Up to four bytes by themselves, until the source is aligned.
    while source.wrapping_add(offset) & 3 != 0 {
        if offset == limit {
            return Ok(offset);
        }
        let byte = call.byte(source.wrapping_add(offset))?;
        call.set_byte(target.wrapping_add(offset), byte)?;
        offset += 1;
        if byte == 0 {
            return Ok(offset);
        }
    }
    let by_words = target.wrapping_add(offset) & 3 == 0;
    while offset < limit {
        let (to, from) = (target.wrapping_add(offset), source.wrapping_add(offset));
        // `strncpy` takes words while more than four bytes are left.
        if by_words && limit - offset > 4 {
            let word = call.word(from)?;
            let bytes = word.to_le_bytes();
            match bytes.iter().position(|&byte| byte == 0) {
                None => call.set_word(to, word)?,
                Some(3) => {
                    call.set_word(to, word)?;
                    return Ok(offset + 4);
                }
                Some(0) => {
                    call.set_byte(to, 0)?;
                    return Ok(offset + 1);
                }
                Some(end) => {
                    call.store(to, Width::Half, word & 0xFFFF)?;
                    if end == 2 {
                        call.set_byte(to.wrapping_add(2), 0)?;
                    }
                    return Ok(offset + if end == 2 { 3 } else { 2 });
                }
            }
            offset += 4;
        } else {
            let byte = call.byte(from)?;
            call.set_byte(to, byte)?;
            offset += 1;
            if byte == 0 {
                return Ok(offset);
            }
        }
    }
    Ok(offset)
}

/// `strncpy`: fills up with 0.
fn copy_limited(call: &mut Call<'_>) -> Outcome {
    let [target, source, limit, ..] = call.arguments();
    let mut offset = copy_text(call, target, source, limit)?;
    while offset < limit {
        let place = target.wrapping_add(offset);
        if place & 3 == 0 && limit - offset >= 4 {
            call.set_word(place, 0)?;
            offset += 4;
        } else {
            call.set_byte(place, 0)?;
            offset += 1;
        }
    }
    returned(call, target, 14 + 5 * u64::from(limit))
}

fn find(call: &mut Call<'_>) -> Outcome {
    let [text, pattern, ..] = call.arguments();
    let mut start = text;
    let mut compared = 0;
    if call.byte(text)? == 0 {
        let found = if call.byte(pattern)? == 0 { text } else { 0 };
        return returned(call, found, 8);
    }
    loop {
        let mut offset = 0_u32;
        loop {
            let wanted = call.byte(pattern.wrapping_add(offset))?;
            if wanted == 0 {
                return returned(call, start, 10 + 8 * compared);
            }
            compared += 1;
            if call.byte(start.wrapping_add(offset))? != wanted {
                break;
            }
            offset = offset.wrapping_add(1);
        }
        start = start.wrapping_add(1);
        if call.byte(start)? == 0 {
            return returned(call, 0, 10 + 8 * compared);
        }
    }
}

/// The value of a hexadecimal digit, -1 for anything else.
fn digit(call: &mut Call<'_>) -> Outcome {
    let digit = u8::try_from(call.a2()).ok().and_then(|byte| char::from(byte).to_digit(16));
    returned(call, digit.unwrap_or(u32::MAX), 14)
}
