//! Topic names and topic filters (MQTT 3.1.1 §4.7): validation and matching.

use core::fmt;

/// Why a text is not a topic name or topic filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// Not one character (§4.7.3).
    Empty,
    /// Longer than 65,535 bytes (§4.7.3).
    TooLong,
    /// Holds U+0000 (§4.7.3).
    NullCharacter,
    /// A topic name with `+` or `#` in it (§4.7.1).
    WildcardInName,
    /// A `#` that is not the last level, or shares its level (§4.7.1.2).
    MultiLevelWildcard,
    /// A `+` that shares its level (§4.7.1.3).
    SingleLevelWildcard,
}

impl core::error::Error for TopicError {}

impl fmt::Display for TopicError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Empty => "empty",
            Self::TooLong => "longer than 65535 bytes",
            Self::NullCharacter => "holds U+0000",
            Self::WildcardInName => "wildcard in a topic name",
            Self::MultiLevelWildcard => "`#` is not the whole last level",
            Self::SingleLevelWildcard => "`+` is not a whole level",
        })
    }
}

fn check(text: &str) -> Result<(), TopicError> {
    if text.is_empty() {
        Err(TopicError::Empty)
    } else if u16::try_from(text.len()).is_err() {
        Err(TopicError::TooLong)
    } else if text.as_bytes().contains(&0) {
        Err(TopicError::NullCharacter)
    } else {
        Ok(())
    }
}

/// Where a message goes: 1-65,535 bytes of UTF-8 without U+0000, `+` and `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicName<'a>(&'a str);

impl<'a> TopicName<'a> {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn new(text: &'a str) -> Result<Self, TopicError> {
        // One look at each byte: names are short, and every message has one.
        let is_wrong = |byte: u8| byte < b',' && matches!(byte, 0 | b'+' | b'#');
        if text.bytes().any(is_wrong) || u16::try_from(text.len()).is_err() {
            check(text)?;
            return Err(TopicError::WildcardInName);
        }
        if text.is_empty() { Err(TopicError::Empty) } else { Ok(Self(text)) }
    }

    /// The topic's text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Does it start with `$`: kept for the server's own use (§4.7.2).
    pub fn is_reserved(self) -> bool {
        self.0.starts_with('$')
    }
}

/// What a subscription asks for: 1-65,535 bytes of UTF-8 without U+0000, wildcards as whole levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicFilter<'a>(&'a str);

impl<'a> TopicFilter<'a> {
    /// Checks `text`.
    ///
    /// # Errors
    /// The first rule broken.
    pub fn new(text: &'a str) -> Result<Self, TopicError> {
        check(text)?;
        let mut levels = text.split('/').peekable();
        while let Some(level) = levels.next() {
            if level.contains('#') && (level.len() > 1 || levels.peek().is_some()) {
                return Err(TopicError::MultiLevelWildcard);
            }
            if level.contains('+') && level.len() > 1 {
                return Err(TopicError::SingleLevelWildcard);
            }
        }
        Ok(Self(text))
    }

    /// The filter's text.
    pub const fn as_str(self) -> &'a str {
        self.0
    }

    /// Does it hold `+` or `#`; without them it matches the one topic name that equals it.
    pub fn has_wildcard(self) -> bool {
        self.0.bytes().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// Does a message to `topic` belong to a subscription with this filter (§4.7.1, §4.7.2).
    pub fn matches(self, topic: TopicName<'_>) -> bool {
        filter_matches(self.0.as_bytes(), topic.0.as_bytes())
    }
}

/// [`TopicFilter::matches`] for stored bytes that were a valid filter and a valid name when they were stored.
///
/// Looks at each byte of either once at most. Other bytes give a meaningless answer, never a panic.
pub fn filter_matches(filter: &[u8], topic: &[u8]) -> bool {
    filter_bytes_match(filter.iter().copied(), topic)
}

/// [`filter_matches`] for a filter that is not kept as bytes.
pub fn filter_bytes_match(mut filter: impl Iterator<Item = u8>, mut topic: &[u8]) -> bool {
    // MQTT 3.1.1 §4.7.2: a filter starting with a wildcard does not match a name starting with `$`.
    let mut reserved = topic.first() == Some(&b'$');
    loop {
        match filter.next() {
            Some(b'#' | b'+') if reserved => return false,
            Some(b'#') => return true,
            Some(b'+') => {
                while let Some((byte, topic_rest)) = topic.split_first()
                    && *byte != b'/'
                {
                    topic = topic_rest;
                }
            }
            Some(wanted) => match topic.split_first() {
                Some((byte, rest)) if *byte == wanted => topic = rest,
                Some(_) => return false,
                // §4.7.1.2: `sport/#` also matches the parent level `sport`.
                None => return wanted == b'/' && filter.next() == Some(b'#'),
            },
            None => return topic.is_empty(),
        }
        reserved = false;
    }
}

#[cfg(test)]
mod tests {
    use alloc::{string::String, vec::Vec};

    use proptest::prelude::*;

    use super::*;

    fn matches(filter: &str, topic: &str) -> bool {
        TopicFilter::new(filter).unwrap().matches(TopicName::new(topic).unwrap())
    }

    #[test]
    fn examples_of_the_standard_match() {
        // MQTT 3.1.1 §4.7.1.2, §4.7.1.3, §4.7.2, §4.7.3.
        for (filter, topic, expected) in [
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/ranking", true),
            ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
            ("sport/#", "sport", true),
            ("sport/#", "sports", false),
            ("#", "a/b/c", true),
            ("#", "/", true),
            ("sport/tennis/+", "sport/tennis/player1", true),
            ("sport/tennis/+", "sport/tennis/player1/ranking", false),
            ("sport/+", "sport", false),
            ("sport/+", "sport/", true),
            ("+", "finance", true),
            ("+", "/finance", false),
            ("+/+", "/finance", true),
            ("/+", "/finance", true),
            ("+/tennis/#", "sport/tennis", true),
            ("sport/+/player1", "sport/tennis/player1", true),
            ("sport/+/player1", "sport/tennis/other/player1", false),
            ("#", "$SYS/x", false),
            ("+/monitor/Clients", "$SYS/monitor/Clients", false),
            ("$SYS/#", "$SYS/monitor/Clients", true),
            ("$SYS/monitor/+", "$SYS/monitor/Clients", true),
            ("+/$x", "a/$x", true),
            ("ACCOUNTS", "Accounts", false),
            ("a//b", "a/b", false),
            ("a/+/b", "a//b", true),
            ("a", "a/", false),
            ("a/", "a", false),
            ("+/#", "a", true),
            ("+/+/#", "a", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn misplaced_wildcards_are_refused() {
        for (filter, expected) in [
            ("sport/tennis#", Err(TopicError::MultiLevelWildcard)),
            ("sport/tennis/#/ranking", Err(TopicError::MultiLevelWildcard)),
            ("##", Err(TopicError::MultiLevelWildcard)),
            ("#/", Err(TopicError::MultiLevelWildcard)),
            ("sport+", Err(TopicError::SingleLevelWildcard)),
            ("a/++/b", Err(TopicError::SingleLevelWildcard)),
            ("", Err(TopicError::Empty)),
            ("a\0", Err(TopicError::NullCharacter)),
            ("/", Ok(())),
            ("+/tennis/#", Ok(())),
        ] {
            assert_eq!(TopicFilter::new(filter).map(|_| ()), expected, "{filter}");
        }
    }

    #[test]
    fn names_have_no_wildcards_and_a_bounded_length() {
        assert_eq!(TopicName::new("a/+"), Err(TopicError::WildcardInName));
        assert_eq!(TopicName::new("a#"), Err(TopicError::WildcardInName));
        assert_eq!(TopicName::new(""), Err(TopicError::Empty));
        assert_eq!(TopicName::new("\0"), Err(TopicError::NullCharacter));
        let long = "x".repeat(65_535);
        assert!(TopicName::new(&long).is_ok());
        let longer = "x".repeat(65_536);
        assert_eq!(TopicName::new(&longer), Err(TopicError::TooLong));
        assert_eq!(TopicFilter::new(&longer), Err(TopicError::TooLong));
        assert!(TopicName::new("$SYS/x").unwrap().is_reserved());
        assert!(!TopicName::new("a/$SYS").unwrap().is_reserved());
    }

    /// Level by level, as §4.7 words it.
    fn naive(filter: &str, topic: &str) -> bool {
        let filter: Vec<&str> = filter.split('/').collect();
        let topic: Vec<&str> = topic.split('/').collect();
        if topic[0].starts_with('$') && (filter[0] == "+" || filter[0] == "#") {
            return false;
        }
        let (head, all_below) = match filter.split_last() {
            Some((&"#", head)) => (head, true),
            _ => (&filter[..], false),
        };
        (if all_below { topic.len() >= head.len() } else { topic.len() == head.len() })
            && head.iter().zip(&topic).all(|(level, name)| *level == "+" || level == name)
    }

    fn text_of(alphabet: &'static [char]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(alphabet), 1..8)
            .prop_map(|characters| characters.into_iter().collect())
    }

    proptest! {
        #[test]
        fn matching_agrees_with_the_wording_of_the_standard(
            filter in text_of(&['a', 'b', '/', '+', '#', '$']),
            topic in text_of(&['a', 'b', '/', '$']),
        ) {
            if let (Ok(valid), Ok(name)) = (TopicFilter::new(&filter), TopicName::new(&topic)) {
                prop_assert_eq!(valid.matches(name), naive(&filter, &topic));
                prop_assert!(valid.has_wildcard() || (valid.matches(name) == (filter == topic)));
            }
        }

        #[test]
        fn matching_any_bytes_does_not_panic(filter: Vec<u8>, topic: Vec<u8>) {
            filter_matches(&filter, &topic);
        }
    }
}
