//! What stands in a cell: placeholders (`plug-{mac:6}`), and references to secrets that are kept elsewhere (`file:`,
//! `env:`, `keyring:`).
//!
//! Placeholders are filled in first, so that a reference can name a file for each device. A secret that is written
//! down itself is taken as it is, braces and all. Left out: references in keys, and in anything that is no text.

use std::path::{Path, PathBuf};

use espbroker_config::secret::Secret;
use toml::{Table, Value};

use super::{Mac, RowError};
use crate::{
    hex::to_hex,
    registry::{KeyringError, system_keyring},
    settings::{MASK, read_secret_file},
};

/// Fields whose value nobody may see.
const SECRETS: [&str; 4] = ["passphrase", "password", "password_hash", "key"];

/// Tables within tables that are followed; settings have five.
pub(super) const DEPTH_MAX: usize = 16;

/// Whether a field of this name is a secret.
pub(super) fn is_secret(key: &str) -> bool {
    SECRETS.contains(&key)
}

/// What placeholders stand for.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    pub(super) mac: Mac,
    pub(super) row: usize,
    /// `None` while the name itself is made.
    pub(super) name: Option<&'a str>,
}

impl Facts<'_> {
    fn value(&self, placeholder: &str) -> Option<String> {
        let (word, length) = match placeholder.split_once(':') {
            Some((word, length)) => (word, Some(length.parse::<usize>().ok().filter(|length| *length > 0)?)),
            None => (placeholder, None),
        };
        match (word, length) {
            ("mac", length) => {
                let digits = to_hex(&self.mac, "");
                let start = digits.len().checked_sub(length.unwrap_or(digits.len()))?;
                digits.get(start..).map(str::to_owned)
            }
            ("row", Some(width @ 1..=9)) => Some(format!("{:0width$}", self.row)),
            ("row", None) => Some(self.row.to_string()),
            ("name", None) => self.name.map(str::to_owned),
            _ => None,
        }
    }
}

/// Fills in placeholders; `{{` and `}}` are braces.
///
/// # Errors
///
/// The placeholder that is none.
pub(super) fn expand(text: &str, facts: Facts<'_>) -> Result<String, String> {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        expanded.push_str(before);
        if let Some(after) = brace.strip_prefix("{{") {
            expanded.push('{');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            expanded.push('}');
            rest = after;
        } else if let Some((placeholder, after)) =
            brace.strip_prefix('{').and_then(|open| open.split_once('}'))
        {
            expanded.push_str(&facts.value(placeholder).ok_or_else(|| format!("{{{placeholder}}}"))?);
            rest = after;
        } else {
            return Err(brace.chars().take(1).collect());
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// A file with nothing else in it.
    File(PathBuf),
    /// A variable of the environment.
    Variable(String),
    /// An entry of the system keyring.
    Keyring(String),
}

impl Reference {
    /// The reference that `text` is, if it is one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (kind, what) = text.split_once(':')?;
        match kind {
            "file" => Some(Self::File(what.into())),
            "env" => Some(Self::Variable(what.to_owned())),
            "keyring" => Some(Self::Keyring(what.to_owned())),
            _ => None,
        }
    }

    /// Gets the value.
    ///
    /// # Errors
    ///
    /// When it is not there.
    fn value(&self) -> Result<Secret<String>, RowError> {
        match self {
            Self::File(path) => Ok(read_secret_file("file of a cell", path)?),
            Self::Variable(name) => {
                std::env::var(name).map(Secret::new).map_err(|_| RowError::NoVariable { name: name.clone() })
            }
            Self::Keyring(name) => from_keyring(name)
                .map_err(|source| RowError::Keyring { name: name.clone(), source })?
                .ok_or_else(|| RowError::NotInKeyring { name: name.clone() }),
        }
    }
}

fn from_keyring(name: &str) -> Result<Option<Secret<String>>, NoKeyring> {
    let secret = system_keyring().ok_or(NoKeyring::None)?.named(name)?;
    // Written by `echo`, it has a line end that is not meant.
    Ok(secret.map(|secret| Secret::new(secret.expose().trim_end_matches(['\r', '\n']).to_owned())))
}

/// Why the keyring was of no help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoKeyring {
    #[error("there is no keyring in this session")]
    None,
    #[error(transparent)]
    Failed(#[from] KeyringError),
}

/// Whether references are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follow {
    /// All of them.
    All,
    /// All but those that depend on a MAC address that is not known yet: something that fits stands in.
    Known,
}

/// Fills in every cell of a table.
///
/// # Errors
///
/// A placeholder that is none, or a reference that leads nowhere.
pub(super) fn fill(table: &mut Table, facts: Facts<'_>, follow: Follow) -> Result<(), RowError> {
    fill_table(table, "", facts, follow, 0)
}

fn fill_table(
    table: &mut Table,
    path: &str,
    facts: Facts<'_>,
    follow: Follow,
    depth: usize,
) -> Result<(), RowError> {
    for (key, value) in table.iter_mut() {
        let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
        fill_value(value, key, &path, facts, follow, depth + 1)?;
    }
    Ok(())
}

fn fill_value(
    value: &mut Value,
    key: &str,
    path: &str,
    facts: Facts<'_>,
    follow: Follow,
    depth: usize,
) -> Result<(), RowError> {
    if depth > DEPTH_MAX {
        return Err(RowError::TooDeep);
    }
    match value {
        Value::String(text) => *text = fill_text(text, key, path, facts, follow)?,
        Value::Array(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                fill_value(value, key, &format!("{path}[{index}]"), facts, follow, depth + 1)?;
            }
        }
        Value::Table(table) => fill_table(table, path, facts, follow, depth)?,
        _ => {}
    }
    Ok(())
}

fn fill_text(
    text: &str,
    key: &str,
    path: &str,
    facts: Facts<'_>,
    follow: Follow,
) -> Result<String, RowError> {
    let reference = Reference::parse(text);
    if reference.is_none() && is_secret(key) {
        return Ok(text.to_owned());
    }
    let expanded = expand(text, facts)
        .map_err(|placeholder| RowError::Placeholder { field: path.to_owned(), placeholder })?;
    let reference = match reference {
        Some(_) => Reference::parse(&expanded),
        None => None,
    };
    let Some(reference) = reference else { return Ok(expanded) };
    if follow == Follow::Known && depends_on_mac(text) {
        return Ok(stand_in(key));
    }
    Ok(reference.value()?.expose().clone())
}

/// Whether something is different for each device; the name may be made of the MAC address.
fn depends_on_mac(text: &str) -> bool {
    text.contains("{mac") || text.contains("{name")
}

/// Something of the form that a secret of this name has.
fn stand_in(key: &str) -> String {
    if key == "key" { "00".repeat(32) } else { "stand-in".to_owned() }
}

/// Makes relative paths count from `folder`, wherever the table goes.
pub(super) fn anchor(table: &mut Table, folder: &Path) {
    for (key, value) in table.iter_mut() {
        anchor_value(key, value, folder, 0);
    }
}

fn anchor_value(key: &str, value: &mut Value, folder: &Path, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    match value {
        Value::String(text) if key.ends_with("_file") => {
            *text = folder.join(&*text).to_string_lossy().into_owned();
        }
        Value::String(text) => {
            if let Some(path) = text.strip_prefix("file:") {
                *text = format!("file:{}", folder.join(path).to_string_lossy());
            }
        }
        Value::Array(values) => {
            values.iter_mut().for_each(|value| anchor_value(key, value, folder, depth + 1));
        }
        Value::Table(table) => {
            for (key, value) in table.iter_mut() {
                anchor_value(key, value, folder, depth + 1);
            }
        }
        _ => {}
    }
}

/// Replaces every secret by the mask, and says whether there was one that is written down itself.
pub(super) fn mask(table: &mut Table) -> bool {
    let mut found = false;
    for (key, value) in table.iter_mut() {
        found |= mask_value(key, value, 0);
    }
    found
}

fn mask_value(key: &str, value: &mut Value, depth: usize) -> bool {
    if depth > DEPTH_MAX {
        return false;
    }
    match value {
        Value::Table(table) => {
            let mut found = false;
            for (key, value) in table.iter_mut() {
                found |= mask_value(key, value, depth + 1);
            }
            found
        }
        Value::Array(values) => {
            let mut found = false;
            for value in values {
                found |= mask_value(key, value, depth + 1);
            }
            found
        }
        Value::String(text) if is_secret(key) && Reference::parse(text).is_some() => false,
        value if is_secret(key) => {
            *value = Value::String(MASK.to_owned());
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAC: Mac = [0x5C, 0xCF, 0x7F, 0x01, 0x02, 0x03];

    fn facts() -> Facts<'static> {
        Facts { mac: MAC, row: 7, name: Some("hall") }
    }

    #[test]
    fn placeholders_are_filled_in_and_a_wrong_one_is_named() {
        for (text, expanded) in [
            ("plug-{mac:6}", "plug-010203"),
            ("{mac}", "5ccf7f010203"),
            ("{name}-{row}-{row:3}", "hall-7-007"),
            ("{{mac}} }}{{", "{mac} }{"),
            ("", ""),
        ] {
            assert_eq!(expand(text, facts()).as_deref(), Ok(expanded));
        }
        for (text, wrong) in [
            ("{mac:0}", "{mac:0}"),
            ("{mac:13}", "{mac:13}"),
            ("a{x}b", "{x}"),
            ("{", "{"),
            ("a}", "}"),
            ("{row:99999999999}", "{row:99999999999}"),
            ("{name:3}", "{name:3}"),
        ] {
            assert_eq!(expand(text, facts()), Err(wrong.to_owned()));
        }
        assert!(expand("{name}", Facts { name: None, ..facts() }).is_err());
    }

    #[test]
    fn a_secret_that_is_written_down_keeps_its_braces_and_is_masked() {
        let mut table: Table = toml::from_str(
            "name = \"plug-{mac:6}\"\n[wifi]\npassphrase = \"a{mac}b{\"\n[[bridges]]\nuser = \"{name}\"\npassword = \"env:PATH\"\n",
        )
        .unwrap();
        let mut masked = table.clone();
        assert!(mask(&mut masked));
        let text = masked.to_string();
        assert!(!text.contains("a{mac}b{") && text.contains("env:PATH") && text.contains("{name}"));
        fill(&mut table, facts(), Follow::All).unwrap();
        let text = table.to_string();
        assert!(
            text.contains("plug-010203") && text.contains("a{mac}b{") && text.contains("user = \"hall\"")
        );
        assert!(!text.contains("env:PATH"));
    }

    #[test]
    fn what_a_reference_leads_to_is_looked_up_or_missed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("010203.txt"), "sesame\n").unwrap();
        let mut table: Table = toml::from_str("password = \"file:{mac:6}.txt\"").unwrap();
        anchor(&mut table, folder.path());
        fill(&mut table, facts(), Follow::All).unwrap();
        assert_eq!(table["password"].as_str(), Some("sesame"));

        let mut table: Table = toml::from_str("password = \"file:{mac:5}.txt\"").unwrap();
        assert!(fill(&mut table.clone(), facts(), Follow::All).is_err());
        fill(&mut table, facts(), Follow::Known).unwrap();
        let mut table: Table = toml::from_str("user = \"env:NO_SUCH_VARIABLE_HERE\"").unwrap();
        let error = fill(&mut table, facts(), Follow::All).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no such variable in the environment: `NO_SUCH_VARIABLE_HERE`"
        );
    }

    proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(text in "\\PC{0,40}") {
            let _ = expand(&text, facts());
            let _ = Reference::parse(&text);
        }

        #[test]
        fn text_without_braces_stays_as_it_is(text in "[^{}]{0,40}") {
            prop_assert_eq!(expand(&text, facts()), Ok(text.clone()));
        }
    }
}
