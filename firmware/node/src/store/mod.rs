//! The store of retained messages: a log in flash that survives power cuts and wears all its sectors alike.
//!
//! # Layout
//!
//! Sectors of 4,096 B in a ring take turns. Each, little-endian:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 4 | magic `EBRM` |
//! | 4 | 2 | format version, 1 |
//! | 6 | 2 | zero |
//! | 8 | 4 | sequence: the turn in which the sector was written |
//! | 12 | 4 | sequence of the oldest sector that still counts |
//! | 16 | 4 | CRC-32 (IEEE) of bytes 0-15 |
//! | 20 | | records, one behind the other, then erased flash |
//!
//! A record begins at a multiple of 4 and never crosses a sector:
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 2 | bits 0-11 length of the topic, bits 12-13 QoS, others zero |
//! | 2 | 2 | length of the payload; 0 says that the topic has no message |
//! | 4 | 4 | CRC-32 of the sector's sequence, the record's offset in the sector (2 B), bytes 0-3, topic, payload |
//! | 8 | | topic (UTF-8), payload, `FF` up to a multiple of 4 |
//!
//! The valid header with the highest sequence (as serial numbers, RFC 1982) is the newest sector. With the ones before
//! it around the ring, back to the oldest that it names, it is the log; the last record of a topic is its message. Any
//! other sector is free, whatever is in it, another format version, too.
//!
//! # Writing
//!
//! A record is appended to the newest sector in one go. If it does not fit, a free sector is erased, what is live in
//! the oldest sectors is copied there if the ring needs them back, and the sector's header is programmed last (see
//! `recycle`). No word is programmed twice, and a sector counts as erased only if this run of the program has erased
//! it. So a power cut at any byte leaves the message that was being written old or new, and every other as it was. What
//! a cut left behind the last record is not written over: that sector takes no more records.
//!
//! Not defended against: a cell that reads right when it is looked at and wrong later. A record that rots is lost, with
//! its length also those behind it in the sector; their topics then have an older message or none.
//!
//! # Wear
//!
//! A sector is erased once a turn of the ring. With 64 sectors of 100,000 erase cycles (Winbond W25Q32: at least), a
//! record of 32 B (a topic of 20 B and a payload of 4 B), 127 to a sector, can be written 813 million times: 25 years
//! of a write a second. Copying what is live takes its share of each turn: 4 % with 8 KB of messages, a third with
//! 64 KB. Who writes faster waits: the owner paces.
//!
//! # Left out
//!
//! An index in memory, and so any question to the log but the loading of all of it: the broker holds all retained
//! messages. Comparing with what is there already: the owner knows what has changed.

use alloc::boxed::Box;
use core::{fmt, mem};

use embedded_storage::nor_flash::NorFlash;
use espbroker_config::flash_map::{FlashMap, SECTOR_SIZE};

mod log;
mod record;
mod recycle;
mod ring;

pub(crate) use self::record::Record;
use self::{
    log::Log,
    record::{CONTENT_MAX, Content, RecordHeader},
    recycle::{Collection, Failure, Progress},
    ring::{Place, Ring, SectorSet, Sectors},
};

/// Bytes of a sector, and the offset behind its last.
const SECTOR: u16 = 4096;
const _: () = assert!(SECTOR as u32 == SECTOR_SIZE);

/// Sectors of the ring of the retained messages.
///
/// All messages within the greatest limits (65,535 B, 1,024 messages) fill 19 sectors, and twice as many if every
/// other one fills more than half a sector. A third of the ring is then still there for what is new.
const RETAINED: u8 = 64;

/// The ring of the retained messages: the first part of the region, the rest is free for other logs.
const fn retained(map: FlashMap) -> Ring {
    match map {
        FlashMap::Map4M => const { Ring::at_start_of(FlashMap::Map4M.store(), RETAINED) },
        FlashMap::Map1M => const { Ring::at_start_of(FlashMap::Map1M.store(), RETAINED) },
    }
}

/// Every read and write begins and ends at a multiple of this.
const WORD: usize = 4;

/// Why a message was not stored. What was stored before still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StoreError<E> {
    /// Topic and payload do not fit into a sector; they never will.
    TooLong {
        /// Bytes of both.
        length: usize,
    },
    /// A sector must be made ready first: call [`Store::step`] until [`Store::is_busy`] says no.
    Busy,
    /// The ring is full of live messages, or of worn sectors. Smaller messages may still fit.
    Full,
    /// The flash refused. The next message goes to another sector.
    Flash(E),
    /// The flash took it and reads back something else. The next message goes to another sector.
    Differs,
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { length } => {
                write!(formatter, "topic and payload are longer than {CONTENT_MAX} bytes: {length}")
            }
            Self::Busy => formatter.write_str("store is making room"),
            Self::Full => formatter.write_str("store is full"),
            Self::Flash(error) => write!(formatter, "flash failed: {error:?}"),
            Self::Differs => formatter.write_str("flash does not hold what was written"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}

/// Why a sector is not as it should be after erasing or programming.
#[derive(Clone, Copy, Debug)]
enum WriteFault<E> {
    /// The flash could not be read, so that nobody knows.
    Read(E),
    /// The flash refused.
    Refused(E),
    /// It reads back something else.
    Differs,
}

impl<E> From<WriteFault<E>> for StoreError<E> {
    fn from(fault: WriteFault<E>) -> Self {
        match fault {
            WriteFault::Read(error) | WriteFault::Refused(error) => Self::Flash(error),
            WriteFault::Differs => Self::Differs,
        }
    }
}

/// What a new sector is for.
#[derive(Clone, Copy, Debug)]
enum Purpose {
    /// A record of this length.
    Room(u16),
    /// To be all that counts.
    Wipe,
}

/// What is under way.
#[derive(Clone)]
enum Work {
    Idle,
    /// A free sector is to be erased.
    Prepare(Purpose),
    Collect(Box<Collection>),
    /// Every sector from this one on that does not count is to be erased.
    Sweep(u8),
}

/// Retained messages in flash.
///
/// Holds about 80 B, and 400 B more while it makes room. The flash is lent to every call and nobody else may write to
/// the ring's sectors.
#[derive(Clone)]
pub(crate) struct Store {
    ring: Ring,
    log: Option<Log>,
    /// Highest sequence that was ever written or tried.
    sequence: u32,
    /// Sectors that have failed since the store was opened.
    worn: SectorSet,
    work: Work,
    /// Sectors written since a record last found room.
    futile: u8,
    /// Length of a record for which a whole turn of the ring made no room.
    refused: Option<u16>,
}

impl Store {
    /// Finds the retained messages and gives each record to `each`, in the order of writing: later ones replace
    /// earlier ones of the same topic.
    ///
    /// Limits on number and bytes of messages hold for what is left after the last record, and may be passed for a
    /// while before. Reads every sector in use once, which takes some 0.2 s on the chip (computed), and holds the
    /// longest record in memory. Flash that is blank or garbage is an empty store.
    ///
    /// # Errors
    ///
    /// The flash's own error; some records may have been given to `each`.
    pub(crate) fn open<F: NorFlash>(flash: &mut F, each: impl FnMut(Record<'_>)) -> Result<Self, F::Error> {
        let ring = retained(FlashMap::of(flash));
        Self::open_ring(flash, ring, each)
    }

    /// The same in a ring of the caller's.
    fn open_ring<F: NorFlash>(
        flash: &mut F,
        ring: Ring,
        each: impl FnMut(Record<'_>),
    ) -> Result<Self, F::Error> {
        const {
            assert!(WORD.is_multiple_of(F::WRITE_SIZE), "words are the unit of writing");
            assert!(WORD.is_multiple_of(F::READ_SIZE), "words are the unit of reading");
            assert!((SECTOR as usize).is_multiple_of(F::ERASE_SIZE), "sectors are the unit of erasing");
        }
        let (log, sequence) = Sectors { ring, flash }.load(each)?;
        Ok(Self {
            ring,
            log,
            sequence,
            worn: SectorSet::default(),
            work: Work::Idle,
            futile: 0,
            refused: None,
        })
    }

    /// Appends a record; one with an empty payload clears the topic.
    ///
    /// One to seventeen program operations (a piece of 256 B each) and no erase.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; the topic then has the message that it had before. After [`StoreError::Flash`] it may be the new
    /// one that the next start finds: it could not be looked at.
    pub(crate) fn append<F: NorFlash>(
        &mut self,
        flash: &mut F,
        record: Record<'_>,
    ) -> Result<(), StoreError<F::Error>> {
        let length = record.topic.len().saturating_add(record.payload.len());
        let header = RecordHeader::of(&record).ok_or(StoreError::TooLong { length })?;
        if self.is_busy() {
            return Err(StoreError::Busy);
        }
        let length = header.length();
        match &mut self.log {
            Some(log) if length <= SECTOR - log.end => {
                let mut sectors = Sectors { ring: self.ring, flash };
                let written = sectors.write(log.newest, log.end, header, Content::Memory(&record));
                // Nothing is written behind a record that may be torn.
                log.end = if written.is_ok() { log.end + length } else { SECTOR };
                written?;
                (self.futile, self.refused) = (0, None);
                Ok(())
            }
            _ if self.refused.is_some_and(|refused| length >= refused) => Err(StoreError::Full),
            _ => {
                self.work = Work::Prepare(Purpose::Room(length));
                Err(StoreError::Busy)
            }
        }
    }

    /// Whether [`Store::step`] has something to do.
    pub(crate) const fn is_busy(&self) -> bool {
        !matches!(self.work, Work::Idle)
    }

    /// Does a part of what is to be done: erases one sector, looks through one, or copies one record.
    ///
    /// A turn to the next sector takes two steps as long as the ring is not full; then up to a step for each sector of
    /// it and for each live record, twice that with more than 64 messages in the oldest sector.
    ///
    /// `holds` tells whether the owner still has a message for a topic; if not, the record need not be kept. It is
    /// asked only about records that are the last of their topic. A sector that cannot be erased or programmed is left
    /// out until the store is opened again.
    ///
    /// # Errors
    ///
    /// The flash's own error when it cannot be read; the next call tries again.
    pub(crate) fn step<F: NorFlash>(
        &mut self,
        flash: &mut F,
        holds: impl FnMut(&str) -> bool,
    ) -> Result<(), F::Error> {
        let mut sectors = Sectors { ring: self.ring, flash };
        match mem::replace(&mut self.work, Work::Idle) {
            Work::Idle => Ok(()),
            Work::Prepare(purpose) => self.prepare(&mut sectors, purpose),
            Work::Collect(mut collection) => {
                let progress = collection.step(&mut sectors, self.worn, holds);
                match progress {
                    Ok(Progress::Complete) => self.complete(&mut sectors, &collection),
                    Ok(Progress::Failed(failure)) => self.leave(&collection, failure),
                    Ok(Progress::More) | Err(_) => self.work = Work::Collect(collection),
                }
                progress.map(|_| ())
            }
            Work::Sweep(sector) => self.sweep(&mut sectors, sector),
        }
    }

    /// Drops all messages; done when [`Store::is_busy`] says no.
    ///
    /// They are gone together, with one program operation: a power cut leaves all or none. After that, step by step,
    /// every sector is erased that is not blank; a cut there leaves old messages in flash that nothing reads any more.
    pub(crate) fn wipe(&mut self) {
        (self.futile, self.refused) = (0, None);
        self.work = Work::Prepare(Purpose::Wipe);
    }

    /// Sectors that have failed since the store was opened.
    pub(crate) const fn worn_sectors(&self) -> u32 {
        self.worn.count()
    }

    /// Erases the next free sector.
    fn prepare<F: NorFlash>(
        &mut self,
        sectors: &mut Sectors<'_, F>,
        purpose: Purpose,
    ) -> Result<(), F::Error> {
        let target = match self.log {
            Some(Log { newest, oldest, .. }) => {
                self.ring.free(newest.sector, oldest.sector, self.worn).next()
            }
            None => (0..self.ring.sectors()).find(|sector| !self.worn.contains(*sector)),
        };
        let Some(sector) = target else {
            match purpose {
                Purpose::Room(_) => self.refused = Some(0),
                // Better than to keep them; a power cut meanwhile leaves some.
                Purpose::Wipe => (self.log, self.work) = (None, Work::Sweep(0)),
            }
            return Ok(());
        };
        self.work = Work::Prepare(purpose);
        // A flash that cannot be read is not erased again and again.
        sectors.header(sector)?;
        match sectors.erase(sector) {
            Ok(()) => {
                let target = Place { sector, sequence: self.sequence.wrapping_add(1) };
                self.work = Work::Collect(Box::new(Collection::new(target, self.log, purpose)));
            }
            Err(WriteFault::Read(error)) => return Err(error),
            Err(WriteFault::Refused(_) | WriteFault::Differs) => self.worn.insert(sector),
        }
        Ok(())
    }

    /// Programs the header that makes the target the newest sector.
    fn complete<F: NorFlash>(&mut self, sectors: &mut Sectors<'_, F>, collection: &Collection) {
        let target = collection.target();
        // Also a header that reads back wrong now may read right after a restart: its turn is over.
        self.sequence = target.sequence;
        if let Err(fault) = sectors.write_header(target.sector, collection.header()) {
            return self.leave(collection, Failure::of(&fault));
        }
        self.log = Some(collection.log());
        match collection.purpose() {
            Purpose::Wipe => self.work = Work::Sweep(0),
            Purpose::Room(length) if !collection.has_room() => {
                self.futile = self.futile.saturating_add(1);
                if self.futile >= self.ring.sectors() {
                    (self.futile, self.refused) = (0, Some(length));
                }
            }
            Purpose::Room(_) => {}
        }
    }

    /// Leaves a target behind and begins again.
    fn leave(&mut self, collection: &Collection, failure: Failure) {
        if failure == Failure::Worn {
            self.worn.insert(collection.target().sector);
        }
        self.work = Work::Prepare(collection.purpose());
    }

    /// Erases the next sector that does not count.
    fn sweep<F: NorFlash>(&mut self, sectors: &mut Sectors<'_, F>, sector: u8) -> Result<(), F::Error> {
        if sector >= self.ring.sectors() {
            return Ok(());
        }
        self.work = Work::Sweep(sector);
        let counts = self.log.is_some_and(|log| log.newest.sector == sector);
        if !counts && !sectors.is_blank(sector, 0)? {
            match sectors.erase(sector) {
                Ok(()) => {}
                Err(WriteFault::Read(error)) => return Err(error),
                Err(WriteFault::Refused(_) | WriteFault::Differs) => self.worn.insert(sector),
            }
        }
        self.work = Work::Sweep(sector + 1);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
