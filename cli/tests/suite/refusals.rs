//! Settings and flags that cannot be used: what is wrong with them, and where.

use insta::assert_snapshot;

use crate::{common::Home, settings::more_than_the_flash_takes};

#[test]
fn settings_that_cannot_be_used_are_named_with_field_and_bound() {
    let home = Home::new();
    let cases = [
        ("an unknown field", "[wifi]\nsid = \"home\"\n"),
        ("a wrong type", "[broker]\nmqtt_port = \"1883\"\n"),
        ("a wrong word", "[access_point]\npolicy = \"sometimes\"\n"),
        ("no TOML", "[wifi\n"),
        ("out of the type's range", "[broker]\nmqtt_port = 70000\n"),
        ("out of range", "[wifi]\nssid = \"home\"\n[broker.limits]\nclients = 1000\n"),
        ("a long network name", "[wifi]\nssid = \"123456789012345678901234567890123\"\n"),
        ("a short passphrase", "[wifi]\nssid = \"home\"\npassphrase = \"sesame\"\n"),
        ("a passphrase that is a number", "[wifi]\nssid = \"home\"\npassphrase = 20071996\n"),
        ("a masked secret", "[wifi]\nssid = \"home\"\npassphrase = \"****\"\n"),
        (
            "a masked password",
            "[wifi]\nssid = \"home\"\n[[broker.users]]\nname = \"a\"\npassword = \"****\"\n",
        ),
        (
            "a secret twice",
            "[wifi]\nssid = \"home\"\npassphrase = \"sesame open\"\npassphrase_file = \"x\"\n",
        ),
        ("a missing secret file", "[wifi]\nssid = \"home\"\npassphrase_file = \"none.txt\"\n"),
        ("an unknown profile", "profile = \"toaster\"\n[wifi]\nssid = \"home\"\n"),
        (
            "a wrong address",
            "[wifi]\nssid = \"home\"\n[wifi.ipv4]\naddress = \"10.0.0.9\"\ngateway = \"10.0.0.1\"\n",
        ),
        (
            "a wrong hash",
            "[wifi]\nssid = \"home\"\n[[broker.users]]\nname = \"a\"\npassword_hash = \"$6$x\"\n",
        ),
        (
            "a wrong bridge",
            "[wifi]\nssid = \"home\"\n[[bridges]]\nname = \"b\"\nhost = \"h\"\n[[bridges.topics]]\npattern = \"a/#\"\nqos = 3\n",
        ),
        (
            "an unknown field of a permission",
            "[[broker.users]]\nname = \"a\"\npermissions = [{ pattern = \"#\", acces = \"read\" }]\n",
        ),
        ("an unknown access", "[broker]\nanonymous_permissions = [{ pattern = \"#\", access = \"rw\" }]\n"),
        ("a permission for nothing", "[broker]\nanonymous_permissions = [{ pattern = \"#\" }]\n"),
        (
            "a wrong pattern",
            "[wifi]\nssid = \"home\"\n[[broker.users]]\nname = \"a\"\npassword = \"b\"\npermissions = [{ pattern = \"#\", access = \"read\" }, { pattern = \"%u#\", access = \"deny\" }]\n",
        ),
        (
            "a topic that is reserved",
            "[wifi]\nssid = \"home\"\n[[bridges]]\nname = \"b\"\nhost = \"h\"\nnotification_topic = \"$x\"\n",
        ),
        (
            "a first wait that is longer than the longest",
            "[wifi]\nssid = \"home\"\n[[bridges]]\nname = \"b\"\nhost = \"h\"\nrestart_base = 60\n",
        ),
        ("more than the flash takes", &more_than_the_flash_takes()),
    ];
    let mut text = String::new();
    for (name, toml) in cases {
        let settings = home.write("settings.toml", toml);
        let run = home.run(&["setup", "--port", "/dev/none", "--settings", &settings]);
        text.push_str(&format!("---- {name}\n{}\n", run.verdict()));
    }
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!("settings", text);
}

#[test]
fn flags_that_cannot_be_used_are_named() {
    let home = Home::new();
    let setup = |arguments: &[&str]| home.run(&[["setup", "-q"].as_slice(), arguments].concat());
    let mut text = String::new();
    for run in [
        setup(&["--simulate", "--fault", "gremlins"]),
        setup(&["--simulate", "--mac", "5c:cf"]),
        setup(&["--simulate", "--network", "home=none.txt"]),
        setup(&["--simulate", "--stub", "none.json"]),
        setup(&["--simulate", "--stub", &home.write("stub.json", "{}")]),
        setup(&["--simulate", "--flash", "no/such/folder/flash.bin"]),
        setup(&["--settings", "none.toml"]),
        home.run(&["backup", "-q", "--region", "attic", "x.bin"]),
        home.run(&["erase", "-q", "--region", "attic"]),
    ] {
        text.push_str(&format!("{}\n----\n", run.verdict()));
    }
    let _guard = home.settled().bind_to_scope();
    assert_snapshot!("flags", text);
}
