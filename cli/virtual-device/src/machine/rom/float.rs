//! Floating point of the compiler's library, single in one register, double in two, low word first.
//!
//! IEEE 754 with rounding to nearest even. Which of several NaNs comes out was not looked at. Conversions to integers
//! saturate, NaN as the largest value. Cycles are rough: 40 to 60 for single, 60 to 100 for double, 500 for a division.

use super::Entry;
use super::call::{Call, Outcome, returned};
use super::integer::{pair, returned_pair};

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_C180, "__addsf3", |call| single(call, 45, |a, b| a + b)),
    (0x4000_C268, "__subsf3", |call| single(call, 45, |a, b| a - b)),
    (0x4000_C3DC, "__mulsf3", |call| single(call, 60, |a, b| a * b)),
    (0x4000_C538, "__adddf3", |call| double(call, 70, |a, b| a + b)),
    (0x4000_C688, "__subdf3", |call| double(call, 70, |a, b| a - b)),
    (0x4000_C8F0, "__muldf3", |call| double(call, 120, |a, b| a * b)),
    (0x4000_CB94, "__divdf3", |call| double(call, 500, |a, b| a / b)),
    (0x4000_C4C4, "__fixunssfsi", unsigned_of_single),
    (0x4000_CCB8, "__fixdfsi", integer_of_double),
    (0x4000_CD00, "__fixunsdfsi", unsigned_of_double),
    (0x4000_CD5C, "__truncdfsf2", single_of_double),
    (0x4000_CDFC, "__extendsfdf2", double_of_single),
    (0x4000_E2A4, "__floatunsisf", single_of_unsigned),
    (0x4000_E2AC, "__floatsisf", single_of_integer),
    (0x4000_E2E8, "__floatunsidf", double_of_unsigned),
    (0x4000_E2F0, "__floatsidf", double_of_integer),
];

fn single(call: &mut Call<'_>, cycles: u64, operation: fn(f32, f32) -> f32) -> Outcome {
    let [a, b, ..] = call.arguments();
    returned(call, operation(f32::from_bits(a), f32::from_bits(b)).to_bits(), cycles)
}

fn double(call: &mut Call<'_>, cycles: u64, operation: fn(f64, f64) -> f64) -> Outcome {
    let [a, b, c, d, ..] = call.arguments();
    let result = operation(f64::from_bits(pair(a, b)), f64::from_bits(pair(c, d)));
    returned_pair(call, result.to_bits(), cycles)
}

fn double_argument(call: &Call<'_>) -> f64 {
    let [low, high, ..] = call.arguments();
    f64::from_bits(pair(low, high))
}

#[expect(clippy::cast_possible_truncation, reason = "the cast saturates, as the function does")]
fn integer(value: f64) -> u32 {
    if value.is_nan() { 0x7FFF_FFFF } else { (value as i32).cast_unsigned() }
}

/// A negative value comes out as the negated magnitude, down to the most negative number, where it stays.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, as the function does"
)]
fn unsigned(value: f64) -> u32 {
    match value {
        _ if value.is_nan() => u32::MAX,
        _ if value <= -2_147_483_648.0 => 0x8000_0000,
        _ if value < 0.0 => (-value as u32).wrapping_neg(),
        _ => value as u32,
    }
}

fn unsigned_of_single(call: &mut Call<'_>) -> Outcome {
    let value = unsigned(f32::from_bits(call.a2()).into());
    returned(call, value, 15)
}

fn integer_of_double(call: &mut Call<'_>) -> Outcome {
    let value = integer(double_argument(call));
    returned(call, value, 16)
}

fn unsigned_of_double(call: &mut Call<'_>) -> Outcome {
    let value = unsigned(double_argument(call));
    returned(call, value, 16)
}

#[expect(clippy::cast_possible_truncation, reason = "rounding is what the function is for")]
fn single_of_double(call: &mut Call<'_>) -> Outcome {
    let value = double_argument(call) as f32;
    returned(call, value.to_bits(), 25)
}

fn double_of_single(call: &mut Call<'_>) -> Outcome {
    let value = f64::from(f32::from_bits(call.a2()));
    returned_pair(call, value.to_bits(), 18)
}

#[expect(clippy::cast_precision_loss, reason = "rounding is what the function is for")]
fn single_of_unsigned(call: &mut Call<'_>) -> Outcome {
    let value = call.a2() as f32;
    returned(call, value.to_bits(), 18)
}

#[expect(clippy::cast_precision_loss, reason = "rounding is what the function is for")]
fn single_of_integer(call: &mut Call<'_>) -> Outcome {
    let value = call.a2().cast_signed() as f32;
    returned(call, value.to_bits(), 18)
}

fn double_of_unsigned(call: &mut Call<'_>) -> Outcome {
    let value = f64::from(call.a2());
    returned_pair(call, value.to_bits(), 16)
}

fn double_of_integer(call: &mut Call<'_>) -> Outcome {
    let value = f64::from(call.a2().cast_signed());
    returned_pair(call, value.to_bits(), 16)
}
