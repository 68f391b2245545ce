//! Calls to and from C as GCC compiles it: structures by value, 64 bits, floats, many arguments, callbacks, `...`.
//!
//! 128-bit integers are left out: their C ABI is what `runtime` works around.

use core::{
    ffi::{c_char, c_int, c_void},
    fmt,
};

use crate::report::Report;

const ROUNDS: u32 = 300;

#[repr(C)]
#[derive(Clone, Copy)]
struct Small {
    tag: u8,
    count: u16,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Medium {
    low: u32,
    high: u64,
    rest: i16,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Large {
    words: [u64; 6],
    ratio: f32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Floating {
    first: f64,
    second: f32,
}

type Callback = extern "C" fn(*mut c_void, Medium, u8) -> u32;

unsafe extern "C" {
    safe fn foreign_small(value: Small, by: u32) -> Small;
    safe fn foreign_medium(before: u8, value: Medium, after: u8) -> Medium;
    safe fn foreign_large(value: Large, index: u32) -> Large;
    safe fn foreign_floating(value: Floating) -> Floating;
    safe fn foreign_wide(a: u32, b: u64, c: u32, d: u64) -> u64;
    safe fn foreign_nine(a: i8, b: i16, c: i32, d: i64, e: u8, f: u16, g: u32, h: u64, i: f64) -> i64;
    fn foreign_callback(call: Callback, context: *mut c_void, count: u32) -> u32;
    fn foreign_variadic(letters: *const c_char, ...) -> u64;
}

extern "C" fn called_back(context: *mut c_void, value: Medium, step: u8) -> u32 {
    // SAFETY: the context is the pointer that `run` passed along, to a u64 that outlives the call.
    let total = unsafe { &mut *context.cast::<u64>() };
    *total = total.wrapping_mul(5) ^ value.high ^ u64::from(step);
    value.low.wrapping_add(u32::from(value.rest.cast_unsigned()))
}

pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    report.line("C: structures by value", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let [a, b, c, d, e, ..] = random.next().to_le_bytes();
            let small =
                foreign_small(Small { tag: a, count: u16::from_le_bytes([b, c]) }, random.below(1_000));
            digest.take((small.tag, small.count));
            let value =
                Medium { low: random.below(u32::MAX), high: random.next(), rest: i16::from_le_bytes([d, e]) };
            let medium = foreign_medium(a, value, b);
            digest.take((medium.low, (medium.high, medium.rest)));
            let value = Large { words: core::array::from_fn(|_| random.next()), ratio: f32::from(c) / 3.0 };
            let large = foreign_large(value, random.below(60));
            for word in large.words {
                digest.take(word);
            }
            digest.take(large.ratio);
            let value = Floating { first: f64::from(random.below(1 << 30)) / 7.0, second: f32::from(d) };
            let floating = foreign_floating(value);
            digest.take((floating.first, floating.second));
        }
    })?;
    report.line("C: many and wide arguments", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let [a, b, c, d, e, f, ..] = random.next().to_le_bytes();
            let wide = foreign_wide(
                random.below(u32::MAX),
                random.next(),
                random.below(1 << 16),
                random.next() >> c,
            );
            digest.take(wide);
            digest.take(foreign_nine(
                a.cast_signed(),
                i16::from_le_bytes([b, c]),
                random.below(u32::MAX).cast_signed(),
                (random.next() >> 8).cast_signed(),
                d,
                u16::from_le_bytes([e, f]),
                random.below(u32::MAX),
                random.next() >> 8,
                f64::from(random.below(1 << 30)) / 3.0,
            ));
        }
    })?;
    report.line("C: callbacks", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let mut total = random.next();
            // SAFETY: the callback gets the pointer to `total`, which lives until the call returns.
            let sum = unsafe { foreign_callback(called_back, (&raw mut total).cast(), random.below(20)) };
            digest.take((sum, total));
        }
    })?;
    report.line("C: variable arguments", &mut |random, digest| {
        for _ in 0..ROUNDS {
            let (word, long) = (random.below(u32::MAX), random.next());
            let int: c_int = word.cast_signed();
            let double = f64::from(random.below(1 << 20)) / 5.0;
            // SAFETY: the letters name the types of the arguments, and the pointer outlives the call.
            let sums = unsafe {
                [
                    foreign_variadic(c"ildp".as_ptr(), int, long, double, &raw const word),
                    foreign_variadic(c"iiilid".as_ptr(), int, 1, 2, long, 3, double),
                    foreign_variadic(
                        c"dlpidil".as_ptr(),
                        double,
                        long,
                        &raw const word,
                        int,
                        double,
                        9,
                        long,
                    ),
                ]
            };
            for sum in sums {
                digest.take(sum);
            }
        }
    })
}
