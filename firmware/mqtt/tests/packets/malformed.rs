//! Every variant of [`Malformed`], by the shortest packet that has the fault.

use espbroker_mqtt::{Malformed, Packet, TopicError};

#[test]
fn each_violation_has_its_own_error() {
    use Malformed::*;
    for (bytes, error) in [
        (&b""[..], Truncated),
        (b"\x30", Truncated),
        (b"\x00\x00", ReservedPacketType(0)),
        (b"\xf0\x00", ReservedPacketType(15)),
        (b"\xc1\x00", FixedHeaderFlags(1)),
        (b"\x80\x05\x00\x01\x00\x00\x00", FixedHeaderFlags(0)),
        (b"\x30\xff\xff\xff\xff\x00", RemainingLength),
        (b"\xc0\x01", Truncated),
        (b"\xc0\x00\x00", TrailingBytes),
        (b"\xc0\x01\x00", TrailingBytes),
        (b"\xe0\x01\x00", TrailingBytes),
        // CONNECT
        (b"\x10\x00", Truncated),
        (b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x00\x00\x01", Truncated),
        (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x00!", TrailingBytes),
        (b"\x10\x0c\x00\x04mqtt\x04\x02\x00\x00\x00\x00", ProtocolName),
        (b"\x10\x0c\x00\x04MQTT\x03\x02\x00\x00\x00\x00", ProtocolLevel(3)),
        (b"\x10\x0d\x00\x04MQTT\x05\x02\x00\x00\x00\x00\x00", ProtocolLevel(5)),
        (b"\x10\x07\x00\x04MQTT\x06", ProtocolLevel(6)),
        (b"\x10\x0e\x00\x06MQIsdp\x04\x02\x00\x00\x00\x00", ProtocolLevel(4)),
        // The bridge bit alone does not make a level of another protocol acceptable.
        (b"\x10\x0c\x00\x04MQTT\x83\x02\x00\x00\x00\x00", ProtocolLevel(0x83)),
        (b"\x10\x0d\x00\x04MQTT\x85\x02\x00\x00\x00\x00\x00", ProtocolLevel(0x85)),
        (b"\x10\x07\x00\x04MQTT\x80", ProtocolLevel(0x80)),
        (b"\x10\x0e\x00\x06MQIsdp\x84\x02\x00\x00\x00\x00", ProtocolLevel(0x84)),
        (b"\x10\x0c\x00\x04MQTT\x04\x03\x00\x00\x00\x00", ConnectReservedFlag),
        (b"\x10\x0c\x00\x04MQTT\x04\x0a\x00\x00\x00\x00", WillFlagsWithoutWill),
        (b"\x10\x0c\x00\x04MQTT\x04\x22\x00\x00\x00\x00", WillFlagsWithoutWill),
        (b"\x10\x11\x00\x04MQTT\x04\x1e\x00\x00\x00\x00\x00\x01w\x00\x00", WillQos),
        (b"\x10\x0e\x00\x04MQTT\x04\x42\x00\x00\x00\x00\x00\x00", PasswordWithoutUserName),
        (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\xff", NotUtf8),
        (b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01\x00", NullCharacter),
        (b"\x10\x10\x00\x04MQTT\x04\x06\x00\x00\x00\x00\x00\x00\x00\x00", WillTopic(TopicError::Empty)),
        (
            b"\x10\x11\x00\x04MQTT\x04\x06\x00\x00\x00\x00\x00\x01#\x00\x00",
            WillTopic(TopicError::WildcardInName),
        ),
        (b"\x10\x0f\x00\x04MQTT\x04\x06\x00\x00\x00\x00\x00\x01w", Truncated),
        (b"\x10\x0f\x00\x04MQTT\x04\x82\x00\x00\x00\x00\x00\x01\xc0", NotUtf8),
        (b"\x10\x0e\x00\x04MQTT\x04\xc2\x00\x00\x00\x00\x00\x00", Truncated),
        // CONNACK
        (b"\x20\x02\x02\x00", ConnackFlags(2)),
        (b"\x20\x02\x00\x06", ConnackReturnCode(6)),
        (b"\x20\x02\x01\x05", SessionPresentWithRefusal),
        (b"\x20\x01\x00", Truncated),
        // PUBLISH
        (b"\x36\x05\x00\x01t\x00\x01", PublishQos),
        (b"\x38\x03\x00\x01t", DuplicateAtQos0),
        (b"\x30\x02\x00\x00", TopicName(TopicError::Empty)),
        (b"\x30\x05\x00\x03a/+", TopicName(TopicError::WildcardInName)),
        (b"\x30\x03\x00\x01#", TopicName(TopicError::WildcardInName)),
        (b"\x30\x03\x00\x02t", Truncated),
        (b"\x32\x03\x00\x01t", Truncated),
        (b"\x32\x05\x00\x01t\x00\x00", ZeroPacketId),
        (b"\x34\x05\x00\x01t\x00\x00", ZeroPacketId),
        // §1.5.3: surrogates, and overlong forms of U+0000, are not UTF-8.
        (b"\x30\x05\x00\x03\xed\xa0\x80", NotUtf8),
        (b"\x30\x04\x00\x02\xc0\x80", NotUtf8),
        (b"\x30\x03\x00\x01\x00", NullCharacter),
        // Acknowledgements
        (b"\x40\x02\x00\x00", ZeroPacketId),
        (b"\x50\x01\x00", Truncated),
        (b"\x60\x02\x00\x01", FixedHeaderFlags(0)),
        (b"\x62\x03\x00\x01\x00", TrailingBytes),
        (b"\x70\x00", Truncated),
        (b"\xb0\x02\x00\x00", ZeroPacketId),
        // SUBSCRIBE
        (b"\x82\x02\x00\x01", SubscribeWithoutFilter),
        (b"\x82\x06\x00\x00\x00\x01t\x00", ZeroPacketId),
        (b"\x82\x06\x00\x01\x00\x01t\x03", SubscribeOptions(3)),
        (b"\x82\x06\x00\x01\x00\x01t\x04", SubscribeOptions(4)),
        (b"\x82\x05\x00\x01\x00\x01t", Truncated),
        (b"\x82\x05\x00\x01\x00\x00\x00", TopicFilter(TopicError::Empty)),
        (b"\x82\x07\x00\x01\x00\x02t#\x00", TopicFilter(TopicError::MultiLevelWildcard)),
        (b"\x82\x07\x00\x01\x00\x02t+\x00", TopicFilter(TopicError::SingleLevelWildcard)),
        // The second entry is judged as well.
        (b"\x82\x0a\x00\x01\x00\x01t\x00\x00\x01t\x83", SubscribeOptions(0x83)),
        // SUBACK
        (b"\x90\x02\x00\x01", SubackWithoutReturnCode),
        (b"\x90\x03\x00\x01\x03", SubackReturnCode(3)),
        // UNSUBSCRIBE
        (b"\xa2\x02\x00\x01", UnsubscribeWithoutFilter),
        (b"\xa2\x05\x00\x00\x00\x01t", ZeroPacketId),
        (b"\xa2\x04\x00\x01\x00\x00", TopicFilter(TopicError::Empty)),
        (b"\xa2\x06\x00\x01\x00\x02t#", TopicFilter(TopicError::MultiLevelWildcard)),
    ] {
        assert_eq!(Packet::decode(bytes), Err(error), "{}", bytes.escape_ascii());
        assert!(!error.to_string().is_empty());
    }
}
