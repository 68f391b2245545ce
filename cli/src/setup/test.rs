//! What the connection test is given: where the device is reached, and whom the test logs in as.

use espbroker_config::{model, secret::Secret};

use super::bridges::{able, quoted};
use crate::{
    answers::Answers,
    check::{Login, Target},
    settings::UserSettings,
    start_up::Running,
};

/// Somebody whose password is known here, and whether every topic is theirs.
struct Tester {
    login: Login,
    unlimited: bool,
}

/// The first user who may do everything and whose password is known, else the first of those with permissions.
fn tester(answers: &Answers) -> Option<Tester> {
    let users =
        answers.settings.broker.as_ref().and_then(|broker| broker.users.as_deref()).unwrap_or_default();
    let mut known = users.iter().filter_map(known);
    let first = known.next()?;
    if first.unlimited {
        return Some(first);
    }
    Some(known.find(|tester| tester.unlimited).unwrap_or(first))
}

fn known(user: &UserSettings) -> Option<Tester> {
    let password = user.password.as_ref().filter(|password| !password.is_masked())?;
    let login = Login { user: user.name.clone(), password: Secret::new(password.0.clone()) };
    Some(Tester { login, unlimited: user.permissions.is_empty() })
}

/// What is tested on a device that runs with `config`.
pub(super) fn target(answers: &Answers, running: &Running, config: &model::Config) -> Target {
    let tester = tester(answers);
    let websocket_port = running.websocket_port.unwrap_or(config.broker.websocket_port);
    Target {
        host: running.address.map_or_else(|| "192.168.4.1".to_owned(), |address| address.to_string()),
        port: running.mqtt_port.unwrap_or(config.broker.mqtt_port),
        websocket_port: (websocket_port != 0).then_some(websocket_port),
        sends_message: tester.as_ref().is_some_and(|tester| tester.unlimited),
        login: tester.map(|tester| tester.login),
        anonymous_refused: config.broker.anonymous == model::Anonymous::Refused,
    }
}

/// The test for people, before it begins.
pub(super) fn words(answers: &Answers, config: &model::Config) -> String {
    let mut words = match tester(answers) {
        Some(Tester { login, unlimited: true }) => {
            format!("log in as `{}`, publish, receive; a wrong password must be refused", login.user)
        }
        Some(Tester { login, unlimited: false }) => {
            format!(
                "log in as `{}`, whose topics are left alone; a wrong password must be refused",
                login.user
            )
        }
        None => "a wrong password must be refused (no password is known here, only hashes)".to_owned(),
    };
    if config.broker.websocket_port != 0 {
        words.push_str("; the same log-in over WebSocket");
    }
    let bridges = quoted(able(config));
    if !bridges.is_empty() {
        words.push_str("; the bridges must connect: ");
        words.push_str(&bridges);
    }
    words
}
