//! Where secrets come from: inline in a private file, from a file of their own, or from standard input.

use std::{
    fmt, fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use espbroker_config::secret::Secret;
use serde::{Deserialize, Serialize};

use super::SettingsError;

/// What stands for a secret wherever settings are printed.
pub(crate) const MASK: &str = "****";

/// Longest secret file that is read, bytes; the longest secret in the config has 256.
const FILE_LIMIT: u64 = 4096;

/// A secret in a settings file: debug prints show the mask.
#[derive(Clone, Deserialize, Serialize, PartialEq, Eq)]
#[serde(transparent)]
pub(crate) struct HiddenText(pub(crate) String);

impl fmt::Debug for HiddenText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(MASK)
    }
}

impl HiddenText {
    /// The mask itself.
    pub(crate) fn masked() -> Self {
        Self(MASK.to_owned())
    }

    /// Whether this is the mask, which means "keep what the device has".
    pub(crate) fn is_masked(&self) -> bool {
        self.0 == MASK
    }
}

/// What a pair of fields `x` and `x_file` says.
pub(super) enum Given {
    /// Neither is there.
    Nothing,
    /// The mask.
    Keep,
    /// The secret.
    Value(Secret<String>),
}

/// Settles one secret from its inline and its file field.
///
/// # Errors
///
/// When both are given, or the file cannot be read.
pub(super) fn settle(
    field: &str,
    inline: Option<&HiddenText>,
    file: Option<&PathBuf>,
    folder: &Path,
) -> Result<Given, SettingsError> {
    match (inline, file) {
        (None, None) => Ok(Given::Nothing),
        (Some(_), Some(_)) => Err(SettingsError::GivenTwice { field: field.to_owned() }),
        (Some(text), None) if text.is_masked() => Ok(Given::Keep),
        (Some(text), None) => Ok(Given::Value(Secret::new(text.0.clone()))),
        (None, Some(path)) => read_secret_file("secret", &folder.join(path)).map(Given::Value),
    }
}

/// Reads a secret from a file, or from standard input when `path` is `-`; one line end at the end is dropped.
///
/// # Errors
///
/// When it cannot be read, is not UTF-8, or is longer than any secret.
pub(crate) fn read_secret_file(what: &'static str, path: &Path) -> Result<Secret<String>, SettingsError> {
    let failed = |source| SettingsError::Read { what, path: path.to_owned(), source };
    let mut text = String::new();
    let taken = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(FILE_LIMIT + 1).read_to_string(&mut text).map_err(failed)?
    } else {
        fs::File::open(path)
            .and_then(|file| file.take(FILE_LIMIT + 1).read_to_string(&mut text))
            .map_err(failed)?
    };
    if taken as u64 > FILE_LIMIT {
        return Err(SettingsError::SecretForm {
            field: what.to_owned(),
            problem: "file is longer than 4096 bytes: is it the right file?",
        });
    }
    let kept = text.strip_suffix('\n').map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Secret::new(kept.to_owned()))
}

/// Says why a file with secrets is in danger: others can read it, or it lies in a git work tree.
///
/// Returns nothing when all is well or nothing can be found out.
pub(crate) fn warn_if_exposed(path: &Path) -> Option<String> {
    let shown = path.display();
    if readable_by_others(path) {
        return Some(format!("other users can read `{shown}`, which holds secrets: chmod 600 `{shown}`"));
    }
    let absolute = fs::canonicalize(path).ok()?;
    absolute.ancestors().skip(1).any(|folder| folder.join(".git").exists()).then(|| {
        format!("`{shown}` holds secrets and lies in a git work tree: keep it out of commits, or use *_file fields")
    })
}

#[cfg(unix)]
fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

#[cfg(not(unix))]
fn readable_by_others(_path: &Path) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_dropped_and_spaces_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (written, read) in [("a b \n", "a b "), ("a\r\n", "a"), ("a\n\n", "a\n"), ("", "")] {
            fs::write(&path, written).unwrap();
            assert_eq!(read_secret_file("secret", &path).unwrap().expose(), read);
        }
    }

    #[test]
    fn a_huge_file_is_refused_without_being_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        fs::write(&path, vec![b'x'; 5000]).unwrap();
        let error = read_secret_file("passphrase", &path).unwrap_err();
        assert_eq!(error.to_string(), "passphrase file is longer than 4096 bytes: is it the right file?");
    }

    #[test]
    fn hidden_text_never_shows_in_debug_prints() {
        assert_eq!(format!("{:?}", HiddenText("hunter2".to_owned())), "****");
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_can_read_is_warned_about() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        fs::write(&path, "").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(warn_if_exposed(&path).unwrap().contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(warn_if_exposed(&path), None);
        fs::create_dir(folder.path().join(".git")).unwrap();
        assert!(warn_if_exposed(&path).unwrap().contains("git work tree"));
    }
}
