//! How two topic filters relate (MQTT 3.1.1 §4.7): [`filters_overlap`] and [`filter_covers`].
//!
//! Both take stored bytes that were valid filters when they were stored, look at each byte of either a constant
//! number of times, and ignore that a topic name ends at 65,535 bytes. Other bytes give a meaningless answer, never
//! a panic.

/// The levels of `filter`. The two whose `#` would also stand for an empty topic name, which there is not (§4.7.3),
/// are replaced by their equals without that flaw.
fn levels(filter: &[u8]) -> impl Iterator<Item = &[u8]> {
    let filter: &[u8] = match filter {
        b"#" => b"+/#",
        b"/#" => b"/+/#",
        _ => filter,
    };
    filter.split(|byte| *byte == b'/')
}

/// §4.7.2: do the two part because one names topics that start with `$`, which the wildcard at the front of the
/// other does not match.
fn reserved_apart(wildcard: &[u8], reserved: &[u8]) -> bool {
    matches!(wildcard.first(), Some(b'+' | b'#')) && reserved.first() == Some(&b'$')
}

/// Is there a topic name that both filters match.
pub fn filters_overlap(a: &[u8], b: &[u8]) -> bool {
    if reserved_apart(a, b) || reserved_apart(b, a) {
        return false;
    }
    let (mut a, mut b) = (levels(a), levels(b));
    loop {
        match (a.next(), b.next()) {
            // Also when the other filter has ended: `#` matches the parent level (§4.7.1.2).
            (Some(b"#"), _) | (_, Some(b"#")) | (None, None) => return true,
            (Some(b"+"), Some(_)) | (Some(_), Some(b"+")) => {}
            (Some(level), Some(other)) if level == other => {}
            _ => return false,
        }
    }
}

/// Does `wide` match every topic name that `narrow` matches.
///
/// ```
/// # use espbroker_mqtt::filter_covers;
/// assert!(filter_covers(b"home/#", b"home/+/light"));
/// assert!(!filter_covers(b"home/+/light", b"home/#"));
/// // A wildcard at the front does not match names that start with `$` (MQTT 3.1.1 §4.7.2).
/// assert!(!filter_covers(b"#", b"$SYS/#"));
/// ```
pub fn filter_covers(wide: &[u8], narrow: &[u8]) -> bool {
    if reserved_apart(wide, narrow) {
        return false;
    }
    let (mut wide, mut narrow) = (levels(wide), levels(narrow));
    loop {
        match (wide.next(), narrow.next()) {
            (Some(b"#"), _) | (None, None) => return true,
            (Some(_), Some(b"#")) => return false,
            (Some(b"+"), Some(_)) => {}
            (Some(level), Some(other)) if level == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{format, string::String, vec, vec::Vec};

    use proptest::{collection::vec, prelude::*, sample::select};

    use super::*;
    use crate::{TopicFilter, TopicName, filter_matches};

    #[test]
    fn filters_overlap_when_a_name_can_match_both() {
        for (a, b, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/b", "a", false),
            ("a/+", "+/b", true),
            ("a/+", "+/b/c", false),
            ("a/#", "a", true),
            ("a/#", "+", true),
            ("a/#", "b/#", false),
            ("a/+/c/#", "a/b/#", true),
            ("#", "+", true),
            ("#", "/", true),
            ("+/+", "/", true),
            ("+", "/", false),
            ("/#", "/", true),
            ("/#", "+", false),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/+", "$SYS/#", true),
            ("a/$x", "a/+", true),
            ("a/+", "ab/+", false),
        ] {
            assert_eq!(filters_overlap(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
            assert_eq!(filters_overlap(b.as_bytes(), a.as_bytes()), expected, "{b} {a}");
        }
    }

    #[test]
    fn a_filter_covers_what_it_matches_wholly() {
        for (wide, narrow, expected) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/b", "a/+", false),
            ("a/#", "a", true),
            ("a/#", "a/+/c/#", true),
            ("a/+", "a/#", false),
            ("a/+/#", "a/#", false),
            ("a/+/#", "a/+", true),
            ("+/+", "a/#", false),
            ("#", "a/b", true),
            ("#", "+/#", true),
            ("+/#", "#", true),
            ("/+/#", "/#", true),
            ("/+", "/#", false),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "a/$x", true),
            ("a", "ab", false),
        ] {
            assert_eq!(filter_covers(wide.as_bytes(), narrow.as_bytes()), expected, "{wide} {narrow}");
        }
    }

    /// One level more than the filters below have, so that `#` and `+` are told apart.
    const DEPTH: usize = 4;

    /// Every topic name of up to [`DEPTH`] levels of a small alphabet; `z` stands for all that filters do not name.
    fn topics() -> Vec<String> {
        let mut all = Vec::new();
        let mut deepest = vec![String::new()];
        for depth in 0..DEPTH {
            let mut deeper = Vec::new();
            for start in &deepest {
                for level in ["", "a", "b", "$", "z"] {
                    deeper.push(if depth == 0 { level.into() } else { format!("{start}/{level}") });
                }
            }
            all.extend(deeper.iter().filter(|topic| TopicName::new(topic).is_ok()).cloned());
            deepest = deeper;
        }
        all
    }

    fn filter() -> impl Strategy<Value = String> {
        let levels = vec(select(vec!["", "a", "b", "$", "+", "+", "#"]), 1..DEPTH);
        levels
            .prop_map(|levels| levels.join("/"))
            .prop_filter("a valid filter", |text| TopicFilter::new(text).is_ok())
    }

    #[test]
    fn relations_agree_with_trying_every_topic() {
        let topics = topics();
        let matches = |filter: &str| -> Vec<bool> {
            topics.iter().map(|topic| filter_matches(filter.as_bytes(), topic.as_bytes())).collect()
        };
        proptest!(|(a in filter(), b in filter())| {
            let (by_a, by_b) = (matches(&a), matches(&b));
            let pairs = || by_a.iter().zip(&by_b);
            prop_assert_eq!(filters_overlap(a.as_bytes(), b.as_bytes()), pairs().any(|(a, b)| *a && *b));
            prop_assert_eq!(filter_covers(a.as_bytes(), b.as_bytes()), pairs().all(|(a, b)| *a || !*b));
        });
    }

    proptest! {
        #[test]
        fn relating_any_bytes_does_not_panic(a: Vec<u8>, b: Vec<u8>) {
            filters_overlap(&a, &b);
            filter_covers(&a, &b);
        }
    }
}
