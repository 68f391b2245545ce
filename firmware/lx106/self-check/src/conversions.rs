//! `as` between all numbers, and the checked conversions.

use core::{fmt, hint::black_box};

use crate::report::Report;

const ROUNDS: u32 = 80;

macro_rules! from {
    ($report:ident: $($from:ident)*) => {$(
        $report.line(concat!(stringify!($from), " into the others"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let value = black_box(random.wide() as $from);
                digest.take(value as u8);
                digest.take(value as i8);
                digest.take(value as u16);
                digest.take(value as i16);
                digest.take(value as u32);
                digest.take(value as i32);
                digest.take(value as u64);
                digest.take(value as i64);
                digest.take(value as u128);
                digest.take(value as i128);
                digest.take(value as f32);
                digest.take(value as f64);
            }
        })?;
    )*};
}

macro_rules! checked {
    ($report:ident: $($from:ident)*) => {$(
        $report.line(concat!(stringify!($from), " checked into the others"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let value = black_box(random.wide() as $from);
                digest.take(u8::try_from(value).ok());
                digest.take(i16::try_from(value).ok());
                digest.take(u32::try_from(value).ok());
                digest.take(i64::try_from(value).ok());
                digest.take(i128::try_from(value).ok());
            }
        })?;
    )*};
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    clippy::cast_lossless,
    reason = "they are what is checked"
)]
pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    from!(report: u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
    checked!(report: u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
    Ok(())
}
