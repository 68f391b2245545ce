//! Integer arithmetic of the compiler's library: 64 bits in register pairs, low word first.
//!
//! The dividers shift and subtract, so their time depends on how many bits the quotient has: 6 cycles for each of
//! those of 32-bit ones, about 20 for 64-bit ones. Division by zero executes an illegal instruction.

use espbroker_lx106::Cause;

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use crate::machine::Step;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_0650, "__muldi3", multiply),
    (0x4000_CE60, "__divdi3", divide_long),
    (0x4000_D310, "__udivdi3", divide_unsigned_long),
    (0x4000_D770, "__umoddi3", remainder_unsigned_long),
    (0x4000_DC88, "__divsi3", divide),
    (0x4000_DCF0, "__umulsidi3", multiply_widening),
    (0x4000_E21C, "__udivsi3", divide_unsigned),
    (0x4000_E268, "__umodsi3", remainder_unsigned),
    (0x4000_31B4, "roundup2", round_up_to_power),
    (0x4000_31C0, "multofup", divide_up),
];

/// The pair of registers with the low word first.
pub(super) const fn pair(low: u32, high: u32) -> u64 {
    (high as u64) << 32 | low as u64
}

/// Done, with 64 bits in a2 and a3.
pub(super) fn returned_pair(call: &mut Call<'_>, value: u64, cycles: u64) -> Outcome {
    let [a, b, c, d, e, f, g, h] = value.to_le_bytes();
    call.set_a3(u32::from_le_bytes([e, f, g, h]));
    returned(call, u32::from_le_bytes([a, b, c, d]), cycles)
}

/// The illegal instruction at `address` inside the function.
fn divided_by_zero(call: &mut Call<'_>, address: u32) -> Outcome {
    call.machine.cpu.pc = address;
    Err(Exception { cause: Cause::IllegalInstruction, address: 0 })
}

const fn quotient_bits(dividend: u64, divisor: u64) -> u64 {
    divisor.leading_zeros().saturating_sub(dividend.leading_zeros()) as u64
}

fn multiply(call: &mut Call<'_>) -> Outcome {
    let [a, b, c, d, ..] = call.arguments();
    returned_pair(call, pair(a, b).wrapping_mul(pair(c, d)), 50)
}

fn multiply_widening(call: &mut Call<'_>) -> Outcome {
    let [a, b, ..] = call.arguments();
    returned_pair(call, u64::from(a) * u64::from(b), 30)
}

fn divide_unsigned(call: &mut Call<'_>) -> Outcome {
    let [dividend, divisor, ..] = call.arguments();
    match dividend.checked_div(divisor) {
        Some(quotient) => {
            let bits = quotient_bits(dividend.into(), divisor.into());
            returned(call, quotient, 12 + 6 * bits)
        }
        None => divided_by_zero(call, 0x4000_E25D),
    }
}

fn remainder_unsigned(call: &mut Call<'_>) -> Outcome {
    let [dividend, divisor, ..] = call.arguments();
    match dividend.checked_rem(divisor) {
        Some(remainder) => {
            let bits = quotient_bits(dividend.into(), divisor.into());
            returned(call, remainder, 10 + 5 * bits)
        }
        None => divided_by_zero(call, 0x4000_E296),
    }
}

fn divide(call: &mut Call<'_>) -> Outcome {
    let [dividend, divisor, ..] = call.arguments();
    let (size, by) = (dividend.cast_signed().unsigned_abs(), divisor.cast_signed().unsigned_abs());
    match size.checked_div(by) {
        Some(quotient) => {
            let negative = (dividend ^ divisor) >> 31 == 1;
            let quotient = if negative { quotient.wrapping_neg() } else { quotient };
            let bits = quotient_bits(size.into(), by.into());
            returned(call, quotient, 14 + 7 * bits)
        }
        None => divided_by_zero(call, 0x4000_DCE5),
    }
}

/// What the 64-bit dividers do with a divisor of 0: they divide 1 by 0 with the 32-bit one.
fn long_divided_by_zero(call: &mut Call<'_>) -> Outcome {
    divided_by_zero(call, 0x4000_E25D)
}

fn divide_unsigned_long(call: &mut Call<'_>) -> Outcome {
    let [a, b, c, d, ..] = call.arguments();
    let (dividend, divisor) = (pair(a, b), pair(c, d));
    match dividend.checked_div(divisor) {
        Some(quotient) => returned_pair(call, quotient, 60 + 20 * quotient_bits(dividend, divisor)),
        None => long_divided_by_zero(call),
    }
}

fn remainder_unsigned_long(call: &mut Call<'_>) -> Outcome {
    let [a, b, c, d, ..] = call.arguments();
    let (dividend, divisor) = (pair(a, b), pair(c, d));
    match dividend.checked_rem(divisor) {
        Some(remainder) => returned_pair(call, remainder, 60 + 20 * quotient_bits(dividend, divisor)),
        None => long_divided_by_zero(call),
    }
}

fn divide_long(call: &mut Call<'_>) -> Outcome {
    let [a, b, c, d, ..] = call.arguments();
    let (dividend, divisor) = (pair(a, b).cast_signed(), pair(c, d).cast_signed());
    if divisor == 0 {
        return long_divided_by_zero(call);
    }
    let bits = quotient_bits(dividend.unsigned_abs(), divisor.unsigned_abs());
    returned_pair(call, dividend.wrapping_div(divisor).cast_unsigned(), 70 + 20 * bits)
}

fn round_up_to_power(call: &mut Call<'_>) -> Outcome {
    let [value, power, ..] = call.arguments();
    returned(call, value.wrapping_add(power).wrapping_sub(1) & power.wrapping_neg(), 5)
}

fn divide_up(call: &mut Call<'_>) -> Outcome {
    let [value, unit, ..] = call.arguments();
    let dividend = value.wrapping_add(unit).wrapping_sub(1);
    match dividend.checked_div(unit) {
        Some(quotient) => returned(call, quotient, 20 + 6 * quotient_bits(dividend.into(), unit.into())),
        None => Ok(Step::Stuck("multofup: a unit of 0".to_owned())),
    }
}
