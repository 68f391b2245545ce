//! Percentiles and medians of what was measured.

use serde::{Deserialize, Serialize};

/// Latencies, microseconds, rounded up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: u64,
    pub(crate) p95: u64,
    pub(crate) p99: u64,
}

impl Percentiles {
    /// Of nanoseconds in any order; all 0 for none.
    pub(crate) fn of(mut nanoseconds: Vec<u64>) -> Self {
        nanoseconds.sort_unstable();
        let [p50, p95, p99] = [50, 95, 99].map(|percent| {
            // Nearest rank: the smallest value that `percent` of all values do not exceed.
            let rank = (nanoseconds.len() * percent).div_ceil(100);
            nanoseconds.get(rank.saturating_sub(1)).map_or(0, |nanoseconds| nanoseconds.div_ceil(1000))
        });
        Self { p50, p95, p99 }
    }
}

/// The middle one, or the mean of the two in the middle; 0 for none.
pub(crate) fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    let middle = values.len() / 2;
    let at = |index: usize| values.get(index).copied().unwrap_or(0);
    if values.len().is_multiple_of(2) {
        u64::midpoint(at(middle.saturating_sub(1)), at(middle))
    } else {
        at(middle)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_nearest_rank() {
        let thousands = |values: &[u64]| values.iter().map(|value| value * 1000).collect::<Vec<_>>();
        // The example of the nearest-rank method: of 15, 20, 35, 40, 50 the 50th percentile is 35.
        let five = Percentiles::of(thousands(&[50, 15, 40, 20, 35]));
        assert_eq!(five, Percentiles { p50: 35, p95: 50, p99: 50 });
        let hundred = Percentiles::of(thousands(&(1..=100).rev().collect::<Vec<_>>()));
        assert_eq!(hundred, Percentiles { p50: 50, p95: 95, p99: 99 });
        assert_eq!(Percentiles::of(vec![1]), Percentiles { p50: 1, p95: 1, p99: 1 });
        assert_eq!(Percentiles::of(Vec::new()), Percentiles::default());
    }

    #[test]
    fn a_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!([vec![], vec![3], vec![9, 1], vec![7, 1, 100]].map(median), [0, 3, 5, 7]);
    }
}
