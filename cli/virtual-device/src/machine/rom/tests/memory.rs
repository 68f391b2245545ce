//! Memory, text and digest functions.

use md5::{Digest as _, Md5};
use proptest::prelude::*;
use sha1::Sha1;

use super::*;

const MEMCPY: u32 = 0x4000_DF48;
const MEMMOVE: u32 = 0x4000_E04C;
const MEMSET: u32 = 0x4000_E190;
const MEMCMP: u32 = 0x4000_DEA8;
const IRAM: u32 = 0x4010_1000;
const LOAD_STORE_ERROR: u32 = 3;

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| u8::try_from(index * 7 % 251).unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn copies_of_any_length_and_alignment_are_exact(
        to in 0_u32..8, from in 0_u32..8, length in 0_u32..600,
    ) {
        let mut bench = Bench::new();
        let data = pattern(700);
        for (function, target, source) in [
            (MEMCPY, DATA + 0x1000 + to, DATA + from),
            (MEMMOVE, DATA + 0x1000 + to, DATA + from),
            (MEMMOVE, DATA + 0x20 + to, DATA + 0x20 + from),
        ] {
            bench.put(DATA + 0x1000, &[0xEE; 0x400]);
            bench.put(DATA, &data);
            let expected = bench.bytes(source, length);
            let before = bench.bytes(target - 1, 1);
            let behind = bench.bytes(target + length, 1);
            prop_assert_eq!(bench.call(function, &[target, source, length]), target);
            prop_assert_eq!(bench.bytes(target, length), expected);
            prop_assert_eq!(bench.bytes(target - 1, 1), before);
            prop_assert_eq!(bench.bytes(target + length, 1), behind);
        }
        bench.put(DATA, &data);
        prop_assert_eq!(bench.call(MEMSET, &[DATA + to, 0x1A5, length]), DATA + to);
        prop_assert!(bench.bytes(DATA + to, length).iter().all(|&byte| byte == 0xA5));
        let behind = (to + length) as usize;
        prop_assert_eq!(bench.bytes(DATA + to + length, 1), &data[behind..=behind]);
        bench.call(0x4000_DE84, &[DATA + to, length]);
        prop_assert!(bench.bytes(DATA + to, length).iter().all(|&byte| byte == 0));
    }

    #[test]
    fn digests_are_those_of_md5_and_sha1(pieces in proptest::collection::vec(0_usize..200, 0..5)) {
        let mut bench = Bench::new();
        let data = pattern(1000);
        bench.put(DATA, &data);
        let context = DATA + 0x2000;
        let mut length = 0;
        for (init, update) in [(0x4000_9818, 0x4000_9834), (0x4000_B584, 0x4000_B5A8)] {
            let context = if init == 0x4000_9818 { context } else { context + 0x100 };
            bench.call(init, &[context]);
            length = 0;
            for &piece in &pieces {
                let at = DATA + u32::try_from(length).unwrap();
                bench.call(update, &[context, at, u32::try_from(piece).unwrap()]);
                length += piece;
            }
        }
        bench.call(0x4000_9900, &[DATA + 0x3000, context]);
        bench.call(0x4000_B648, &[DATA + 0x3010, context + 0x100]);
        prop_assert_eq!(bench.bytes(DATA + 0x3000, 16), Md5::digest(&data[..length]).to_vec());
        prop_assert_eq!(bench.bytes(DATA + 0x3010, 20), Sha1::digest(&data[..length]).to_vec());
        prop_assert_eq!(bench.word(context), 0, "only the first word of the context is cleared");
    }
}

#[test]
fn instruction_ram_takes_whole_words_and_faults_on_the_rest() {
    let mut bench = Bench::new();
    bench.put(DATA, &pattern(64));
    assert_eq!(bench.call(MEMCPY, &[IRAM, DATA + 1, 32]), IRAM);
    assert_eq!(bench.bytes(IRAM, 32), pattern(64)[1..33]);
    assert_eq!(bench.call(MEMCPY, &[DATA + 0x100, IRAM + 1, 28]), DATA + 0x100, "any source, by words");
    let (cause, address, epc) = bench.exception(MEMCPY, &[IRAM, DATA, 33]);
    assert_eq!((cause, address), (LOAD_STORE_ERROR, IRAM + 32));
    assert!((0x4000_DF48..0x4000_E04C).contains(&epc), "{epc:#x} is not in memcpy");
    assert_eq!(bench.exception(MEMCPY, &[IRAM + 1, DATA, 32]).1, IRAM + 1);
    assert_eq!(bench.exception(MEMSET, &[IRAM, 0, 30]).1, IRAM + 28);
    assert_eq!(bench.exception(0x4000_DE84, &[IRAM, 4]).1, IRAM, "bzero goes by bytes");
    assert_eq!(bench.exception(MEMMOVE, &[IRAM, DATA, 12]).1, IRAM, "memmove too, below 16");
    bench.call(MEMMOVE, &[IRAM, DATA, 16]);
}

#[test]
fn nothing_is_at_low_addresses() {
    let mut bench = Bench::new();
    assert_eq!(bench.exception(MEMCPY, &[0x1000, DATA, 4]).0, 29);
    assert_eq!(bench.exception(MEMCPY, &[DATA, 0x1000, 4]).0, 28);
}

#[test]
fn comparing_gives_the_difference_of_the_first_bytes_that_differ() {
    let mut bench = Bench::new();
    let data = pattern(600);
    bench.put(DATA, &data);
    bench.put(DATA + 0x1000, &data);
    for other in [DATA + 0x1000, DATA + 0x1001] {
        bench.put(other, &data);
        assert_eq!(bench.call(MEMCMP, &[DATA, other, 600]), 0);
        bench.put(other + 555, &[data[555].wrapping_add(2)]);
        assert_eq!(bench.call(MEMCMP, &[DATA, other, 600]), (-2_i32).cast_unsigned());
        assert_eq!(bench.call(MEMCMP, &[DATA, other, 555]), 0);
    }
}

#[test]
fn texts_are_copied_compared_measured_and_found() {
    let mut bench = Bench::new();
    bench.put(DATA, b"the quick brown fox\0");
    bench.put(DATA + 0x101, b"the quick brown dog\0");
    bench.put(DATA + 0x200, b"brown\0");
    for (function, arguments, expected) in [
        (0x4000_BF4C, vec![DATA], 19),
        (0x4000_BF4C, vec![DATA + 0x101], 19),
        (0x4000_BF4C, vec![DATA + 18], 1),
        (0x4000_BF4C, vec![DATA + 19], 0),
        (0x4000_BDC8, vec![DATA, DATA], 0),
        (0x4000_BDC8, vec![DATA, DATA + 0x101], 2),
        (0x4000_BFA8, vec![DATA, DATA + 0x101, 16], 0),
        (0x4000_BFA8, vec![DATA, DATA + 0x101, 17], 2),
        (0x4000_E1E0, vec![DATA, DATA + 0x200], DATA + 10),
        (0x4000_E1E0, vec![DATA + 0x200, DATA], 0),
        (0x4000_2AC8, vec![DATA], 19),
        (0x4000_2B74, vec![u32::from(b'b')], 11),
        (0x4000_2B74, vec![u32::from(b'g')], u32::MAX),
    ] {
        assert_eq!(bench.call(function, &arguments), expected, "{function:#x} {arguments:x?}");
    }
    for (to, from) in [(0x300, 0), (0x301, 0x101), (0x300, 0x101), (0x303, 2)] {
        bench.put(DATA + 0x300, &[0xEE; 64]);
        bench.call(0x4000_BEC8, &[DATA + to, DATA + from]);
        let length = if from == 2 { 18 } else { 20 };
        assert_eq!(bench.bytes(DATA + to, length), bench.bytes(DATA + from, length));
        assert_eq!(bench.bytes(DATA + to + length, 1), [0xEE]);
        bench.call(0x4000_C0A0, &[DATA + to, DATA + from, 32]);
        assert_eq!(bench.bytes(DATA + to + length, 32 - length), vec![0; 32 - length as usize]);
        bench.call(0x4000_C0A0, &[DATA + to, DATA + 0x101, 3]);
        assert_eq!(bench.bytes(DATA + to, 3), b"the");
    }
}

#[test]
fn text_in_flash_can_be_measured_but_not_compared() {
    let mut bench = Bench::with_flash(b"flashed\0".to_vec());
    bench.put(DATA, b"flashed\0");
    bench.put_word(0x3FF0_000C, 1 << 8);
    assert_eq!(bench.call(0x4000_BF4C, &[0x4020_0000]), 7);
    assert_eq!(bench.exception(0x4000_BDC8, &[0x4020_0000, DATA]), (3, 0x4020_0000, 0x4000_BDC8));
}
