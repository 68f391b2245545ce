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
mod not_yet;
mod render;
mod secret_source;
mod word;

use std::path::{Path, PathBuf};

pub(crate) use apply::{apply, find_profile};
pub(crate) use file::{BridgeSettings, BrokerSettings, Settings, UserSettings, WifiSettings};
pub(crate) use not_yet::not_yet;
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
        /// Where and why.
        #[source]
        source: NotUnderstood,
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
    /// A password hash is not one that mosquitto_passwd writes, or costs the chip too much.
    #[error("{field} cannot be used")]
    PasswordHash {
        /// Path of the field.
        field: String,
        /// What is wrong.
        #[source]
        source: espbroker_config::password::PasswordError,
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

/// What is wrong with a settings file, and where. The text of the file is not quoted: it may be a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {reason}")]
pub(crate) struct NotUnderstood {
    line: usize,
    column: usize,
    reason: String,
}

impl NotUnderstood {
    /// For bytes that are no text.
    pub(crate) fn no_text(bytes: &[u8]) -> Self {
        let text = bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid());
        Self::at(text, "this is no text in UTF-8".to_owned())
    }

    /// For text that is no TOML, or not ours.
    pub(crate) fn new(text: &str, error: &toml::de::Error) -> Self {
        let start = error.span().map_or(0, |span| span.start);
        Self::at(text.get(..start).unwrap_or(text), without_value(error.message()))
    }

    fn at(before: &str, reason: String) -> Self {
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
            reason,
        }
    }
}

/// `invalid type: string "x", expected u16` without the value, which may be a secret in the wrong field.
fn without_value(message: &str) -> String {
    let expected = message.rsplit_once(", expected ").map(|(_, expected)| match expected {
        "u8" => "a whole number of 0-255",
        "u16" => "a whole number of 0-65535",
        "u32" => "a whole number of 0-4294967295",
        other => other,
    });
    let kind = message.strip_prefix("invalid type: ").and_then(|found| found.split_once(' '));
    match (expected, kind) {
        (Some(expected), Some((kind, _))) => format!("must be {expected}, and is: {kind}"),
        (Some(expected), None) if message.starts_with("invalid value: ") => format!("must be {expected}"),
        _ => message.to_owned(),
    }
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
            .map_err(|error| NotUnderstood::new(&text, &error))
            .map_err(|source| SettingsError::Parse { path: path.to_owned(), source })?;
        settings.folder = path.parent().map(Path::to_owned).unwrap_or_default();
        Ok(settings)
    }

    /// Takes settings out of a table whose paths are absolute, or count from the current folder.
    ///
    /// # Errors
    ///
    /// What is wrong, without the value: it may be a secret.
    pub(crate) fn from_table(table: toml::Table) -> Result<Self, String> {
        table.try_into().map_err(|error: toml::de::Error| without_value(error.message()))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        let error = Settings::parse(text).unwrap_err();
        NotUnderstood::new(text, &error).to_string()
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named_by_place_and_reason() {
        assert_eq!(
            refusal("name = \"hall\"\n\n[broker]\nmqtt_port = \"x\"\n"),
            "line 4, column 13: must be a whole number of 0-65535, and is: string"
        );
        assert_eq!(
            refusal("[broker]\nmqtt_port = 70000\n"),
            "line 2, column 13: must be a whole number of 0-65535"
        );
        assert!(refusal("[wifi]\nssdi = 1\n").starts_with("line 2, column 1: unknown field `ssdi`"));
    }

    #[test]
    fn the_readmes_example_is_a_settings_file_also_with_what_it_leaves_to_a_comment() {
        let readme = include_str!("../../../README.md");
        let (example, _) = readme.split_once("```toml\n").unwrap().1.split_once("```").unwrap();
        Settings::parse(example).unwrap();
        Settings::parse(&example.replace("\n# ", "\n")).unwrap();
    }

    #[test]
    fn a_secret_of_the_wrong_type_in_the_wrong_field_or_in_a_broken_line_is_not_quoted() {
        for text in [
            "[wifi]\npassphrase = 20071996\n",
            "[wifi]\npassphrase = 20071996.5\n",
            "[wifi]\npassphrase = [\"20071996\"]\n",
            "[wifi]\nhidden = \"20071996\"\n",
            "[wifi]\nhidden = \"20071996, expected 20071996\"\n",
            "[wifi]\npassphrase = \"20071996\n",
            "[wifi]\npassphrase = 20071996x\n",
            "[wifi]\npassphrase \"20071996\"\n",
            "[access_point]\npolicy = \"20071996\"\n",
        ] {
            let refusal = refusal(text);
            assert!(!refusal.contains("20071996"), "{text} -> {refusal}");
        }
    }
}
