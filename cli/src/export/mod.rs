//! A device's settings as other brokers' files, for the home that outgrows a chip.
//!
//! Pure: a config goes in, texts and a list of differences come out. What cannot be said in the other broker's files is
//! left out on the side of less access, and named.

mod acl;
mod conf;

use std::path::Path;

use espbroker_config::model::{Anonymous, Config};

/// Name of the settings file.
pub(crate) const SETTINGS: &str = "mosquitto.conf";
/// Name of the password file.
pub(crate) const PASSWORDS: &str = "passwords";
/// Name of the access list.
pub(crate) const ACCESS_LIST: &str = "access-list";
/// Name of the folder that mosquitto keeps its messages in.
pub(crate) const DATA: &str = "data";

/// What mosquitto needs.
pub(crate) struct Export {
    /// Names and texts; all of them may hold secrets.
    pub(crate) files: Vec<(&'static str, String)>,
    /// What mosquitto will do otherwise than the device, one sentence each.
    pub(crate) differences: Vec<String>,
}

/// Writes mosquitto's files for a config that was validated; `folder` is where they will be, with its whole path.
pub(crate) fn mosquitto(config: &Config, folder: &Path) -> Export {
    let mut differences = Vec::new();
    let users: Vec<_> = config
        .broker
        .users
        .iter()
        .filter(|user| {
            let fits = is_value(&user.name) && !user.name.starts_with('#');
            if !fits {
                differences.push(format!(
                    "user `{}` is left out: mosquitto takes no name that begins with # or a space, or ends with one",
                    user.name
                ));
            }
            fits
        })
        .collect();
    let passwords = users.iter().map(|user| format!("{}:{}\n", user.name, user.password.to_text())).collect();
    let access_list = acl::text(&config.broker, &users, &mut differences);
    let settings = conf::text(config, folder, access_list.is_some(), &mut differences);
    if access_list.is_some() {
        differences.push(
            "a subscription that your device refuses is granted, and nothing that is not allowed comes over it"
                .to_owned(),
        );
    }
    if config.cluster.is_some() {
        differences.push("there are no groups of brokers: [cluster] is left out".to_owned());
    }
    differences.push(
        "limits are mosquitto's own, since there is no chip to protect; retained messages start empty"
            .to_owned(),
    );
    let mut files = vec![(SETTINGS, settings), (PASSWORDS, passwords)];
    files.extend(access_list.map(|text| (ACCESS_LIST, text)));
    Export { files, differences }
}

/// Whether a text can be the rest of a line in mosquitto's files: they have no quotes and no escapes.
fn is_value(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.chars().any(char::is_control)
}

fn allows_anonymous(config: &Config) -> bool {
    config.broker.anonymous == Anonymous::Allowed
}

#[cfg(test)]
mod tests;
