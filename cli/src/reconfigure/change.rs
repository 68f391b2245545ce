//! What is to be changed: a settings file and flags, put onto the config that a device has.

use espbroker_config::{model::Config, secret::Secret};

use crate::{
    answers::read_settings,
    arguments::ChangeArguments,
    check::Login,
    screen::Screen,
    settings::{
        BridgeSettings, HiddenText, Settings, SettingsError, UserSettings, WifiSettings, apply,
        read_secret_file, render,
    },
};

/// Name of a bridge that has none yet.
const BRIDGE: &str = "bridge";

/// Why a change cannot be made of what was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("nothing to change was named")]
    Nothing,
    #[error("{field} would be the same on all devices")]
    SameOnAll { field: &'static str },
    #[error("the device has several bridges: {}", names.join(", "))]
    SeveralBridges { names: Vec<String> },
    #[error("a new bridge needs a host")]
    NoBridgeHost,
}

/// What is to be changed, read from its files.
pub(crate) struct Change {
    settings: Settings,
    user: Option<UserSettings>,
    bridge: Option<BridgeFlags>,
}

/// What the flags say of one bridge.
struct BridgeFlags {
    name: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    user: Option<String>,
    password: Option<HiddenText>,
}

impl Change {
    /// Reads all files that are named, each once; `all` says that the change is for more than one device.
    ///
    /// # Errors
    ///
    /// When one cannot be read, or nothing was named.
    pub(crate) fn read(given: &ChangeArguments, all: bool, screen: Screen) -> Result<Self, ChangeError> {
        let mut settings = match &given.settings {
            Some(path) => read_settings(path, screen)?,
            None => Settings::default(),
        };
        read_passwords(&mut settings)?;
        let hidden = |what, path: &Option<_>| {
            let read = path.as_deref().map(|path| read_secret_file(what, path)).transpose()?;
            Ok::<_, SettingsError>(read.map(|secret| HiddenText(secret.expose().clone())))
        };
        let names_wifi = given.ssid.is_some()
            || given.wifi_passphrase_file.is_some()
            || given.open_network
            || given.hidden;
        if names_wifi {
            let wifi = settings.wifi.get_or_insert_default();
            if let Some(ssid) = &given.ssid {
                // Another network on the command line does not inherit the file's passphrase.
                if wifi.ssid.as_ref() != Some(ssid) {
                    *wifi = WifiSettings::default();
                }
                wifi.ssid = Some(ssid.clone());
            }
            if let Some(passphrase) = hidden("Wi-Fi passphrase", &given.wifi_passphrase_file)? {
                wifi.passphrase_file = None;
                wifi.passphrase = Some(passphrase);
            }
            if given.open_network {
                wifi.passphrase_file = None;
                wifi.passphrase = None;
                wifi.open = true;
            }
            if given.hidden {
                wifi.hidden = Some(true);
            }
        }
        if given.name.is_some() {
            settings.name.clone_from(&given.name);
        }
        if given.mqtt_port.is_some() {
            settings.broker.get_or_insert_default().mqtt_port = given.mqtt_port;
        }
        let password = hidden("password", &given.password_file)?;
        let user = given.user.as_ref().map(|name| UserSettings {
            name: name.clone(),
            password,
            ..UserSettings::default()
        });
        let flags = BridgeFlags {
            name: given.bridge.clone(),
            host: given.bridge_host.clone(),
            port: given.bridge_port,
            user: given.bridge_user.clone(),
            password: hidden("password of the bridge", &given.bridge_password_file)?,
        };
        let bridge = flags.says_something().then_some(flags);
        let change = Self { settings, user, bridge };
        if given.settings.is_none() && !change.says_something() {
            return Err(ChangeError::Nothing);
        }
        if all {
            change.fits_all()?;
        }
        Ok(change)
    }

    fn says_something(&self) -> bool {
        let Settings { name, wifi, broker, .. } = &self.settings;
        name.is_some() || wifi.is_some() || broker.is_some() || self.user.is_some() || self.bridge.is_some()
    }

    /// Two devices of one name, or with one address, are in each other's way.
    fn fits_all(&self) -> Result<(), ChangeError> {
        let fixed = self.settings.wifi.as_ref().is_some_and(|wifi| wifi.ipv4.is_some());
        match (&self.settings.name, fixed) {
            (Some(_), _) => Err(ChangeError::SameOnAll { field: "name" }),
            (None, true) => Err(ChangeError::SameOnAll { field: "wifi.ipv4" }),
            (None, false) => Ok(()),
        }
    }

    /// The config that becomes of `before`.
    ///
    /// # Errors
    ///
    /// The first value that cannot be used.
    pub(crate) fn of(&self, before: &Config) -> Result<Config, ChangeError> {
        let mut settings = self.settings.clone();
        // What the device has, every secret masked, which means that it stays.
        let known = render(before);
        if let Some(given) = &self.user {
            let broker = settings.broker.get_or_insert_default();
            let known = known.broker.and_then(|broker| broker.users);
            let users = broker.users.get_or_insert(known.unwrap_or_default());
            match users.iter_mut().find(|user| user.name == given.name) {
                Some(user) => {
                    user.password.clone_from(&given.password);
                    (user.password_file, user.password_hash) = (None, None);
                }
                None => users.push(given.clone()),
            }
        }
        if let Some(given) = &self.bridge {
            given.put(settings.bridges.get_or_insert(known.bridges.unwrap_or_default()))?;
        }
        let mut config = before.clone();
        apply(&settings, &mut config)?;
        Ok(config)
    }

    /// Somebody who can log in to a device with `config`: a user whose password was told now, or `known` from before.
    pub(crate) fn login(&self, config: &Config, known: Option<Login>) -> Option<Login> {
        let users = self.settings.broker.iter().flat_map(|broker| broker.users.iter().flatten());
        let told = users.chain(&self.user).filter_map(|user| {
            let password = user.password.as_ref().filter(|password| !password.is_masked())?;
            Some(Login { user: user.name.clone(), password: Secret::new(password.0.clone()) })
        });
        told.chain(known).find(|login| fits(login, config))
    }
}

/// Whether a device with `config` lets this user in.
pub(crate) fn fits(login: &Login, config: &Config) -> bool {
    let user = config.broker.users.iter().find(|user| user.name == login.user);
    user.is_some_and(|user| user.password.verify(login.password.expose().as_bytes()))
}

/// Reads the files that users' passwords are in: the connection test needs them, and standard input can be read once.
fn read_passwords(settings: &mut Settings) -> Result<(), SettingsError> {
    let folder = settings.folder().to_owned();
    let users = settings.broker.iter_mut().flat_map(|broker| broker.users.iter_mut().flatten());
    for user in users.filter(|user| user.password.is_none()) {
        if let Some(path) = user.password_file.take() {
            let password = read_secret_file("password", &folder.join(path))?;
            user.password = Some(HiddenText(password.expose().clone()));
        }
    }
    Ok(())
}

impl BridgeFlags {
    fn says_something(&self) -> bool {
        self.host.is_some() || self.port.is_some() || self.user.is_some() || self.password.is_some()
    }

    fn put(&self, bridges: &mut Vec<BridgeSettings>) -> Result<(), ChangeError> {
        let chosen = match (&self.name, bridges.as_mut_slice()) {
            (Some(name), several) => several.iter_mut().find(|bridge| bridge.name == *name),
            (None, []) => None,
            (None, [only]) => Some(only),
            (None, several) => {
                let names = several.iter().map(|bridge| bridge.name.clone()).collect();
                return Err(ChangeError::SeveralBridges { names });
            }
        };
        let bridge = match chosen {
            Some(bridge) => bridge,
            None => {
                let host = self.host.clone().ok_or(ChangeError::NoBridgeHost)?;
                let name = self.name.as_deref().unwrap_or(BRIDGE);
                bridges.push(BridgeSettings::new(name, &host));
                // One was just pushed.
                let Some(bridge) = bridges.last_mut() else { return Err(ChangeError::NoBridgeHost) };
                bridge
            }
        };
        if let Some(host) = &self.host {
            bridge.host.clone_from(host);
        }
        bridge.port = self.port.or(bridge.port);
        if self.user.is_some() {
            bridge.user.clone_from(&self.user);
        }
        if self.password.is_some() {
            bridge.password_file = None;
            bridge.password.clone_from(&self.password);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use espbroker_config::model::{Access, Bridge, BridgeTopic, Direction, Permission, User};

    use super::*;
    use crate::{credentials, screen::Loudness};

    fn device() -> Config {
        let mut config = Config::new("hall");
        let password = |text: &str| credentials::hash(&Secret::new(text.to_owned())).unwrap();
        let permissions = vec![Permission::new("a/#", Access::Read)];
        config.broker.users = vec![
            User { permissions, ..User::new("ann", password("anns")) },
            User::new("bob", password("bobs")),
        ];
        config.bridges = vec![Bridge {
            user: Some("me".to_owned()),
            password: Some(Secret::new("sesame".to_owned())),
            topics: vec![BridgeTopic::new("x/#", Direction::Out)],
            ..Bridge::new("cloud", "old.example.org")
        }];
        config
    }

    fn change(given: &ChangeArguments) -> Result<Change, ChangeError> {
        Change::read(given, false, Screen::new(Loudness::Quiet))
    }

    fn file(folder: &tempfile::TempDir, text: &str) -> Option<std::path::PathBuf> {
        let path = folder.path().join("file");
        std::fs::write(&path, text).unwrap();
        Some(path)
    }

    #[test]
    fn a_flag_changes_one_field_of_the_only_bridge_and_keeps_its_password() {
        let before = device();
        let given = ChangeArguments { bridge_host: Some("new.example.org".to_owned()), ..Default::default() };
        let mut after = change(&given).unwrap().of(&before).unwrap();
        assert_eq!(after.bridges[0].host, "new.example.org");
        after.bridges[0].host.clone_from(&before.bridges[0].host);
        assert_eq!(after, before);
    }

    #[test]
    fn which_of_several_bridges_is_meant_must_be_told_and_a_new_one_needs_a_host() {
        let mut before = device();
        before.bridges.push(Bridge::new("attic", "attic"));
        let with = |name: Option<&str>, host: Option<&str>| {
            let (bridge, bridge_host) = (name.map(str::to_owned), host.map(str::to_owned));
            let given =
                ChangeArguments { bridge, bridge_host, bridge_port: Some(1884), ..Default::default() };
            change(&given).unwrap().of(&before)
        };
        assert!(matches!(with(None, None), Err(ChangeError::SeveralBridges { .. })));
        assert!(matches!(with(Some("third"), None), Err(ChangeError::NoBridgeHost)));
        assert_eq!(with(Some("attic"), None).unwrap().bridges[1].port, 1884);
        assert_eq!(
            with(Some("third"), Some("h")).unwrap().bridges[2],
            Bridge { port: 1884, ..Bridge::new("third", "h") }
        );
    }

    #[test]
    fn a_user_gets_a_new_password_keeps_permissions_and_can_be_logged_in_as() {
        let (before, folder) = (device(), tempfile::tempdir().unwrap());
        let given = |password: &str| ChangeArguments {
            user: Some("ann".to_owned()),
            password_file: file(&folder, password),
            ..Default::default()
        };
        let new = change(&given("new\n")).unwrap();
        let after = new.of(&before).unwrap();
        assert!(after.broker.users[0].password.verify(b"new"));
        assert_eq!(after.broker.users[0].permissions, before.broker.users[0].permissions);
        assert_eq!(after.broker.users[1], before.broker.users[1]);
        assert_eq!(new.login(&after, None).unwrap().user, "ann");
        let bob = |password: &str| {
            Some(Login { user: "bob".to_owned(), password: Secret::new(password.to_owned()) })
        };
        let nothing = change(&ChangeArguments { mqtt_port: Some(2), ..Default::default() }).unwrap();
        assert_eq!(nothing.login(&after, bob("bobs")).unwrap().user, "bob");
        assert!(nothing.login(&after, bob("gone by now")).is_none());
        // The same password again is no change, whatever salt it would get.
        assert_eq!(change(&given("anns")).unwrap().of(&before).unwrap(), before);
    }

    #[test]
    fn a_passphrase_alone_is_for_the_network_that_the_device_has() {
        let (mut before, folder) = (device(), tempfile::tempdir().unwrap());
        let given =
            ChangeArguments { wifi_passphrase_file: file(&folder, "sesame open"), ..Default::default() };
        assert!(change(&given).unwrap().of(&before).is_err(), "which network?");
        before.wifi = Some(espbroker_config::model::Wifi::new("home"));
        let wifi = change(&given).unwrap().of(&before).unwrap().wifi.unwrap();
        assert!(wifi.ssid == b"home" && wifi.passphrase.is_some());
    }

    #[test]
    fn nothing_is_refused_and_so_is_one_name_for_all() {
        assert!(matches!(change(&ChangeArguments::default()), Err(ChangeError::Nothing)));
        let folder = tempfile::tempdir().unwrap();
        for text in ["name = \"hall\"", "[wifi.ipv4]\naddress = \"10.0.0.9/8\"\ngateway = \"10.0.0.1\"\n"] {
            let given = ChangeArguments { settings: file(&folder, text), ..Default::default() };
            let error = Change::read(&given, true, Screen::new(Loudness::Quiet)).err().unwrap();
            assert!(error.to_string().ends_with("would be the same on all devices"), "{error}");
        }
    }
}
