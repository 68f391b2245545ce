//! Which rate worked with which serial adapter, kept between two runs.
//!
//! A small file in the user's state folder, without secrets: USB ids, sockets and baud rates. It only saves time, so
//! nothing here fails: a file that cannot be read is as good as none, and one that cannot be written stays as it was.

use std::{
    fs,
    path::{Path, PathBuf},
};

use espbroker_flasher::ports::UsbDevice;
use serde::{Deserialize, Serialize};

use crate::private_file;

/// Version of the file; another one is ignored.
const VERSION: u32 = 1;

/// Adapters that are remembered; the one not seen for longest goes first.
const KEPT: usize = 64;

/// Rates that can be meant.
const RATES: std::ops::RangeInclusive<u32> = 9_600..=2_000_000;

/// What is remembered, the adapter that was used last at the end.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Adapters {
    version: u32,
    adapters: Vec<Known>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Known {
    adapter: String,
    baud: u32,
}

/// What an adapter is known by: its kind and serial number, and its socket, as the cheap ones have no number of their
/// own and a long cable belongs to a socket.
pub(crate) fn key(usb: &UsbDevice) -> String {
    let mut key = format!("{:04x}:{:04x}", usb.vendor, usb.product);
    for (name, value) in [("serial", &usb.serial), ("at", &usb.location)] {
        if let Some(value) = value {
            key.push_str(&format!(" {name} {value}"));
        }
    }
    key
}

impl Adapters {
    /// The rate that worked last with this adapter.
    pub(crate) fn rate_of(adapter: &str) -> Option<u32> {
        Self::load(&path()?).rate(adapter)
    }

    /// Remembers a rate; what cannot be saved is not remembered.
    pub(crate) fn remember(adapter: &str, baud: u32) {
        let Some(path) = path() else { return };
        let mut adapters = Self::load(&path);
        if adapters.rate(adapter) != Some(baud) {
            adapters.note(adapter, baud);
            let _ = adapters.save(&path);
        }
    }

    fn rate(&self, adapter: &str) -> Option<u32> {
        let known = self.adapters.iter().find(|known| known.adapter == adapter)?;
        Some(known.baud).filter(|baud| RATES.contains(baud))
    }

    fn note(&mut self, adapter: &str, baud: u32) {
        self.adapters.retain(|known| known.adapter != adapter);
        self.adapters.push(Known { adapter: adapter.to_owned(), baud });
        let surplus = self.adapters.len().saturating_sub(KEPT);
        self.adapters.drain(..surplus);
    }

    fn load(path: &Path) -> Self {
        let read = fs::read(path).ok().and_then(|text| serde_json::from_slice::<Self>(&text).ok());
        let empty = Self { version: VERSION, adapters: Vec::new() };
        read.filter(|adapters| adapters.version == VERSION).unwrap_or(empty)
    }

    /// Replaces the file in one step, so that two runs at a time leave one of two whole files.
    fn save(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        private_file::create_folder(folder)?;
        private_file::replace(path, &serde_json::to_vec_pretty(self)?)
    }
}

/// `espbroker/adapters.json` in the user's state folder, or where there is none, in the data folder.
fn path() -> Option<PathBuf> {
    use etcetera::BaseStrategy as _;
    let strategy = etcetera::choose_base_strategy().ok()?;
    let folder = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Some(folder.join("espbroker").join("adapters.json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_rate_is_remembered_and_the_oldest_adapter_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/adapters.json");
        let mut adapters = Adapters::load(&path);
        adapters.note("a", 460_800);
        adapters.note("a", 230_400);
        adapters.save(&path).unwrap();
        assert_eq!(Adapters::load(&path).rate("a"), Some(230_400));
        for number in 0..KEPT {
            adapters.note(&number.to_string(), 115_200);
        }
        assert_eq!((adapters.rate("a"), adapters.adapters.len()), (None, KEPT));
    }

    #[test]
    fn a_file_that_makes_no_sense_is_as_good_as_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapters.json");
        for text in ["", "{", r#"{"version": 2, "adapters": [{"adapter": "a", "baud": 9600}]}"#] {
            fs::write(&path, text).unwrap();
            assert_eq!(Adapters::load(&path).rate("a"), None);
        }
        fs::write(&path, r#"{"version": 1, "adapters": [{"adapter": "a", "baud": 1}]}"#).unwrap();
        assert_eq!(Adapters::load(&path).rate("a"), None);
    }

    #[test]
    fn an_adapter_is_known_by_kind_number_and_socket() {
        let usb = UsbDevice {
            vendor: 0x1A86,
            product: 0x7523,
            adapter: Some("CH340"),
            serial: None,
            description: None,
            location: Some("1-2.3".to_owned()),
        };
        assert_eq!(key(&usb), "1a86:7523 at 1-2.3");
    }
}
