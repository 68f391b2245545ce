//! The config partition over a NOR flash: what the device does at start-up and when its config is changed. Where it is
//! follows from the flash's capacity.
//!
//! Holds at most one sector's payload and one decoded config at a time besides what the caller holds.

use alloc::{vec, vec::Vec};
use core::fmt;

use embedded_storage::nor_flash::{NorFlash, ReadNorFlash};

use super::{
    CHECKED_HEADER_LENGTH, Damage, HEADER_LENGTH, HeaderFault, MAGIC, Mark, Slot, SlotHeader, SlotRecord,
    SlotState, Standing, TAIL, TAIL_LENGTH, check_trial_length, encode_sector, is_newer, next_turn,
    read_payload, trial,
};
use crate::{
    codec::EncodeError,
    flash_map::{FlashMap, Region, SECTOR_SIZE},
    model::Config,
};

/// Every read and write begins and ends at a multiple of this.
const WORD: usize = 4;
/// Where a sector goes on behind its magic.
const MAGIC_END: u32 = 4;
/// Where a sector goes on behind its header.
const PAYLOAD: u32 = 20;

/// Where the words of a trial begin.
const TAIL_OFFSET: u32 = 4072;

const _: () = assert!(PAYLOAD as usize == HEADER_LENGTH && TAIL_OFFSET as usize == TAIL);

/// What is in the config partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one lives at a time; a box would cost the chip an allocation")]
pub enum Loaded {
    /// The config, decoded but not validated.
    Config {
        /// Slot it was read from.
        slot: Slot,
        /// Config and sequence.
        record: SlotRecord,
    },
    /// No slot holds one.
    Nothing(Absence),
}

/// Why there is no config: the most telling of what the two slots hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Both slots are erased.
    Blank,
    /// No slot is valid and at least one is not erased.
    Damaged(Damage),
    /// At least one slot was written by a newer program.
    Newer {
        /// Its format version.
        format: u16,
    },
}

/// `blank`, `damaged` or `newer`, as in status lines.
impl fmt::Display for Absence {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(match self {
            Self::Blank => "blank",
            Self::Damaged(_) => "damaged",
            Self::Newer { .. } => "newer",
        })
    }
}

/// Why a config was not stored. The config that was valid before still is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError<E> {
    /// It does not fit; the flash was not touched.
    Encode(EncodeError),
    /// The flash refused; the slot that was to be written may be damaged.
    Flash(E),
    /// The flash took it and reads back something else.
    Differs {
        /// The slot.
        slot: Slot,
    },
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encode(error) => error.fmt(formatter),
            Self::Flash(error) => write!(formatter, "flash failed: {error:?}"),
            Self::Differs { slot } => {
                write!(formatter, "flash does not hold what was written to slot: {slot}")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}

/// Reads the config.
///
/// # Errors
///
/// The flash's own error; a damaged or blank partition is none.
pub fn load<F: ReadNorFlash>(flash: &mut F) -> Result<Loaded, F::Error> {
    // The newer slot is tried first, so that the older one is decoded only if it is needed.
    let order = match (read_header(flash, Slot::A)?, read_header(flash, Slot::B)?) {
        (Ok(a), Ok(b)) if is_newer(b.sequence, a.sequence) => [Slot::B, Slot::A],
        _ => [Slot::A, Slot::B],
    };
    let mut absence = Absence::Blank;
    for slot in order {
        absence = match (read_slot(flash, slot)?, absence) {
            (SlotState::Valid(record), _) if record.standing.is_usable() => {
                return Ok(Loaded::Config { slot, record });
            }
            // Given up: as if it were not there.
            (SlotState::Valid(_), absence) => absence,
            (_, newer @ Absence::Newer { .. }) => newer,
            (SlotState::Newer { format, .. }, _) => Absence::Newer { format },
            (_, damaged @ Absence::Damaged(_)) => damaged,
            (SlotState::Damaged(damage), _) => Absence::Damaged(damage),
            (SlotState::Blank, Absence::Blank) => Absence::Blank,
        };
    }
    Ok(Loaded::Nothing(absence))
}

/// What the sectors tell of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    /// The highest sequence of any config, whatever became of it; 0 if there is none.
    pub highest: u32,
    /// The slot of the highest sequence and what came of it, if a config is in there that this program reads.
    pub latest: Option<(Slot, Standing)>,
}

/// Reads what the sectors tell of the past.
///
/// # Errors
///
/// The flash's own error.
pub fn history<F: ReadNorFlash>(flash: &mut F) -> Result<History, F::Error> {
    let mut newest = None;
    for slot in [Slot::A, Slot::B] {
        let (sequence, standing) = match read_slot(flash, slot)? {
            SlotState::Valid(record) => (record.sequence, Some((slot, record.standing))),
            SlotState::Newer { sequence, .. } => (sequence, None),
            SlotState::Blank | SlotState::Damaged(_) => continue,
        };
        if newest.is_none_or(|(highest, _)| is_newer(sequence, highest)) {
            newest = Some((sequence, standing));
        }
    }
    let (highest, latest) = newest.unwrap_or((0, None));
    Ok(History { highest, latest })
}

/// Writes `config` to the slot whose turn it is and returns where, and with which sequence.
///
/// The magic is programmed last: a cut at any moment leaves this slot invalid and the other one as it was. The limits
/// of the config are not checked, [`Config::validate`] does that.
///
/// # Errors
///
/// [`StoreError`]; the config that was valid before still is, whatever the error.
pub fn store<F: NorFlash>(flash: &mut F, config: &Config) -> Result<(Slot, u32), StoreError<F::Error>> {
    write_sector(flash, config, None)
}

/// As [`store`], and puts the config on trial for so many seconds, within [`TRY_FOR`](super::TRY_FOR).
///
/// # Errors
///
/// As [`store`]; a config that leaves no room for the words of the trial is too long.
pub fn store_on_trial<F: NorFlash>(
    flash: &mut F,
    config: &Config,
    try_for: u16,
) -> Result<(Slot, u32), StoreError<F::Error>> {
    write_sector(flash, config, Some(trial::trial_word(try_for)))
}

fn write_sector<F: NorFlash>(
    flash: &mut F,
    config: &Config,
    trial: Option<[u8; WORD]>,
) -> Result<(Slot, u32), StoreError<F::Error>> {
    const {
        assert!(WORD.is_multiple_of(F::WRITE_SIZE), "words are the unit of writing");
        assert!((SECTOR_SIZE as usize).is_multiple_of(F::ERASE_SIZE), "sectors are the unit of erasing");
    }
    // A slot whose content cannot be decoded must not count as the config, so both are read to the end.
    let a = read_slot(flash, Slot::A).map_err(StoreError::Flash)?.turn();
    let b = read_slot(flash, Slot::B).map_err(StoreError::Flash)?.turn();
    let (slot, sequence) = next_turn(a, b);
    let sector = encode_sector(config, sequence).map_err(StoreError::Encode)?;
    if trial.is_some() {
        check_trial_length(&sector).map_err(StoreError::Encode)?;
    }
    let region = FlashMap::of(flash).config(slot);
    match program(flash, region, &sector, trial).map_err(StoreError::Flash)? {
        true => Ok((slot, sequence)),
        false => Err(StoreError::Differs { slot }),
    }
}

/// Writes a sector and says whether it is there then.
fn program<F: NorFlash>(
    flash: &mut F,
    region: Region,
    sector: &[u8],
    trial: Option<[u8; WORD]>,
) -> Result<bool, F::Error> {
    flash.erase(region.offset, region.end())?;
    let (magic, rest) = sector.split_first_chunk::<WORD>().unwrap_or((&MAGIC, &[]));
    flash.write(region.offset + MAGIC_END, rest)?;
    if let Some(word) = trial {
        let mut tail = [0xFF; TAIL_LENGTH];
        tail.iter_mut().zip(word).for_each(|(place, byte)| *place = byte);
        flash.write(region.offset + TAIL_OFFSET, &word)?;
        // Before the magic: what cannot be marked must not count as one that needs no trial.
        if !holds(flash, region.offset + TAIL_OFFSET, &tail)? {
            return Ok(false);
        }
    }
    flash.write(region.offset, magic)?;
    holds(flash, region.offset, sector)
}

/// Notes what came of a config on trial. A word that is there already is left alone; one that a power cut has left half
/// done is programmed again, which clears bits only.
///
/// # Errors
///
/// The flash's own error.
pub fn mark<F: NorFlash>(flash: &mut F, slot: Slot, mark: Mark) -> Result<(), F::Error> {
    let (offset, wanted) = mark.word();
    let offset = FlashMap::of(flash).config(slot).offset + offset;
    let mut found = [0; WORD];
    flash.read(offset, &mut found)?;
    if found == wanted {
        return Ok(());
    }
    // Where a bit is clear already it stays so: NOR flash has no other way.
    let both = u32::from_le_bytes(wanted) & u32::from_le_bytes(found);
    flash.write(offset, &both.to_le_bytes())
}

/// Whether the flash holds `bytes`, a multiple of [`WORD`], from `offset` on.
fn holds<F: ReadNorFlash>(flash: &mut F, offset: u32, bytes: &[u8]) -> Result<bool, F::Error> {
    const STEP: usize = 64;
    let mut buffer = [0; STEP];
    for (chunk, offset) in bytes.chunks(STEP).zip((offset..).step_by(STEP)) {
        let (found, _) = buffer.split_at_mut(chunk.len());
        flash.read(offset, found)?;
        if found != chunk {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the header of one sector.
///
/// # Errors
///
/// The flash's own error; within is what is wrong with the header.
pub fn read_header<F: ReadNorFlash>(
    flash: &mut F,
    slot: Slot,
) -> Result<Result<SlotHeader, HeaderFault>, F::Error> {
    let mut bytes = [0; HEADER_LENGTH];
    flash.read(FlashMap::of(flash).config(slot).offset, &mut bytes)?;
    Ok(SlotHeader::parse(&bytes))
}

/// Reads one sector.
///
/// # Errors
///
/// The flash's own error.
pub fn read_slot<F: ReadNorFlash>(flash: &mut F, slot: Slot) -> Result<SlotState, F::Error> {
    const { assert!(WORD.is_multiple_of(F::READ_SIZE), "words are the unit of reading") }
    let region = FlashMap::of(flash).config(slot);
    let mut header_bytes = [0; HEADER_LENGTH];
    flash.read(region.offset, &mut header_bytes)?;
    let header = match SlotHeader::parse(&header_bytes) {
        Ok(header) => header,
        Err(HeaderFault::Blank) => return Ok(SlotState::Blank),
        Err(HeaderFault::Damaged(damage)) => return Ok(SlotState::Damaged(damage)),
    };
    let mut payload: Vec<u8> = vec![0; header.payload_length().next_multiple_of(WORD)];
    flash.read(region.offset + PAYLOAD, &mut payload)?;
    payload.truncate(header.payload_length());
    let mut tail = [0; TAIL_LENGTH];
    flash.read(region.offset + TAIL_OFFSET, &mut tail)?;
    let checked = header_bytes.first_chunk::<CHECKED_HEADER_LENGTH>();
    Ok(checked.map_or(SlotState::Damaged(Damage::Cut), |checked| {
        read_payload(&header, checked, &payload, Some(&tail))
    }))
}
