//! Recycling: what is live in the oldest sectors is copied into an erased one, which then becomes the newest.
//!
//! Nothing of the log is touched meanwhile. The header of the new sector comes last and says which sector is the
//! oldest from now on: in one step the copies count and the sectors that they are from do not. A power cut before
//! that leaves the log as it was.
//!
//! A record is live if it is the last one of its topic. To know that without an index, up to [`BATCH`] records of the
//! oldest sector at a time are looked for in all that follows, a sector in each step.

use alloc::vec::Vec;

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::{
    Purpose, SECTOR, WriteFault,
    log::Log,
    record::{Entry, RecordHeader},
    ring::{Place, SECTOR_HEADER, SectorHeader, SectorSet, Sectors},
};

/// Records looked for at the same time: 256 B of heap.
const BATCH: usize = 64;

/// Erased or erasable sectors beside the one that is written.
///
/// One to be the next target, one more so that the first sector that turns out to be worn does not end the store.
const SPARE: usize = 2;

/// A record that may be live.
#[derive(Clone, Copy)]
struct Candidate {
    offset: u16,
    topic_sum: u16,
}

#[derive(Clone, Copy)]
enum Stage {
    /// Take records of the source from `from` on.
    Gather,
    /// Look for the candidates' topics in this sector, from this offset on.
    Search(Place, u16),
    /// Copy the candidates that are left.
    Copy,
}

/// One target sector on its way from erased to newest of the log.
#[derive(Clone)]
pub(super) struct Collection {
    purpose: Purpose,
    target: Place,
    /// Where in the target the next copy goes.
    end: u16,
    /// Newest sector of the log.
    newest: Option<Place>,
    /// Oldest sector with live records that are not in the target.
    source: Option<Place>,
    /// Where in the source the next batch begins.
    from: u16,
    candidates: Vec<Candidate>,
    stage: Stage,
}

/// What a step of a collection has come to.
#[derive(Clone, Copy)]
pub(super) enum Progress {
    /// There is more to do.
    More,
    /// All copies are there; the header is not.
    Complete,
    /// The target does not hold what was to be copied.
    Failed(Failure),
}

/// Why a target is not used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// It cannot be programmed any more.
    Worn,
    /// It could not be read, and must be erased before it is written again.
    Unknown,
}

impl Failure {
    pub(super) const fn of<E>(fault: &WriteFault<E>) -> Self {
        match fault {
            WriteFault::Read(_) => Self::Unknown,
            WriteFault::Refused(_) | WriteFault::Differs => Self::Worn,
        }
    }
}

impl Collection {
    /// Begins with `target` erased.
    pub(super) const fn new(target: Place, log: Option<Log>, purpose: Purpose) -> Self {
        let (newest, source) = match (log, purpose) {
            (Some(log), Purpose::Room(_)) => (Some(log.newest), Some(log.oldest)),
            _ => (None, None),
        };
        let (end, from) = (SECTOR_HEADER, SECTOR_HEADER);
        Self { purpose, target, end, newest, source, from, candidates: Vec::new(), stage: Stage::Gather }
    }

    pub(super) const fn purpose(&self) -> Purpose {
        self.purpose
    }

    pub(super) const fn target(&self) -> Place {
        self.target
    }

    /// The header with which the target becomes the newest sector.
    pub(super) fn header(&self) -> SectorHeader {
        let oldest = self.source.unwrap_or(self.target).sequence;
        SectorHeader { sequence: self.target.sequence, oldest }
    }

    /// The log once that header is written.
    pub(super) fn log(&self) -> Log {
        Log { oldest: self.source.unwrap_or(self.target), newest: self.target, end: self.end }
    }

    /// Whether the record that the sector is for fits in.
    pub(super) const fn has_room(&self) -> bool {
        match self.purpose {
            Purpose::Room(length) => length <= SECTOR - self.end,
            Purpose::Wipe => true,
        }
    }

    /// Reads at most one sector, or copies one record.
    pub(super) fn step<F: NorFlash>(
        &mut self,
        sectors: &mut Sectors<'_, F>,
        worn: SectorSet,
        holds: impl FnMut(&str) -> bool,
    ) -> Result<Progress, F::Error> {
        let (Some(source), Some(newest)) = (self.source, self.newest) else { return Ok(Progress::Complete) };
        match self.stage {
            Stage::Gather if self.from == SECTOR_HEADER && self.is_enough(sectors, source, worn) => {
                return Ok(Progress::Complete);
            }
            Stage::Gather => {
                self.from = self.gather(sectors, source)?;
                self.stage = match self.candidates.is_empty() {
                    true => Stage::Copy,
                    false => Stage::Search(source, self.from),
                };
            }
            Stage::Search(place, offset) => {
                self.search(sectors, place, offset)?;
                self.stage = if self.candidates.is_empty() || place.sector == newest.sector {
                    Stage::Copy
                } else {
                    Stage::Search(sectors.next(place, newest)?, SECTOR_HEADER)
                };
            }
            Stage::Copy => match self.candidates.last() {
                Some(&candidate) => {
                    let progress = self.copy(sectors, source, candidate, holds)?;
                    self.candidates.pop();
                    return Ok(progress);
                }
                None => {
                    if self.from >= SECTOR {
                        self.source = match source.sector == newest.sector {
                            true => None,
                            false => Some(sectors.next(source, newest)?),
                        };
                        self.from = SECTOR_HEADER;
                    }
                    self.stage = Stage::Gather;
                }
            },
        }
        Ok(Progress::More)
    }

    /// Whether the ring can go on with `source` as its oldest sector, and the target serves its purpose.
    ///
    /// If it does not, copying goes on until the target is full: that brings together what is spread over sectors, so
    /// that later ones become empty.
    fn is_enough<F>(&self, sectors: &Sectors<'_, F>, source: Place, worn: SectorSet) -> bool {
        let spare = sectors.ring.free(self.target.sector, source.sector, worn).count();
        spare >= SPARE && self.has_room()
    }

    /// Makes candidates of the messages in the source that no later one in the same sector replaces.
    ///
    /// Returns where the next batch begins; the end of the sector if there is none. A message without payload is none:
    /// what it cleared can only be in the same sector or in older ones, and those do not count any more.
    fn gather<F: ReadNorFlash>(
        &mut self,
        sectors: &mut Sectors<'_, F>,
        source: Place,
    ) -> Result<u16, F::Error> {
        // After an error the batch is gathered again.
        self.candidates.clear();
        self.candidates.reserve_exact(BATCH);
        let mut offset = self.from;
        while let Entry::Record(header) = sectors.entry(source.sector, offset)? {
            if sectors.is_whole(source, offset, header)? {
                let topic_sum = self.replaced_by(sectors, source, offset, header)?;
                if header.payload > 0 {
                    if self.candidates.len() == BATCH {
                        return Ok(offset);
                    }
                    self.candidates.push(Candidate { offset, topic_sum });
                }
            }
            offset += header.length();
        }
        Ok(SECTOR)
    }

    /// Drops the candidates that a record in this sector replaces.
    fn search<F: ReadNorFlash>(
        &mut self,
        sectors: &mut Sectors<'_, F>,
        place: Place,
        offset: u16,
    ) -> Result<(), F::Error> {
        let mut offset = offset;
        while let Entry::Record(header) = sectors.entry(place.sector, offset)? {
            self.replaced_by(sectors, place, offset, header)?;
            offset += header.length();
        }
        Ok(())
    }

    /// Drops the candidate with the same topic as a later record, whose sum is returned.
    ///
    /// One that was cut off replaces nothing.
    fn replaced_by<F: ReadNorFlash>(
        &mut self,
        sectors: &mut Sectors<'_, F>,
        place: Place,
        offset: u16,
        header: RecordHeader,
    ) -> Result<u16, F::Error> {
        let topic_sum = sectors.topic_sum(place.sector, offset, header.topic)?;
        let Some(source) = self.source else { return Ok(topic_sum) };
        for index in 0..self.candidates.len() {
            let Some(candidate) = self.candidates.get(index).filter(|found| found.topic_sum == topic_sum)
            else {
                continue;
            };
            let Entry::Record(old) = sectors.entry(source.sector, candidate.offset)? else { continue };
            let one = sectors.content_of(source.sector, candidate.offset);
            let other = sectors.content_of(place.sector, offset);
            if old.topic == header.topic
                && sectors.same_topic(one, other, header.topic)?
                && sectors.is_whole(place, offset, header)?
            {
                self.candidates.swap_remove(index);
                break;
            }
        }
        Ok(topic_sum)
    }

    /// Copies a live record unless its owner has given up the topic.
    fn copy<F: NorFlash>(
        &mut self,
        sectors: &mut Sectors<'_, F>,
        source: Place,
        candidate: Candidate,
        mut holds: impl FnMut(&str) -> bool,
    ) -> Result<Progress, F::Error> {
        let Candidate { offset, .. } = candidate;
        let Entry::Record(header) = sectors.entry(source.sector, offset)? else { return Ok(Progress::More) };
        let topic = sectors.topic(source.sector, offset, header.topic)?;
        if !topic.is_some_and(|topic| holds(&topic)) {
            return Ok(Progress::More);
        }
        if header.length() > SECTOR - self.end {
            // The source stays the oldest sector; its records that are in the target as well do no harm.
            return Ok(Progress::Complete);
        }
        let content = sectors.content_of(source.sector, offset);
        Ok(match sectors.write(self.target, self.end, header, content) {
            Ok(()) => {
                self.end += header.length();
                Progress::More
            }
            Err(fault) => Progress::Failed(Failure::of(&fault)),
        })
    }
}
