//! Settings: what a person says about a device, as TOML, before it becomes a [`model::Config`].
//!
//! `file` (serde types of the TOML) -> `apply` (onto defaults, or onto what the device has) -> `Config`, whose own
//! limits are checked last; `render` goes the other way with every secret masked. A masked secret that comes back
//! in a settings file means "keep what the device has", so that `config show`, an editor and `config write` make a
//! safe round trip.
//!
//! [`model::Config`]: espbroker_config::model::Config

pub(crate) mod address;
mod apply;
mod file;
mod render;
mod secret_source;
mod word;

use std::path::{Path, PathBuf};

pub(crate) use apply::{apply, find_profile};
pub(crate) use file::{BrokerSettings, Settings, UserSettings, WifiSettings};
pub(crate) use render::render;
pub(crate) use secret_source::{HiddenText, MASK, read_secret_file, warn_if_exposed};
pub(crate) use word::Word;

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The file cannot be read.
    #[error("cannot read {what}: `{}`", path.display())]
    Read {
        /// What the file was to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// Not TOML, or not ours.
    #[error("settings file is not understood: `{}`", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Line, column and reason.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value has the wrong form.
    #[error("{field} {problem}: `{value}`")]
    Form {
        /// Path of the field.
        field: String,
        /// What it must be.
        problem: &'static str,
        /// What it is; never a secret.
        value: String,
    },
    /// Two fields exclude each other.
    #[error("{field} is given twice: inline and as a file")]
    GivenTwice {
        /// Path of the field.
        field: String,
    },
    /// A field is needed.
    #[error("{field} is missing")]
    Missing {
        /// Path of the field.
        field: String,
    },
    /// A masked secret has nothing to stand for.
    #[error("{field} is masked with `{MASK}`, and the device has no value to keep")]
    NothingToKeep {
        /// Path of the field.
        field: String,
    },
    /// A secret has the wrong form; its value is not shown.
    #[error("{field} {problem}")]
    SecretForm {
        /// Path of the field.
        field: String,
        /// What it must be.
        problem: &'static str,
    },
    /// A Wi-Fi passphrase has the wrong length or letters.
    #[error("{field} cannot be used")]
    Passphrase {
        /// Path of the field.
        field: String,
        /// Which.
        #[source]
        source: espbroker_config::wifi::PassphraseError,
    },
    /// A limit of the config partition.
    #[error(transparent)]
    Invalid(#[from] espbroker_config::validate::Invalid),
    /// The operating system gives no random numbers.
    #[error("no random numbers from the operating system")]
    Random,
}

impl Settings {
    /// Reads a settings file; relative paths in it count from its folder.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is not TOML, or has a field that is not known.
    pub(crate) fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            what: "settings",
            path: path.to_owned(),
            source,
        })?;
        let mut settings = Self::parse(&text)
            .map_err(|source| SettingsError::Parse { path: path.to_owned(), source: Box::new(source) })?;
        settings.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(settings)
    }

    /// Parses TOML text.
    ///
    /// # Errors
    ///
    /// The TOML parser's, with line and column.
    pub(crate) fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}
