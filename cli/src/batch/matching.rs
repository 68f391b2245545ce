//! Matching: which row a device is for, and which rows are still open. Pure: no ports, no files.
//!
//! In this order: the row with its MAC address; the row that was begun with it before; the row of the place where it is
//! plugged in; the next free row. When no other row is open, a device also takes one that was begun with another device
//! and not finished: somebody has swapped them, which is said.

use std::collections::BTreeMap;

use super::{
    fleet::{Mac, Row, Wanted},
    journal::{Finished, Record},
};
use crate::hex::to_hex;

/// How far a row is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody has tried in this run.
    Open,
    /// A device on this port is being set up.
    Running { port: String },
    /// The device runs; `earlier` if an earlier run did it.
    Done { device: Box<Finished>, earlier: bool },
    /// The last try has failed.
    Failed { port: String, why: String, hint: Option<String> },
}

/// One row's fate.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) row: Row,
    pub(crate) state: State,
    /// The device that it was begun with.
    pub(crate) mac: Option<Mac>,
    /// It was begun by an earlier run, and not finished.
    pub(crate) half_done: bool,
}

/// What a device that was just identified is to become.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// The device of the row with this index, which was begun with another one before if `swapped`.
    Row { index: usize, swapped: Option<Mac> },
    /// Its row is finished.
    Finished { index: usize },
    /// A device with the same MAC address is being set up on that port.
    SameMac { port: String },
    /// The name that its row gives is that of another device.
    NameTaken { name: String, mac: Mac },
    /// No row is for it.
    None,
}

/// All rows.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    entries: Vec<Entry>,
}

impl Ledger {
    /// All rows as a journal left them; gives also how many finished devices have no row any more.
    pub(crate) fn new(rows: Vec<Row>, journal: &[Record]) -> (Self, usize) {
        let entries =
            rows.into_iter().map(|row| Entry { row, state: State::Open, mac: None, half_done: false });
        let mut ledger = Self { entries: entries.collect() };
        let index: BTreeMap<String, usize> = ledger
            .entries
            .iter()
            .enumerate()
            .map(|(index, entry)| (entry.row.identity.clone(), index))
            .collect();
        let mut without_row = 0;
        for record in journal {
            let entry = |row: &String| index.get(row).copied();
            match record {
                Record::Begun { row, mac, .. } => {
                    if let Some(entry) = entry(row).and_then(|index| ledger.entries.get_mut(index)) {
                        entry.mac = Some(mac.0);
                        entry.half_done = true;
                        entry.state = State::Open;
                    }
                }
                Record::Done { row, mac, device, .. } => {
                    match entry(row).and_then(|index| ledger.entries.get_mut(index)) {
                        Some(entry) => {
                            entry.mac = Some(mac.0);
                            entry.half_done = false;
                            entry.state = State::Done { device: Box::new(device.clone()), earlier: true };
                        }
                        None => without_row += 1,
                    }
                }
                _ => {}
            }
        }
        (ledger, without_row)
    }

    /// All rows, in their order.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Takes a row for the device with this MAC address. `places` is what its port is known by.
    pub(crate) fn claim(&mut self, mac: Mac, places: &[&str], port: &str) -> Claim {
        let is_running = |entry: &Entry| match &entry.state {
            State::Running { port } => Some(port.clone()),
            _ => None,
        };
        let own = self
            .position(|entry| entry.row.wanted == Wanted::Mac(mac))
            .or_else(|| self.position(|entry| entry.mac == Some(mac)));
        if let Some(entry) = own.and_then(|index| self.entries.get(index)) {
            if let Some(port) = is_running(entry) {
                return Claim::SameMac { port };
            }
            if let (State::Done { .. }, Some(index)) = (&entry.state, own) {
                return Claim::Finished { index };
            }
        }
        let Some(index) = own.or_else(|| self.place(places)).or_else(|| self.next()) else {
            return Claim::None;
        };
        let Some(entry) = self.entries.get(index) else { return Claim::None };
        let name = entry.row.name(Some(mac));
        let namesake = self.entries.iter().enumerate().find_map(|(other, entry)| {
            let theirs = entry.mac.filter(|theirs| other != index && *theirs != mac)?;
            (entry.row.name(Some(theirs)) == name).then_some(theirs)
        });
        if let Some(mac) = namesake {
            return Claim::NameTaken { name, mac };
        }
        let swapped = entry.mac.filter(|before| *before != mac);
        if let Some(entry) = self.entries.get_mut(index) {
            entry.mac = Some(mac);
            entry.state = State::Running { port: port.to_owned() };
        }
        Claim::Row { index, swapped }
    }

    fn position(&self, is_it: impl Fn(&Entry) -> bool) -> Option<usize> {
        self.entries.iter().position(is_it)
    }

    /// The row of this place, whoever it was begun with.
    fn place(&self, places: &[&str]) -> Option<usize> {
        self.position(|entry| match &entry.row.wanted {
            Wanted::At(place) => places.contains(&place.as_str()) && entry.is_to_do(),
            Wanted::Mac(_) | Wanted::Next => false,
        })
    }

    /// The next row that nobody has begun, else one whose device has not come back.
    fn next(&self) -> Option<usize> {
        let is_next = |entry: &Entry| entry.row.wanted == Wanted::Next && entry.is_to_do();
        self.position(|entry| is_next(entry) && entry.mac.is_none()).or_else(|| self.position(is_next))
    }

    /// Writes down how it ended.
    pub(crate) fn settle(&mut self, index: usize, state: State) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.half_done = !matches!(state, State::Done { .. });
            entry.state = state;
        }
    }

    /// Rows that nobody has tried in this run.
    pub(crate) fn open(&self) -> usize {
        self.count(|state| *state == State::Open)
    }

    /// Devices that are being set up.
    pub(crate) fn running(&self) -> usize {
        self.count(|state| matches!(state, State::Running { .. }))
    }

    /// Devices that run, those of earlier runs too.
    pub(crate) fn done(&self) -> usize {
        self.count(|state| matches!(state, State::Done { .. }))
    }

    /// Rows whose last try has failed.
    pub(crate) fn failed(&self) -> usize {
        self.count(|state| matches!(state, State::Failed { .. }))
    }

    /// Whether some of the finished devices have other settings than their rows have now.
    pub(crate) fn outdated(&self) -> Vec<&Entry> {
        let is_outdated = |entry: &&Entry| match &entry.state {
            State::Done { device, .. } => device.settings != entry.row.digest,
            _ => false,
        };
        self.entries.iter().filter(is_outdated).collect()
    }

    /// Opens the rows again whose settings have changed since they were finished.
    pub(crate) fn reopen_outdated(&mut self) {
        for entry in &mut self.entries {
            if let State::Done { device, .. } = &entry.state
                && device.settings != entry.row.digest
            {
                entry.state = State::Open;
            }
        }
    }

    fn count(&self, is_one: impl Fn(&State) -> bool) -> usize {
        self.entries.iter().filter(|entry| is_one(&entry.state)).count()
    }
}

impl Entry {
    fn is_to_do(&self) -> bool {
        matches!(self.state, State::Open | State::Failed { .. })
    }

    /// What the device is called, or will be.
    pub(crate) fn name(&self) -> String {
        match &self.state {
            State::Done { device, .. } => device.name.clone(),
            _ => self.row.name(self.mac),
        }
    }

    /// The device's MAC address, where it is known.
    pub(crate) fn mac_text(&self) -> Option<String> {
        let wanted = match self.row.wanted {
            Wanted::Mac(mac) => Some(mac),
            Wanted::At(_) | Wanted::Next => None,
        };
        self.mac.or(wanted).map(|mac| to_hex(&mac, ":"))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::batch::{fleet::Fleet, journal::MacText};

    fn ledger(rows: &str) -> Ledger {
        resumed(rows, &[])
    }

    fn resumed(rows: &str, journal: &[Record]) -> Ledger {
        let text = format!("[template]\nwifi = {{ ssid = \"a\", open = true }}\n{rows}");
        Ledger::new(Fleet::of_text(&text).rows, journal).0
    }

    const A: Mac = [0x5C, 0xCF, 0x7F, 0, 0, 0xA];
    const B: Mac = [0x5C, 0xCF, 0x7F, 0, 0, 0xB];
    const C: Mac = [0x5C, 0xCF, 0x7F, 0, 0, 0xC];

    fn row(index: usize) -> Claim {
        Claim::Row { index, swapped: None }
    }

    fn finished(name: &str) -> Finished {
        Finished {
            name: name.to_owned(),
            settings: String::new(),
            firmware: String::new(),
            image_sha256: String::new(),
            profile: None,
            host: String::new(),
            mqtt_port: 1883,
            seconds: 1,
        }
    }

    fn done() -> State {
        State::Done { device: Box::new(finished("x")), earlier: false }
    }

    fn failed() -> State {
        State::Failed { port: String::new(), why: String::new(), hint: None }
    }

    #[test]
    fn mac_comes_before_place_and_place_before_the_next_free_row() {
        let rows = "[[device]]\n[[device]]\nlocation = \"1-2\"\n[[device]]\nmac = \"5c:cf:7f:00:00:0a\"\n";
        let mut ledger = ledger(rows);
        assert_eq!(ledger.claim(A, &["1-2"], "p"), row(2));
        assert_eq!(ledger.claim(B, &["1-2"], "q"), row(1));
        assert_eq!(ledger.claim(C, &["1-2"], "r"), row(0));
        assert_eq!(ledger.claim([1; 6], &[], "s"), Claim::None);
        assert_eq!((ledger.open(), ledger.running()), (0, 3));
    }

    #[test]
    fn a_device_that_no_row_is_for_gets_none() {
        let mut ledger = ledger("[[device]]\nmac = \"5c:cf:7f:00:00:0a\"\n");
        assert_eq!(ledger.claim(B, &["1-2"], "p"), Claim::None);
        assert_eq!(ledger.open(), 1);
    }

    #[test]
    fn of_two_devices_with_one_mac_address_the_second_is_refused_while_the_first_is_at_work_and_after() {
        let mut ledger = ledger("[[device]]\ncount = 2\n");
        assert_eq!(ledger.claim(A, &[], "p"), row(0));
        assert_eq!(ledger.claim(A, &[], "q"), Claim::SameMac { port: "p".to_owned() });
        ledger.settle(0, done());
        assert_eq!(ledger.claim(A, &[], "q"), Claim::Finished { index: 0 });
        assert_eq!((ledger.done(), ledger.open()), (1, 1));
    }

    #[test]
    fn a_failed_device_gets_its_row_again_and_another_one_only_when_no_other_is_left() {
        let mut ledger = ledger("[[device]]\ncount = 2\n");
        assert_eq!(ledger.claim(A, &[], "p"), row(0));
        ledger.settle(0, failed());
        assert_eq!(ledger.claim(A, &[], "p"), row(0));
        ledger.settle(0, failed());
        assert_eq!(ledger.claim(B, &[], "p"), row(1));
        assert_eq!(ledger.claim(C, &[], "q"), Claim::Row { index: 0, swapped: Some(A) });
        assert_eq!(ledger.claim(A, &[], "r"), Claim::None);
    }

    #[test]
    fn a_journal_closes_what_is_done_and_keeps_what_was_begun_for_its_device() {
        let begun = |row: &str, mac| Record::Begun {
            at: 0,
            row: row.to_owned(),
            mac: MacText(mac),
            port: String::new(),
        };
        let done = |row: &str, mac| Record::Done {
            at: 0,
            row: row.to_owned(),
            mac: MacText(mac),
            port: String::new(),
            device: finished("x"),
        };
        let journal = [
            begun("next 1", A),
            begun("next 2", B),
            done("next 1", A),
            begun("next 9", C),
            done("next 9", C),
        ];
        let rows = "[[device]]\ncount = 3\n";
        let mut ledger = resumed(rows, &journal);
        assert_eq!((ledger.done(), ledger.open(), ledger.outdated().len()), (1, 2, 1));
        assert_eq!(ledger.claim(A, &[], "p"), Claim::Finished { index: 0 });
        assert_eq!(ledger.claim(C, &[], "p"), row(2));
        assert_eq!(ledger.claim(B, &[], "p"), row(1));

        let mut ledger = resumed(rows, &journal);
        assert_eq!(ledger.claim(C, &[], "p"), row(2));
        assert_eq!(ledger.claim([1; 6], &[], "p"), Claim::Row { index: 1, swapped: Some(B) });
    }

    #[test]
    fn two_devices_whose_names_come_out_the_same_are_told_apart() {
        let mut ledger = ledger("[[device]]\nname = \"plug-{mac:1}\"\ncount = 2\n");
        assert_eq!(ledger.claim(A, &[], "p"), row(0));
        let namesake = [1, 1, 1, 1, 1, 0xA];
        assert_eq!(ledger.claim(namesake, &[], "q"), Claim::NameTaken { name: "plug-a".to_owned(), mac: A });
        assert_eq!(ledger.open(), 1);
    }

    proptest! {
        /// Whatever is connected, fails and succeeds: no row has two devices at a time, and no device two rows.
        #[test]
        fn no_device_has_two_rows_and_no_row_two_devices(
            steps in prop::collection::vec((0_u8..6, 0_usize..4, any::<bool>()), 0..60),
        ) {
            let mut ledger = ledger("[[device]]\nmac = \"5c:cf:7f:00:00:01\"\n[[device]]\nlocation = \"1-2\"\n[[device]]\ncount = 3\n");
            for (device, port, succeeds) in steps {
                let mac = [0x5C, 0xCF, 0x7F, 0, 0, device];
                let places: &[&str] = if port == 0 { &["1-2"] } else { &[] };
                let done_before = ledger.done();
                if let Claim::Row { index, .. } = ledger.claim(mac, places, &port.to_string()) {
                    prop_assert_eq!(ledger.entries()[index].mac, Some(mac));
                    let is_running = matches!(ledger.entries()[index].state, State::Running { .. });
                    prop_assert!(is_running);
                    if succeeds {
                        ledger.settle(index, done());
                    } else {
                        ledger.settle(index, failed());
                    }
                }
                prop_assert!(ledger.done() >= done_before);
                let mut macs: Vec<Mac> = ledger.entries().iter().filter_map(|entry| entry.mac).collect();
                let count = macs.len();
                macs.sort_unstable();
                macs.dedup();
                prop_assert_eq!(macs.len(), count);
            }
        }
    }
}
