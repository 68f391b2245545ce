//! The registry: which devices this user has set up, and where they were last seen.
//!
//! One file in the user's data folder, readable by the user alone, written whole and atomically under a lock, so that
//! several runs of the program do not lose each other's words. A damaged file is moved aside and never overwritten; one of
//! a newer format is left alone. Secrets go to the system keyring where there is one, else into the file.

mod keyring;
mod learn;
mod locate;
#[cfg(any(target_os = "macos", windows, test))]
mod native;
mod store;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub(crate) use keyring::{Keyring, KeyringError, system_keyring};
pub(crate) use learn::{Learnt, Seen, forget, keep_next_key, learn, note_found};
pub(crate) use locate::{Networks, is_called, locate, mac, only_called};
pub(crate) use store::{RegistryError, Store};

use crate::{hex, settings::HiddenText};

/// One device.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Station MAC address as twelve hex digits: what a device is told by.
    pub(crate) mac: String,
    /// As configured on the device.
    pub(crate) name: String,
    /// What the user calls it instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) alias: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) address: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mqtt_port: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) websocket_port: Option<u16>,
    /// Firmware version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<String>,
    /// Id of the profile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    /// Serial port that it was last set up through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) port: Option<String>,
    /// What the adapter of that port is known by, wherever it is plugged in next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) adapter: Option<String>,
    /// Seconds since 1970.
    #[serde(default)]
    pub(crate) last_seen: u64,
    /// Whether the system keyring has the secrets.
    #[serde(default)]
    pub(crate) in_keyring: bool,
    /// The secrets, where it has not.
    #[serde(default, skip_serializing_if = "Secrets::is_empty")]
    pub(crate) secrets: Secrets,
    /// What a newer version has added.
    #[serde(flatten)]
    pub(crate) unknown: serde_json::Map<String, serde_json::Value>,
}

/// What nobody else may know of a device.
#[derive(Clone, Debug, Default, Deserialize, Serialize, PartialEq, Eq)]
pub(crate) struct Secrets {
    /// Key for remote changes as 64 hex digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) admin_key: Option<HiddenText>,
    /// A key that the device may have by now, because it was told to: whoever of the two opens its next answer is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_admin_key: Option<HiddenText>,
    /// The user whose password was generated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) user: Option<String>,
    /// That password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) password: Option<HiddenText>,
}

impl Secrets {
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, with what they lack from `older`.
    fn or(self, older: Self) -> Self {
        let Self { admin_key, next_admin_key, user, password } = self;
        let (user, password) = match password {
            Some(password) => (user, Some(password)),
            None => (older.user, older.password),
        };
        let admin_key = admin_key.or(older.admin_key);
        // A key that has come into force is no next one any more.
        let next_admin_key =
            next_admin_key.or(older.next_admin_key).filter(|next| Some(next) != admin_key.as_ref());
        Self { admin_key, next_admin_key, user, password }
    }
}

impl Entry {
    /// What people call it.
    pub(crate) fn label(&self) -> &str {
        self.alias.as_deref().unwrap_or(&self.name)
    }

    /// The MAC address; `None` if somebody has put something else there.
    pub(crate) fn mac(&self) -> Option<[u8; 6]> {
        hex::array(&self.mac)
    }

    /// The MAC address for people.
    pub(crate) fn mac_text(&self) -> String {
        self.mac().map_or_else(|| self.mac.clone(), |mac| hex::to_hex(&mac, ":"))
    }

    /// Address and port of its broker, for people.
    pub(crate) fn address_text(&self) -> String {
        match (self.address, self.mqtt_port) {
            (None, _) => "-".to_owned(),
            (Some(address), None) => address.to_string(),
            (Some(address), Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
        }
    }

    /// Its secrets, from wherever they are.
    ///
    /// # Errors
    ///
    /// When the keyring has them and does not give them.
    pub(crate) fn secrets(&self, keyring: Option<&dyn Keyring>) -> Result<Secrets, RegistryError> {
        if !self.in_keyring {
            return Ok(self.secrets.clone());
        }
        let text = keyring
            .ok_or(RegistryError::NoKeyring)?
            .load(&self.mac)
            .map_err(RegistryError::Keyring)?
            .ok_or(RegistryError::NotInKeyring)?;
        serde_json::from_str(text.expose()).map_err(|_| RegistryError::NotInKeyring)
    }
}

/// A time as `2026-11-22 18:05 UTC`.
pub(crate) fn time_text(seconds: u64) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days in a row to a date of the Gregorian calendar, from 0000-03-01 on, so that the leap day ends a year.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

#[cfg(test)]
mod tests;
