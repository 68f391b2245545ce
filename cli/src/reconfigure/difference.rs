//! What differs between two configs, field by field and with every secret masked.
//!
//! Users and bridges are told by their names, so that a new order is no difference. A secret that is another one is named
//! as that, and nothing is said of it.

use std::collections::BTreeMap;

use espbroker_config::{
    model::{Config, Passphrase},
    secret::Secret,
};
use serde::Serialize;

use crate::{
    PrintError,
    settings::{MASK, render},
};

/// One field that is not what it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Changed {
    /// Its path, as in a settings file.
    pub(crate) field: String,
    /// As in TOML; `None` where there was nothing.
    pub(crate) before: Option<String>,
    /// As in TOML; `None` where there is nothing any more.
    pub(crate) after: Option<String>,
}

impl Changed {
    /// One line for people.
    pub(crate) fn line(&self) -> String {
        let field = &self.field;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before == after => format!("~ {field}: {MASK} -> another {MASK}"),
            (Some(before), Some(after)) => format!("~ {field}: {before} -> {after}"),
            (None, Some(after)) => format!("+ {field}: {after}"),
            (Some(before), None) => format!("- {field}: {before}"),
            (None, None) => format!("~ {field}"),
        }
    }
}

/// All fields that differ, by path.
///
/// # Errors
///
/// When a config cannot be written as settings.
pub(crate) fn difference(before: &Config, after: &Config) -> Result<Vec<Changed>, PrintError> {
    let (old, new) = (fields(before)?, fields(after)?);
    let (old_secrets, new_secrets) = (secrets(before), secrets(after));
    let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
    paths.sort();
    paths.dedup();
    let other = |path: &String| old_secrets.get(path) != new_secrets.get(path);
    Ok(paths
        .into_iter()
        .filter(|path| old.get(*path) != new.get(*path) || other(path))
        .map(|path| Changed {
            field: path.clone(),
            before: old.get(path).cloned(),
            after: new.get(path).cloned(),
        })
        .collect())
}

/// Lines for people.
pub(crate) fn lines(changes: &[Changed]) -> String {
    changes.iter().map(Changed::line).collect::<Vec<_>>().join("\n")
}

fn fields(config: &Config) -> Result<BTreeMap<String, String>, PrintError> {
    let mut fields = BTreeMap::new();
    flatten("", &toml::Value::try_from(render(config))?, &mut fields);
    if config.admin_key.is_some() {
        fields.insert(ADMIN_KEY.to_owned(), format!("\"{MASK}\""));
    }
    Ok(fields)
}

/// No field of a settings file: `rotate-keys` changes it.
const ADMIN_KEY: &str = "admin key";

fn flatten(path: &str, value: &toml::Value, fields: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (name, value) in table.iter().filter(|(name, _)| !(path.ends_with(']') && *name == "name")) {
                // The name of a user or bridge is in the path already.
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, value, fields);
            }
        }
        toml::Value::Array(array) => {
            for (index, value) in array.iter().enumerate() {
                let name = value.get("name").and_then(toml::Value::as_str);
                let label = name.map_or_else(|| index.to_string(), str::to_owned);
                flatten(&format!("{path}[{label}]"), value, fields);
            }
        }
        value => {
            fields.insert(path.to_owned(), value.to_string());
        }
    }
}

/// What is behind the masks, by path.
fn secrets(config: &Config) -> BTreeMap<String, Secret<Vec<u8>>> {
    let mut secrets = BTreeMap::new();
    let mut note = |path: String, secret: &[u8]| drop(secrets.insert(path, Secret::new(secret.to_vec())));
    match config.wifi.as_ref().and_then(|wifi| wifi.passphrase.as_ref()) {
        Some(Passphrase::Text(text)) => note("wifi.passphrase".to_owned(), text.expose().as_bytes()),
        Some(Passphrase::Key(key)) => note("wifi.passphrase".to_owned(), key.expose()),
        None => {}
    }
    if let Some(passphrase) = &config.access_point.passphrase {
        note("access_point.passphrase".to_owned(), passphrase.expose().as_bytes());
    }
    for user in &config.broker.users {
        note(format!("broker.users[{}].password", user.name), user.password.to_text().as_bytes());
    }
    for bridge in &config.bridges {
        if let Some(password) = &bridge.password {
            note(format!("bridges[{}].password", bridge.name), password.expose().as_bytes());
        }
    }
    if let Some(cluster) = &config.cluster {
        note("cluster.key".to_owned(), cluster.key.expose());
    }
    if let Some(key) = &config.admin_key {
        note(ADMIN_KEY.to_owned(), key.expose());
    }
    secrets
}

#[cfg(test)]
mod tests {
    use espbroker_config::model::{Bridge, User, Wifi};

    use super::*;
    use crate::credentials;

    #[test]
    fn every_field_is_named_with_its_path_and_what_became_of_it() {
        let mut before = Config::new("hall");
        before.wifi = Some(Wifi { channel: Some(6), ..Wifi::new("home") });
        let mut after = before.clone();
        after.name = "attic".to_owned();
        after.broker.mqtt_port = 2883;
        after.wifi.as_mut().unwrap().channel = None;
        after.bridges.push(Bridge::new("cloud", "example.org"));
        let text = lines(&difference(&before, &after).unwrap());
        assert!(text.starts_with("+ bridges[cloud]."), "{text}");
        for line in [
            "+ bridges[cloud].host: \"example.org\"",
            "~ broker.mqtt_port: 1883 -> 2883",
            "~ name: \"hall\" -> \"attic\"",
            "- wifi.channel: 6",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn another_secret_is_a_difference_and_is_not_shown() {
        let password = |text: &str| Some(Secret::new(text.to_owned()));
        let mut before = Config::new("hall");
        before.admin_key = Some(Secret::new([1; 32]));
        before.bridges.push(Bridge { password: password("sesame"), ..Bridge::new("cloud", "h") });
        let mut after = before.clone();
        assert!(difference(&before, &after).unwrap().is_empty());
        after.bridges[0].password = password("hunter2");
        after.admin_key = Some(Secret::new([2; 32]));
        assert_eq!(
            lines(&difference(&before, &after).unwrap()),
            "~ admin key: **** -> another ****\n~ bridges[cloud].password: **** -> another ****"
        );
        after.bridges[0].password = None;
        after.admin_key = before.admin_key.clone();
        assert_eq!(lines(&difference(&before, &after).unwrap()), "- bridges[cloud].password: \"****\"");
    }

    #[test]
    fn another_order_of_users_is_no_difference() {
        let user = |name: &str| User::new(name, credentials::hash(&Secret::new(name.to_owned())).unwrap());
        let mut before = Config::new("hall");
        before.broker.users = vec![user("ann"), user("bob")];
        let mut after = before.clone();
        after.broker.users.reverse();
        assert!(difference(&before, &after).unwrap().is_empty());
    }
}
