//! Topic names and topic filters (MQTT 3.1.1 §4.7).

use espbroker_broker::{CloseReason, Settings};
use espbroker_mqtt::{Malformed, Packet, TopicError};

use crate::{
    packets::{field, raw},
    script::{Script, encoded, open, publish},
};

// [MQTT-4.7.1-1], [MQTT-3.3.2-2], [MQTT-4.7.3-1]
#[test]
fn a_wildcard_in_a_topic_name_or_no_character_closes_the_connection() {
    for (topic, error) in [
        (&b"+"[..], TopicError::WildcardInName),
        (b"a/+/b", TopicError::WildcardInName),
        (b"a+", TopicError::WildcardInName),
        (b"a/#", TopicError::WildcardInName),
        (b"#", TopicError::WildcardInName),
        (b"", TopicError::Empty),
    ] {
        let mut script = Script::open();
        script.join(1, "a");
        script.bytes(1, &raw(0x30, &[&field(topic), b"x"]));
        assert_eq!(script.end(1), Some(CloseReason::Malformed(Malformed::TopicName(error))));
    }
}

// [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-4.7.3-1]
#[test]
fn a_wildcard_in_the_wrong_place_of_a_filter_or_no_character_closes_the_connection() {
    for (filter, error) in [
        (&b"a#"[..], TopicError::MultiLevelWildcard),
        (b"#a", TopicError::MultiLevelWildcard),
        (b"a/#/b", TopicError::MultiLevelWildcard),
        (b"#/", TopicError::MultiLevelWildcard),
        (b"a+", TopicError::SingleLevelWildcard),
        (b"+a/b", TopicError::SingleLevelWildcard),
        (b"a/++", TopicError::SingleLevelWildcard),
        (b"", TopicError::Empty),
    ] {
        for request in [raw(0x82, &[&[0, 1], &field(filter), &[0]]), raw(0xa2, &[&[0, 1], &field(filter)])] {
            let mut script = Script::open();
            script.join(1, "a");
            script.bytes(1, &request);
            assert_eq!(script.end(1), Some(CloseReason::Malformed(Malformed::TopicFilter(error))));
            script.gets(1, b"");
        }
    }
}

// [MQTT-4.7.1-2], [MQTT-4.7.1-3], [MQTT-3.8.3-2]
#[test]
fn wildcards_stand_for_whole_levels_also_for_none_and_for_empty_ones() {
    let mut script = Script::open();
    script.join(2, "publisher");
    let topics = ["a", "a/", "/a", "a/b", "a/b/c", "/", "b", "A"];
    for (filter, matching) in [
        ("#", &topics[..]),
        ("+", &["a", "b", "A"]),
        ("+/+", &["a/", "/a", "a/b", "/"]),
        ("a/+", &["a/", "a/b"]),
        ("a/#", &["a", "a/", "a/b", "a/b/c"]),
        ("/+", &["/a", "/"]),
        ("+/b/#", &["a/b", "a/b/c"]),
        ("a/+/c", &["a/b/c"]),
        ("a", &["a"]),
    ] {
        script.join(1, "subscriber");
        script.subscribe(1, &[filter]);
        topics.iter().for_each(|topic| script.send(2, publish(topic, b"")));
        let expected: Vec<_> = matching.iter().map(|topic| publish(topic, b"")).collect();
        script.expect(1, &expected);
    }
}

// [MQTT-4.7.2-1]
#[test]
fn a_wildcard_in_front_reaches_no_topic_that_begins_with_a_dollar() {
    let mut script = Script::new(Settings { system_interval: 10, ..open() });
    script.join(1, "wild");
    script.subscribe(1, &["#", "+/broker/uptime", "+/#"]);
    script.join(2, "named");
    script.subscribe(2, &["$SYS/broker/+"]);
    assert!(script.take(2).starts_with(b"\x31\x15\x00\x12$SYS/broker/uptime0"));
    script.pass(10_000);
    assert!(script.take(2).starts_with(b"\x30\x16\x00\x12$SYS/broker/uptime10"));
    script.gets(1, b"");
}

// [MQTT-4.7.3-4]
#[test]
fn topics_are_compared_as_they_are_written() {
    let mut script = Script::open();
    script.join(2, "publisher");
    // An accent in one character and in two, upper and lower case, empty levels, spaces, characters that nobody has
    // given a meaning, and those that are invisible.
    let topics = [
        "caf\u{e9}",
        "cafe\u{301}",
        "Cafe",
        "cafe",
        "cafe/",
        "/cafe",
        "cafe//a",
        "cafe/a",
        " cafe",
        "cafe ",
        "\u{fdd0}",
        "\u{10ffff}",
        "\u{e000}",
        "\u{200b}cafe",
        "\u{1}",
    ];
    for topic in topics {
        script.join(1, "subscriber");
        script.subscribe(1, &[topic]);
        topics.iter().for_each(|topic| script.send(2, publish(topic, b"x")));
        script.expect(1, &[publish(topic, b"x")]);
    }
}

// [MQTT-4.7.3-3]
#[test]
fn the_longest_topic_that_fits_in_a_packet_passes() {
    // A SUBSCRIBE with one filter has 9 bytes beside it, and no packet may be allowed more than 65,535.
    let settings = Settings { packet_size: 65_535, subscriptions_per_client: 1024, ..open() };
    let mut script = Script::new(settings);
    script.join(1, "a");
    let topic = "x".repeat(65_535 - 9);
    script.subscribe(1, &[&topic]);
    script.send(1, publish(&topic, b""));
    let got = script.take(1);
    assert!(got == encoded(&[publish(&topic, b"")]), "{} bytes", got.len());
    script.send(1, Packet::Pingreq);
    script.gets(1, b"\xd0\x00");
}
