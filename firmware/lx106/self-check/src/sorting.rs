//! Sorting, searching, and hashing with SipHash (`core::hash`).

use alloc::{format, string::String, vec::Vec};
#[expect(deprecated, reason = "the one hasher that `core` has; its results are fixed")]
use core::hash::SipHasher;
use core::{
    fmt,
    hash::{Hash as _, Hasher as _},
};

use crate::report::Report;

pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    report.line("sorting", &mut |random, digest| {
        for length in [0, 1, 2, 10, 21, 60, 300, 1_500] {
            let numbers: Vec<u64> = (0..length).map(|_| random.next() >> random.below(60)).collect();
            let mut sorted = numbers.clone();
            sorted.sort_unstable();
            for value in &sorted {
                digest.take(*value);
            }
            digest.take(sorted.binary_search(&random.next()).unwrap_or_else(|at| at));
            digest.take(sorted.partition_point(|value| *value < 1 << 30));
            let mut texts: Vec<(u8, String)> =
                numbers.iter().map(|number| ((number % 7).to_le_bytes()[0], format!("{number}"))).collect();
            texts.sort_by_key(|text| text.0);
            for (key, text) in texts.iter().step_by(3) {
                digest.take((*key, text.as_str()));
            }
            texts.sort_by(|a, b| b.1.cmp(&a.1));
            for (key, text) in texts.iter().step_by(3) {
                digest.take((*key, text.as_str()));
            }
        }
    })?;
    report.line("selection", &mut |random, digest| {
        for length in [5, 50, 500] {
            let mut numbers: Vec<u32> = (0..length).map(|_| random.below(1_000)).collect();
            let (_, middle, _) = numbers.select_nth_unstable(length / 2);
            digest.take(*middle);
            numbers.sort_unstable_by(|a, b| b.cmp(a));
            numbers.dedup();
            let third = numbers.len() / 3;
            numbers.rotate_left(third);
            numbers.reverse();
            for number in numbers {
                digest.take(number);
            }
        }
    })?;
    report.line("hashing", &mut |random, digest| {
        for _ in 0..500 {
            #[expect(deprecated, reason = "see the import")]
            let mut hasher = SipHasher::new_with_keys(random.next(), random.next());
            (random.next(), random.below(9), random.below(2) == 0).hash(&mut hasher);
            format!("{}", random.next()).hash(&mut hasher);
            digest.take(hasher.finish());
        }
    })
}
