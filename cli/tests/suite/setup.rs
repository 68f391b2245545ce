//! `setup` on a device that works: what it does, what it tells, and what it leaves alone.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener},
    process::Stdio,
    thread,
};

use espbroker_config::{
    model::{Access, Permission},
    slots::Slot,
};

use crate::{
    common::{Home, Run, SETUP, free_port, in_parallel, interrupt, mode},
    settings::{FULL, active},
};

#[test]
fn json_reports_every_fact_of_a_set_up() {
    let home = Home::new();
    let port = free_port();
    let run = home.run(&[&SETUP, ["--json", "--mqtt-port", &port.to_string()].as_slice()].concat());
    let report = run.json();
    assert_eq!(run.stdout.lines().count(), 1);
    assert_eq!((&report["version"], &report["simulated"]), (&1.into(), &true.into()));

    let device = &report["device"];
    assert_eq!(device["name"], "demo");
    assert_eq!(device["mac"], "5e:cf:7f:00:00:01");
    assert_eq!(device["port"], "simulated");
    assert_eq!(device["firmware"], env!("CARGO_PKG_VERSION"));
    assert_eq!(device["image_sha256"].as_str().unwrap().len(), 64);
    assert_eq!((&device["config_slot"], &device["config_sequence"]), (&"a".into(), &1.into()));
    assert!(device["heap_free"].as_u64().unwrap() > 0);

    let broker = &report["broker"];
    assert_eq!((&broker["host"], &broker["port"]), (&"127.0.0.1".into(), &port.into()));
    assert_eq!(broker["user"], "demo");
    assert_eq!(broker["password_file"], home.password("demo").to_str().unwrap());

    assert_eq!(
        report["checks"],
        serde_json::json!([
            "login, subscribe, publish and receive work",
            "a wrong password is refused",
            "a client without a password is refused",
        ])
    );
    assert!(report["round_trip_ms"].as_f64().unwrap() > 0.0);
    let steps: Vec<&str> =
        report["steps"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect();
    assert_eq!(steps, ["connect", "identify", "preflight", "flash", "configure", "boot", "join", "test"]);
    let sum: f64 =
        report["steps"].as_array().unwrap().iter().map(|step| step["seconds"].as_f64().unwrap()).sum();
    assert!((report["seconds"].as_f64().unwrap() - sum).abs() < 0.05);
    let fields: Vec<&String> = report.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "broker",
            "checks",
            "device",
            "executed",
            "round_trip_ms",
            "seconds",
            "simulated",
            "steps",
            "version"
        ]
    );
    assert_eq!(report["executed"], serde_json::json!({ "what": "host" }));
}

#[test]
fn a_simulated_device_executes_the_image_that_was_flashed() {
    let home = Home::new();
    let port = free_port().to_string();
    let run = home.run(&["setup", "--simulate", "--pace", "instant", "--mqtt-port", &port, "--json"]);
    let report = run.json();
    let executed = &report["executed"];
    assert_eq!(executed["what"], "lx106");
    // The digest of the image alone takes more.
    assert!(executed["instructions"].as_u64().unwrap() > 10_000_000, "{executed}");
    assert_eq!(report["checks"].as_array().unwrap().len(), 3);

    let run = home.run(&["setup", "--simulate", "--pace", "instant", "--mqtt-port", &port, "--yes"]);
    assert_eq!(run.code, 0, "{}", run.stderr);
    assert!(run.stderr.contains("  executed  the image itself: "), "{}", run.stderr);
}

#[test]
fn the_report_for_people_names_address_user_and_next_steps() {
    let home = Home::new();
    let run = home.setup(&[]);
    assert_eq!((run.code, run.stdout.as_str()), (0, ""));
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!("setup", run.stderr);
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let run = Home::new().setup(&["-q"]);
    assert_eq!((run.code, run.stdout.as_str(), run.stderr.as_str()), (0, "", ""));
}

#[test]
fn a_generated_password_is_in_a_private_file_and_in_no_output() {
    let home = Home::new();
    for flags in [["-vv", "--yes"], ["--json", "--yes"]] {
        let run = home.setup(&flags);
        let path = home.password("demo");
        let password = fs::read_to_string(&path).unwrap();
        assert_eq!((run.code, mode(&path)), (0, 0o600));
        assert_eq!(password.trim_end().len(), 20);
        assert!(!run.stdout.contains(password.trim_end()) && !run.stderr.contains(password.trim_end()));
    }
}

#[test]
fn a_dry_run_prints_the_plan_and_touches_nothing() {
    let home = Home::new();
    let run = home.setup(&["--dry-run", "--flash", "flash.bin"]);
    assert_eq!(run.stderr, "");
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!("dry_run", run.ok());
    assert!(!home.path("flash.bin").exists() && !home.path("data").exists());

    home.device("flash.bin");
    let before = fs::read(home.path("flash.bin")).unwrap();
    let plan = home.setup(&["--dry-run", "--flash", "flash.bin", "--yes", "--json"]).json();
    assert_eq!(plan["port"], "simulated");
    assert_eq!(plan["regions"][0]["name"], "firmware");
    assert_eq!(plan["regions"][0]["offset"], "0x000000");
    assert_eq!(plan["regions"][1]["offset"], "0x200000 or 0x201000");
    assert!(plan["regions"][1]["bytes"].as_u64().unwrap() > 100);
    assert_eq!(plan["write_seconds"], 1);
    let in_real_time = home.run(&["setup", "--simulate", "--dry-run", "--json"]).json();
    let seconds = in_real_time["write_seconds"].as_u64().unwrap();
    assert!((4..8).contains(&seconds), "{seconds}");
    assert!(fs::read(home.path("flash.bin")).unwrap() == before);
}

#[test]
fn a_dry_run_needs_no_device() {
    let home = Home::new();
    let run = home.run(&["setup", "--dry-run", "--ssid", "home", "--open-network", "--port", "/dev/none"]);
    assert!(run.ok().starts_with("Plan for /dev/none:\n"), "{}", run.stdout);
}

#[test]
fn every_field_of_a_settings_file_reaches_the_device() {
    let home = Home::new();
    let settings = home.write("hall.toml", FULL);
    home.write("wifi.txt", "sesame-of-the-wifi\n");
    let run = home.setup(&["--settings", &settings, "--flash", "flash.bin", "--json"]);
    let report = run.json();
    assert_eq!(report["device"]["name"], "hall");
    assert_eq!(report["broker"]["user"], "home");
    assert!(report["broker"].get("password_file").is_none(), "nothing was generated");

    let (slot, config) = active(&fs::read(home.path("flash.bin")).unwrap());
    assert_eq!(slot, Slot::A);
    let wifi = config.wifi.unwrap();
    assert_eq!((wifi.ssid.as_slice(), wifi.hidden, wifi.channel), (b"home".as_slice(), true, Some(6)));
    assert_eq!(wifi.bssid, Some([0x5C, 0xCF, 0x7F, 1, 2, 3]));
    assert_eq!(wifi.passphrase.unwrap(), "sesame-of-the-wifi".parse().unwrap());
    let fixed = wifi.ipv4.unwrap();
    assert_eq!((fixed.address, fixed.prefix, fixed.gateway), ([192, 168, 7, 20], 24, [192, 168, 7, 1]));
    assert_eq!(fixed.dns, Some([192, 168, 7, 2]));
    assert_eq!(config.profile.unwrap().id, "nodemcu");
    assert_eq!(config.access_point.passphrase.unwrap().expose(), "sesame-of-the-rescue");
    assert_eq!(config.access_point.ssid.unwrap(), b"hall-rescue");
    let broker = config.broker;
    assert_eq!(broker.limits.clients, 7);
    assert_eq!(broker.limits.subscriptions_per_client, 8);
    assert_eq!(broker.limits.retained_messages, 9);
    assert_eq!(broker.limits.retained_bytes, 5000);
    assert_eq!(broker.limits.packet_size, 2048);
    assert_eq!(broker.limits.queue_bytes, 4000);
    assert_eq!((broker.limits.sessions, broker.limits.queue_messages), (3, 20));
    assert_eq!(broker.sys_interval, 30);
    assert_eq!(broker.anonymous_permissions, [Permission::new("public/#", Access::Read)]);
    assert!(broker.users[0].password.verify(b"sesame-of-the-user"));
    assert_eq!(broker.users[1].name, "meter");
    assert!(broker.users[0].permissions.is_empty());
    assert_eq!(
        broker.users[1].permissions,
        [
            Permission::new("house/%u/#", Access::ReadWrite),
            Permission::new("commands/+/%c", Access::Write),
            Permission::new("house/meter/secret", Access::Deny),
        ]
    );
    let bridge = &config.bridges[0];
    assert_eq!((bridge.host.as_str(), bridge.port, bridge.tls), ("mqtt.example.org", 8883, true));
    assert_eq!(bridge.password.as_ref().unwrap().expose(), "sesame-of-the-bridge");
    assert_eq!((bridge.clean_session, bridge.try_private, bridge.outgoing_retain), (true, false, false));
    assert_eq!((bridge.notifications, bridge.notifications_local_only), (false, true));
    assert_eq!(bridge.notification_topic.as_deref(), Some("bridges/hall"));
    assert_eq!((bridge.restart_base, bridge.restart_cap), (2, 90));
    assert_eq!((bridge.topics.len(), bridge.topics[0].qos), (2, 1));
    assert_eq!(bridge.topics[1].remote_prefix, "far/");
    assert_eq!(config.cluster.unwrap().virtual_ipv4, Some([192, 168, 7, 99]));
    assert!(config.admin_key.is_some());
}

#[test]
fn flags_win_over_the_settings_file() {
    let home = Home::new();
    let settings =
        home.write("hall.toml", "name = \"hall\"\n[wifi]\nssid = \"home\"\n[broker]\nmqtt_port = 1\n");
    let port = free_port();
    let run = home.run(
        &[
            &SETUP,
            ["--settings", &settings, "--name", "attic", "--json", "--mqtt-port", &port.to_string()]
                .as_slice(),
        ]
        .concat(),
    );
    let report = run.json();
    assert_eq!((&report["device"]["name"], &report["broker"]["port"]), (&"attic".into(), &port.into()));
}

#[test]
fn a_password_can_come_from_standard_input() {
    let home = Home::new();
    let port = free_port().to_string();
    let arguments =
        ["--user", "anna", "--password-file", "-", "--flash", "f.bin", "--json", "--mqtt-port", &port];
    let mut command = home.command(&[&SETUP, arguments.as_slice()].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"sesame open\n").unwrap();
    let report = Run::from(child.wait_with_output().unwrap()).json();
    assert_eq!(report["broker"]["user"], "anna");
    for entry in fs::read_dir(home.path("data/espbroker")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(
            !bytes.windows(11).any(|part| part == b"sesame open"),
            "a password that was given is not saved"
        );
    }
    let (_, config) = active(&fs::read(home.path("f.bin")).unwrap());
    assert!(config.broker.users[0].password.verify(b"sesame open"));
}

#[test]
fn a_second_set_up_keeps_the_admin_key_and_uses_the_other_slot() {
    let home = Home::new();
    home.device("flash.bin");
    let (_, before) = active(&fs::read(home.path("flash.bin")).unwrap());
    let report = home.setup(&["--flash", "flash.bin", "--yes", "--json"]).json();
    let device = &report["device"];
    assert_eq!((&device["config_slot"], &device["config_sequence"]), (&"b".into(), &2.into()));
    let (slot, after) = active(&fs::read(home.path("flash.bin")).unwrap());
    assert_eq!(slot, Slot::B);
    assert!(before.admin_key.is_some() && before.admin_key == after.admin_key);
}

#[test]
fn a_settings_file_with_secrets_that_others_can_read_is_warned_about() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let settings = home.write("hall.toml", "[wifi]\nssid = \"home\"\npassphrase = \"sesame open\"\n");
    fs::set_permissions(home.path("hall.toml"), fs::Permissions::from_mode(0o644)).unwrap();
    let run = home.setup(&["--settings", &settings]);
    assert_eq!(run.code, 0);
    assert!(run.stderr.starts_with("warning: other users can read `"), "{}", run.stderr);
}

/// Settings of a device in a network of its own; `rest` follows `[broker]`.
fn hall(home: &Home, rest: &str) -> String {
    let text = format!("name = \"hall\"\n[wifi]\nssid = \"home\"\nopen = true\n[broker]\n{rest}");
    home.write("hall.toml", text)
}

const ANN: &str = "[[broker.users]]\nname = \"ann\"\npassword = \"sesame-of-ann\"\n\
                   permissions = [{ pattern = \"house/#\", access = \"readwrite\" }]\n";

#[test]
fn a_user_with_permissions_is_logged_in_and_no_message_is_sent() {
    let home = Home::new();
    let settings = hall(&home, ANN);
    let report = home.setup(&["--settings", &settings, "--json"]).json();
    assert_eq!(
        report["checks"],
        serde_json::json!([
            "login works; no message was sent, because the topics of `ann` are limited",
            "a wrong password is refused",
            "a client without a password is refused",
        ])
    );
    assert!(report.get("round_trip_ms").is_none());
    let more = format!("websocket_port = 1\n{ANN}{}{}", bridge("cloud", 1), bridge("attic", 1));
    let plan = home.setup(&["--settings", &hall(&home, &more), "--dry-run", "--json"]).json();
    assert_eq!(
        plan["test"],
        "log in as `ann`, whose topics are left alone; a wrong password must be refused; the same log-in over \
         WebSocket; the bridges must connect: `cloud`, `attic`"
    );
}

#[test]
fn a_user_who_may_do_everything_is_tested_rather_than_the_first_one() {
    let home = Home::new();
    let bob = "[[broker.users]]\nname = \"bob\"\npassword = \"sesame-of-bob\"\n";
    let report = home.setup(&["--settings", &hall(&home, &format!("{ANN}{bob}")), "--json"]).json();
    assert_eq!(report["checks"][0], "login, subscribe, publish and receive work");
    assert_eq!(report["broker"]["user"], "bob");
}

#[test]
fn a_websocket_port_is_tested_with_a_password_and_where_none_is_known() {
    let home = Home::new();
    let port = free_port();
    let address = format!("ws://127.0.0.1:{port}/mqtt");
    let checked = |users: &str| {
        let settings = hall(&home, &format!("websocket_port = {port}\n{users}"));
        let report = home.setup(&["--settings", &settings, "--json"]).json();
        report["checks"].as_array().unwrap().last().unwrap().as_str().unwrap().to_owned()
    };
    let hash = "$7$101$c2FsdHNhbHRzYWx0$W4Clyu8UOV6DqM3yFzxhhqvQ9Ro/ZImu0/gdQmeMsdb7IEVqj7TZ/iNIbZK33AEmS3CVut8EKU5zmL3iByxRdg==";
    let hashed = format!("[[broker.users]]\nname = \"ann\"\npassword_hash = \"{hash}\"\n");
    let cases = [
        (String::new(), "login over WebSocket works"),
        (ANN.to_owned(), "login over WebSocket works"),
        (hashed.clone(), "a client without a password is refused over WebSocket"),
        (format!("anonymous = true\n{hashed}"), "a client is let in over WebSocket"),
    ];
    for (users, words) in cases {
        assert_eq!(checked(&users), format!("{words}: {address}"));
    }
}

#[test]
fn a_websocket_port_that_is_taken_is_named_as_such() {
    let home = Home::new();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port();
    let settings = hall(&home, &format!("websocket_port = {port}\n"));
    let run = home.setup(&["--settings", &settings, "-q"]);
    assert_eq!(run.code, 1);
    let error = format!("error: the device cannot open its WebSocket port: {port} is in use\n");
    assert!(run.stderr.starts_with(&error), "{}", run.stderr);
    assert!(run.stderr.contains("choose another websocket_port"), "{}", run.stderr);
}

/// A broker that answers every CONNECT with this return code, and no more; its port.
fn other_broker(code: u8) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            assert!(stream.read(&mut [0; 512]).unwrap() > 0);
            stream.write_all(&[0x20, 2, 0, code]).unwrap();
            open.push(stream);
        }
    });
    port
}

/// A bridge to this computer.
fn bridge(name: &str, port: u16) -> String {
    format!(
        "[[bridges]]\nname = \"{name}\"\nhost = \"127.0.0.1\"\nport = {port}\ntls = false\n\
         [[bridges.topics]]\npattern = \"sensors/#\"\ndirection = \"out\"\n"
    )
}

#[test]
fn a_bridge_that_connects_is_among_the_checks() {
    let home = Home::new();
    let settings = hall(&home, &(bridge("cloud", other_broker(0)) + &bridge("attic", other_broker(0))));
    let report = home.setup(&["--settings", &settings, "--json"]).json();
    let checks: Vec<&str> =
        report["checks"].as_array().unwrap().iter().map(|check| check.as_str().unwrap()).collect();
    assert_eq!(checks[3..], ["bridge `attic` is connected", "bridge `cloud` is connected"]);
    assert_eq!(report["steps"].as_array().unwrap().last().unwrap()["name"], "bridges");
}

#[test]
fn a_bridge_that_is_refused_fails_the_set_up_of_a_device_that_works_otherwise() {
    let home = Home::new();
    let settings = hall(&home, &bridge("cloud", other_broker(4)));
    let run = home.setup(&["--settings", &settings, "--flash", "flash.bin"]);
    let _guard = home.settled().bind_to_scope();
    insta::assert_snapshot!("bridge_refused", run.verdict());
    let json = home.setup(&["--settings", &settings, "--json"]);
    let report: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!((json.code, report["checks"].as_array().unwrap().len()), (1, 3));
}

#[test]
fn every_bridge_that_has_failed_is_named_with_its_reason() {
    let home = Home::new();
    let bridges =
        [bridge("attic", free_port()), bridge("cloud", other_broker(5)), bridge("hall", other_broker(0))];
    let settings = hall(&home, &bridges.concat());
    let run = home.setup(&["--settings", &settings, "-q"]);
    insta::assert_snapshot!(run.verdict(), @"
    exit 1
    error: bridge `attic` is not connected: nothing listens on its host's port; bridge `cloud` is not connected: the other broker does not allow it

    hint: check the bridge's port, and whether the other broker runs; check user and password of the bridge, and what the other broker allows this user. All else is done, and the broker runs; `espbroker config write` changes settings without flashing
    ");
}

#[test]
fn a_bridge_with_tls_is_not_waited_for() {
    let home = Home::new();
    let settings = hall(&home, &bridge("cloud", free_port()).replace("tls = false", "tls = true"));
    let run = home.setup(&["--settings", &settings, "--json"]);
    assert_eq!(run.json()["checks"].as_array().unwrap().len(), 3);
}

#[test]
fn ctrl_c_ends_the_wait_for_a_bridge() {
    let home = Home::new();
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let settings = hall(&home, &bridge("cloud", silent.local_addr().unwrap().port()));
    let port = free_port().to_string();
    let arguments = ["--settings", &settings, "--mqtt-port", &port, "-q"];
    let child =
        home.command(&[&SETUP, arguments.as_slice()].concat()).stderr(Stdio::piped()).spawn().unwrap();
    let (mut stream, _) = silent.accept().unwrap();
    assert!(stream.read(&mut [0; 512]).unwrap() > 0);
    interrupt(child.id());
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 130, "{}", run.stderr);
}

#[test]
fn damage_on_the_line_is_overcome() {
    let faults = [
        "lose-byte=40",
        "lose-byte=900",
        "lose-byte=90000",
        "lose-byte=226000",
        "lose-reply=100",
        "lose-reply=300",
        "lose-reply=5000",
        "noise=0",
        "noise=300",
        "noise=5000",
        "late-reply=1000",
        "late-reply=3200",
    ];
    in_parallel(faults.into_iter(), |fault| {
        let run = Home::new().setup(&["--fault", fault, "-q"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{fault}");
    });
}

#[test]
fn a_byte_lost_from_any_status_line_does_not_fail_a_set_up() {
    // Bytes of the whole report of a start, a little more than the shortest line apart.
    let lost = (5550..6080).step_by(41);
    in_parallel(lost, |byte| {
        let run = Home::new().setup(&["--fault", &format!("lose-reply={byte}"), "-q"]);
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "byte {byte}");
    });
}

#[test]
fn several_faults_at_once_are_overcome_and_told_with_v() {
    let faults = ["--fault", "lose-byte=30000", "--fault", "late-reply=3200", "-v"];
    for loader in [["--stub", "rom"], ["--baud", "460800"]] {
        let run = Home::new().setup(&[faults.as_slice(), &loader].concat());
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert!(run.stderr.contains("attempt 2 of 3"), "{}", run.stderr);
    }
}
