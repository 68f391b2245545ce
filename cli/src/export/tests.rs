use espbroker_config::{
    model::{Access, Bridge, BridgeTopic, Direction, PasswordHash, Permission, User},
    secret::Secret,
};

use super::*;

fn user(name: &str, permissions: &[(&str, Access)]) -> User {
    let hash = PasswordHash::derive(b"secret", b"saltsaltsalt", 101).unwrap();
    User { permissions: list(permissions), ..User::new(name, hash) }
}

fn list(permissions: &[(&str, Access)]) -> Vec<Permission> {
    permissions.iter().map(|(pattern, access)| Permission::new(*pattern, *access)).collect()
}

fn config(users: Vec<User>) -> Config {
    let mut config = Config::new("hall");
    config.broker.users = users;
    config
}

fn export(config: &Config) -> Export {
    config.validate().unwrap();
    mosquitto(config, Path::new("/srv/mosquitto"))
}

impl Export {
    fn file(&self, name: &str) -> &str {
        self.files.iter().find(|(known, _)| *known == name).map(|(_, text)| text.as_str()).unwrap()
    }

    /// Every difference but the one that is always said.
    fn special(&self) -> &[String] {
        let (last, rest) = self.differences.split_last().unwrap();
        assert!(last.starts_with("limits are mosquitto's own"));
        rest
    }
}

#[test]
fn a_plain_broker_becomes_a_plain_mosquitto_without_an_access_list() {
    let export = export(&config(vec![user("ann", &[]), user("bob", &[])]));
    assert_eq!(
        export.file(SETTINGS),
        "# From the settings of the espbroker device `hall`. Passwords of bridges are in here: keep it private.\n\
         # Start: mosquitto -c /srv/mosquitto/mosquitto.conf\n\
         \n\
         allow_anonymous false\n\
         password_file /srv/mosquitto/passwords\n\
         sys_interval 10\n\
         \n\
         # Retained messages and sessions outlive a restart.\n\
         persistence true\n\
         persistence_location /srv/mosquitto/data/\n\
         autosave_interval 60\n\
         \n\
         listener 1883\n"
    );
    let passwords: Vec<&str> = export.file(PASSWORDS).lines().collect();
    assert_eq!(passwords.len(), 2);
    let hash = passwords[0].strip_prefix("ann:").unwrap();
    assert!(PasswordHash::from_text(hash).unwrap().verify(b"secret"));
    assert_eq!((export.files.len(), export.special().len()), (2, 0));
}

#[test]
fn permissions_become_topics_of_each_user_and_names_are_put_in() {
    let mut config = config(vec![
        user(
            "ann",
            &[("house/%u/#", Access::ReadWrite), ("a b/+", Access::Read), ("house/ann/x", Access::Deny)],
        ),
        user("bob", &[]),
        user("c/d", &[("house/%u/#", Access::ReadWrite), ("100%/%%u", Access::Write)]),
        user("50%c", &[("%u/x", Access::Write)]),
    ]);
    config.broker.anonymous = Anonymous::Allowed;
    config.broker.anonymous_permissions = list(&[("public/#", Access::Read), ("%u/#", Access::Write)]);
    let export = export(&config);
    assert_eq!(
        export.file(ACCESS_LIST),
        "# What clients may do; without a line, nothing. Denied is denied, wherever it stands.\n\
         \n\
         topic read public/#\n\
         \n\
         user ann\n\
         topic readwrite house/ann/#\n\
         topic read a b/+\n\
         topic deny house/ann/x\n\
         \n\
         user bob\n\
         topic readwrite #\n\
         topic read $SYS/#\n\
         \n\
         user c/d\n\
         \n\
         user 50%c\n\
         topic write 50%c/x\n"
    );
    assert!(export.file(SETTINGS).contains("allow_anonymous true\n"));
    assert!(export.file(SETTINGS).contains("acl_file /srv/mosquitto/access-list\n"));
    let [only] = export.special() else { panic!("{:?}", export.differences) };
    assert!(only.starts_with("a subscription that your device refuses"));
}

#[test]
fn what_cannot_be_said_is_left_out_on_the_side_of_less_access_and_named() {
    let export = export(&config(vec![
        user("ann", &[("own/%c/#", Access::ReadWrite), ("a/x%c/b", Access::Deny), ("#", Access::Read)]),
        user("bob", &[(" x", Access::Read), ("y ", Access::Deny), ("z", Access::Read)]),
        user("#carl", &[]),
    ]));
    let text = export.file(ACCESS_LIST);
    assert!(text.contains("user ann\ntopic deny a/+/b\ntopic read #\n"), "{text}");
    assert!(text.contains("user bob\ntopic deny #\ntopic read z\n"), "{text}");
    assert!(!text.contains("carl") && !export.file(PASSWORDS).contains("carl"));
    let said = export.special().join("\n");
    for words in [
        "user `#carl` is left out",
        "`own/%c/#` is left out",
        "what `a/x%c/b` denies is denied for every client id: `a/+/b`",
        "user `bob`, a topic that begins or ends with a space is left out",
        "user `bob` may do nothing",
    ] {
        assert!(said.contains(words), "{words} in\n{said}");
    }
}

#[test]
fn a_line_break_never_becomes_a_line_of_its_own() {
    let mut config = config(vec![user("ann", &[("a\nuser bob\ntopic read x", Access::Read)])]);
    let topic = |pattern: &str| BridgeTopic::new(pattern, Direction::Out);
    let bridge = |name: &str| Bridge::new(name, "example.org");
    config.bridges = vec![
        Bridge {
            user: Some("u".into()),
            password: Some(Secret::new("p\nallow_anonymous true".into())),
            ..bridge("one")
        },
        Bridge { client_id: Some(" x".into()), ..bridge("two") },
        Bridge { notification_topic: Some("a\rb".into()), ..bridge("three") },
        Bridge { topics: vec![topic("a b"), topic("\"\""), topic("c\n"), topic("d")], ..bridge("four") },
    ];
    let export = export(&config);
    assert!(!export.file(ACCESS_LIST).contains("bob"));
    let settings = export.file(SETTINGS);
    assert!(!settings.contains("allow_anonymous true"));
    let connections: Vec<_> = settings.lines().filter(|line| line.starts_with("connection ")).collect();
    assert_eq!(connections, ["connection four"]);
    let topics: Vec<_> = settings.lines().filter(|line| line.starts_with("topic ")).collect();
    assert_eq!(topics, ["topic d out 0 \"\" \"\""]);
    assert!(!export.differences.join("\n").contains("allow_anonymous"), "a password is not shown");
}

#[test]
fn every_setting_of_a_bridge_is_said() {
    let mut config = config(vec![]);
    config.broker.mqtt_port = 0;
    config.broker.websocket_port = 8083;
    config.bridges = vec![Bridge {
        port: 8883,
        tls: true,
        user: Some("me".into()),
        password: Some(Secret::new("p w".into())),
        keep_alive: 30,
        clean_session: true,
        try_private: false,
        notifications: false,
        notification_topic: Some("state/hall".into()),
        notifications_local_only: true,
        outgoing_retain: false,
        restart_base: 7,
        restart_cap: 70,
        topics: vec![BridgeTopic {
            qos: 2,
            local_prefix: "l/".into(),
            remote_prefix: "r/".into(),
            ..BridgeTopic::new("", Direction::Both)
        }],
        ..Bridge::new("cloud", "example.org")
    }];
    let export = export(&config);
    let (_, tail) = export.file(SETTINGS).split_once("autosave_interval 60\n").unwrap();
    assert_eq!(
        tail,
        "\nlistener 8083\nprotocol websockets\n\
         \nconnection cloud\naddress example.org:8883\nbridge_protocol_version mqttv311\nremote_clientid hall.cloud\n\
         remote_username me\nremote_password p w\nkeepalive_interval 30\ncleansession true\ntry_private false\n\
         notifications false\nnotification_topic state/hall\nnotifications_local_only true\n\
         bridge_outgoing_retain false\nrestart_timeout 7 70\nbridge_capath /etc/ssl/certs\n\
         topic \"\" both 2 l/ r/\n"
    );
    assert!(export.special()[0].contains("connects with TLS"));
}
