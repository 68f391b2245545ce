//! Soft floating point: the chip has no unit for it. Any bit pattern is an argument.

use core::{fmt, hint::black_box};

use crate::{random::Random, report::Report};

const ROUNDS: u32 = 300;

fn single(random: &mut Random) -> f32 {
    const EDGES: [f32; 10] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f32::INFINITY,
        f32::NEG_INFINITY,
        f32::NAN,
        f32::MIN_POSITIVE,
        f32::MAX,
        1.0e-45,
    ];
    let [.., b0, b1, b2, b3] = random.next().to_le_bytes();
    let ordinary = f32::from(i16::from_le_bytes([b0, b1])) / 16.0;
    match random.below(4) {
        0 => EDGES.get(usize::from(b2) % EDGES.len()).copied().unwrap_or(0.0),
        1 => f32::from_le_bytes([b0, b1, b2, b3]),
        _ => ordinary,
    }
}

fn double(random: &mut Random) -> f64 {
    const EDGES: [f64; 10] = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        f64::MIN_POSITIVE,
        f64::MAX,
        5.0e-324,
    ];
    let bytes = random.next().to_le_bytes();
    let [b0, b1, b2, b3, b4, ..] = bytes;
    let ordinary = f64::from(i32::from_le_bytes([b0, b1, b2, b3])) / 256.0;
    match random.below(4) {
        0 => EDGES.get(usize::from(b4) % EDGES.len()).copied().unwrap_or(0.0),
        1 => f64::from_le_bytes(bytes),
        _ => ordinary,
    }
}

macro_rules! floats {
    ($report:ident: $($float:ident $random:ident)*) => {$(
        $report.line(concat!(stringify!($float), " arithmetic"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let (a, b) = (black_box($random(random)), black_box($random(random)));
                digest.take(a + b);
                digest.take(a - b);
                digest.take(a * b);
                digest.take(a / b);
                digest.take(-a);
                digest.take(a.abs());
                digest.take(a.copysign(b));
            }
        })?;
        $report.line(concat!(stringify!($float), " remainder"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let (a, b) = (black_box($random(random)), black_box($random(random)));
                digest.take(a % b);
            }
        })?;
        $report.line(concat!(stringify!($float), " order"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let (a, b) = (black_box($random(random)), black_box($random(random)));
                digest.take(a < b);
                digest.take(a <= b);
                digest.take(a == b);
                digest.take(a != b);
                digest.take(a > b);
                digest.take(a.partial_cmp(&b).map(|order| order as i8));
                digest.take(a.is_nan());
                digest.take(a.is_finite());
                digest.take(a.classify() as u8);
            }
        })?;
        $report.line(concat!(stringify!($float), " into integers"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let value = black_box($random(random));
                digest.take(value as u8);
                digest.take(value as i16);
                digest.take(value as u32);
                digest.take(value as i32);
                digest.take(value as u64);
                digest.take(value as i64);
                digest.take(value as u128);
                digest.take(value as i128);
                digest.take(value as f32);
                digest.take(f64::from(value));
            }
        })?;
        $report.line(concat!(stringify!($float), " into text and back"), &mut |random, digest| {
            for _ in 0..ROUNDS {
                let value = black_box($random(random));
                let text = alloc::format!("{value}");
                digest.take(text.as_str());
                digest.take(text.parse::<$float>().ok());
                digest.take(alloc::format!("{value:e}").as_str());
                digest.take(alloc::format!("{value:.3}").as_str());
            }
        })?;
    )*};
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "they are what is checked")]
pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    floats!(report: f32 single f64 double);
    Ok(())
}
