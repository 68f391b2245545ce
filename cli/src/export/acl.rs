//! The access list: mosquitto's `acl_file` (mosquitto.conf(5), "acl_file").
//!
//! In both, an entry that denies wins over any that allows, wherever it stands, and who has entries may do nothing else.
//! mosquitto's lines with `%u` and `%c` hold for every client, whoever they are for here, so `%u` is replaced by the user's
//! name. A line with `%c` cannot be said for one user alone: one that allows is left out, one that denies denies it for
//! every client id.

use espbroker_config::model::{Access, Anonymous, Broker, Permission, User};

use super::is_value;

/// The file's text; `None` when everybody may do everything. `users` are those that mosquitto will know.
pub(super) fn text(broker: &Broker, users: &[&User], differences: &mut Vec<String>) -> Option<String> {
    let anonymous = broker.anonymous == Anonymous::Allowed;
    let limits_anonymous = anonymous && !broker.anonymous_permissions.is_empty();
    if !limits_anonymous && users.iter().all(|user| user.permissions.is_empty()) {
        return None;
    }
    let mut text = String::from(
        "# What clients may do; without a line, nothing. Denied is denied, wherever it stands.\n",
    );
    if anonymous {
        // Before the first user: clients without one.
        text.push('\n');
        list(&broker.anonymous_permissions, None, &mut text, differences);
    }
    for user in users {
        text.push_str(&format!("\nuser {}\n", user.name));
        list(&user.permissions, Some(&user.name), &mut text, differences);
    }
    Some(text)
}

fn list(permissions: &[Permission], user: Option<&str>, text: &mut String, differences: &mut Vec<String>) {
    if permissions.is_empty() {
        text.push_str("topic readwrite #\ntopic read $SYS/#\n");
        return;
    }
    let who = user.map_or("clients without a user".to_owned(), |user| format!("user `{user}`"));
    for permission in permissions {
        let Permission { pattern, access, .. } = permission;
        let Some(expanded) = expand(pattern, user) else { continue };
        let denies = *access == Access::Deny;
        let topic = match expanded {
            Expanded::Topic(topic) => topic,
            Expanded::ByClientId(wider) if denies => {
                differences.push(format!(
                    "for {who}, what `{pattern}` denies is denied for every client id: `{wider}`"
                ));
                wider
            }
            Expanded::ByClientId(_) => {
                differences.push(format!(
                    "for {who}, `{pattern}` is left out: mosquitto has no topics by client id for one user alone"
                ));
                continue;
            }
        };
        let topic = match (is_value(&topic), denies) {
            (true, _) => topic,
            (false, true) => {
                differences.push(format!(
                    "{who} may do nothing: what is denied begins or ends with a space, which mosquitto cannot say"
                ));
                "#".to_owned()
            }
            (false, false) => {
                differences.push(format!(
                    "for {who}, a topic that begins or ends with a space is left out: mosquitto cannot say it"
                ));
                continue;
            }
        };
        text.push_str(&format!("topic {access} {topic}\n"));
    }
}

/// A pattern for one user.
enum Expanded {
    Topic(String),
    /// With `+` for each level that has a client id in it.
    ByClientId(String),
}

/// Puts the user's name in, by the rules of the device: `None` when the pattern is for nobody.
fn expand(pattern: &str, user: Option<&str>) -> Option<Expanded> {
    let mut by_client_id = false;
    let mut levels = Vec::new();
    for level in pattern.split('/') {
        let (text, has_client_id) = expand_level(level, user)?;
        by_client_id |= has_client_id;
        levels.push(if has_client_id { "+".to_owned() } else { text });
    }
    let topic = levels.join("/");
    Some(if by_client_id { Expanded::ByClientId(topic) } else { Expanded::Topic(topic) })
}

/// One level with the user's name in it, and whether a client id belongs there too.
fn expand_level(level: &str, user: Option<&str>) -> Option<(String, bool)> {
    let mut text = String::new();
    let mut rest = level;
    let mut has_client_id = false;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        rest = if let Some(after) = after.strip_prefix('u') {
            // A name with a separator or wildcard in it would reach into other topics.
            text.push_str(user.filter(|name| !name.is_empty() && !name.contains(['/', '+', '#']))?);
            after
        } else if let Some(after) = after.strip_prefix('c') {
            has_client_id = true;
            after
        } else {
            text.push('%');
            after
        };
    }
    text.push_str(rest);
    Some((text, has_client_id))
}
