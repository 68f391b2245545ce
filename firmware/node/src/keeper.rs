//! [`Keeper`]: takes retained messages to the store in flash, and back at the next start.
//!
//! A message is written some time after it came, so that a value that changes quickly wears the flash once for many
//! changes. What came within [`SAVE_DELAY`] before a power cut is lost; what was kept before is not.

use alloc::{collections::BTreeMap, string::String, vec::Vec};
use core::time::Duration;

use embedded_storage::nor_flash::NorFlash;
use espbroker_broker::{Access, Broker, Saving};
use espbroker_mqtt::QoS;

use crate::{
    Instant,
    store::{Record, Store, StoreError},
};

/// From a change until it is written.
pub(crate) const SAVE_DELAY: Duration = Duration::from_secs(2);

/// Between two attempts to write to a flash that fails.
const RETRY: Duration = Duration::from_secs(10);

/// Parts of work at most that are done at once when the device is about to stop: more than a whole turn of the store's
/// ring takes.
const LAST_PARTS: usize = 2000;

/// The store and when it is to be looked after.
pub(crate) struct Keeper {
    store: Store,
    due: Option<Instant>,
    /// Worn sectors that were told.
    worn: u32,
}

/// What came of one part of the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Done,
    /// The flash fails.
    Failed,
}

impl Keeper {
    /// Gives the messages in flash to the broker, which from now on remembers what is to be written.
    ///
    /// # Errors
    /// The flash's own error; the broker then has no retained messages and does not remember any.
    pub(crate) fn open<F: NorFlash, A: Access>(
        flash: &mut F,
        broker: &mut Broker<A>,
    ) -> Result<Self, F::Error> {
        // The broker's limits hold for what is left at the end only: what is cleared later may be in the way before.
        let mut kept: BTreeMap<String, (Vec<u8>, u8)> = BTreeMap::new();
        let store = Store::open(flash, |record| {
            if record.payload.is_empty() {
                kept.remove(record.topic);
            } else {
                kept.insert(record.topic.into(), (record.payload.into(), record.qos));
            }
        })?;
        let mut keeper = Self { store, due: None, worn: 0 };
        if broker.retained_limit() == 0 && !kept.is_empty() {
            // Nothing is to be retained: nothing old is to come back when something is again.
            keeper.store.wipe();
            keeper.due = Some(Instant::ZERO);
        }
        while let Some((topic, (payload, qos))) = kept.pop_first() {
            // One that a lowered limit keeps out goes from the store as well, when its sector is needed.
            broker.restore_retained(&topic, &payload, QoS::from_number(qos).unwrap_or(QoS::AtMostOnce));
        }
        broker.keep_retained();
        Ok(keeper)
    }

    /// Notes whether there is something to write.
    pub(crate) fn note<A: Access>(&mut self, broker: &Broker<A>, now: Instant) {
        if self.due.is_none() && broker.unsaved() > 0 {
            self.due = Some(now + SAVE_DELAY);
        }
    }

    /// When [`Self::tick`] is due; in the past while a piece of work is followed by the next.
    pub(crate) const fn poll_at(&self) -> Option<Instant> {
        self.due
    }

    /// Does a part of the work, if it is due: a few milliseconds, or the erasing of a sector.
    pub(crate) fn tick<F: NorFlash, A: Access>(
        &mut self,
        flash: &mut F,
        broker: &mut Broker<A>,
        now: Instant,
    ) {
        if self.due.is_none_or(|due| due > now) {
            return;
        }
        self.due = match self.part(flash, broker) {
            Part::Failed => Some(now + RETRY),
            Part::Done if self.store.is_busy() || broker.unsaved() > 0 => Some(now),
            Part::Done => None,
        };
    }

    /// How many sectors of the flash have failed, if that is more than this has returned before.
    pub(crate) fn worn(&mut self) -> Option<u32> {
        let before = core::mem::replace(&mut self.worn, self.store.worn_sectors());
        (self.worn > before).then_some(self.worn)
    }

    /// Writes what is to be written, before the device stops.
    pub(crate) fn finish<F: NorFlash, A: Access>(&mut self, flash: &mut F, broker: &mut Broker<A>) {
        for _ in 0..LAST_PARTS {
            if broker.unsaved() == 0 || self.part(flash, broker) == Part::Failed {
                return;
            }
        }
    }

    fn part<F: NorFlash, A: Access>(&mut self, flash: &mut F, broker: &mut Broker<A>) -> Part {
        if self.store.is_busy() {
            let holds = |topic: &str| broker.retained_message(topic).is_some();
            return if self.store.step(flash, holds).is_ok() { Part::Done } else { Part::Failed };
        }
        let (store, mut part) = (&mut self.store, Part::Done);
        broker.save_next(|unsaved| {
            let record = Record { topic: unsaved.topic, payload: unsaved.payload, qos: unsaved.qos.number() };
            let result = match store.append(flash, record) {
                // It stays in memory only, and what the store has of the topic is outdated.
                Err(StoreError::TooLong { .. } | StoreError::Full) => {
                    store.append(flash, Record { payload: &[], ..record })
                }
                result => result,
            };
            match result {
                Ok(()) | Err(StoreError::TooLong { .. } | StoreError::Full) => Saving::Over,
                Err(StoreError::Busy) => Saving::Again,
                Err(StoreError::Flash(_) | StoreError::Differs) => {
                    part = Part::Failed;
                    Saving::Again
                }
            }
        });
        part
    }
}
