//! [`Assembler`]: cuts the byte stream of one connection into control packets.
//!
//! A packet that lies whole in what arrived is not copied. Else its bytes are collected in a buffer that grows
//! with them, never ahead to what the remaining length announces, and is given back with the packet.

use alloc::{borrow::Cow, vec::Vec};

use espbroker_mqtt::{FixedHeader, Malformed};

use crate::event::CloseReason;

/// The beginning of a packet whose end has not arrived.
pub(crate) struct Assembler {
    buffer: Vec<u8>,
}

impl Assembler {
    pub(crate) const fn new() -> Self {
        Self { buffer: Vec::new() }
    }

    /// Takes the next packet from the collected bytes and the front of `input`; `None` when `input` is used up.
    ///
    /// `admit` judges every fixed header as soon as it is complete. After an error the connection is of no use.
    pub(crate) fn next<'a>(
        &mut self,
        input: &mut &'a [u8],
        admit: impl Fn(FixedHeader) -> Result<(), CloseReason>,
    ) -> Result<Option<Cow<'a, [u8]>>, CloseReason> {
        let packet_length = |bytes: &[u8]| match FixedHeader::parse(bytes).map_err(CloseReason::Malformed)? {
            None => Ok(None),
            Some(header) => {
                admit(header)?;
                let length = usize::try_from(header.packet_length());
                length.map(Some).map_err(|_| CloseReason::Malformed(Malformed::RemainingLength))
            }
        };
        if self.buffer.is_empty()
            && let Some(length) = packet_length(input)?
            && let Some((packet, rest)) = input.split_at_checked(length)
        {
            *input = rest;
            return Ok(Some(Cow::Borrowed(packet)));
        }
        loop {
            let known = packet_length(&self.buffer)?;
            if known == Some(self.buffer.len()) {
                return Ok(Some(Cow::Owned(core::mem::take(&mut self.buffer))));
            }
            // Without a whole fixed header only the next byte is sure to belong to this packet.
            let length = known.unwrap_or(self.buffer.len() + 1);
            let missing = length.saturating_sub(self.buffer.len()).min(input.len());
            let Some((chunk, rest)) = input.split_at_checked(missing).filter(|_| missing > 0) else {
                return Ok(None);
            };
            *input = rest;
            self.collect(chunk, length);
        }
    }

    /// Appends `chunk` of a packet of at least `length` bytes.
    fn collect(&mut self, chunk: &[u8], length: usize) {
        let needed = self.buffer.len() + chunk.len();
        if needed > self.buffer.capacity() {
            // At most twice of what has arrived, so that the buffer is moved a few times only.
            let capacity = needed.max((2 * self.buffer.capacity()).min(length.max(FixedHeader::LENGTH_MAX)));
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
        self.buffer.extend_from_slice(chunk);
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

    fn any(_: FixedHeader) -> Result<(), CloseReason> {
        Ok(())
    }

    #[test]
    fn a_whole_packet_is_borrowed_and_a_cut_one_collected() {
        let mut assembler = Assembler::new();
        let mut input: &[u8] = b"\xc0\x00\x30\x04\x00\x01a";
        assert!(matches!(assembler.next(&mut input, any), Ok(Some(Cow::Borrowed(b"\xc0\x00")))));
        assert_eq!(assembler.next(&mut input, any), Ok(None));
        assert_eq!(assembler.memory(), 5);
        let mut input: &[u8] = b"!\xc0";
        assert_eq!(assembler.next(&mut input, any), Ok(Some(Cow::Owned(b"\x30\x04\x00\x01a!".to_vec()))));
        assert_eq!(input, b"\xc0");
        assert_eq!(assembler.memory(), 0);
    }

    #[test]
    fn an_announced_length_costs_nothing_before_its_bytes_arrive() {
        let mut assembler = Assembler::new();
        let mut sent = 0;
        for piece in [&b"\x30\xff\xff\xff\x7f"[..], &[0; 10], &[0; 100], &[0; 1000]] {
            let mut input = piece;
            assert_eq!(assembler.next(&mut input, any), Ok(None));
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
            assert_eq!(assembler.next(&mut &[byte][..], any), Ok(None));
            assert!(assembler.memory() <= 1003);
        }
        assert_eq!(assembler.next(&mut &packet[1002..], any), Ok(Some(Cow::Owned(packet.clone()))));
    }
}
