//! Answers: what the user wants, gathered from flags, settings file, questions and defaults, in that order of rank.
//!
//! `gather` settles everything before a port is opened. The first user's password is kept beside the settings,
//! because the connection test logs in with it and the config holds only its hash.

use std::path::Path;

use espbroker_config::{model, secret::Secret};

use crate::{
    arguments::AnswerArguments,
    check::Login,
    credentials,
    screen::Screen,
    settings::{
        BrokerSettings, HiddenText, Settings, SettingsError, UserSettings, WifiSettings, apply,
        read_secret_file, warn_if_exposed,
    },
    wizard::{self, WizardError},
};

/// The network of a simulation in which nothing was chosen.
pub(crate) const DEMO_NETWORK: &str = "espbroker demo";

/// Everything that was wanted.
#[derive(Clone, Debug)]
pub(crate) struct Answers {
    /// Settings with the password of `login` inline.
    pub(crate) settings: Settings,
    /// A user whose password is known; `None` when only hashes were given.
    pub(crate) login: Option<Login>,
    /// The password was generated and has to be told to the user.
    pub(crate) generated: bool,
    /// Questions were asked, so the plan is confirmed too.
    pub(crate) asked: bool,
}

/// How missing answers are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// By asking.
    Ask,
    /// By a demo network and demo names, since the device is simulated.
    Demo,
    /// Not at all.
    Refuse,
}

/// Why there are no answers.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AnswersError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Wizard(#[from] WizardError),
    /// Something must be told and nobody can be asked.
    #[error("not told: {what}")]
    NotTold { what: &'static str },
}

impl AnswerArguments {
    /// Whether anything was said about the network: file or flag.
    pub(crate) fn names_a_network(&self) -> bool {
        self.settings.is_some() || self.ssid.is_some()
    }
}

/// Gathers all answers.
///
/// # Errors
///
/// When something is missing and cannot be asked for, or cannot be used.
pub(crate) fn gather(
    given: &AnswerArguments,
    missing: Missing,
    screen: Screen,
) -> Result<Answers, AnswersError> {
    let mut settings = match &given.settings {
        Some(path) => read_settings(path, screen)?,
        None => Settings::default(),
    };
    merge(given, &mut settings)?;
    let mut asked = false;
    match missing {
        Missing::Ask => asked = wizard::complete(&mut settings, screen)?,
        Missing::Demo => complete_demo(&mut settings)?,
        Missing::Refuse => {
            if settings.wifi.is_none() {
                return Err(AnswersError::NotTold { what: "the Wi-Fi network" });
            }
        }
    }
    settings.name.get_or_insert_with(|| "espbroker".to_owned());
    let (login, generated) = settle_login(&mut settings)?;
    Ok(Answers { settings, login, generated, asked })
}

/// Takes settings as they are for all answers.
///
/// # Errors
///
/// When the network is missing, or a file with a password.
pub(crate) fn of(mut settings: Settings) -> Result<Answers, AnswersError> {
    if settings.wifi.is_none() {
        return Err(AnswersError::NotTold { what: "the Wi-Fi network" });
    }
    let (login, generated) = settle_login(&mut settings)?;
    Ok(Answers { settings, login, generated, asked: false })
}

impl Answers {
    /// The config that these answers make of `base` (defaults, or what the device has).
    ///
    /// # Errors
    ///
    /// The first value that cannot be used.
    pub(crate) fn config(&self, base: &model::Config) -> Result<model::Config, SettingsError> {
        let mut config = base.clone();
        apply(&self.settings, &mut config)?;
        if config.admin_key.is_none() {
            config.admin_key = Some(Secret::new(credentials::random()?));
        }
        Ok(config)
    }
}

/// Reads a settings file and warns when others could read its secrets.
///
/// # Errors
///
/// When it cannot be read or understood.
pub(crate) fn read_settings(path: &Path, screen: Screen) -> Result<Settings, SettingsError> {
    let settings = Settings::read(path)?;
    if settings.holds_secrets()
        && let Some(warning) = warn_if_exposed(path)
    {
        screen.warning(warning);
    }
    Ok(settings)
}

fn merge(given: &AnswerArguments, settings: &mut Settings) -> Result<(), SettingsError> {
    if let Some(name) = &given.name {
        settings.name = Some(name.clone());
    }
    if let Some(profile) = &given.profile {
        settings.profile = Some(profile.clone());
    }
    if let Some(ssid) = &given.ssid {
        // Another network on the command line does not inherit the file's passphrase.
        let same = settings.wifi.as_ref().is_some_and(|wifi| wifi.ssid.as_ref() == Some(ssid));
        if !same {
            settings.wifi = Some(WifiSettings { ssid: Some(ssid.clone()), ..WifiSettings::default() });
        }
    }
    if let Some(wifi) = &mut settings.wifi {
        if let Some(path) = &given.wifi_passphrase_file {
            wifi.passphrase_file = None;
            wifi.passphrase = Some(HiddenText(read_secret_file("Wi-Fi passphrase", path)?.expose().clone()));
        } else if given.open_network {
            wifi.passphrase_file = None;
            wifi.passphrase = None;
            wifi.open = true;
        }
        if given.hidden {
            wifi.hidden = Some(true);
        }
    }
    if let Some(port) = given.mqtt_port {
        settings.broker.get_or_insert_default().mqtt_port = Some(port);
    }
    if let Some(name) = &given.user {
        let password = given
            .password_file
            .as_deref()
            .map(|path| read_secret_file("password", path))
            .transpose()?
            .map(|password| HiddenText(password.expose().clone()));
        let users = settings.broker.get_or_insert_default().users.get_or_insert_default();
        // A flag says who the user is; what they may do stays as the file has it.
        let known = users.iter().find(|known| known.name == *name);
        let permissions = known.map(|known| known.permissions.clone()).unwrap_or_default();
        users.retain(|known| known.name != *name);
        users
            .insert(0, UserSettings { name: name.clone(), password, permissions, ..UserSettings::default() });
    }
    Ok(())
}

fn complete_demo(settings: &mut Settings) -> Result<(), SettingsError> {
    if settings.wifi.is_none() {
        settings.wifi = Some(WifiSettings {
            ssid: Some(DEMO_NETWORK.to_owned()),
            passphrase: Some(HiddenText(credentials::generate()?.expose().clone())),
            ..WifiSettings::default()
        });
    }
    settings.name.get_or_insert_with(|| "demo".to_owned());
    settings.profile.get_or_insert_with(|| "nodemcu".to_owned());
    Ok(())
}

/// Finds the user whose password was generated, else the first whose password is known, and makes sure that there is a
/// user at all. A generated password is known to nobody else, so it is the one that has to be saved.
fn settle_login(settings: &mut Settings) -> Result<(Option<Login>, bool), SettingsError> {
    let folder = settings.folder().to_owned();
    let device = settings.name.clone();
    let broker: &mut BrokerSettings = settings.broker.get_or_insert_default();
    let users = broker.users.get_or_insert_default();
    if users.is_empty() {
        let name = if device.as_deref() == Some("demo") { "demo" } else { "home" };
        users.push(UserSettings { name: name.to_owned(), ..UserSettings::default() });
    }
    let mut generated = None;
    for user in users.iter_mut() {
        if let Some(path) = user.password_file.take() {
            let password = read_secret_file("password", &folder.join(path))?;
            user.password = Some(HiddenText(password.expose().clone()));
        }
        let nothing = user.password.is_none() && user.password_hash.is_none();
        if nothing && generated.is_none() {
            user.password = Some(HiddenText(credentials::generate()?.expose().clone()));
            generated = Some(user.name.clone());
        }
    }
    let wanted = |user: &&UserSettings| generated.as_ref().is_none_or(|name| user.name == *name);
    let login = users.iter().filter(wanted).find_map(|user| {
        let password = user.password.as_ref().filter(|password| !password.is_masked())?;
        Some(Login { user: user.name.clone(), password: Secret::new(password.0.clone()) })
    });
    Ok((login, generated.is_some()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::screen::Loudness;

    fn quiet() -> Screen {
        Screen::new(Loudness::Quiet)
    }

    fn arguments(ssid: Option<&str>) -> AnswerArguments {
        AnswerArguments { ssid: ssid.map(str::to_owned), ..AnswerArguments::default() }
    }

    #[test]
    fn the_password_that_was_generated_is_the_one_to_save() {
        let user = |name: &str, password: Option<&str>| UserSettings {
            name: name.to_owned(),
            password: password.map(|password| HiddenText(password.to_owned())),
            ..UserSettings::default()
        };
        let mut settings = Settings::default();
        settings.broker.get_or_insert_default().users =
            Some(vec![user("known", Some("secret")), user("new", None)]);
        let (login, generated) = settle_login(&mut settings).unwrap();
        assert_eq!((login.unwrap().user.as_str(), generated), ("new", true));
    }

    #[test]
    fn a_demo_needs_no_answer_and_has_a_login_that_matches_its_config() {
        let answers = gather(&arguments(None), Missing::Demo, quiet()).unwrap();
        assert!(answers.generated);
        let login = answers.login.clone().unwrap();
        let config = answers.config(&model::Config::new("x")).unwrap();
        assert_eq!(config.name, "demo");
        let user = config.broker.users.first().unwrap();
        assert_eq!(user.name, login.user);
        assert!(user.password.verify(login.password.expose().as_bytes()));
        assert!(config.admin_key.is_some());
    }

    #[test]
    fn without_a_terminal_a_missing_network_is_named() {
        let error = gather(&arguments(None), Missing::Refuse, quiet()).unwrap_err();
        assert_eq!(error.to_string(), "not told: the Wi-Fi network");
    }

    #[test]
    fn a_flag_for_another_network_does_not_inherit_the_files_passphrase() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "[wifi]\nssid = \"old\"\npassphrase = \"old-passphrase\"\n").unwrap();
        let given = AnswerArguments { settings: Some(path), ..arguments(Some("new")) };
        let answers = gather(&given, Missing::Refuse, quiet()).unwrap();
        let config = answers.config(&model::Config::new("x")).unwrap();
        let wifi = config.wifi.unwrap();
        assert_eq!((wifi.ssid.as_slice(), wifi.passphrase), (b"new".as_slice(), None));
    }

    #[test]
    fn a_flag_for_a_user_of_the_file_changes_the_password_and_not_the_permissions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        let permissions = "permissions = [{ pattern = \"house/%u/#\", access = \"read\" }]";
        let user = format!("[[broker.users]]\nname = \"ann\"\npassword = \"old\"\n{permissions}\n");
        std::fs::write(&path, format!("[wifi]\nssid = \"home\"\n{user}")).unwrap();
        let given = AnswerArguments { settings: Some(path), user: Some("ann".to_owned()), ..arguments(None) };
        let answers = gather(&given, Missing::Refuse, quiet()).unwrap();
        let config = answers.config(&model::Config::new("x")).unwrap();
        let [user] = config.broker.users.as_slice() else { panic!("one user") };
        assert!(answers.generated && !user.password.verify(b"old"));
        assert_eq!(user.permissions, [model::Permission::new("house/%u/#", model::Access::Read)]);
    }
}
