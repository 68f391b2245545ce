//! Records: a retained message as it lies in a sector, how it is written, and how it is told from what is none.

use alloc::{string::String, vec, vec::Vec};

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};
use espbroker_config::crc::Crc32;

use super::{
    SECTOR, WriteFault,
    ring::{PIECE, Place, SECTOR_HEADER, Sectors},
};

/// A retained message; one with an empty payload says that the topic has none (MQTT 3.1.1 §3.3.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    /// Topic name.
    pub(crate) topic: &'a str,
    /// Application message.
    pub(crate) payload: &'a [u8],
    /// Quality of service it was published with, 0-2.
    pub(crate) qos: u8,
}

/// Bytes before the topic.
const RECORD_HEADER: u16 = 8;
/// Most bytes of topic and payload together.
pub(super) const CONTENT_MAX: u16 = SECTOR - SECTOR_HEADER - RECORD_HEADER;

/// Bits of the first half word that hold the length of the topic; the two above hold the QoS.
const LENGTH_BITS: u16 = 0x0FFF;
const QOS_SHIFT: u32 = 12;

/// What a record begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// Bytes of the topic.
    pub(super) topic: u16,
    /// Bytes of the payload.
    pub(super) payload: u16,
    qos: u8,
    crc: u32,
}

impl RecordHeader {
    /// Of a record that has yet to be written; `None` when it does not fit into a sector.
    pub(super) fn of(record: &Record<'_>) -> Option<Self> {
        let content = u16::try_from(record.topic.len() + record.payload.len()).ok()?;
        let topic = u16::try_from(record.topic.len()).ok()?;
        let fits = content <= CONTENT_MAX;
        fits.then_some(Self { topic, payload: content - topic, qos: record.qos.min(2), crc: 0 })
    }

    /// `None` for what no record begins with, erased flash above all.
    fn parse(bytes: [u8; RECORD_HEADER as usize]) -> Option<Self> {
        let [t0, t1, p0, p1, c0, c1, c2, c3] = bytes;
        let first = u16::from_le_bytes([t0, t1]);
        let [qos, _] = (first >> QOS_SHIFT).to_le_bytes();
        let header = Self {
            topic: first & LENGTH_BITS,
            payload: u16::from_le_bytes([p0, p1]),
            qos,
            crc: u32::from_le_bytes([c0, c1, c2, c3]),
        };
        (qos <= 2 && header.payload <= CONTENT_MAX - header.topic.min(CONTENT_MAX)).then_some(header)
    }

    /// The part of the header that the CRC covers.
    fn lengths(self) -> [u8; 4] {
        let [t0, t1] = (self.topic | u16::from(self.qos) << QOS_SHIFT).to_le_bytes();
        let [p0, p1] = self.payload.to_le_bytes();
        [t0, t1, p0, p1]
    }

    fn bytes(self) -> [u8; RECORD_HEADER as usize] {
        let [t0, t1, p0, p1] = self.lengths();
        let [c0, c1, c2, c3] = self.crc.to_le_bytes();
        [t0, t1, p0, p1, c0, c1, c2, c3]
    }

    /// Bytes of topic and payload.
    fn content(self) -> usize {
        usize::from(self.topic + self.payload)
    }

    /// Bytes of the whole record, a multiple of 4.
    pub(super) const fn length(self) -> u16 {
        (RECORD_HEADER + self.topic + self.payload).next_multiple_of(4)
    }

    /// The CRC-32 of a record that begins at `offset`, as far as its content.
    ///
    /// Turn and offset are part of it, so that bytes of a message that look like a record are none.
    fn checked(self, place: Place, offset: u16) -> Crc32 {
        let crc = Crc32::new().update(&place.sequence.to_le_bytes()).update(&offset.to_le_bytes());
        crc.update(&self.lengths())
    }
}

/// What there is at a place where a record may begin.
pub(super) enum Entry {
    /// Erased flash or the end of the sector.
    End,
    /// Neither erased nor a record.
    Damaged,
    /// What looks like a record; its CRC has not been checked.
    Record(RecordHeader),
}

/// Topic and payload on their way into flash.
#[derive(Clone, Copy)]
pub(super) enum Content<'a> {
    Memory(&'a Record<'a>),
    /// Offset in flash.
    Flash(u32),
}

impl<F: ReadNorFlash> Sectors<'_, F> {
    pub(super) fn entry(&mut self, sector: u8, offset: u16) -> Result<Entry, F::Error> {
        if offset > SECTOR - RECORD_HEADER {
            return Ok(Entry::End);
        }
        let mut bytes = [0; RECORD_HEADER as usize];
        self.flash.read(self.ring.address(sector, offset), &mut bytes)?;
        Ok(match RecordHeader::parse(bytes) {
            Some(header) if header.length() <= SECTOR - offset => Entry::Record(header),
            None if bytes.starts_with(&[0xFF; 4]) => Entry::End,
            _ => Entry::Damaged,
        })
    }

    /// Offset in flash of the topic of a record that begins at `offset`.
    pub(super) fn content_of(&self, sector: u8, offset: u16) -> Content<'static> {
        Content::Flash(self.ring.address(sector, offset) + u32::from(RECORD_HEADER))
    }

    /// Copies content from its byte `start` on; behind its end `words` are left alone or get what pads it.
    fn copy_content(&mut self, content: Content<'_>, start: usize, words: &mut [u8]) -> Result<(), F::Error> {
        match content {
            Content::Memory(record) => {
                let bytes = record.topic.as_bytes().iter().chain(record.payload).skip(start);
                words.iter_mut().zip(bytes).for_each(|(word, byte)| *word = *byte);
                Ok(())
            }
            Content::Flash(address) => {
                self.flash.read(address.saturating_add(u32::try_from(start).unwrap_or(u32::MAX)), words)
            }
        }
    }

    /// Adds the first `length` bytes of content to a CRC-32.
    fn update(&mut self, crc: Crc32, content: Content<'_>, length: usize) -> Result<Crc32, F::Error> {
        let mut crc = crc;
        let mut piece = [0; PIECE];
        for start in (0..length).step_by(PIECE) {
            let taken = PIECE.min(length - start);
            let (words, _) = piece.split_at_mut(taken.next_multiple_of(4));
            self.copy_content(content, start, words)?;
            crc = crc.update(words.get(..taken).unwrap_or_default());
        }
        Ok(crc)
    }

    /// Whether the record is as it was written.
    pub(super) fn is_whole(
        &mut self,
        place: Place,
        offset: u16,
        header: RecordHeader,
    ) -> Result<bool, F::Error> {
        let content = self.content_of(place.sector, offset);
        let crc = self.update(header.checked(place, offset), content, header.content())?;
        Ok(crc.finish() == header.crc)
    }

    /// Gives a record to `each` if it is as it was written, and tells whether it is.
    ///
    /// `buffer` is where it is held meanwhile.
    pub(super) fn give(
        &mut self,
        place: Place,
        offset: u16,
        header: RecordHeader,
        buffer: &mut Vec<u8>,
        each: &mut impl FnMut(Record<'_>),
    ) -> Result<bool, F::Error> {
        buffer.clear();
        buffer.resize(header.content().next_multiple_of(4), 0);
        let content = self.content_of(place.sector, offset);
        self.copy_content(content, 0, buffer)?;
        buffer.truncate(header.content());
        if header.checked(place, offset).update(buffer).finish() != header.crc {
            return Ok(false);
        }
        let record = buffer.split_at_checked(usize::from(header.topic)).and_then(|(topic, payload)| {
            Some(Record { topic: str::from_utf8(topic).ok()?, payload, qos: header.qos })
        });
        record.map(each);
        Ok(record.is_some())
    }

    /// A short sum of a topic: where it differs, so do the topics.
    pub(super) fn topic_sum(&mut self, sector: u8, offset: u16, topic: u16) -> Result<u16, F::Error> {
        let content = self.content_of(sector, offset);
        let [s0, s1, ..] = self.update(Crc32::new(), content, usize::from(topic))?.finish().to_le_bytes();
        Ok(u16::from_le_bytes([s0, s1]))
    }

    /// The topic of a record; `None` if it is no text.
    pub(super) fn topic(&mut self, sector: u8, offset: u16, topic: u16) -> Result<Option<String>, F::Error> {
        let mut bytes = vec![0; usize::from(topic).next_multiple_of(4)];
        let content = self.content_of(sector, offset);
        self.copy_content(content, 0, &mut bytes)?;
        bytes.truncate(usize::from(topic));
        Ok(String::from_utf8(bytes).ok())
    }

    /// Whether two records have the same first `topic` bytes of content.
    pub(super) fn same_topic(
        &mut self,
        one: Content<'_>,
        other: Content<'_>,
        topic: u16,
    ) -> Result<bool, F::Error> {
        let (mut a, mut b) = ([0; PIECE / 4], [0; PIECE / 4]);
        let length = usize::from(topic);
        for start in (0..length).step_by(a.len()) {
            let taken = a.len().min(length - start);
            let words = taken.next_multiple_of(4);
            let ((a, _), (b, _)) = (a.split_at_mut(words), b.split_at_mut(words));
            self.copy_content(one, start, a)?;
            self.copy_content(other, start, b)?;
            if a.get(..taken) != b.get(..taken) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl<F: NorFlash> Sectors<'_, F> {
    /// Writes a record to erased flash and reads it back.
    pub(super) fn write(
        &mut self,
        place: Place,
        offset: u16,
        header: RecordHeader,
        content: Content<'_>,
    ) -> Result<(), WriteFault<F::Error>> {
        let checked = header.checked(place, offset);
        let crc = self.update(checked, content, header.content()).map_err(WriteFault::Read)?.finish();
        let header = RecordHeader { crc, ..header };
        let mut piece = [0; PIECE];
        let length = usize::from(header.length());
        let mut address = self.ring.address(place.sector, offset);
        for start in (0..length).step_by(PIECE) {
            let (words, _) = piece.split_at_mut(PIECE.min(length - start));
            words.fill(0xFF);
            match (start.checked_sub(usize::from(RECORD_HEADER)), words.split_first_chunk_mut()) {
                (None, Some((first, rest))) => {
                    *first = header.bytes();
                    self.copy_content(content, 0, rest)
                }
                (begin, _) => self.copy_content(content, begin.unwrap_or_default(), words),
            }
            .map_err(WriteFault::Read)?;
            self.flash.write(address, words).map_err(WriteFault::Refused)?;
            address = address.saturating_add(u32::try_from(words.len()).unwrap_or(u32::MAX));
        }
        match self.entry(place.sector, offset).map_err(WriteFault::Read)? {
            Entry::Record(found)
                if found == header && self.is_whole(place, offset, found).map_err(WriteFault::Read)? =>
            {
                Ok(())
            }
            _ => Err(WriteFault::Differs),
        }
    }
}
