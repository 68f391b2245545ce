//! [`Plain`]: the packet that nearly all traffic consists of, recognised and taken apart in one go.

use espbroker_mqtt::TopicName;

/// First byte of a PUBLISH of QoS 0 without RETAIN and DUP (MQTT 3.1.1 §3.3.1).
const PUBLISH: u8 = 0x30;
/// Bit of a byte of the remaining length: another one follows (§2.2.3).
const MORE: u8 = 0x80;

/// A PUBLISH of QoS 0 without RETAIN, as short as it can be encoded: a message is kept in the same bytes.
///
/// Whatever else the bytes are, wrong ones among it, is for [`espbroker_mqtt::Packet::decode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plain<'a> {
    pub(crate) packet: &'a [u8],
    /// Not one of the server's own (§4.7.2).
    pub(crate) topic: TopicName<'a>,
    pub(crate) payload: &'a [u8],
}

impl<'a> Plain<'a> {
    /// May one be at the front of `bytes`.
    #[inline]
    pub(crate) fn begins(bytes: &[u8]) -> bool {
        bytes.first() == Some(&PUBLISH)
    }

    /// Takes one of at most 16,383 bytes and a header from the front of `bytes`, if it is there as a whole; returns it with
    /// what follows.
    pub(crate) fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[first, low], body) = bytes.split_first_chunk()?;
        if first != PUBLISH {
            return None;
        }
        let (length, body) = match (low, body) {
            (0..MORE, _) => (usize::from(low), body),
            (_, [high @ 1..MORE, body @ ..]) => (usize::from(low - MORE) | usize::from(*high) << 7, body),
            _ => return None,
        };
        let (body, rest) = body.split_at_checked(length)?;
        let (topic, body) = body.split_first_chunk()?;
        let (topic, payload) = body.split_at_checked(usize::from(u16::from_be_bytes(*topic)))?;
        if topic.first() == Some(&b'$') {
            return None;
        }
        let topic = TopicName::new(core::str::from_utf8(topic).ok()?).ok()?;
        let packet = bytes.get(..bytes.len() - rest.len())?;
        Some((Self { packet, topic, payload }, rest))
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use espbroker_mqtt::{Delivery, Packet, Publish};
    use proptest::prelude::*;

    use super::*;
    use crate::message::Message;

    #[test]
    fn what_is_not_the_shortest_packet_of_qos_0_is_not_plain() {
        for bytes in [
            &b"\x31\x03\x00\x01t"[..],
            b"\x32\x05\x00\x01t\x00\x01",
            b"\x38\x03\x00\x01t",
            b"\x30\x83\x00\x00\x01t",
            b"\x30\x83\x80\x01\x00\x01t",
            b"\x30\x04\x00\x01t",
            b"\x30\x03\x00\x02t",
            b"\x30\x03\x00\x01$",
            b"\x30\x03\x00\x01+",
            b"\x30\x03\x00\x01\xff",
            b"\x30\x02\x00\x00",
            b"\xc0\x00",
            b"\x30",
            b"",
        ] {
            assert_eq!(Plain::split(bytes), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_plain_packet_is_what_the_codec_makes_of_it(
            topic in "[a-c/]{1,200}",
            payload: Vec<u8>,
            behind: Vec<u8>,
        ) {
            let topic = TopicName::new(&topic).unwrap();
            let publish = Publish { topic, payload: &payload, retain: false, delivery: Delivery::AtMostOnce };
            let mut bytes = Vec::new();
            Packet::Publish(publish).encode(&mut bytes).unwrap();
            let length = bytes.len();
            bytes.extend_from_slice(&behind);
            let (plain, rest) = Plain::split(&bytes).unwrap();
            prop_assert_eq!((plain.topic, plain.payload), (topic, &payload[..]));
            prop_assert_eq!((plain.packet, rest), (&bytes[..length], &behind[..]));
            prop_assert_eq!(&Message::new(topic, &payload).unwrap().packet()[..], plain.packet);
        }

        #[test]
        fn any_bytes_are_plain_only_if_they_decode_to_the_same(bytes: Vec<u8>, length in 0_u8..20) {
            let bytes = [&[PUBLISH, length, 0, length / 2][..], &bytes].concat();
            if let Some((plain, _)) = Plain::split(&bytes) {
                let delivery = Delivery::AtMostOnce;
                let Plain { topic, payload, packet } = plain;
                let publish = Publish { topic, payload, retain: false, delivery };
                prop_assert_eq!(Packet::decode(packet), Ok(Packet::Publish(publish)));
            }
        }
    }
}
