//! Calls: closures, trait objects, generics, function pointers, many arguments, big results, recursion, matches.

use alloc::{boxed::Box, vec::Vec};
use core::{array, fmt, hint::black_box, ops::ControlFlow};

use crate::report::Report;

const ROUNDS: u32 = 300;

trait Shape {
    fn area(&self) -> u64;
    fn scaled(&self, by: u32) -> Box<dyn Shape>;
    fn sides(&self) -> u8 {
        4
    }
}

struct Square(u32);
struct Rectangle {
    width: u32,
    height: u16,
}

impl Shape for Square {
    fn area(&self) -> u64 {
        u64::from(self.0) * u64::from(self.0)
    }

    fn scaled(&self, by: u32) -> Box<dyn Shape> {
        Box::new(Rectangle { width: self.0.wrapping_mul(by), height: 3 })
    }
}

impl Shape for Rectangle {
    fn area(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height)
    }

    fn scaled(&self, by: u32) -> Box<dyn Shape> {
        Box::new(Square(self.width ^ by))
    }

    fn sides(&self) -> u8 {
        if self.height == 0 { 2 } else { 4 }
    }
}

/// More arguments than there are registers for, of mixed sizes.
#[expect(clippy::too_many_arguments, reason = "they are what is checked")]
#[inline(never)]
fn mixed(a: u8, b: u64, c: i16, d: f64, e: u32, f: u128, g: bool, h: f32, i: i64) -> (u128, [u64; 4]) {
    let sum = f.wrapping_add(u128::from(b)).wrapping_mul(u128::from(a) | 1);
    let words = [d.to_bits(), u64::from(h.to_bits()), i.cast_unsigned(), u64::from(e) << 1 | u64::from(g)];
    (sum.wrapping_sub(i128::from(c).cast_unsigned()), words)
}

#[inline(never)]
fn ackermann(m: u32, n: u32) -> u32 {
    match (m, n) {
        (0, n) => n + 1,
        (m, 0) => ackermann(m - 1, 1),
        (m, n) => ackermann(m - 1, ackermann(m, n - 1)),
    }
}

pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    report.line("trait objects", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let [low, high, ..] = random.next().to_le_bytes();
            let shape: Box<dyn Shape> = match random.below(2) {
                0 => Box::new(Square(random.below(1 << 20))),
                _ => Box::new(Rectangle {
                    width: random.below(1 << 30),
                    height: u16::from_le_bytes([low, high]),
                }),
            };
            let scaled = black_box(shape.scaled(random.below(50)));
            digest.take((shape.area(), shape.sides()));
            digest.take((scaled.area(), scaled.sides()));
        }
    })?;
    report.line("closures", &mut |random, digest| {
        let mut steps: Vec<Box<dyn Fn(u64) -> u64>> = Vec::new();
        for _ in 0..ROUNDS {
            let number = random.next();
            steps.push(match number % 3 {
                0 => Box::new(move |value| value.wrapping_add(number)),
                1 => Box::new(move |value| value.rotate_left(7) ^ number),
                _ => Box::new(|value| value.wrapping_mul(0x9E37_79B9)),
            });
            digest.take(steps.iter().fold(number, |value, step| step(value)));
        }
        let functions: [fn(u32) -> u32; 3] = black_box([u32::swap_bytes, u32::count_ones, u32::reverse_bits]);
        for function in functions.iter().cycle().take(100) {
            digest.take(function(random.below(u32::MAX)));
        }
    })?;
    report.line("many arguments and big results", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let [a, b, c, d, e, ..] = random.next().to_le_bytes();
            let (float, small) = (f64::from(random.below(1 << 20)) / 8.0, f32::from(a) / 4.0);
            let (sum, words) = black_box(mixed)(
                a,
                random.next(),
                i16::from_le_bytes([b, c]),
                float,
                random.below(u32::MAX),
                random.wide(),
                d > e,
                small,
                random.next().cast_signed(),
            );
            digest.take(sum);
            for word in words {
                digest.take(word);
            }
            let big: [u64; 40] = black_box(array::from_fn(|_| random.next()));
            digest.take(big.iter().copied().fold(0, u64::wrapping_add));
        }
    })?;
    report.line("recursion and iterators", &mut |random, digest| {
        for m in 0..3 {
            for n in 0..20 {
                digest.take(ackermann(black_box(m), black_box(n)));
            }
        }
        for _ in 0..ROUNDS {
            let end = random.below(200);
            let numbers = (0..end).filter(|number| number % 3 != 0).map(|number| number * number);
            digest.take(numbers.clone().zip((1..).step_by(3)).map(|(a, b): (u32, u32)| a ^ b).sum::<u32>());
            digest.take(numbers.clone().skip_while(|number| *number < 50).take(9).max());
            let found = numbers.clone().try_fold(0_u32, |total, number| {
                if total > 5_000 { ControlFlow::Break(total) } else { ControlFlow::Continue(total + number) }
            });
            digest.take(match found {
                ControlFlow::Break(total) => (true, total),
                ControlFlow::Continue(total) => (false, total),
            });
            digest.take(numbers.rev().position(|number| number % 16 == 0));
        }
    })
}
