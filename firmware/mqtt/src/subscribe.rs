//! SUBSCRIBE, SUBACK and UNSUBSCRIBE (MQTT 3.1.1 §3.8 to §3.10): packets that carry a list.
//!
//! A list is either the bytes of a packet, checked once when it was decoded, or a slice to be encoded; both read
//! and compare the same.

use crate::{
    malformed::Malformed,
    packet::PacketId,
    publish::QoS,
    reader::Reader,
    topic::TopicFilter,
    writer::{EncodeError, Writer, field_length},
};

/// One entry of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscription<'a> {
    /// Which messages.
    pub filter: TopicFilter<'a>,
    /// The highest QoS wanted.
    pub qos: QoS,
}

/// An element of a packet's list.
trait Entry<'a>: Copy {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
    fn filter(self) -> TopicFilter<'a>;
    fn options(self) -> Option<u8>;
}

impl<'a> Entry<'a> for Subscription<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let filter = Entry::decode(reader)?;
        let options = reader.byte()?;
        let qos = QoS::from_number(options).ok_or(Malformed::SubscribeOptions(options))?;
        Ok(Self { filter, qos })
    }

    fn filter(self) -> TopicFilter<'a> {
        self.filter
    }

    fn options(self) -> Option<u8> {
        Some(self.qos.number())
    }
}

impl<'a> Entry<'a> for TopicFilter<'a> {
    fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        TopicFilter::new(reader.text()?).map_err(Malformed::TopicFilter)
    }

    fn filter(self) -> TopicFilter<'a> {
        self
    }

    fn options(self) -> Option<u8> {
        None
    }
}

#[derive(Clone, Copy)]
enum List<'a, E> {
    Encoded(&'a [u8]),
    Entries(&'a [E]),
}

impl<'a, E: Entry<'a>> List<'a, E> {
    fn decode(reader: &mut Reader<'a>, when_empty: Malformed) -> Result<Self, Malformed> {
        let bytes = reader.rest();
        let mut entries = Reader::new(bytes);
        if entries.is_empty() {
            return Err(when_empty);
        }
        while !entries.is_empty() {
            E::decode(&mut entries)?;
        }
        Ok(Self::Encoded(bytes))
    }

    fn iter(self) -> impl Iterator<Item = E> + 'a
    where
        E: 'a,
    {
        let (bytes, entries) = match self {
            Self::Encoded(bytes) => (bytes, [].as_slice()),
            Self::Entries(entries) => ([].as_slice(), entries),
        };
        let mut reader = Reader::new(bytes);
        // The bytes were checked by `decode`, so the first failure is their end.
        core::iter::from_fn(move || E::decode(&mut reader).ok()).chain(entries.iter().copied())
    }

    fn length(self) -> usize
    where
        E: 'a,
    {
        self.iter()
            .map(|entry| {
                field_length(entry.filter().as_str().as_bytes()) + usize::from(entry.options().is_some())
            })
            .sum()
    }

    fn write(self, writer: &mut Writer<'_>) -> Result<(), EncodeError>
    where
        E: 'a,
    {
        if self.iter().next().is_none() {
            return Err(EncodeError::EmptyList);
        }
        for entry in self.iter() {
            writer.text(entry.filter().as_str())?;
            if let Some(options) = entry.options() {
                writer.byte(options)?;
            }
        }
        Ok(())
    }
}

macro_rules! list {
    ($(#[$documentation:meta])* $name:ident, $entry:ty) => {
        $(#[$documentation])*
        #[derive(Clone, Copy)]
        pub struct $name<'a>(List<'a, $entry>);

        impl<'a> $name<'a> {
            /// A list to be encoded; encoding refuses an empty one.
            pub const fn new(entries: &'a [$entry]) -> Self {
                Self(List::Entries(entries))
            }

            /// The entries in the packet's order.
            pub fn iter(&self) -> impl Iterator<Item = $entry> + 'a {
                self.0.iter()
            }
        }

        impl PartialEq for $name<'_> {
            fn eq(&self, other: &Self) -> bool {
                self.iter().eq(other.iter())
            }
        }

        impl Eq for $name<'_> {}

        impl core::fmt::Debug for $name<'_> {
            fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                formatter.debug_list().entries(self.iter()).finish()
            }
        }
    };
}

list!(
    /// The entries of a SUBSCRIBE.
    SubscriptionList,
    Subscription<'a>
);
list!(
    /// The topic filters of an UNSUBSCRIBE.
    FilterList,
    TopicFilter<'a>
);

/// A client's request for subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    /// What the SUBACK will name.
    pub packet_id: PacketId,
    /// At least one.
    pub subscriptions: SubscriptionList<'a>,
}

impl<'a> Subscribe<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let packet_id = reader.packet_id()?;
        let list = List::decode(reader, Malformed::SubscribeWithoutFilter)?;
        Ok(Self { packet_id, subscriptions: SubscriptionList(list) })
    }

    pub(crate) fn body_length(&self) -> usize {
        2 + self.subscriptions.0.length()
    }

    pub(crate) fn write_body(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.packet_id(self.packet_id)?;
        self.subscriptions.0.write(writer)
    }
}

/// A client's request to end subscriptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    /// What the UNSUBACK will name.
    pub packet_id: PacketId,
    /// At least one, compared character by character with those subscribed.
    pub filters: FilterList<'a>,
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let packet_id = reader.packet_id()?;
        let list = List::decode(reader, Malformed::UnsubscribeWithoutFilter)?;
        Ok(Self { packet_id, filters: FilterList(list) })
    }

    pub(crate) fn body_length(&self) -> usize {
        2 + self.filters.0.length()
    }

    pub(crate) fn write_body(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.packet_id(self.packet_id)?;
        self.filters.0.write(writer)
    }
}

/// The server's answer for one subscription (§3.9.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubackCode {
    /// Subscribed, with this as the highest QoS.
    Granted(QoS),
    /// Not subscribed.
    Failure,
}

impl SubackCode {
    /// The code with this number.
    pub const fn from_number(number: u8) -> Option<Self> {
        match (QoS::from_number(number), number) {
            (Some(qos), _) => Some(Self::Granted(qos)),
            (None, 0x80) => Some(Self::Failure),
            (None, _) => None,
        }
    }

    /// 0, 1, 2 or 0x80.
    pub const fn number(self) -> u8 {
        match self {
            Self::Granted(qos) => qos.number(),
            Self::Failure => 0x80,
        }
    }
}

/// The return codes of a SUBACK, as their bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReturnCodes<'a>(&'a [u8]);

impl<'a> ReturnCodes<'a> {
    /// Checks `bytes`, each the [`SubackCode::number`] of one return code.
    ///
    /// # Errors
    /// [`Malformed`] when there is none or one is reserved.
    pub fn new(bytes: &'a [u8]) -> Result<Self, Malformed> {
        if bytes.is_empty() {
            return Err(Malformed::SubackWithoutReturnCode);
        }
        match bytes.iter().find(|&&byte| SubackCode::from_number(byte).is_none()) {
            Some(&byte) => Err(Malformed::SubackReturnCode(byte)),
            None => Ok(Self(bytes)),
        }
    }

    /// The codes in the order of the SUBSCRIBE.
    pub fn iter(&self) -> impl Iterator<Item = SubackCode> + 'a {
        self.0.iter().filter_map(|&byte| SubackCode::from_number(byte))
    }
}

/// The server's answer to SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suback<'a> {
    /// That of the SUBSCRIBE.
    pub packet_id: PacketId,
    /// One for each subscription asked for.
    pub return_codes: ReturnCodes<'a>,
}

impl<'a> Suback<'a> {
    pub(crate) fn decode(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        let packet_id = reader.packet_id()?;
        Ok(Self { packet_id, return_codes: ReturnCodes::new(reader.rest())? })
    }

    pub(crate) const fn body_length(&self) -> usize {
        2 + self.return_codes.0.len()
    }

    pub(crate) fn write_body(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError> {
        writer.packet_id(self.packet_id)?;
        writer.bytes(self.return_codes.0)
    }
}
