use proptest::prelude::*;

use super::*;

const WIFI: &str = "[template.wifi]\nssid = \"site\"\npassphrase = \"long enough\"\n";

fn toml_fleet(text: &str) -> Result<Fleet, FleetError> {
    Fleet::parse(Path::new("fleet.toml"), text.as_bytes(), &mut Table::new())
}

fn csv_fleet(text: &str) -> Result<Fleet, FleetError> {
    let mut common: Table =
        toml::from_str("wifi = { ssid = \"site\", passphrase = \"long enough\" }").unwrap();
    Fleet::parse(Path::new("FLEET.CSV"), text.as_bytes(), &mut common)
}

/// The error and its causes.
fn refusal(fleet: Result<Fleet, FleetError>) -> String {
    let checked = fleet.and_then(|fleet| fleet.check().map(|_| fleet));
    let error = checked.err().unwrap();
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{error}{cause}")
}

#[test]
fn rows_take_the_template_and_say_what_is_theirs() {
    let fleet = toml_fleet(&format!(
        "{WIFI}[[template.bridges]]\nname = \"cloud\"\nhost = \"example.org\"\nclient_id = \"{{name}}-{{mac:4}}\"\n\
         [[device]]\nmac = \"5C-CF-7F-01-02-03\"\nname = \"hall\"\n\
         [[device]]\nlocation = \"1-2.3\"\nbridges = [{{ name = \"cloud\", user = \"u{{row:2}}\", password = \"p{{\" }}]\n\
         [[device]]\ncount = 2\n"
    ))
    .unwrap();
    assert_eq!(fleet.check().unwrap(), Vec::<&str>::new());
    assert!(fleet.holds_secrets);
    let identities: Vec<&str> = fleet.rows.iter().map(|row| row.identity.as_str()).collect();
    assert_eq!(identities, ["mac 5c:cf:7f:01:02:03", "at 1-2.3", "next 1", "next 2"]);
    let names: Vec<String> = fleet.rows.iter().map(|row| row.name(None)).collect();
    assert_eq!(names, ["hall", "plug-{mac:6}", "plug-{mac:6}", "plug-{mac:6}"]);

    let mac = [0x5C, 0xCF, 0x7F, 0x0A, 0x0B, 0x0C];
    let config = fleet.rows[1].answers(mac).unwrap().config(&model::Config::new("x")).unwrap();
    assert_eq!(
        (config.name.as_str(), fleet.rows[1].name(Some(mac)).as_str()),
        ("plug-0a0b0c", "plug-0a0b0c")
    );
    let bridge = &config.bridges[0];
    assert_eq!(
        (bridge.client_id.as_deref(), bridge.user.as_deref()),
        (Some("plug-0a0b0c-0b0c"), Some("u02"))
    );
    assert_eq!(bridge.password.as_ref().map(|password| password.expose().as_str()), Some("p{"));
    assert_eq!(config.wifi.unwrap().ssid, b"site");
}

#[test]
fn each_device_gets_a_password_of_its_own() {
    let fleet = toml_fleet(&format!("{WIFI}[[device]]\ncount = 2\n")).unwrap();
    let password = |row: usize| {
        let answers = fleet.rows[row].answers([u8::from(row > 0); 6]).unwrap();
        assert!(answers.generated);
        answers.login.unwrap().password
    };
    assert_ne!(password(0), password(1));
}

#[test]
fn a_digest_follows_the_settings_and_no_secret() {
    let digest = |text: &str| toml_fleet(&format!("{text}[[device]]\n")).unwrap().rows[0].digest.clone();
    assert_eq!(digest(WIFI), digest(&WIFI.replace("long enough", "something else")));
    assert_ne!(digest(WIFI), digest(&WIFI.replace("site", "home")));
}

#[test]
fn rows_for_the_same_device_are_refused() {
    let mac = "[[device]]\nmac = \"5c:cf:7f:01:02:03\"\n";
    assert_eq!(
        refusal(toml_fleet(&format!("{WIFI}{mac}[[device]]\n{mac}"))),
        "rows 1 and 3 are for the same device: mac 5c:cf:7f:01:02:03"
    );
    let place = "[[device]]\nlocation = \"1-2\"\n";
    assert_eq!(
        refusal(toml_fleet(&format!("{WIFI}{place}{place}"))),
        "rows 1 and 2 are for the same device: at 1-2"
    );
    assert_eq!(
        refusal(csv_fleet("mac,name\n5c:cf:7f:01:02:03,hall\n5c:cf:7f:01:02:04,hall\n")),
        "rows 1 and 2 are for the same device: both are called `hall`"
    );
    assert_eq!(
        refusal(toml_fleet(&format!("{WIFI}[[device]]\nname = \"hall\"\ncount = 2\n"))),
        "rows 1 and 2 are for the same device: name hall"
    );
}

#[test]
fn what_cannot_be_used_is_found_without_a_device_and_named_by_row() {
    for (rows, expected) in [
        (
            "[[device]]\nmac = \"x\"\n",
            "row 1 cannot be used: mac must be six hex pairs such as \"5c:cf:7f:01:02:03\"",
        ),
        (
            "[[device]]\n[[device]]\ncount = 0\n",
            "row 2 cannot be used: count must be a whole number, 1 or more",
        ),
        (
            "[[device]]\nmac = \"5c:cf:7f:01:02:03\"\ncount = 2\n",
            "row 1 cannot be used: a row with mac is for one device: count must be 1",
        ),
        (
            "[[device]]\nname = \"{mca}\"\n",
            "row 1 cannot be used: name has a placeholder that is none: `{mca}`",
        ),
        ("[[device]]\nname = \"A b\"\n", "row 1 cannot be used: name"),
        ("[[device]]\ncolour = \"red\"\n", "row 1 cannot be used: unknown field `colour`"),
        ("[[device]]\nprofile = \"none\"\n", "row 1 cannot be used: profile must be one of"),
        ("[[device]]\nwifi.passphrase = \"short\"\n", "row 1 cannot be used: wifi.passphrase cannot be used"),
        (
            "[[device]]\nwifi.passphrase = \"file:none\"\n",
            "row 1 cannot be used: cannot read file of a cell: `none`",
        ),
        ("", "fleet has no rows: `fleet.toml`"),
        ("[[devices]]\n", "fleet file is not understood: `fleet.toml`: line 4, column "),
        ("[[device]]\ncount = 100001\n", "fleet has more than 100000 rows"),
    ] {
        let refusal = refusal(toml_fleet(&format!("{WIFI}{rows}")));
        assert!(refusal.starts_with(expected), "{rows} -> {refusal}");
    }
    assert_eq!(refusal(toml_fleet("[[device]]\n")), "row 1 cannot be used: not told: the Wi-Fi network");
    let other = Fleet::parse(Path::new("fleet.xls"), b"", &mut Table::new());
    assert_eq!(refusal(other), "fleet file is neither named .toml nor .csv: `fleet.xls`");
}

#[test]
fn a_secret_in_the_wrong_place_is_not_quoted() {
    for row in
        ["wifi.channel = \"20071996\"", "broker.mqtt_port = \"20071996\"", "wifi.passphrase = 20071996"]
    {
        let refusal = refusal(toml_fleet(&format!("{WIFI}[[device]]\n{row}\n")));
        assert!(!refusal.contains("20071996"), "{refusal}");
    }
}

#[test]
fn the_readmes_fleet_is_one() {
    let readme = include_str!("../../../../README.md");
    let (_, section) = readme.split_once("## Many devices").unwrap();
    let (example, _) = section.split_once("```toml\n").unwrap().1.split_once("```").unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("bridges")).unwrap();
    for file in ["wifi.txt", "bridges/hall.txt"] {
        std::fs::write(folder.path().join(file), "long enough\n").unwrap();
    }
    let path = folder.path().join("fleet.toml");
    let fleet = Fleet::parse(&path, example.as_bytes(), &mut Table::new()).unwrap();
    fleet.check().unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_a_fleet_or_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
        for name in ["fleet.toml", "fleet.csv"] {
            if let Ok(fleet) = Fleet::parse(Path::new(name), &bytes, &mut Table::new()) {
                let _ = fleet.check();
            }
        }
    }

    #[test]
    fn any_rows_are_a_fleet_or_are_refused(
        lines in prop::collection::vec(
            prop::sample::select(vec![
                "[[device]]", "[template]", "[template.wifi]", "ssid = \"a\"", "mac = \"5c:cf:7f:01:02:03\"",
                "location = \"1-1\"", "count = 3", "name = \"p{mac:2}\"", "name = \"x{row}\"", "open = true",
                "bridges = [{ name = \"a\", host = \"b\" }]", "bridges = [1]", "wifi = 3", "[device.wifi]",
            ]),
            0..12,
        ),
    ) {
        if let Ok(fleet) = toml_fleet(&lines.join("\n"))
            && fleet.check().is_ok()
        {
            let mut identities: Vec<&String> = fleet.rows.iter().map(|row| &row.identity).collect();
            identities.sort();
            identities.dedup();
            prop_assert_eq!(identities.len(), fleet.rows.len());
        }
    }
}
