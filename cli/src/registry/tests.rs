use std::{
    cell::RefCell,
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr},
};

use espbroker_config::{model::Config, secret::Secret};

use super::{
    keyring::KeyringError,
    learn::{keep, note},
    locate::Network,
    *,
};
use crate::{
    check::Login,
    discover::{DiscoverError, Found},
    failure::Failure,
    screen::{Loudness, Screen},
};

const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0, 0, 1];
const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));

fn screen() -> Screen {
    Screen::new(Loudness::Quiet)
}

/// A registry in a folder of its own.
struct Fixture {
    folder: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().join("espbroker"), screen());
        Self { folder, store }
    }

    fn text(&self) -> String {
        fs::read_to_string(self.folder.path().join("espbroker/devices.json")).unwrap()
    }

    fn write(&self, text: &str) {
        fs::create_dir_all(self.folder.path().join("espbroker")).unwrap();
        fs::write(self.folder.path().join("espbroker/devices.json"), text).unwrap();
    }

    /// Learns of a device that runs.
    fn learn(&self, name: &str, mac: [u8; 6], keyring: Option<&dyn Keyring>) {
        let mut config = Config::new(name);
        config.admin_key = Some(Secret::new([7; 32]));
        let login = Login { user: "home".to_owned(), password: Secret::new("sesame".to_owned()) };
        let learnt = Learnt {
            mac,
            config: &config,
            version: Some("0.1.0"),
            port: Some("/dev/ttyUSB0"),
            login: Some(&login),
            seen: Some(Seen { address: Some(HOST), mqtt_port: Some(1883), websocket_port: None }),
        };
        keep(&self.store, &learnt, keyring, 1_700_000_000, screen()).unwrap();
    }

    fn only(&self) -> Entry {
        let [entry] = <[Entry; 1]>::try_from(self.store.devices().unwrap()).unwrap();
        entry
    }
}

/// A keyring in memory, which can be locked.
#[derive(Default)]
struct Memory {
    secrets: RefCell<BTreeMap<String, String>>,
    locked: bool,
}

impl Memory {
    fn answer(&self) -> Result<(), KeyringError> {
        if self.locked { Err(KeyringError::Failed("locked".to_owned())) } else { Ok(()) }
    }
}

impl Keyring for Memory {
    fn save(&self, mac: &str, secret: &Secret<String>) -> Result<(), KeyringError> {
        self.answer()?;
        self.secrets.borrow_mut().insert(mac.to_owned(), secret.expose().clone());
        Ok(())
    }

    fn load(&self, mac: &str) -> Result<Option<Secret<String>>, KeyringError> {
        self.answer()?;
        Ok(self.secrets.borrow().get(mac).cloned().map(Secret::new))
    }

    fn remove(&self, mac: &str) -> Result<(), KeyringError> {
        self.answer()?;
        self.secrets.borrow_mut().remove(mac);
        Ok(())
    }

    fn named(&self, name: &str) -> Result<Option<Secret<String>>, KeyringError> {
        self.load(name)
    }
}

// ---- the file ----

#[test]
fn nothing_is_made_before_there_is_something_to_keep() {
    let fixture = Fixture::new();
    assert!(fixture.store.devices().unwrap().is_empty());
    assert!(!fixture.folder.path().join("espbroker").exists());
}

#[cfg(unix)]
#[test]
fn file_lock_and_folder_are_private_also_when_they_were_not() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::new();
    fixture.learn("hall", MAC, None);
    let folder = fixture.folder.path().join("espbroker");
    let file = folder.join("devices.json");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    fixture.learn("attic", MAC, None);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&file), mode(&folder.join("devices.lock")), mode(&folder)), (0o600, 0o600, 0o700));
    assert_eq!(fs::read_dir(folder).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn a_damaged_file_is_moved_aside_each_time_and_never_overwritten() {
    let fixture = Fixture::new();
    let damaged = ["", "{\"format\": 1, \"devi", "[]", "{\"format\": 1, \"devices\": [{\"mac\": 5}]}"];
    for text in damaged {
        fixture.write(text);
        assert!(fixture.store.devices().unwrap().is_empty());
        fixture.learn("hall", MAC, None);
        assert_eq!(fixture.only().name, "hall");
    }
    for (index, text) in damaged.iter().enumerate() {
        let aside = format!("espbroker/devices.json.damaged-{}", index + 1);
        assert_eq!(fs::read_to_string(fixture.folder.path().join(aside)).unwrap(), *text);
    }
}

#[test]
fn a_file_of_a_newer_format_is_left_alone() {
    let fixture = Fixture::new();
    let text = "{\"format\": 2, \"devices\": \"in another form\"}";
    fixture.write(text);
    let error = fixture.store.devices().unwrap_err();
    assert!(matches!(error, RegistryError::Newer { format: 2, .. }));
    let changed = fixture.store.update(|devices| {
        devices.clear();
        Ok::<_, RegistryError>(())
    });
    assert!(changed.is_err());
    assert_eq!(fixture.text(), text);
}

#[test]
fn what_a_newer_version_has_added_is_kept() {
    let fixture = Fixture::new();
    fixture.write(
        "{\"format\": 1, \"colour\": \"red\", \"devices\": [{\"mac\": \"5ccf7f000001\", \"name\": \"hall\", \"room\": 4}]}",
    );
    fixture.learn("hall", MAC, None);
    let value: serde_json::Value = serde_json::from_str(&fixture.text()).unwrap();
    assert_eq!((&value["colour"], &value["devices"][0]["room"]), (&"red".into(), &4.into()));
    assert_eq!(value["devices"][0]["last_seen"], 1_700_000_000);
}

#[test]
fn several_writers_at_once_lose_nothing() {
    let fixture = Fixture::new();
    std::thread::scope(|scope| {
        for last in 0..8 {
            let fixture = &fixture;
            scope.spawn(move || fixture.learn(&format!("hall-{last}"), [0, 0, 0, 0, 0, last], None));
        }
    });
    assert_eq!(fixture.store.devices().unwrap().len(), 8);
}

// ---- what is learnt ----

#[test]
fn a_device_is_known_by_its_mac_address_and_keeps_what_the_user_calls_it() {
    let fixture = Fixture::new();
    fixture.learn("hall", MAC, None);
    fixture
        .store
        .update(|devices| {
            devices[0].alias = Some("attic".to_owned());
            Ok::<_, RegistryError>(())
        })
        .unwrap();
    fixture.learn("cellar", MAC, None);
    let entry = fixture.only();
    assert_eq!(
        (entry.label(), entry.name.as_str(), entry.address_text().as_str()),
        ("attic", "cellar", "192.168.1.7:1883")
    );
    assert_eq!(
        (entry.mac_text().as_str(), entry.port.as_deref()),
        ("5c:cf:7f:00:00:01", Some("/dev/ttyUSB0"))
    );
}

#[test]
fn secrets_are_in_the_keyring_where_there_is_one_and_else_in_the_file() {
    let fixture = Fixture::new();
    let keyring = Memory::default();
    fixture.learn("hall", MAC, Some(&keyring));
    assert!(!fixture.text().contains("sesame") && !fixture.text().contains("0707"));
    let secrets = fixture.only().secrets(Some(&keyring)).unwrap();
    assert_eq!(secrets.password.unwrap().0, "sesame");
    assert_eq!(secrets.admin_key.unwrap().0, "07".repeat(32));
    assert!(matches!(fixture.only().secrets(None), Err(RegistryError::NoKeyring)));

    let other = Fixture::new();
    other.learn("hall", MAC, None);
    assert!(other.text().contains("sesame"));
    assert_eq!(other.only().secrets(None).unwrap().user.as_deref(), Some("home"));
    // A keyring that comes later takes them over, and the file no longer has them.
    other.learn("hall", MAC, Some(&keyring));
    assert!(other.only().in_keyring && !other.text().contains("sesame"));
}

#[test]
fn a_keyring_that_is_locked_loses_no_secret() {
    let fixture = Fixture::new();
    fixture.learn("hall", MAC, Some(&Memory { locked: true, ..Memory::default() }));
    assert!(!fixture.only().in_keyring);
    assert_eq!(fixture.only().secrets(None).unwrap().password.unwrap().0, "sesame");
}

#[test]
fn a_password_that_is_known_survives_a_change_that_says_nothing_of_it() {
    let fixture = Fixture::new();
    fixture.learn("hall", MAC, None);
    let mut config = Config::new("hall");
    config.admin_key = Some(Secret::new([9; 32]));
    let learnt = Learnt { mac: MAC, config: &config, version: None, port: None, login: None, seen: None };
    keep(&fixture.store, &learnt, None, 1, screen()).unwrap();
    let secrets = fixture.only().secrets(None).unwrap();
    assert_eq!(secrets.password.unwrap().0, "sesame");
    assert_eq!(secrets.admin_key.unwrap().0, "09".repeat(32));
    assert_eq!(fixture.only().last_seen, 1_700_000_000, "nobody saw it");
}

#[test]
fn no_debug_print_shows_a_secret() {
    let fixture = Fixture::new();
    fixture.learn("hall", MAC, None);
    let text = format!("{:?}", fixture.only());
    assert!(!text.contains("sesame") && !text.contains("0707"));
}

// ---- names ----

fn found(name: &str, mac: Option<[u8; 6]>, host: IpAddr) -> Found {
    Found {
        name: name.to_owned(),
        host,
        mqtt_port: Some(1883),
        websocket_port: None,
        mac,
        firmware: Some("0.2.0".to_owned()),
        role: None,
        profile: None,
    }
}

/// A network with these devices; counts how often everybody was asked.
struct Simulated {
    devices: Vec<Found>,
    searches: RefCell<u32>,
}

impl Simulated {
    fn new(devices: Vec<Found>) -> Self {
        Self { devices, searches: RefCell::default() }
    }
}

impl Network for Simulated {
    fn ask(&self, host: IpAddr) -> Result<Vec<Found>, DiscoverError> {
        Ok(self.devices.iter().filter(|found| found.host == host).cloned().collect())
    }

    fn search(&self, _: &dyn Fn(&Found) -> bool) -> Result<Vec<Found>, DiscoverError> {
        *self.searches.borrow_mut() += 1;
        Ok(self.devices.clone())
    }
}

fn sentence(error: &Failure) -> String {
    error.sentence()
}

const OTHER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const MOVED: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 99));

#[test]
fn a_known_device_is_asked_where_it_was_and_looked_for_when_it_is_not_there() {
    let fixture = Fixture::new();
    fixture.learn("hall", MAC, None);
    let devices = fixture.store.devices().unwrap();
    let there = Simulated::new(vec![found("hall", Some(MAC), HOST)]);
    for name in ["hall", "HALL", "hall.local", "5c:cf:7f:00:00:01", "5C-CF-7F-00-00-01", "5ccf7f000001"] {
        assert_eq!(locate::<Failure>(name, &devices, &there).unwrap().host, HOST, "{name}");
    }
    assert_eq!(*there.searches.borrow(), 0);

    // Somebody else has its address now, and even its name.
    let moved = Simulated::new(vec![found("hall", Some(OTHER), HOST), found("hall", Some(MAC), MOVED)]);
    assert_eq!(locate::<Failure>("hall", &devices, &moved).unwrap().host, MOVED);

    let gone = Simulated::new(vec![found("hall", Some(OTHER), HOST)]);
    let error = locate::<Failure>("hall", &devices, &gone).unwrap_err();
    assert_eq!(sentence(&error), "`hall` does not answer; it was last seen at 192.168.1.7:1883");
}

#[test]
fn a_device_that_is_not_known_is_looked_for_by_name_and_two_of_a_name_are_told_apart() {
    let network = Simulated::new(vec![
        found("hall", Some(MAC), HOST),
        found("hall", Some(OTHER), MOVED),
        found("attic", None, MOVED),
    ]);
    assert_eq!(locate::<Failure>("attic.local", &[], &network).unwrap().host, MOVED);
    assert_eq!(locate::<Failure>("02:00:00:00:00:02", &[], &network).unwrap().host, MOVED);
    assert_eq!(locate::<Failure>("192.168.1.7", &[], &network).unwrap().mac, Some(MAC));
    let error = |name: &str| sentence(&locate::<Failure>(name, &[], &network).unwrap_err());
    assert_eq!(error("hall"), "several devices are called `hall`: 5c:cf:7f:00:00:01, 02:00:00:00:00:02");
    assert_eq!(error("cellar"), "no device called `cellar` answers");
    assert_eq!(error("192.168.1.8"), "no device called `192.168.1.8` answers");
}

#[test]
fn what_the_user_calls_a_device_wins_over_what_another_one_is_configured_as() {
    let entry = |mac: &str, name: &str, alias: Option<&str>| Entry {
        mac: mac.to_owned(),
        name: name.to_owned(),
        alias: alias.map(str::to_owned),
        ..Entry::default()
    };
    let devices = [entry("5ccf7f000001", "hall", None), entry("020000000002", "attic", Some("hall"))];
    assert_eq!(only_called(&devices, "hall").unwrap().mac, "020000000002");
    let same = [entry("5ccf7f000001", "hall", None), entry("020000000002", "hall", None)];
    let error = only_called(&same, "hall").unwrap_err().to_string();
    assert_eq!(error, "several devices are known as `hall`: 5c:cf:7f:00:00:01, 02:00:00:00:00:02");
}

#[test]
fn where_a_known_device_was_found_is_noted_and_a_stranger_is_not() {
    let fixture = Fixture::new();
    fixture.learn("hall", MAC, None);
    let list = [found("hall", Some(MAC), MOVED), found("attic", Some(OTHER), HOST), found("x", None, HOST)];
    note(&fixture.store, &list, 1_800_000_000).unwrap();
    let entry = fixture.only();
    assert_eq!(
        (entry.address, entry.last_seen, entry.version.as_deref()),
        (Some(MOVED), 1_800_000_000, Some("0.2.0"))
    );
}

#[test]
fn times_are_dates() {
    for (seconds, text) in [
        (0, "1970-01-01 00:00 UTC"),
        (951_827_696, "2000-02-29 12:34 UTC"),
        (1_709_251_199, "2024-02-29 23:59 UTC"),
        (1_735_689_600, "2025-01-01 00:00 UTC"),
        (4_107_542_400, "2100-03-01 00:00 UTC"),
    ] {
        assert_eq!(time_text(seconds), text);
    }
}
