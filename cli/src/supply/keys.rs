//! Release keys: who may sign a release, until when, and whether one of them did.
//!
//! A key is a file as `minisign -G` writes it; a comment that ends in `expires YYYY-MM-DD` ends its life. Two keys
//! are compiled in, so that a release can be signed by the next one while programs that know the current one are in
//! use. Only signatures over a digest are taken, which is what minisign makes since 0.9.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use minisign_verify::{Error as MinisignError, PublicKey, Signature};

use super::{built_in, date::Date};

/// Comes before the day in a key's comment.
const EXPIRES: &str = "expires ";

/// A public key.
#[derive(Clone)]
pub(crate) struct ReleaseKey {
    /// `current`, `next`, or the file that it was read from.
    pub(crate) name: String,
    /// Its last day.
    pub(crate) expires: Option<Date>,
    key: PublicKey,
}

/// The keys that are trusted.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Vec<ReleaseKey>);

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("cannot read the public key: `{}`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("not a public key of minisign: `{name}`")]
    NotAKey { name: String },
}

/// Why a signature does not vouch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SignatureError {
    #[error("the signature is not one of minisign")]
    NotASignature,
    #[error("the release is signed by a key that is not trusted here")]
    UnknownKey,
    #[error("the manifest is not what was signed")]
    Tampered,
    #[error("the release is signed by the key `{name}`, which ended on {expires}")]
    KeyExpired { name: String, expires: Date },
}

impl fmt::Debug for ReleaseKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ReleaseKey")
            .field("name", &self.name)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl ReleaseKey {
    fn parse(name: &str, text: &str) -> Result<Self, KeyError> {
        let key = PublicKey::decode(text).map_err(|_| KeyError::NotAKey { name: name.to_owned() })?;
        let expires = key
            .untrusted_comment()
            .and_then(|comment| comment.rsplit_once(EXPIRES))
            .and_then(|(_, day)| day.trim().parse().ok());
        Ok(Self { name: name.to_owned(), expires, key })
    }
}

impl Keys {
    /// The keys that were compiled in.
    ///
    /// # Errors
    ///
    /// Never in a build whose tests passed.
    pub(crate) fn compiled_in() -> Result<Self, KeyError> {
        built_in::keys()
            .iter()
            .map(|(name, text)| ReleaseKey::parse(name, text))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// These keys and the one in a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or holds something else.
    pub(crate) fn with_file(mut self, path: &Path) -> Result<Self, KeyError> {
        let text =
            fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.to_owned(), source })?;
        self.0.push(ReleaseKey::parse(&path.display().to_string(), &text)?);
        Ok(self)
    }

    /// This key alone.
    #[cfg(test)]
    pub(crate) fn of(key: ReleaseKey) -> Self {
        Self(vec![key])
    }

    /// All of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &ReleaseKey> {
        self.0.iter()
    }

    /// The key that signed `message`, if it was still good on `day`.
    ///
    /// # Errors
    ///
    /// When none of the keys vouches for the message.
    pub(crate) fn check(
        &self,
        message: &[u8],
        signature: &str,
        day: Date,
    ) -> Result<&ReleaseKey, SignatureError> {
        let signature = Signature::decode(signature).map_err(|_| SignatureError::NotASignature)?;
        let mut verdict = SignatureError::UnknownKey;
        for key in &self.0 {
            match key.key.verify(message, &signature, false) {
                Ok(()) => {
                    return match key.expires {
                        Some(expires) if expires < day => {
                            Err(SignatureError::KeyExpired { name: key.name.clone(), expires })
                        }
                        _ => Ok(key),
                    };
                }
                Err(MinisignError::UnexpectedKeyId) => {}
                Err(MinisignError::UnexpectedAlgorithm) => verdict = SignatureError::NotASignature,
                Err(_) => verdict = SignatureError::Tampered,
            }
        }
        Err(verdict)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supply::testing::{Signer, day};

    #[test]
    fn two_different_keys_with_an_end_are_compiled_in() {
        let keys = Keys::compiled_in().unwrap();
        let [current, next] = keys.0.as_slice() else { panic!("{} keys", keys.0.len()) };
        assert!(
            current.expires.unwrap() < next.expires.unwrap(),
            "the next key takes over from the current one"
        );
        let [(_, a), (_, b)] = built_in::keys();
        assert_ne!(a.lines().nth(1), b.lines().nth(1));
    }

    #[test]
    fn a_signature_is_taken_from_every_trusted_key_until_its_last_day() {
        let (current, next) = (Signer::new("2027-06-30"), Signer::new("2029-06-30"));
        let keys = Keys(vec![current.key("current"), next.key("next")]);
        for signer in [&current, &next] {
            let signature = signer.sign(b"manifest");
            assert!(keys.check(b"manifest", &signature, day("2027-06-30")).is_ok());
            assert_eq!(
                keys.check(b"another", &signature, day("2027-06-30")).unwrap_err(),
                SignatureError::Tampered
            );
        }
        let signature = current.sign(b"manifest");
        assert_eq!(
            keys.check(b"manifest", &signature, day("2027-07-01")).unwrap_err(),
            SignatureError::KeyExpired { name: "current".to_owned(), expires: day("2027-06-30") }
        );
        let stranger = Signer::new("2029-06-30").sign(b"manifest");
        assert_eq!(
            keys.check(b"manifest", &stranger, day("2027-01-01")).unwrap_err(),
            SignatureError::UnknownKey
        );
    }

    #[test]
    fn a_signature_whose_comment_was_changed_or_that_is_none_is_refused() {
        let signer = Signer::new("2029-06-30");
        let keys = Keys(vec![signer.key("current")]);
        let changed = signer.sign(b"manifest").replace("trusted comment: test", "trusted comment: best");
        assert_eq!(
            keys.check(b"manifest", &changed, day("2027-01-01")).unwrap_err(),
            SignatureError::Tampered
        );
        for text in ["", "untrusted comment: x", "a\nb\nc\nd", "\u{fc}\n\u{fc}\n\u{fc}\n\u{fc}"] {
            assert_eq!(
                keys.check(b"manifest", text, day("2027-01-01")).unwrap_err(),
                SignatureError::NotASignature
            );
        }
    }

    #[test]
    fn a_key_file_is_trusted_as_well_and_another_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine.pub");
        let signer = Signer::new("2029-06-30");
        fs::write(&path, signer.public()).unwrap();
        let keys = Keys::compiled_in().unwrap().with_file(&path).unwrap();
        let signature = signer.sign(b"manifest");
        assert!(keys.check(b"manifest", &signature, day("2027-01-01")).is_ok());
        fs::write(&path, "no key").unwrap();
        assert!(matches!(Keys::compiled_in().unwrap().with_file(&path), Err(KeyError::NotAKey { .. })));
        assert!(matches!(
            Keys::compiled_in().unwrap().with_file(&folder.path().join("none")),
            Err(KeyError::Read { .. })
        ));
    }
}
