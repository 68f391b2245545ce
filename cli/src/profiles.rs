//! The device profiles that ship inside the program: `profiles/*.toml`, parsed and checked.
//!
//! A profile is data with the source of every pin. `resolve` turns it into what the config partition holds.

use espbroker_config::model;
use serde::Deserialize;

use crate::settings::Word;

/// Every file of `profiles/`; a test keeps the list complete.
const FILES: [(&str, &str); 5] = [
    ("d1-mini", include_str!("../../profiles/d1-mini.toml")),
    ("d1-mini-relay", include_str!("../../profiles/d1-mini-relay.toml")),
    ("nodemcu", include_str!("../../profiles/nodemcu.toml")),
    ("sonoff-pow-r2", include_str!("../../profiles/sonoff-pow-r2.toml")),
    ("sonoff-s31", include_str!("../../profiles/sonoff-s31.toml")),
];

/// One board or plug.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Profile {
    /// File name without `.toml`.
    pub(crate) id: String,
    /// What people call the thing.
    pub(crate) title: String,
    /// Flash that the board is sold with, MB.
    pub(crate) flash_mb: u32,
    /// Flash mode that is known to boot.
    pub(crate) flash_mode: FlashMode,
    /// Mains voltage is inside, or may be.
    pub(crate) mains: bool,
    /// Where the facts come from.
    pub(crate) source: String,
    /// What a user should know.
    pub(crate) notes: Option<String>,
    /// Pins with a purpose.
    #[serde(default)]
    pub(crate) pins: Vec<Pin>,
}

/// How the chip talks to its flash.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FlashMode {
    Qio,
    Qout,
    Dio,
    Dout,
}

impl FlashMode {
    /// The byte in an image's header (esptool's table).
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Qio => 0,
            Self::Qout => 1,
            Self::Dio => 2,
            Self::Dout => 3,
        }
    }
}

/// One pin of a profile.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pin {
    pub(crate) gpio: u8,
    pub(crate) function: Word<model::PinFunction>,
    #[serde(default)]
    pub(crate) inverted: bool,
    /// Where this pin's use is documented.
    pub(crate) source: String,
}

impl Profile {
    /// What the config partition holds of this profile.
    pub(crate) fn resolve(&self) -> model::Profile {
        model::Profile {
            id: self.id.clone(),
            pins: self
                .pins
                .iter()
                .map(|pin| model::Pin { gpio: pin.gpio, function: pin.function.0, inverted: pin.inverted })
                .collect(),
            unknown: model::Unknown::default(),
        }
    }
}

/// All profiles, by id.
///
/// # Errors
///
/// The TOML error of a shipped file, which a test rules out.
pub(crate) fn all() -> Result<Vec<Profile>, toml::de::Error> {
    FILES.iter().map(|(_, text)| toml::from_str(text)).collect()
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use super::*;

    #[test]
    fn every_file_in_profiles_ships_with_the_program() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../profiles");
        let on_disk: BTreeSet<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
            .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let shipped: BTreeSet<String> = FILES.iter().map(|(id, _)| (*id).to_owned()).collect();
        assert_eq!(on_disk, shipped);
    }

    #[test]
    fn every_profile_is_consistent_and_says_where_each_pin_comes_from() {
        for ((id, _), profile) in FILES.iter().zip(all().unwrap()) {
            assert_eq!(*id, profile.id);
            assert!(!profile.title.is_empty() && !profile.source.is_empty(), "{id}");
            assert_eq!(profile.flash_mb, 4, "{id}: the broker needs a 4 MB map");
            let mut seen = BTreeSet::new();
            for pin in &profile.pins {
                assert!(seen.insert(pin.gpio), "{id}: GPIO{} stands twice", pin.gpio);
                assert!(!pin.source.is_empty(), "{id}: GPIO{} has no source", pin.gpio);
            }
        }
    }

    #[test]
    fn every_profile_passes_the_limits_of_the_config_partition() {
        for profile in all().unwrap() {
            let mut config = model::Config::new("test");
            config.profile = Some(profile.resolve());
            config.validate().unwrap_or_else(|invalid| panic!("{}: {invalid}", profile.id));
        }
    }
}
