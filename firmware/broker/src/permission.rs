//! Judging topics by a list of [`Permission`]s.

use alloc::{borrow::Cow, string::String};

use espbroker_mqtt::{TopicFilter, filter_covers, filter_matches, filters_overlap};

use crate::{
    access::{Permission, Rights},
    packed::Packed,
};

/// What is wanted with a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Read,
    Write,
}

/// A client as its permissions see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) permissions: &'a [Permission],
    pub(crate) user_name: Option<&'a str>,
    pub(crate) client_id: Packed<'a>,
}

impl Subject<'_> {
    /// May the client read or write this topic.
    pub(crate) fn may(&self, wish: Wish, topic: &[u8]) -> bool {
        if self.permissions.is_empty() {
            return true;
        }
        let mut granted = false;
        for permission in self.permissions {
            let decides = permission.rights == Rights::Deny || (!granted && permission.rights.grants(wish));
            if decides
                && self
                    .expand(&permission.pattern)
                    .is_some_and(|pattern| filter_matches(pattern.as_bytes(), topic))
            {
                if permission.rights == Rights::Deny {
                    return false;
                }
                granted = true;
            }
        }
        granted
    }

    /// Can a subscription with this filter ever give the client a message.
    pub(crate) fn may_subscribe(&self, filter: TopicFilter<'_>) -> bool {
        if self.permissions.is_empty() {
            return true;
        }
        let mut granted = false;
        for permission in self.permissions {
            let Some(pattern) = self.expand(&permission.pattern) else { continue };
            let (pattern, filter) = (pattern.as_bytes(), filter.as_str().as_bytes());
            match permission.rights {
                Rights::Deny if filter_covers(pattern, filter) => return false,
                rights => granted |= rights.grants(Wish::Read) && filters_overlap(pattern, filter),
            }
        }
        granted
    }

    /// The pattern with the client's own names in it; `None` when it is not for this client.
    fn expand<'a>(&self, pattern: &'a str) -> Option<Cow<'a, str>> {
        if !pattern.contains('%') {
            return Some(Cow::Borrowed(pattern));
        }
        let mut client_id;
        let mut expanded = String::with_capacity(pattern.len() + 32);
        let mut rest = pattern;
        while let Some((before, after)) = rest.split_once('%') {
            expanded.push_str(before);
            let (name, behind) = match after.as_bytes().first() {
                Some(b'u') => (self.user_name, after.get(1..)),
                Some(b'c') => {
                    client_id = self.client_id.to_text();
                    (Some(client_id.as_str()), after.get(1..))
                }
                _ => (Some("%"), Some(after)),
            };
            // A name with a separator or wildcard in it would reach into other topics.
            let name = name.filter(|name| !name.is_empty() && !name.contains(['/', '+', '#']))?;
            expanded.push_str(name);
            rest = behind?;
        }
        expanded.push_str(rest);
        Some(Cow::Owned(expanded))
    }
}

impl Rights {
    const fn grants(self, wish: Wish) -> bool {
        match self {
            Self::Read => matches!(wish, Wish::Read),
            Self::Write => matches!(wish, Wish::Write),
            Self::ReadWrite => true,
            Self::Deny => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    const LAMP: Packed<'static> = Packed { head: &[], tail: &[u32::from_le_bytes(*b"lamp")] };

    fn list(lines: &[(&str, Rights)]) -> Vec<Permission> {
        lines.iter().map(|&(pattern, rights)| Permission { pattern: pattern.into(), rights }).collect()
    }

    fn subject<'a>(permissions: &'a [Permission], user_name: Option<&'a str>) -> Subject<'a> {
        Subject { permissions, user_name, client_id: LAMP }
    }

    fn subscribes(subject: &Subject<'_>, filter: &str) -> bool {
        subject.may_subscribe(TopicFilter::new(filter).unwrap())
    }

    #[test]
    fn no_lines_allow_everything_and_any_line_only_what_it_says() {
        let open = subject(&[], None);
        assert!(open.may(Wish::Write, b"a") && open.may(Wish::Read, b"a") && subscribes(&open, "#"));
        let lines = list(&[("a/#", Rights::Read), ("b", Rights::Write), ("c/+", Rights::ReadWrite)]);
        let some = subject(&lines, None);
        let may = |wish, topics: &[&str]| {
            topics.iter().map(|topic| some.may(wish, topic.as_bytes())).collect::<Vec<_>>()
        };
        let topics = ["a", "a/x", "b", "c/x", "c", "d"];
        assert_eq!(may(Wish::Read, &topics), [true, true, false, true, false, false]);
        assert_eq!(may(Wish::Write, &topics), [false, false, true, true, false, false]);
        assert!(subscribes(&some, "#") && subscribes(&some, "a/x") && subscribes(&some, "+/x"));
        assert!(!subscribes(&some, "b") && !subscribes(&some, "d/#") && !subscribes(&some, "c"));
    }

    #[test]
    fn a_denied_topic_is_out_of_reach_also_through_a_wider_subscription() {
        let lines = list(&[("test/nosubscribe", Rights::Deny), ("#", Rights::ReadWrite)]);
        let subject = subject(&lines, None);
        assert!(!subscribes(&subject, "test/nosubscribe"));
        assert!(subscribes(&subject, "#") && subscribes(&subject, "test/+"));
        assert!(!subject.may(Wish::Read, b"test/nosubscribe"));
        assert!(!subject.may(Wish::Write, b"test/nosubscribe"));
        assert!(subject.may(Wish::Read, b"test/other"));
    }

    #[test]
    fn names_stand_for_one_level_and_never_for_more() {
        let lines = list(&[("home/%u/%c/#", Rights::ReadWrite)]);
        assert!(subject(&lines, Some("ann")).may(Wish::Write, b"home/ann/lamp/on"));
        assert!(!subject(&lines, Some("ann")).may(Wish::Write, b"home/bob/lamp/on"));
        assert!(!subject(&lines, None).may(Wish::Write, b"home//lamp/on"));
        for name in ["+", "#", "a/b", ""] {
            assert!(!subject(&lines, Some(name)).may(Wish::Read, b"home/a/b/lamp/on"), "{name}");
            assert!(!subscribes(&subject(&lines, Some(name)), "home/#"), "{name}");
        }
        let percent = list(&[("100%/%x", Rights::Read)]);
        assert!(subject(&percent, None).may(Wish::Read, b"100%/%x"));
        assert_eq!(vec![subscribes(&subject(&percent, None), "100%/+")], [true]);
    }
}
