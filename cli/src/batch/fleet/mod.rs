//! The fleet file: which devices there shall be, and what each of them is to become.
//!
//! `file -> template + overrides -> Row -> (with a MAC address) Settings -> Answers`. Everything that can be judged
//! without a device is judged by [`Fleet::check`], before a port is opened.

mod cell;
mod merge;
mod sheet;

use std::{
    collections::BTreeMap,
    fmt,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use espbroker_config::{codec::EncodeError, model, slots};
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use toml::{Table, Value};

use self::cell::{Facts, Follow, anchor, expand, fill, mask};
pub(crate) use self::{cell::NoKeyring, sheet::SheetError};
use crate::{
    answers::{self, Answers, AnswersError, read_settings},
    arguments::BatchArguments,
    hex::to_hex,
    registry,
    screen::Screen,
    settings::{NotUnderstood, Settings, SettingsError, not_yet, warn_if_exposed},
};

/// A station's MAC address.
pub(crate) type Mac = [u8; 6];

/// What a device is called where nothing is said.
const NAME: &str = "plug-{mac:6}";
/// Stands for a MAC address that is not known yet.
const ANY_MAC: Mac = [0x5C, 0xCF, 0x7F, 0, 0, 0];
/// Bytes that are read of a fleet file.
const FILE_MAX: u64 = 16 << 20;
/// Rows in a fleet.
const ROWS_MAX: usize = 100_000;

/// Why there is no fleet.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FleetError {
    #[error("cannot read the fleet file: `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("fleet file has more than 16 MB: `{}`", path.display())]
    TooLong { path: PathBuf },
    #[error("fleet file is not understood: `{}`", path.display())]
    Parse {
        path: PathBuf,
        #[source]
        source: NotUnderstood,
    },
    #[error("fleet file is not understood: `{}`", path.display())]
    Sheet {
        path: PathBuf,
        #[source]
        source: SheetError,
    },
    #[error("fleet file is neither named .toml nor .csv: `{}`", path.display())]
    Kind { path: PathBuf },
    #[error("fleet has no rows: `{}`", path.display())]
    Empty { path: PathBuf },
    #[error("fleet has more than {ROWS_MAX} rows")]
    TooMany,
    #[error("rows {first} and {second} are for the same device: {what}")]
    Twice { first: usize, second: usize, what: String },
    #[error("row {row} cannot be used")]
    Row {
        row: usize,
        #[source]
        source: RowError,
    },
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

/// Why a row cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    #[error("{field} has a placeholder that is none: `{placeholder}`")]
    Placeholder { field: String, placeholder: String },
    #[error("settings lie too deep within each other")]
    TooDeep,
    #[error("there is no such variable in the environment: `{name}`")]
    NoVariable { name: String },
    #[error("the keyring has nothing of this name: `{name}`")]
    NotInKeyring { name: String },
    #[error("the keyring does not give: `{name}`")]
    Keyring {
        name: String,
        #[source]
        source: NoKeyring,
    },
    #[error("{key} must be {form}")]
    Key { key: &'static str, form: &'static str },
    #[error("a row with {key} is for one device: count must be 1")]
    Many { key: &'static str },
    #[error("{0}")]
    NotUnderstood(String),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Answers(#[from] AnswersError),
    #[error("the settings do not fit the config partition")]
    TooLong(#[source] EncodeError),
}

/// Which device a row is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The one with this MAC address.
    Mac(Mac),
    /// Whichever is plugged in there: a USB location, or the name of a port.
    At(String),
    /// The next one that no other row is for.
    Next,
}

impl fmt::Display for Wanted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac(mac) => formatter.write_str(&to_hex(mac, ":")),
            Self::At(place) => write!(formatter, "at {place}"),
            Self::Next => formatter.write_str("next free"),
        }
    }
}

/// One device that there shall be.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// From 1.
    pub(crate) number: usize,
    pub(crate) wanted: Wanted,
    /// What a journal knows it by, also when rows were added in front of it.
    pub(crate) identity: String,
    /// Changes with its settings; secrets have no part in it.
    pub(crate) digest: String,
    settings: Table,
}

/// All devices that there shall be.
pub(crate) struct Fleet {
    pub(crate) path: PathBuf,
    pub(crate) rows: Vec<Row>,
    /// A secret stands in the file itself.
    holds_secrets: bool,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Contents {
    #[serde(default)]
    template: Table,
    #[serde(default, rename = "device")]
    devices: Vec<Table>,
}

impl Fleet {
    /// Reads the fleet and what all its devices have in common, warns where others can read its secrets, and checks it.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be used.
    pub(crate) fn read(given: &BatchArguments, screen: Screen) -> Result<Self, FleetError> {
        let mut common = match &given.settings {
            Some(path) => settings_table(path, screen)?,
            None => Table::new(),
        };
        let path = &given.fleet;
        let fleet = Self::parse(path, &read(path)?, &mut common)?;
        if fleet.holds_secrets
            && let Some(warning) = warn_if_exposed(path)
        {
            screen.warning(warning);
        }
        for sentence in fleet.check()? {
            screen.warning(sentence);
        }
        Ok(fleet)
    }

    fn parse(path: &Path, bytes: &[u8], common: &mut Table) -> Result<Self, FleetError> {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let mut contents = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("csv") => {
                let devices = sheet::rows(bytes)
                    .map_err(|source| FleetError::Sheet { path: path.to_owned(), source })?;
                Contents { template: Table::new(), devices }
            }
            Some("toml") => {
                parse_toml(bytes).map_err(|source| FleetError::Parse { path: path.to_owned(), source })?
            }
            _ => return Err(FleetError::Kind { path: path.to_owned() }),
        };
        let mut holds_secrets = mask(&mut contents.template.clone());
        let folder = path.parent().unwrap_or(Path::new(""));
        anchor(&mut contents.template, folder);
        merge::merge(common, contents.template);
        let mut rows: Vec<Row> = Vec::new();
        for mut device in contents.devices {
            holds_secrets |= mask(&mut device.clone());
            anchor(&mut device, folder);
            let mut settings = common.clone();
            merge::merge(&mut settings, device);
            let failed = |source| FleetError::Row { row: rows.len() + 1, source };
            let (wanted, count) = keys(&mut settings).map_err(failed)?;
            if count > ROWS_MAX.saturating_sub(rows.len()) {
                return Err(FleetError::TooMany);
            }
            let digest = digest(&settings);
            for _ in 0..count {
                rows.push(Row {
                    number: rows.len() + 1,
                    wanted: wanted.clone(),
                    identity: String::new(),
                    digest: digest.clone(),
                    settings: settings.clone(),
                });
            }
        }
        if rows.is_empty() {
            return Err(FleetError::Empty { path: path.to_owned() });
        }
        identify(&mut rows)?;
        Ok(Self { path: path.to_owned(), rows, holds_secrets })
    }

    /// Judges every row as far as that is possible without its device; gives what should be said once.
    fn check(&self) -> Result<Vec<&'static str>, FleetError> {
        let mut sentences = Vec::new();
        let mut names: BTreeMap<String, usize> = BTreeMap::new();
        for row in &self.rows {
            let failed = |source| FleetError::Row { row: row.number, source };
            let config = row.trial().map_err(failed)?;
            for sentence in not_yet(&config) {
                if !sentences.contains(&sentence) {
                    sentences.push(sentence);
                }
            }
            let is_settled = matches!(row.wanted, Wanted::Mac(_)) || !row.name_pattern().contains("{mac");
            if is_settled && let Some(first) = names.insert(config.name.clone(), row.number) {
                let what = format!("both are called `{}`", config.name);
                return Err(FleetError::Twice { first, second: row.number, what });
            }
        }
        Ok(sentences)
    }

    /// A fleet for tests, from TOML.
    #[cfg(test)]
    pub(crate) fn of_text(text: &str) -> Self {
        Self::parse(Path::new("fleet.toml"), text.as_bytes(), &mut Table::new()).unwrap()
    }

    /// The profiles that are in it.
    pub(crate) fn profiles(&self) -> impl Iterator<Item = &str> {
        self.rows.iter().filter_map(|row| row.settings.get("profile")?.as_str())
    }
}

impl Row {
    fn name_pattern(&self) -> &str {
        self.settings.get("name").and_then(Value::as_str).unwrap_or(NAME)
    }

    /// The name as it will be; with a placeholder for what is not known yet.
    pub(crate) fn name(&self, mac: Option<Mac>) -> String {
        let pattern = self.name_pattern();
        let known = mac.or(match &self.wanted {
            Wanted::Mac(mac) => Some(*mac),
            Wanted::At(_) | Wanted::Next => None,
        });
        match known {
            None if pattern.contains("{mac") => pattern.to_owned(),
            known => {
                let facts = Facts { mac: known.unwrap_or(ANY_MAC), row: self.number, name: None };
                expand(pattern, facts).unwrap_or_else(|_| pattern.to_owned())
            }
        }
    }

    /// What this text setting is before anything is filled in.
    pub(crate) fn text(&self, table: &str, key: &str) -> Option<&str> {
        self.settings.get(table)?.as_table()?.get(key)?.as_str()
    }

    /// The profile's id.
    pub(crate) fn profile(&self) -> Option<&str> {
        self.settings.get("profile")?.as_str()
    }

    /// Names of its bridges.
    pub(crate) fn bridges(&self) -> impl Iterator<Item = &str> {
        let bridges = self.settings.get("bridges").and_then(Value::as_array);
        bridges.into_iter().flatten().filter_map(|bridge| bridge.as_table()?.get("name")?.as_str())
    }

    /// What the device with this MAC address is to become; passwords that nobody gave are made up.
    ///
    /// # Errors
    ///
    /// When a cell refers to something that is not there, or a setting cannot be used.
    pub(crate) fn answers(&self, mac: Mac) -> Result<Answers, RowError> {
        self.filled(mac, Follow::All)
    }

    fn filled(&self, mac: Mac, follow: Follow) -> Result<Answers, RowError> {
        let mut table = self.settings.clone();
        let facts = Facts { mac, row: self.number, name: None };
        let name = expand(self.name_pattern(), facts)
            .map_err(|placeholder| RowError::Placeholder { field: "name".to_owned(), placeholder })?;
        table.insert("name".to_owned(), Value::String(name.clone()));
        fill(&mut table, Facts { name: Some(&name), ..facts }, follow)?;
        let settings = Settings::from_table(table).map_err(RowError::NotUnderstood)?;
        Ok(answers::of(settings)?)
    }

    /// The settings of a device that is not here yet, as far as they can be known.
    fn trial(&self) -> Result<model::Config, RowError> {
        let (mac, follow) = match &self.wanted {
            Wanted::Mac(mac) => (*mac, Follow::All),
            Wanted::At(_) | Wanted::Next => (ANY_MAC, Follow::Known),
        };
        let config = self.filled(mac, follow)?.config(&model::Config::new("espbroker"))?;
        slots::encode_sector(&config, 1).map_err(RowError::TooLong)?;
        Ok(config)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FleetError> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut bytes))
        .map_err(|source| FleetError::Read { path: path.to_owned(), source })?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(FleetError::TooLong { path: path.to_owned() });
    }
    Ok(bytes)
}

fn parse_toml(bytes: &[u8]) -> Result<Contents, NotUnderstood> {
    let text = std::str::from_utf8(bytes).map_err(|_| NotUnderstood::no_text(bytes))?;
    toml::from_str(text).map_err(|error| NotUnderstood::new(text, &error))
}

/// A settings file as what all rows have in common.
fn settings_table(path: &Path, screen: Screen) -> Result<Table, FleetError> {
    // Warns, and finds what is wrong by line and column.
    read_settings(path, screen)?;
    let bytes = read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let mut table: Table = toml::from_str(&text).map_err(|error| FleetError::Parse {
        path: path.to_owned(),
        source: NotUnderstood::new(&text, &error),
    })?;
    anchor(&mut table, path.parent().unwrap_or(Path::new("")));
    Ok(table)
}

/// Takes out of a row what is no setting.
fn keys(row: &mut Table) -> Result<(Wanted, usize), RowError> {
    let text = |value: Option<Value>, key, form| match value {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.trim().to_owned())),
        Some(_) => Err(RowError::Key { key, form }),
    };
    const MAC_FORM: &str = "six hex pairs such as \"5c:cf:7f:01:02:03\"";
    let mac = text(row.remove("mac"), "mac", MAC_FORM)?
        .map(|mac| registry::mac(&mac).ok_or(RowError::Key { key: "mac", form: MAC_FORM }))
        .transpose()?;
    let place = text(
        row.remove("location"),
        "location",
        "a USB location such as \"1-2.3\", or a port, and stand without mac",
    )?;
    let count = match row.remove("count") {
        None => 1,
        Some(Value::Integer(count)) if count > 0 => usize::try_from(count).unwrap_or(usize::MAX),
        Some(_) => return Err(RowError::Key { key: "count", form: "a whole number, 1 or more" }),
    };
    match (mac, place) {
        (Some(_), Some(_)) => Err(RowError::Key { key: "location", form: "left out of a row that has mac" }),
        (Some(_), None) if count > 1 => Err(RowError::Many { key: "mac" }),
        (None, Some(_)) if count > 1 => Err(RowError::Many { key: "location" }),
        (Some(mac), None) => Ok((Wanted::Mac(mac), 1)),
        (None, Some(place)) => Ok((Wanted::At(place), 1)),
        (None, None) => Ok((Wanted::Next, count)),
    }
}

/// Gives every row what a journal knows it by.
fn identify(rows: &mut [Row]) -> Result<(), FleetError> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    let mut nameless = 0;
    for row in rows {
        let pattern = row.name_pattern();
        row.identity = match &row.wanted {
            Wanted::Mac(mac) => format!("mac {}", to_hex(mac, ":")),
            Wanted::At(place) => format!("at {place}"),
            Wanted::Next if !pattern.contains('{') => format!("name {pattern}"),
            Wanted::Next => {
                nameless += 1;
                format!("next {nameless}")
            }
        };
        if let Some(first) = known.insert(row.identity.clone(), row.number) {
            return Err(FleetError::Twice { first, second: row.number, what: row.identity.clone() });
        }
    }
    Ok(())
}

/// Sixteen hex digits that change with the settings, and say nothing of secrets.
fn digest(settings: &Table) -> String {
    let mut masked = settings.clone();
    mask(&mut masked);
    let hash = Sha256::digest(masked.to_string().as_bytes());
    to_hex(hash.get(..8).unwrap_or_default(), "")
}

#[cfg(test)]
mod tests;
