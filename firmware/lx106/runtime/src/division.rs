//! 128-bit division, in place of `compiler_builtins`' functions of the same names.
//!
//! `__udivti3` and its kin take two 128-bit numbers. Where the compiler calls them for a `/`, LLVM passes the second
//! number in a6, a7 and two words on the stack; rustc's C ABI for Xtensa, by which `compiler_builtins` is compiled,
//! expects all four words of it on the stack. Results come out wrong, also those of `f64` remainders, which divide
//! 128-bit integers. Four 64-bit arguments lie where LLVM puts them by either rule, so the functions are declared with
//! those. The names in `compiler_builtins` are weak: these win.
//!
//! The signed ones follow Rust's operators: quotients are cut towards zero, a remainder has the dividend's sign.

/// Divides bit by bit; the quotient of a division by 0 is 0, but Rust's operators never ask.
const fn divide(mut dividend: u128, divisor: u128) -> (u128, u128) {
    if divisor == 0 || dividend < divisor {
        return (0, dividend);
    }
    let mut position = divisor.leading_zeros() - dividend.leading_zeros();
    let mut quotient = 0;
    let mut shifted = divisor << position;
    loop {
        if dividend >= shifted {
            dividend -= shifted;
            quotient |= 1 << position;
        }
        if position == 0 {
            return (quotient, dividend);
        }
        shifted >>= 1;
        position -= 1;
    }
}

const fn join(low: u64, high: u64) -> u128 {
    (high as u128) << 64 | low as u128
}

/// Returns the quotient of two `u128`, each given as its low and its high half.
#[unsafe(no_mangle)]
pub extern "C" fn __udivti3(low: u64, high: u64, divisor_low: u64, divisor_high: u64) -> u128 {
    divide(join(low, high), join(divisor_low, divisor_high)).0
}

/// Returns the remainder of two `u128`, each given as its low and its high half.
#[unsafe(no_mangle)]
pub extern "C" fn __umodti3(low: u64, high: u64, divisor_low: u64, divisor_high: u64) -> u128 {
    divide(join(low, high), join(divisor_low, divisor_high)).1
}

/// Returns the quotient of two `i128`, each given as its low and its high half.
#[unsafe(no_mangle)]
pub extern "C" fn __divti3(low: u64, high: u64, divisor_low: u64, divisor_high: u64) -> i128 {
    let (dividend, divisor) = (join(low, high).cast_signed(), join(divisor_low, divisor_high).cast_signed());
    let quotient = divide(dividend.unsigned_abs(), divisor.unsigned_abs()).0.cast_signed();
    if (dividend < 0) == (divisor < 0) { quotient } else { quotient.wrapping_neg() }
}

/// Returns the remainder of two `i128`, each given as its low and its high half.
#[unsafe(no_mangle)]
pub extern "C" fn __modti3(low: u64, high: u64, divisor_low: u64, divisor_high: u64) -> i128 {
    let (dividend, divisor) = (join(low, high).cast_signed(), join(divisor_low, divisor_high).cast_signed());
    let remainder = divide(dividend.unsigned_abs(), divisor.unsigned_abs()).1.cast_signed();
    if dividend < 0 { remainder.wrapping_neg() } else { remainder }
}
