//! The questions that `setup` asks on a terminal for what flags and settings file leave open.

use dialoguer::{Confirm, Input, Password, Select, theme::ColorfulTheme};
use espbroker_config::{model, validate::Invalid};

use crate::{
    profiles,
    screen::Screen,
    settings::{HiddenText, Settings, UserSettings, WifiSettings},
};

/// Why a question was not answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WizardError {
    /// The terminal is gone, or the user pressed Ctrl-C.
    #[error("the questions were not answered")]
    Interrupted(#[from] dialoguer::Error),
    /// The user said no.
    #[error("stopped before anything was changed")]
    Declined,
    /// A shipped profile is broken.
    #[error("the list of boards cannot be read")]
    Profiles(#[source] Box<toml::de::Error>),
}

/// Asks for everything that `settings` leaves open; returns whether anything was.
///
/// # Errors
///
/// When the questions cannot be asked or are broken off.
pub(crate) fn complete(settings: &mut Settings, screen: Screen) -> Result<bool, WizardError> {
    let complete = settings.wifi.is_some() && settings.has_user();
    if !complete {
        screen.line("A few questions; nothing is written before you have seen the plan. Ctrl-C stops.\n");
    }
    if settings.profile.is_none() && !complete {
        settings.profile = board()?;
    }
    if settings.name.is_none() && !complete {
        settings.name = Some(name()?);
    }
    if settings.wifi.is_none() {
        settings.wifi = Some(wifi(screen)?);
    }
    if !settings.has_user() {
        settings.broker.get_or_insert_default().users = Some(vec![user()?]);
    }
    if !complete {
        screen.line("");
    }
    Ok(!complete)
}

/// Asks before something is lost or dangerous; no is the default.
///
/// # Errors
///
/// When it cannot be asked.
pub(crate) fn confirm(question: &str) -> Result<bool, WizardError> {
    Ok(Confirm::with_theme(&ColorfulTheme::default()).with_prompt(question).default(false).interact()?)
}

/// Asks for the word to begin with what was just planned; yes is the default.
///
/// # Errors
///
/// When it cannot be asked.
pub(crate) fn confirm_plan() -> Result<bool, WizardError> {
    let theme = ColorfulTheme::default();
    Ok(Confirm::with_theme(&theme).with_prompt("Write this to the device").default(true).interact()?)
}

/// Asks for a word.
///
/// # Errors
///
/// When it cannot be asked.
pub(crate) fn ask(question: &str) -> Result<String, WizardError> {
    Ok(Input::with_theme(&ColorfulTheme::default()).with_prompt(question).interact_text()?)
}

/// Lets the user choose one of several things.
///
/// # Errors
///
/// When it cannot be asked.
pub(crate) fn choose(question: &str, things: &[String]) -> Result<usize, WizardError> {
    Ok(Select::with_theme(&ColorfulTheme::default())
        .with_prompt(question)
        .items(things)
        .default(0)
        .interact()?)
}

fn board() -> Result<Option<String>, WizardError> {
    let known = profiles::all().map_err(|error| WizardError::Profiles(Box::new(error)))?;
    let mut titles: Vec<String> = known.iter().map(|profile| profile.title.clone()).collect();
    titles.push("Another board with 4 MB of flash".to_owned());
    let chosen = choose("Which board is it", &titles)?;
    Ok(known.get(chosen).map(|profile| profile.id.clone()))
}

fn name() -> Result<String, WizardError> {
    Ok(Input::with_theme(&ColorfulTheme::default())
        .with_prompt("Name of the device")
        .default("espbroker".to_owned())
        .validate_with(|name: &String| validated(&model::Config::new(name)))
        .interact_text()?)
}

fn wifi(screen: Screen) -> Result<WifiSettings, WizardError> {
    let theme = ColorfulTheme::default();
    let ssid: String = Input::with_theme(&theme)
        .with_prompt("Wi-Fi network (2.4 GHz; the ESP8266 has no 5 GHz)")
        .validate_with(|ssid: &String| validated(&with_network(ssid)))
        .interact_text()?;
    for remark in remarks(&ssid) {
        screen.warning(remark);
    }
    let passphrase = Password::with_theme(&theme)
        .with_prompt("Its passphrase (empty: open network)")
        .allow_empty_password(true)
        .validate_with(|text: &String| match text.as_str() {
            "" => Ok(()),
            text => text.parse::<model::Passphrase>().map(drop),
        })
        .interact()?;
    Ok(WifiSettings {
        ssid: Some(ssid),
        open: passphrase.is_empty(),
        passphrase: (!passphrase.is_empty()).then_some(HiddenText(passphrase)),
        ..WifiSettings::default()
    })
}

fn user() -> Result<UserSettings, WizardError> {
    let theme = ColorfulTheme::default();
    let name: String = Input::with_theme(&theme)
        .with_prompt("User of the broker")
        .default("home".to_owned())
        .interact_text()?;
    let password = Password::with_theme(&theme)
        .with_prompt("Its password (empty: generate one)")
        .with_confirmation("The same password again", "The two differ")
        .allow_empty_password(true)
        .interact()?;
    Ok(UserSettings {
        name,
        password: (!password.is_empty()).then_some(HiddenText(password)),
        ..UserSettings::default()
    })
}

/// A config that differs from a valid one only in its network, so that the partition's own limits judge the answer.
fn with_network(ssid: &str) -> model::Config {
    let mut config = model::Config::new("x");
    config.wifi = Some(model::Wifi::new(ssid));
    config
}

fn validated(config: &model::Config) -> Result<(), Invalid> {
    config.validate()
}

/// What is legal in a network name and yet usually a mistake.
pub(crate) fn remarks(ssid: &str) -> Vec<String> {
    let mut remarks = Vec::new();
    if ssid.trim() != ssid {
        remarks.push(format!("the network name begins or ends with a space: `{ssid}`"));
    }
    if ssid.contains(['\u{2018}', '\u{2019}', '\u{201c}', '\u{201d}']) {
        remarks.push(format!(
            "the network name has typographic quotes; is that how the router spells it: `{ssid}`"
        ));
    }
    if ssid.contains(|letter| ('\u{300}'..='\u{36f}').contains(&letter)) {
        remarks.push(format!(
            "the network name has accents as separate characters, which routers rarely use; its bytes: {}",
            crate::hex::to_hex(ssid.as_bytes(), " ")
        ));
    }
    remarks
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn likely_typing_errors_in_a_network_name_are_remarked_on() {
        assert!(remarks("home").is_empty());
        assert!(remarks("home ")[0].contains("space"));
        assert!(remarks("Anna\u{2019}s iPhone")[0].contains("typographic"));
        assert!(remarks("Cafe\u{301}")[0].contains("43 61 66 65 cc 81"));
    }

    #[test]
    fn answers_are_judged_by_the_limits_of_the_partition() {
        assert!(validated(&with_network("home")).is_ok());
        assert!(validated(&with_network("")).is_err());
        assert!(validated(&with_network(&"x".repeat(33))).is_err());
    }
}
