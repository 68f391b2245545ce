//! [`Assembler`]: cuts the byte stream of one connection into control packets.
//!
//! A packet that lies whole in what arrived is not copied. Else its bytes are collected in a buffer that grows
//! with them, never ahead to what the remaining length announces, and is given back with the packet. A packet that is
//! too long to be kept can be read over, which takes no memory at all.

use alloc::{borrow::Cow, vec::Vec};

use espbroker_mqtt::{FixedHeader, Malformed};

use crate::{
    event::CloseReason,
    room::{Need, Room},
};

/// The beginning of a packet whose end has not arrived.
pub(crate) struct Assembler {
    buffer: Vec<u8>,
    /// Bytes still to be read over.
    skip: u32,
}

/// What is to be done with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// Collect it.
    Take,
    /// Read over it.
    Skip,
}

/// What came of the bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Assembled<'a> {
    /// A whole packet.
    Packet(Cow<'a, [u8]>),
    /// So many bytes of a packet were read over, for the first time of this packet or again.
    Skipped { length: usize, first: bool },
    /// The input is used up.
    Nothing,
}

impl Assembler {
    pub(crate) const fn new() -> Self {
        Self { buffer: Vec::new(), skip: 0 }
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
        if self.skip > 0 {
            return Ok(Assembled::Skipped { length: self.skip_over(input), first: false });
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
        if self.buffer.is_empty() {
            match judge(input)? {
                Some((length, Admission::Take)) => {
                    if let Some((packet, rest)) = input.split_at_checked(length) {
                        *input = rest;
                        return Ok(Assembled::Packet(Cow::Borrowed(packet)));
                    }
                }
                Some((length, Admission::Skip)) => return Ok(self.begin_skip(length, 0, input)),
                None => {}
            }
        }
        loop {
            let known = match judge(&self.buffer)? {
                Some((length, Admission::Skip)) => {
                    let taken = self.buffer.len();
                    self.buffer = Vec::new();
                    return Ok(self.begin_skip(length, taken, input));
                }
                known => known.map(|(length, _)| length),
            };
            if known == Some(self.buffer.len()) {
                return Ok(Assembled::Packet(Cow::Owned(core::mem::take(&mut self.buffer))));
            }
            // Without a whole fixed header only the next byte is sure to belong to this packet.
            let length = known.unwrap_or(self.buffer.len() + 1);
            let missing = length.saturating_sub(self.buffer.len()).min(input.len());
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
        self.skip = u32::try_from(length.saturating_sub(taken)).unwrap_or(u32::MAX);
        Assembled::Skipped { length: taken + self.skip_over(input), first: true }
    }

    fn skip_over(&mut self, input: &mut &[u8]) -> usize {
        let length = usize::try_from(self.skip).unwrap_or(usize::MAX).min(input.len());
        *input = input.get(length..).unwrap_or_default();
        self.skip = self.skip.saturating_sub(u32::try_from(length).unwrap_or(u32::MAX));
        length
    }

    /// Appends `chunk` of a packet of at least `length` bytes.
    fn collect(&mut self, chunk: &[u8], length: usize, room: &mut Room) -> Result<(), CloseReason> {
        let needed = self.buffer.len() + chunk.len();
        if needed > self.buffer.capacity() {
            // At most twice of what has arrived, so that the buffer is moved a few times only.
            let capacity = needed.max((2 * self.buffer.capacity()).min(length.max(FixedHeader::LENGTH_MAX)));
            if !room.take(capacity, Need::Service) {
                return Err(CloseReason::NoMemory);
            }
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(chunk);
        Ok(())
    }

    /// Heap bytes in use.
    pub(crate) const fn memory(&self) -> usize {
        self.buffer.capacity()
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

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
        assert_eq!(assembler.memory(), 5);
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
            assert!(assembler.memory() <= 2 * sent);
        }
    }

    #[test]
    fn a_packet_in_single_bytes_is_collected_into_no_more_than_its_length() {
        let mut packet = vec![0x30, 0xe8, 0x07];
        packet.resize(1003, 7);
        let mut assembler = Assembler::new();
        for &byte in &packet[..1002] {
            assert_eq!(next(&mut assembler, &mut &[byte][..]), Ok(Assembled::Nothing));
            assert!(assembler.memory() <= 1003);
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
                    }
                    assert!(assembler.memory() <= FixedHeader::LENGTH_MAX);
                }
            }
            assert_eq!((skipped, begun, packets), (1003, 1, 1), "{piece}");
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
