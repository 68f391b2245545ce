//! `core::fmt`: widths, bases, signs, `Debug` of structures, and reading numbers back.

use alloc::{format, string::String, vec::Vec};
use core::{fmt, hint::black_box};

use crate::report::Report;

const ROUNDS: u32 = 100;

/// Something of every kind that `Debug` is derived for.
#[derive(Debug)]
#[expect(dead_code, reason = "the derived `Debug` alone reads it")]
enum Thing<'a> {
    Nothing,
    Number(i64),
    Pair { name: &'a str, bytes: Vec<u8> },
    Nested(Option<(char, bool)>, Result<u16, String>),
}

macro_rules! integers {
    ($report:ident: $($integer:ident)*) => {$(
        $report.line(concat!(stringify!($integer), " into text and back"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let value = black_box(random.wide() as $integer);
                let text = format!("{value}");
                digest.take(text.as_str());
                digest.take(text.parse::<$integer>().ok());
                digest.take($integer::from_str_radix(&format!("{value:x}"), 16).ok());
                digest.take(format!("{value:+08} {value:#x} {value:#018b} {value:o} {value:>12}|{value:<9}|").as_str());
            }
        })?;
    )*};
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "one macro for all types; the numbers are random"
)]
pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    integers!(report: u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
    report.line("debug of structures", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let [a, b, c, d, ..] = random.next().to_le_bytes();
            let thing = match black_box(random.below(4)) {
                0 => Thing::Nothing,
                1 => Thing::Number(random.next() as i64),
                2 => Thing::Pair { name: "tab\t\"quoted\" ü", bytes: Vec::from([a, b, c]) },
                _ => Thing::Nested(
                    char::from_u32(u32::from_le_bytes([a, b, c & 0x0F, 0]))
                        .map(|character| (character, d > 9)),
                    if d > 128 { Ok(u16::from_le_bytes([a, b])) } else { Err(format!("{a:>5}")) },
                ),
            };
            digest.take(format!("{thing:?}").as_str());
            digest.take(format!("{thing:#?}").as_str());
        }
    })?;
    report.line("padding and precision", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let (width, precision) = (random.below(12) as usize, random.below(6) as usize);
            digest.take(format!("{:*^width$.precision$}|{:>width$}", "häßlich", true).as_str());
            digest.take(format!("{:width$.precision$}", f64::from(random.below(100_000)) / 1000.0).as_str());
        }
    })
}
