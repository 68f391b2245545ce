//! Integers, floating point and random numbers.

use super::*;

fn pair(value: u64) -> [u32; 2] {
    [u32::try_from(value & 0xFFFF_FFFF).unwrap(), u32::try_from(value >> 32).unwrap()]
}

impl Bench {
    fn pair(&mut self, function: u32, arguments: &[u32]) -> u64 {
        let low = self.call(function, arguments);
        u64::from(self.machine.cpu.a[3]) << 32 | u64::from(low)
    }
}

#[test]
fn integers_are_divided_with_and_without_sign() {
    let mut bench = Bench::new();
    for (function, a, b, expected) in [
        (0x4000_E21C, 100, 7, 14),
        (0x4000_E21C, u32::MAX, 1, u32::MAX),
        (0x4000_E268, 100, 7, 2),
        (0x4000_DC88, (-100_i32).cast_unsigned(), 7, (-14_i32).cast_unsigned()),
        (0x4000_DC88, 0x8000_0000, u32::MAX, 0x8000_0000),
        (0x4000_31B4, 17, 16, 32),
        (0x4000_31C0, 17, 16, 2),
    ] {
        assert_eq!(bench.call(function, &[a, b]), expected, "{function:#x} {a} {b}");
    }
}

#[test]
fn long_integers_use_register_pairs() {
    let mut bench = Bench::new();
    let (a, b) = (0x1234_5678_9ABC_DEF0_u64, 0x0000_0001_0000_0003_u64);
    let arguments = [pair(a), pair(b)].concat();
    assert_eq!(bench.pair(0x4000_0650, &arguments), a.wrapping_mul(b));
    assert_eq!(bench.pair(0x4000_D310, &arguments), a / b);
    assert_eq!(bench.pair(0x4000_D770, &arguments), a % b);
    let negative = [pair(a.wrapping_neg()), pair(b)].concat();
    assert_eq!(bench.pair(0x4000_CE60, &negative), (a / b).wrapping_neg());
    assert_eq!(bench.pair(0x4000_DCF0, &[0xFFFF_FFFF, 0xFFFF_FFFE]), 0xFFFF_FFFF * 0xFFFF_FFFE);
}

#[test]
fn a_division_by_zero_is_an_illegal_instruction_inside_the_divider() {
    let mut bench = Bench::new();
    for (function, place) in [(0x4000_E21C, 0x4000_E25D), (0x4000_E268, 0x4000_E296)] {
        let (cause, _, epc) = bench.exception(function, &[5, 0]);
        assert_eq!((cause, epc), (0, place));
    }
}

#[test]
fn floating_point_numbers_come_out_as_ieee_has_them() {
    let mut bench = Bench::new();
    let single = |value: f32| value.to_bits();
    for (function, a, b, expected) in [
        (0x4000_C180, 1.5_f32, 2.25, 3.75),
        (0x4000_C268, 1.5, 2.25, -0.75),
        (0x4000_C3DC, 1.5, 2.25, 3.375),
        (0x4000_C180, 16_777_216.0, 1.0, 16_777_216.0),
    ] {
        assert_eq!(bench.call(function, &[single(a), single(b)]), single(expected), "{function:#x}");
    }
    let double = |value: f64| pair(value.to_bits());
    for (function, a, b, expected) in [
        (0x4000_C538, 0.1_f64, 0.2, 0.1 + 0.2),
        (0x4000_C688, 0.1, 0.2, 0.1 - 0.2),
        (0x4000_C8F0, 0.1, 0.2, 0.1 * 0.2),
        (0x4000_CB94, 1.0, 3.0, 1.0 / 3.0),
    ] {
        let arguments = [double(a), double(b)].concat();
        assert_eq!(f64::from_bits(bench.pair(function, &arguments)), expected, "{function:#x}");
    }
}

#[test]
fn conversions_saturate() {
    let mut bench = Bench::new();
    let double = |value: f64| pair(value.to_bits());
    for (function, value, expected) in [
        (0x4000_CCB8, -1.9, (-1_i32).cast_unsigned()),
        (0x4000_CCB8, 1e20, 0x7FFF_FFFF),
        (0x4000_CCB8, -1e20, 0x8000_0000),
        (0x4000_CD00, 4e9, 4_000_000_000),
        (0x4000_CD00, 1e20, u32::MAX),
        (0x4000_CD00, -5.5, (-5_i32).cast_unsigned()),
        (0x4000_CD00, -3e9, 0x8000_0000),
        (0x4000_CD5C, 1.1, 1.1_f32.to_bits()),
    ] {
        assert_eq!(bench.call(function, &double(value)), expected, "{function:#x} {value}");
    }
    assert_eq!(bench.call(0x4000_C4C4, &[3.99_f32.to_bits()]), 3);
    assert_eq!(bench.call(0x4000_E2A4, &[u32::MAX]), 4_294_967_296_f32.to_bits());
    assert_eq!(bench.call(0x4000_E2AC, &[u32::MAX]), (-1_f32).to_bits());
    assert_eq!(f64::from_bits(bench.pair(0x4000_E2F0, &[u32::MAX])), -1.0);
    assert_eq!(f64::from_bits(bench.pair(0x4000_E2E8, &[u32::MAX])), 4_294_967_295.0);
    assert_eq!(f64::from_bits(bench.pair(0x4000_CDFC, &[1.5_f32.to_bits()])), 1.5);
}

#[test]
fn random_numbers_are_those_of_the_generator() {
    let mut bench = Bench::new();
    bench.call(0x4000_05F0, &[1]);
    let next = |state: u64| state.wrapping_mul(0x5851_F42D_4C95_7F2D).wrapping_add(1);
    let (first, second) = (next(1), next(next(1)));
    for state in [first, second] {
        assert_eq!(u64::from(bench.call(0x4000_0600, &[])), state >> 32 & 0x7FFF_FFFF);
    }
}
