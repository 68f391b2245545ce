//! Every operation of every integer type, 128 bits included.

use core::{fmt, hint::black_box};

use crate::report::Report;

const ROUNDS: u32 = 150;

macro_rules! integers {
    ($report:ident: $($integer:ident)*) => {$(
        {
            // Truncation is the point: the numbers are random.
            let of = |wide: u128| black_box(wide as $integer);
            $report.line(concat!(stringify!($integer), " sums and products"), &mut |random, digest| {
                for _ in 0..ROUNDS {
                    let (a, b) = (of(random.wide()), of(random.wide()));
                    digest.take(a.wrapping_add(b));
                    digest.take(a.wrapping_sub(b));
                    digest.take(a.wrapping_mul(b));
                    digest.take(a.overflowing_add(b));
                    digest.take(a.overflowing_mul(b));
                    digest.take(a.checked_sub(b));
                    digest.take(a.saturating_add(b));
                    digest.take(a.saturating_sub(b));
                    digest.take(a.saturating_mul(b));
                    digest.take(a.abs_diff(b));
                    digest.take(a.wrapping_neg());
                }
            })?;
            $report.line(concat!(stringify!($integer), " quotients"), &mut |random, digest| {
                for _ in 0..ROUNDS {
                    let (a, b) = (of(random.wide()), of(random.wide()));
                    digest.take(a.checked_div(b));
                    digest.take(a.checked_rem(b));
                    digest.take(a.checked_div_euclid(b));
                    digest.take(a.checked_rem_euclid(b));
                    digest.take(a.wrapping_div(10));
                    digest.take(a.wrapping_rem(7));
                }
            })?;
            $report.line(concat!(stringify!($integer), " shifts and bits"), &mut |random, digest| {
                for _ in 0..ROUNDS {
                    let (a, b, by) = (of(random.wide()), of(random.wide()), black_box(random.below(160)));
                    digest.take(a.wrapping_shl(by));
                    digest.take(a.wrapping_shr(by));
                    digest.take(a.checked_shl(by));
                    digest.take(a.rotate_left(by));
                    digest.take(a.rotate_right(by));
                    digest.take(a & b);
                    digest.take(a | b);
                    digest.take(a ^ !b);
                    digest.take(a.leading_zeros());
                    digest.take(a.trailing_zeros());
                    digest.take(a.leading_ones());
                    digest.take(a.count_ones());
                    digest.take(a.swap_bytes());
                    digest.take(a.reverse_bits());
                }
            })?;
            $report.line(concat!(stringify!($integer), " powers and roots"), &mut |random, digest| {
                for _ in 0..ROUNDS {
                    let (a, power) = (of(random.wide()), black_box(random.below(20)));
                    digest.take(a.wrapping_pow(power));
                    digest.take(a.checked_pow(power));
                    digest.take(a.checked_ilog2());
                    digest.take(a.checked_ilog10());
                    digest.take(if a < 0 as $integer { None } else { Some(a.isqrt()) });
                }
            })?;
            $report.line(concat!(stringify!($integer), " order"), &mut |random, digest| {
                for _ in 0..ROUNDS {
                    let (a, b) = (of(random.wide()), of(random.wide()));
                    digest.take(a < b);
                    digest.take(a <= b);
                    digest.take(a == b);
                    digest.take(a.min(b));
                    digest.take(a.max(b));
                    digest.take(a.midpoint(b));
                }
            })?;
        }
    )*};
}

#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "one macro for all types")]
pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    integers!(report: u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);
    Ok(())
}
