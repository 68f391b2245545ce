//! [`Assembler`]: cuts the byte stream of one connection into control packets.
//!
//! A packet that lies whole in what arrived is not copied. Else its bytes are collected in a buffer that grows
//! with them, never ahead to what the remaining length announces, and is given back with the packet. A packet that is
//! too long to be kept can be read over, which takes no memory at all, or no more than what must be known to answer it.

use alloc::{borrow::Cow, boxed::Box, vec::Vec};

use espbroker_mqtt::{FixedHeader, Malformed, PacketId, QoS};

use crate::{
    event::CloseReason,
    room::{Need, Room},
};

/// The beginning of a packet whose end has not arrived.
pub(crate) enum Assembler {
    /// None: the next byte begins a packet.
    Idle,
    /// So many bytes, at least one, are still to be read over.
    Skip(u32),
    /// What is there of it.
    #[expect(clippy::box_collection, reason = "nearly all connections have none, and there are many")]
    Collect(Box<Vec<u8>>),
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Collect it.
    Take,
    /// Read over it.
    Skip,
    /// Read over it but for the beginning of a PUBLISH of QoS 1 or 2 with its packet identifier; `limit` bytes at most.
    Identify { limit: usize },
}

/// What came of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assembled<'a> {
    /// A whole packet.
    Packet(Cow<'a, [u8]>),
    /// So many bytes of a packet were read over, for the first time of this packet or again.
    Skipped { length: usize, first: bool },
    /// The beginning of a packet that is read over from here on.
    Identified { length: usize, packet_id: PacketId, qos: QoS },
    /// The input is used up.
    Nothing,
}

impl Assembler {
    pub(crate) const fn new() -> Self {
        Self::Idle
    }

    /// Does what arrives begin with a packet.
    pub(crate) const fn is_between_packets(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Takes the next packet from the collected bytes and the front of `input`.
    ///
    /// `admit` judges every fixed header as soon as it is complete. After an error the connection is of no use.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        admit: impl Fn(FixedHeader) -> Result<Admission, CloseReason>,
        room: &mut Room,
    ) -> Result<Assembled<'a>, CloseReason> {
        if let Self::Skip(left) = *self {
            return Ok(Assembled::Skipped { length: self.skip_over(left, input), first: false });
        }
        let judge = |bytes: &[u8]| match FixedHeader::parse(bytes).map_err(CloseReason::Malformed)? {
            None => Ok(None),
            Some(header) => {
                let admission = admit(header)?;
                let length = usize::try_from(header.packet_length());
                let length = length.map_err(|_| CloseReason::Malformed(Malformed::RemainingLength))?;
                Ok(Some((length, admission)))
            }
        };
        if self.is_between_packets() {
            match judge(input)? {
                Some((length, Admission::Take)) => {
                    if let Some((packet, rest)) = input.split_at_checked(length) {
                        *input = rest;
                        return Ok(Assembled::Packet(Cow::Borrowed(packet)));
                    }
                }
                Some((length, Admission::Skip)) => return Ok(self.begin_skip(length, 0, input)),
                Some((_, Admission::Identify { .. })) | None => {}
            }
        }
        loop {
            let known = match judge(self.buffer())? {
                Some((length, Admission::Skip)) => {
                    let taken = self.take().len();
                    return Ok(self.begin_skip(length, taken, input));
                }
                Some((length, Admission::Identify { limit })) => match identity(self.buffer()) {
                    Ok((packet_id, qos)) => {
                        let taken = self.take().len();
                        self.skip(length.saturating_sub(taken));
                        return Ok(Assembled::Identified { length: taken, packet_id, qos });
                    }
                    Err(Unknown::Needs(length)) if length <= limit => Some(length),
                    Err(Unknown::Needs(_)) => return Err(CloseReason::PacketTooLong),
                    Err(Unknown::Never(malformed)) => return Err(CloseReason::Malformed(malformed)),
                },
                Some((length, Admission::Take)) => Some(length),
                None => None,
            };
            let collected = self.buffer().len();
            if known == Some(collected) {
                return Ok(Assembled::Packet(Cow::Owned(self.take())));
            }
            // Without a whole fixed header only the next byte is sure to belong to this packet.
            let length = known.unwrap_or(collected + 1);
            let missing = length.saturating_sub(collected).min(input.len());
            let Some((chunk, rest)) = input.split_at_checked(missing).filter(|_| missing > 0) else {
                return Ok(Assembled::Nothing);
            };
            *input = rest;
            self.collect(chunk, length, room)?;
        }
    }

    /// Begins to read over a packet of `length` bytes, of which `taken` are gone already.
    fn begin_skip<'a>(&mut self, length: usize, taken: usize, input: &mut &[u8]) -> Assembled<'a> {
        // No packet is longer than 2^28 bytes.
        let left = u32::try_from(length.saturating_sub(taken)).unwrap_or(u32::MAX);
        Assembled::Skipped { length: taken + self.skip_over(left, input), first: true }
    }

    /// Reads over so many bytes, as far as they are there.
    fn skip_over(&mut self, left: u32, input: &mut &[u8]) -> usize {
        let left = usize::try_from(left).unwrap_or(usize::MAX);
        let length = left.min(input.len());
        *input = input.get(length..).unwrap_or_default();
        self.skip(left - length);
        length
    }

    /// Has so many bytes to read over.
    fn skip(&mut self, left: usize) {
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        *self = if left > 0 { Self::Skip(left) } else { Self::Idle };
    }

    /// What was collected.
    fn buffer(&self) -> &[u8] {
        if let Self::Collect(buffer) = self { buffer } else { &[] }
    }

    /// Takes what was collected.
    fn take(&mut self) -> Vec<u8> {
        match core::mem::replace(self, Self::Idle) {
            Self::Collect(buffer) => *buffer,
            Self::Idle | Self::Skip(_) => Vec::new(),
        }
    }

    /// Appends `chunk` of a packet of at least `length` bytes.
    fn collect(&mut self, chunk: &[u8], length: usize, room: &mut Room) -> Result<(), CloseReason> {
        let buffer = match self {
            Self::Collect(buffer) => buffer,
            Self::Idle | Self::Skip(_) => {
                if !room.take(size_of::<Vec<u8>>(), Need::Service) {
                    return Err(CloseReason::NoMemory);
                }
                *self = Self::Collect(Box::default());
                return self.collect(chunk, length, room);
            }
        };
        let needed = buffer.len() + chunk.len();
        if needed > buffer.capacity() {
            // At most twice of what has arrived, so that the buffer is moved a few times only.
            let capacity = needed.max((2 * buffer.capacity()).min(length.max(FixedHeader::LENGTH_MAX)));
            if !room.take(capacity, Need::Service) {
                return Err(CloseReason::NoMemory);
            }
            buffer.reserve_exact(capacity - buffer.len());
        }
        buffer.extend_from_slice(chunk);
        Ok(())
    }

    /// Heap bytes in use.
    pub(crate) fn memory(&self) -> usize {
        if let Self::Collect(buffer) = self { size_of::<Vec<u8>>() + buffer.capacity() } else { 0 }
    }
}

/// Why a PUBLISH cannot be answered.
enum Unknown {
    /// So many bytes of it are needed.
    Needs(usize),
    Never(Malformed),
}

/// Packet identifier and QoS of the PUBLISH that begins with these bytes, its fixed header whole (MQTT 3.1.1 §3.3).
fn identity(bytes: &[u8]) -> Result<(PacketId, QoS), Unknown> {
    let header = FixedHeader::parse(bytes).map_err(Unknown::Never)?.ok_or(Unknown::Needs(bytes.len() + 1))?;
    let qos = QoS::from_number(header.flags >> 1 & 3).ok_or(Unknown::Never(Malformed::PublishQos))?;
    let start = usize::from(header.header_length);
    let topic =
        bytes.get(start..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Unknown::Needs(start + 2))?;
    let end = start + 2 + usize::from(u16::from_be_bytes(*topic));
    if u64::from(header.packet_length()) < u64::try_from(end + 2).unwrap_or(u64::MAX) {
        return Err(Unknown::Never(Malformed::Truncated));
    }
    let number = bytes.get(end..).and_then(|rest| rest.first_chunk::<2>()).ok_or(Unknown::Needs(end + 2))?;
    let packet_id =
        PacketId::new(u16::from_be_bytes(*number)).ok_or(Unknown::Never(Malformed::ZeroPacketId))?;
    Ok((packet_id, qos))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    /// What collecting takes beside the bytes.
    const EMPTY: usize = size_of::<Vec<u8>>();

    fn any(_: FixedHeader) -> Result<Admission, CloseReason> {
        Ok(Admission::Take)
    }

    fn next<'a>(assembler: &mut Assembler, input: &mut &'a [u8]) -> Result<Assembled<'a>, CloseReason> {
        assembler.next(input, any, &mut Room::new(0))
    }

    #[test]
    fn a_whole_packet_is_borrowed_and_a_cut_one_collected() {
        let mut assembler = Assembler::new();
        let mut input: &[u8] = b"\xc0\x00\x30\x04\x00\x01a";
        assert_eq!(next(&mut assembler, &mut input), Ok(Assembled::Packet(Cow::Borrowed(b"\xc0\x00"))));
        assert_eq!(next(&mut assembler, &mut input), Ok(Assembled::Nothing));
        assert_eq!(assembler.memory(), EMPTY + 5);
        let mut input: &[u8] = b"!\xc0";
        let packet = Assembled::Packet(Cow::Owned(b"\x30\x04\x00\x01a!".to_vec()));
        assert_eq!(next(&mut assembler, &mut input), Ok(packet));
        assert_eq!(input, b"\xc0");
        assert_eq!(assembler.memory(), 0);
    }

    #[test]
    fn an_announced_length_costs_nothing_before_its_bytes_arrive() {
        let mut assembler = Assembler::new();
        let mut sent = 0;
        for piece in [&b"\x30\xff\xff\xff\x7f"[..], &[0; 10], &[0; 100], &[0; 1000]] {
            let mut input = piece;
            assert_eq!(next(&mut assembler, &mut input), Ok(Assembled::Nothing));
            sent += piece.len();
            assert!(assembler.memory() <= EMPTY + 2 * sent);
        }
    }

    #[test]
    fn a_packet_in_single_bytes_is_collected_into_no_more_than_its_length() {
        let mut packet = vec![0x30, 0xe8, 0x07];
        packet.resize(1003, 7);
        let mut assembler = Assembler::new();
        for &byte in &packet[..1002] {
            assert_eq!(next(&mut assembler, &mut &[byte][..]), Ok(Assembled::Nothing));
            assert!(assembler.memory() <= EMPTY + 1003);
        }
        let whole = Assembled::Packet(Cow::Owned(packet.clone()));
        assert_eq!(next(&mut assembler, &mut &packet[1002..]), Ok(whole));
    }

    #[test]
    fn a_packet_that_is_read_over_takes_no_memory_in_any_split() {
        let admit = |header: FixedHeader| {
            Ok(if header.remaining_length > 100 { Admission::Skip } else { Admission::Take })
        };
        let mut stream = vec![0x30, 0xe8, 0x07];
        stream.resize(1003, 7);
        stream.extend_from_slice(b"\xc0\x00");
        for piece in [1, 2, 3, 100, 1003, 2000] {
            let mut assembler = Assembler::new();
            let (mut skipped, mut begun, mut packets) = (0, 0, 0);
            for mut input in stream.chunks(piece) {
                while !input.is_empty() {
                    match assembler.next(&mut input, admit, &mut Room::new(0)).unwrap() {
                        Assembled::Skipped { length, first } => {
                            skipped += length;
                            begun += usize::from(first);
                        }
                        Assembled::Packet(packet) => {
                            assert_eq!(*packet, b"\xc0\x00"[..]);
                            packets += 1;
                        }
                        Assembled::Nothing => {}
                        other => panic!("{other:?}"),
                    }
                    assert!(assembler.memory() <= EMPTY + FixedHeader::LENGTH_MAX);
                }
            }
            assert_eq!((skipped, begun, packets), (1003, 1, 1), "{piece}");
        }
    }

    #[test]
    fn a_packet_that_is_read_over_can_be_identified_in_any_split() {
        let admit = |_: FixedHeader| Ok(Admission::Identify { limit: 20 });
        let mut stream = b"\x32\xe8\x07\x00\x04long\x12\x34".to_vec();
        stream.resize(1003, 7);
        for piece in [1, 2, 3, 100, 1003] {
            let mut assembler = Assembler::new();
            let (mut read, mut identities) = (0, 0);
            for mut input in stream.chunks(piece) {
                while !input.is_empty() {
                    match assembler.next(&mut input, admit, &mut Room::new(0)).unwrap() {
                        Assembled::Identified { length, packet_id, qos } => {
                            assert_eq!((packet_id.value(), qos), (0x1234, QoS::AtLeastOnce));
                            identities += 1;
                            read += length;
                        }
                        Assembled::Skipped { length, first: false } => read += length,
                        Assembled::Nothing => {}
                        other => panic!("{other:?}"),
                    }
                    assert!(assembler.memory() <= EMPTY + 20);
                }
            }
            assert_eq!((read, identities), (1003, 1), "{piece}");
        }
        for (bytes, reason) in [
            (&b"\x32\x28\x00\x20"[..], CloseReason::PacketTooLong),
            (b"\x32\x28\x00\x25", CloseReason::Malformed(Malformed::Truncated)),
            (b"\x32\x28\x00\x01t\x00\x00", CloseReason::Malformed(Malformed::ZeroPacketId)),
        ] {
            let mut assembler = Assembler::new();
            assert_eq!(assembler.next(&mut &*bytes, admit, &mut Room::new(0)), Err(reason));
        }
    }

    #[test]
    fn without_memory_a_packet_is_given_up() {
        let mut room = Room::new(0);
        room.set(60);
        let mut assembler = Assembler::new();
        let mut input: &[u8] = &[&b"\x30\x7f"[..], &[0; 100]].concat();
        assert_eq!(assembler.next(&mut input, any, &mut room), Err(CloseReason::NoMemory));
    }
}
