//! `ets_printf` and what it prints with.
//!
//! The format is worked through character by character; each goes out by a call of the output function, which may be
//! machine code. Between two calls everything is in a frame on the guest's stack. Conversions: `%% c C d D u U x X p s
//! S`, with `-`, `0`, a width, `l` and `ll`; others are echoed. As in the ROM, a precision is skipped and only turns on
//! padding by zeros, `0x` of `%p` is not counted in the result, and unsigned 64-bit numbers lose their upper half.
//! `%b` leaves part of its buffer unwritten in the ROM; here it is echoed like an unknown one.
//!
//! About 25 cycles a character besides the output function, and 150 a conversion.

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::{PRINTF as STATE, TEXT_NULL, UART_PUT};
use super::integer::pair;
use crate::machine::Step;

pub(super) const PRINTF: u32 = 0x4000_24CC;
const VPRINTF: u32 = 0x4000_1F00;
/// In `ets_vprintf`: behind a character that counts, and one that does not.
const COUNTED: u32 = 0x4000_1F46;
const NOT_COUNTED: u32 = 0x4000_1F49;
const WRITE: u32 = 0x4000_1DA0;
const FIRST_WRITTEN: u32 = 0x4000_1DB4;
const WRITTEN: u32 = 0x4000_1DC0;
const BEGUN: u32 = 0x4000_24FD;
const PRINTED: u32 = 0x4000_2514;
const ENDED: u32 = 0x4000_2520;
const UART_PRINTED: u32 = 0x4000_2570;

pub(super) const FUNCTIONS: &[Entry] = &[
    (WRITE, "ets_write_char", write),
    (FIRST_WRITTEN, "ets_write_char", first_written),
    (WRITTEN, "ets_write_char", written),
    (VPRINTF, "ets_vprintf", vprintf),
    (COUNTED, "ets_vprintf", counted),
    (NOT_COUNTED, "ets_vprintf", next),
    (0x4000_242C, "ets_install_putc1", |call| install(call, 12)),
    (0x4000_2438, "ets_install_uart_printf", install_uart),
    (0x4000_248C, "ets_install_putc2", |call| install(call, 16)),
    (PRINTF, "ets_printf", printf),
    (BEGUN, "ets_printf", begun),
    (PRINTED, "ets_printf", printed),
    (ENDED, "ets_printf", ended),
    (0x4000_2544, "ets_uart_printf", uart_printf),
    (UART_PRINTED, "ets_uart_printf", |call| leave(call, 48, 12)),
];

fn install(call: &mut Call<'_>, offset: u32) -> Outcome {
    let output = call.a2();
    call.set_word(STATE + offset, output)?;
    Ok(Step::Return { cycles: 3 })
}

fn install_uart(call: &mut Call<'_>) -> Outcome {
    call.set_word(STATE + 12, UART_PUT)?;
    Ok(Step::Return { cycles: 9 })
}

/// Takes a frame of this size off, with the return address at `a0`; the result in a2 stays.
fn leave(call: &mut Call<'_>, size: u32, a0: u32) -> Outcome {
    let sp = call.sp();
    let a0 = call.word(sp.wrapping_add(a0))?;
    call.set_a0(a0);
    call.set_sp(sp.wrapping_add(size));
    Ok(Step::Return { cycles: 3 })
}

/// `ets_write_char`: to both output functions. Frame: return address and character.
fn write(call: &mut Call<'_>) -> Outcome {
    let [character, ..] = call.arguments();
    let (sp, a0) = (call.sp().wrapping_sub(16), call.a0());
    let first = call.word(STATE + 12)?;
    call.set_word(sp, a0)?;
    call.set_word(sp.wrapping_add(4), character)?;
    call.set_sp(sp);
    Ok(if first == 0 { call.go(FIRST_WRITTEN, 7) } else { call.call(first, FIRST_WRITTEN, 8) })
}

fn first_written(call: &mut Call<'_>) -> Outcome {
    let second = call.word(STATE + 16)?;
    if second == 0 {
        return leave(call, 16, 0);
    }
    let character = call.word(call.sp().wrapping_add(4))?;
    call.set_a2(character);
    Ok(call.call(second, WRITTEN, 5))
}

fn written(call: &mut Call<'_>) -> Outcome {
    leave(call, 16, 0)
}

/// Where `ets_printf` keeps what; its arguments are at the end, before those on the caller's stack.
const PRINTF_FRAME: u32 = 64;
const PRINTF_RETURN: u32 = 12;
const PRINTF_RESULT: u32 = 20;
const PRINTF_ARGUMENTS: u32 = 32;

fn printf(call: &mut Call<'_>) -> Outcome {
    let (first, second) = (call.word(STATE + 12)?, call.word(STATE + 16)?);
    if first == 0 && second == 0 {
        return returned(call, 0, 20);
    }
    let begin = call.word(STATE + 20)?;
    let sp = call.sp().wrapping_sub(PRINTF_FRAME);
    for (offset, value) in (PRINTF_ARGUMENTS..).step_by(4).zip(call.arguments()) {
        call.set_word(sp.wrapping_add(offset), value)?;
    }
    let a0 = call.a0();
    call.set_word(sp.wrapping_add(PRINTF_RETURN), a0)?;
    call.set_sp(sp);
    if begin == 0 {
        return Ok(call.go(BEGUN, 18));
    }
    call.set_a2(STATE + 32);
    call.set_a3(STATE + 28);
    call.set_a4(STATE + 36);
    Ok(call.call(begin, BEGUN, 22))
}

fn begun(call: &mut Call<'_>) -> Outcome {
    let sp = call.sp();
    let format = call.word(sp.wrapping_add(PRINTF_ARGUMENTS))?;
    let arguments = sp.wrapping_add(PRINTF_ARGUMENTS);
    call.set_a2(WRITE);
    call.set_a3(format);
    call.set_a4(arguments);
    call.set_a5(arguments);
    call.machine.cpu.a[6] = 4;
    Ok(call.call(VPRINTF, PRINTED, 8))
}

fn printed(call: &mut Call<'_>) -> Outcome {
    let (sp, result) = (call.sp(), call.a2());
    let end = call.word(STATE + 24)?;
    if end == 0 {
        return leave(call, PRINTF_FRAME, PRINTF_RETURN);
    }
    call.set_word(sp.wrapping_add(PRINTF_RESULT), result)?;
    let argument = call.word(STATE + 36)?;
    call.set_a2(argument);
    Ok(call.call(end, ENDED, 6))
}

fn ended(call: &mut Call<'_>) -> Outcome {
    let result = call.word(call.sp().wrapping_add(PRINTF_RESULT))?;
    call.set_a2(result);
    leave(call, PRINTF_FRAME, PRINTF_RETURN)
}

/// `ets_uart_printf`: always to the UART. Its arguments begin at 16 of its frame of 48 bytes.
fn uart_printf(call: &mut Call<'_>) -> Outcome {
    let [format, ..] = call.arguments();
    let (sp, a0) = (call.sp().wrapping_sub(48), call.a0());
    for (offset, value) in (16..).step_by(4).zip(call.arguments()) {
        call.set_word(sp.wrapping_add(offset), value)?;
    }
    call.set_word(sp.wrapping_add(12), a0)?;
    call.set_sp(sp);
    call.set_a2(UART_PUT);
    call.set_a3(format);
    call.set_a4(sp.wrapping_add(16));
    call.set_a5(sp.wrapping_add(16));
    call.machine.cpu.a[6] = 4;
    Ok(call.call(VPRINTF, UART_PRINTED, 20))
}

/// Frame of `ets_vprintf`: digits at its beginning, then these words.
const FRAME: u32 = 144;
const OUTPUT: u32 = 40;
const FORMAT: u32 = 44;
const STACK_ARGUMENTS: u32 = 48;
const REGISTER_ARGUMENTS: u32 = 52;
const ARGUMENT: u32 = 56;
const COUNT: u32 = 60;
const RETURN: u32 = 64;
/// Characters of `0x` still to come.
const PREFIX: u32 = 68;
/// A sign before the padding.
const SIGN_FIRST: u32 = 72;
/// Padding before the text: how much, and of which character.
const PADDING: u32 = 76;
const PADDING_CHARACTER: u32 = 80;
/// A sign behind it.
const SIGN: u32 = 84;
/// The text and its length.
const TEXT: u32 = 88;
const LENGTH: u32 = 92;
/// Spaces behind it.
const SPACES: u32 = 96;
/// What is cleared for each conversion.
const CONVERSION: [u32; 5] = [PREFIX, SIGN_FIRST, SIGN, PADDING, SPACES];

/// Bytes of arguments in registers, a2 to a7, and where those on the stack begin to count.
const IN_REGISTERS: u32 = 24;
const ON_STACK: u32 = 32;

fn field(call: &mut Call<'_>, offset: u32) -> Result<u32, Exception> {
    call.word(call.sp().wrapping_add(offset))
}

fn set_field(call: &mut Call<'_>, offset: u32, value: u32) -> Result<(), Exception> {
    call.set_word(call.sp().wrapping_add(offset), value)
}

/// `ets_vprintf(output, format, list of arguments in three words)`.
fn vprintf(call: &mut Call<'_>) -> Outcome {
    let [output, format, stack, registers, argument, ..] = call.arguments();
    let (sp, a0) = (call.sp().wrapping_sub(FRAME), call.a0());
    let fields = [
        (OUTPUT, output),
        (FORMAT, format),
        (STACK_ARGUMENTS, stack),
        (REGISTER_ARGUMENTS, registers),
        (ARGUMENT, argument),
        (COUNT, 0),
        (RETURN, a0),
        (LENGTH, 0),
    ];
    for (offset, value) in fields.into_iter().chain(CONVERSION.map(|offset| (offset, 0))) {
        call.set_word(sp.wrapping_add(offset), value)?;
    }
    call.set_sp(sp);
    Ok(call.go(NOT_COUNTED, 25))
}

fn counted(call: &mut Call<'_>) -> Outcome {
    let count = field(call, COUNT)?;
    set_field(call, COUNT, count.wrapping_add(1))?;
    Ok(call.go(NOT_COUNTED, 2))
}

/// Hands a character to the output function.
fn emit(call: &mut Call<'_>, character: u32, back: u32, cycles: u64) -> Outcome {
    let output = field(call, OUTPUT)?;
    call.set_a2(character);
    Ok(call.call(output, back, cycles))
}

/// The next character that goes out, or the end.
fn next(call: &mut Call<'_>) -> Outcome {
    let prefix = field(call, PREFIX)?;
    if prefix != 0 {
        set_field(call, PREFIX, prefix - 1)?;
        let character = if prefix == 2 { b'0' } else { b'x' };
        return emit(call, character.into(), NOT_COUNTED, 4);
    }
    if let Some(character) = take_sign(call, SIGN_FIRST)? {
        return emit(call, character, COUNTED, 6);
    }
    if take_one(call, PADDING)? {
        let character = field(call, PADDING_CHARACTER)?;
        return emit(call, character, COUNTED, 7);
    }
    if let Some(character) = take_sign(call, SIGN)? {
        return emit(call, character, COUNTED, 6);
    }
    if field(call, LENGTH)? != 0 {
        let text = field(call, TEXT)?;
        let character = call.byte(text)?;
        set_field(call, TEXT, text.wrapping_add(1))?;
        take_one(call, LENGTH)?;
        return emit(call, character.into(), COUNTED, 9);
    }
    if take_one(call, SPACES)? {
        return emit(call, b' '.into(), COUNTED, 6);
    }
    parse(call)
}

fn take_sign(call: &mut Call<'_>, place: u32) -> Result<Option<u32>, Exception> {
    let sign = field(call, place)?;
    set_field(call, place, 0)?;
    Ok((sign != 0).then_some(sign))
}

/// Counts a field down; false when it was 0.
fn take_one(call: &mut Call<'_>, place: u32) -> Result<bool, Exception> {
    let count = field(call, place)?;
    if count != 0 {
        set_field(call, place, count - 1)?;
    }
    Ok(count != 0)
}

/// What stands between `%` and the conversion's letter.
#[derive(Default)]
struct Directive {
    letter: u8,
    left: bool,
    zeros: bool,
    long: bool,
    width: u32,
    /// Behind the letter.
    end: u32,
}

fn directive(call: &mut Call<'_>, start: u32) -> Result<Directive, Exception> {
    let mut directive = Directive { end: start, ..Directive::default() };
    let mut next = |call: &mut Call<'_>| {
        let letter = call.byte(directive.end);
        directive.end = directive.end.wrapping_add(1);
        letter
    };
    let mut letter = next(call)?;
    if letter == b'-' {
        directive.left = true;
        letter = next(call)?;
    }
    if letter == b'0' {
        directive.zeros = true;
        letter = next(call)?;
    }
    while letter.is_ascii_digit() {
        directive.width = directive.width.wrapping_mul(10).wrapping_add(u32::from(letter - b'0'));
        letter = next(call)?;
    }
    if letter == b'.' {
        directive.zeros = true;
        letter = next(call)?;
        while letter.is_ascii_digit() {
            letter = next(call)?;
        }
    }
    if letter == b'l' {
        letter = next(call)?;
        if letter == b'l' {
            directive.long = true;
            letter = next(call)?;
        }
    }
    directive.letter = letter;
    Ok(directive)
}

/// Takes what comes next in the format.
fn parse(call: &mut Call<'_>) -> Outcome {
    let format = field(call, FORMAT)?;
    let letter = call.byte(format)?;
    if letter == 0 {
        let count = field(call, COUNT)?;
        call.set_a2(count);
        return leave(call, FRAME, RETURN);
    }
    if letter != b'%' {
        set_field(call, FORMAT, format.wrapping_add(1))?;
        return emit(call, letter.into(), COUNTED, 12);
    }
    let directive = directive(call, format.wrapping_add(1))?;
    match directive.letter {
        b'%' => {
            set_field(call, FORMAT, directive.end)?;
            emit(call, b'%'.into(), COUNTED, 40)
        }
        b'c' | b'C' => {
            let (place, after) = argument(call, 4)?;
            let character = call.byte(place)?;
            set_field(call, ARGUMENT, after)?;
            set_field(call, FORMAT, directive.end)?;
            emit(call, character.into(), COUNTED, 50)
        }
        b's' | b'S' => text(call, &directive),
        b'd' | b'D' | b'u' | b'U' | b'x' | b'X' | b'p' => number(call, &directive),
        _ => {
            // Both characters go out, and the 0 of a format that ends here too.
            set_field(call, FORMAT, if directive.letter == 0 { directive.end - 1 } else { directive.end })?;
            let sp = call.sp();
            call.set_byte(sp, directive.letter)?;
            set_field(call, TEXT, sp)?;
            set_field(call, LENGTH, u32::from(directive.letter != 0))?;
            emit(call, b'%'.into(), COUNTED, 40)
        }
    }
}

/// Where the next argument of this size is, and what the list's position becomes behind it.
fn argument(call: &mut Call<'_>, size: u32) -> Result<(u32, u32), Exception> {
    let position = field(call, ARGUMENT)?.next_multiple_of(size);
    let after = position.wrapping_add(size);
    if after <= IN_REGISTERS {
        let registers = field(call, REGISTER_ARGUMENTS)?;
        return Ok((registers.wrapping_add(position), after));
    }
    let after = if position <= IN_REGISTERS { ON_STACK + size } else { after };
    let stack = field(call, STACK_ARGUMENTS)?;
    Ok((stack.wrapping_add(after - size), after))
}

/// Sets up what goes out for a text of this length, which is in place.
fn lay_out(
    call: &mut Call<'_>,
    directive: &Directive,
    sign: Option<u8>,
    text: u32,
    length: u32,
) -> Result<(), Exception> {
    let missing = directive.width.saturating_sub(length).saturating_sub(u32::from(sign.is_some()));
    let sign = sign.map_or(0, u32::from);
    let (before, behind) = if directive.left { (0, missing) } else { (missing, 0) };
    let fields = [
        (PADDING, before),
        (PADDING_CHARACTER, if directive.zeros { b'0' } else { b' ' }.into()),
        (if directive.zeros { SIGN_FIRST } else { SIGN }, sign),
        (TEXT, text),
        (LENGTH, length),
        (SPACES, behind),
        (FORMAT, directive.end),
    ];
    fields.into_iter().try_for_each(|(offset, value)| set_field(call, offset, value))
}

fn text(call: &mut Call<'_>, directive: &Directive) -> Outcome {
    let (place, after) = argument(call, 4)?;
    let text = match call.word(place)? {
        0 => TEXT_NULL,
        text => text,
    };
    let mut length: u32 = 0;
    while call.byte(text.wrapping_add(length))? != 0 {
        length = length.wrapping_add(1);
    }
    lay_out(call, directive, None, text, length)?;
    set_field(call, ARGUMENT, after)?;
    Ok(call.go(NOT_COUNTED, 60 + 5 * u64::from(length)))
}

fn number(call: &mut Call<'_>, directive: &Directive) -> Outcome {
    // `%p` never looks at `ll`: its place in the ROM's table is behind that.
    let long = directive.long && directive.letter != b'p';
    let (place, after) = argument(call, if long { 8 } else { 4 })?;
    let low = call.word(place)?;
    let high = if long {
        call.word(place.wrapping_add(4))?
    } else {
        low.cast_signed().wrapping_shr(31).cast_unsigned()
    };
    let signed = matches!(directive.letter, b'd' | b'D');
    let negative = signed && high.cast_signed() < 0;
    let value = match (signed, negative) {
        (true, true) => pair(low, high).wrapping_neg(),
        (true, false) => pair(low, high),
        (false, _) => low.into(),
    };
    let digits = match directive.letter {
        b'd' | b'D' | b'u' | b'U' => format!("{value}"),
        b'X' => format!("{value:X}"),
        _ => format!("{value:x}"),
    };
    let sp = call.sp();
    let mut length = 0;
    for (place, digit) in (sp..).zip(digits.bytes()) {
        call.set_byte(place, digit)?;
        length += 1;
    }
    let pointer = directive.letter == b'p';
    let directive = Directive {
        // A pointer is always eight digits.
        width: if pointer { 8 } else { directive.width },
        zeros: directive.zeros || pointer,
        ..*directive
    };
    lay_out(call, &directive, negative.then_some(b'-'), sp, length)?;
    set_field(call, PREFIX, if pointer { 2 } else { 0 })?;
    set_field(call, ARGUMENT, after)?;
    // Each digit costs a division and a remainder of 64 bits.
    Ok(call.go(NOT_COUNTED, 100 + 250 * u64::from(length)))
}
