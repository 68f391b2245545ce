use alloc::{string::ToString as _, vec};

use espbroker_config::model;
use proptest::prelude::*;

use super::{
    names::{A, ANY, HEADER_LENGTH, PTR, Reader, SRV, TXT, write_name},
    *,
};

const IP: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 7));
const REACH: Reach = Reach { ip: IP, mqtt: Some(1883), websocket: Some(8083) };
const MAC: [u8; 6] = [0x5C, 0xCF, 0x7F, 0xAB, 0xCD, 1];
const TOKEN: [u8; 8] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef";
const SERVICE: [&str; 3] = ["_mqtt", "_tcp", "local"];

fn asker(port: u16) -> SocketAddr {
    SocketAddr::from(([192, 168, 1, 20], port))
}

fn identity(name: &str) -> Config {
    let mut config = Config::new(name);
    config.profile =
        Some(model::Profile { id: "nodemcu".into(), pins: vec![], unknown: model::Unknown::default() });
    config
}

/// A device that has announced itself.
fn device(name: &str) -> Discovery {
    let mut discovery = Discovery::new(&identity(name), MAC, Target::Virtual);
    let mut outputs = VecDeque::new();
    for second in 0..2 {
        discovery.follow(Some(REACH), Duration::from_secs(second), &mut outputs);
    }
    assert_eq!((outputs.len(), discovery.poll_at()), (2, None));
    discovery
}

/// What comes of a datagram at this time.
fn told(
    discovery: &mut Discovery,
    channel: Channel,
    from: SocketAddr,
    bytes: &[u8],
    seconds: u64,
) -> Option<(SocketAddr, Vec<u8>)> {
    let mut outputs = VecDeque::new();
    discovery.datagram(channel, from, bytes, Duration::from_secs(seconds), &mut outputs);
    assert!(outputs.len() <= 1, "one answer at most");
    outputs.pop_front().map(|output| match output {
        Output::Datagram { channel: over, to, bytes } if over == channel => (to, bytes),
        other => panic!("{other:?}"),
    })
}

// ---- the probe ----

#[test]
fn a_probe_is_answered_with_what_everybody_may_know_and_nothing_longer() {
    let mut longest = device("kitchen");
    let question = probe::question(TOKEN);
    assert_eq!(question.len(), probe::PROBE_LENGTH);
    let (to, answer) = told(&mut longest, Channel::Probe, asker(4000), &question, 10).unwrap();
    assert_eq!(to, asker(4000));
    assert!(answer.len() <= question.len());
    let text = core::str::from_utf8(&answer).unwrap();
    assert!(text.starts_with("@eb device token=0123456789abcdef name=kitchen mac=5ccf7fabcd01 version="));
    assert_eq!(
        probe::read(&answer, TOKEN),
        Some(probe::Device {
            name: "kitchen".into(),
            mac: MAC,
            version: env!("CARGO_PKG_VERSION").into(),
            target: Some(Target::Virtual),
            role: Some(Role::Broker),
            profile: Some("nodemcu".into()),
            mqtt: Some(1883),
            websocket: Some(8083),
        })
    );
    assert_eq!(probe::read(&answer, [0; 8]), None, "an answer to somebody else");
    assert_eq!(probe::read(&question, TOKEN), None);
}

#[test]
fn the_longest_answer_fits_the_probe() {
    let mut config = identity(&"n".repeat(32));
    config.role = Role::BrokerAndPlug;
    config.profile.as_mut().unwrap().id = "p".repeat(32);
    let mut discovery = Discovery::new(&config, MAC, Target::EmulatedBoard);
    let reach = Reach { mqtt: Some(65_535), websocket: Some(65_534), ..REACH };
    discovery.follow(Some(reach), Duration::ZERO, &mut VecDeque::new());
    assert!(told(&mut discovery, Channel::Probe, asker(1), &probe::question(TOKEN), 1).is_some());
}

#[test]
fn a_probe_that_is_short_damaged_or_from_far_away_is_not_answered() {
    let mut discovery = device("kitchen");
    let question = probe::question(TOKEN);
    let mut damaged = question.clone();
    damaged[100] = b'x';
    let short = {
        let mut line = crate::status::line::Writer::new("probe");
        line.field("token", "0123456789abcdef");
        line.finish().into_bytes()
    };
    for (index, bytes) in [&damaged[..], &question[..200], &short, b"", &[0; 1000]].iter().enumerate() {
        assert_eq!(told(&mut discovery, Channel::Probe, asker(1), bytes, 10), None, "{index}");
    }
    let far = SocketAddr::from(([8, 8, 8, 8], 53));
    assert_eq!(told(&mut discovery, Channel::Probe, far, &question, 10), None);
    let status = "@eb device token=0123456789abcdef";
    assert_eq!(told(&mut discovery, Channel::Probe, asker(1), status.as_bytes(), 10), None);
}

#[test]
fn answers_are_counted_and_there_is_none_without_a_network() {
    let mut discovery = device("kitchen");
    let question = probe::question(TOKEN);
    let answered = |discovery: &mut Discovery, second| {
        (0..20).filter(|_| told(discovery, Channel::Probe, asker(1), &question, second).is_some()).count()
    };
    assert_eq!(answered(&mut discovery, 10), usize::from(ANSWERS));
    assert_eq!(answered(&mut discovery, 11), usize::from(ANSWERS));
    discovery.follow(None, Duration::from_secs(12), &mut VecDeque::new());
    assert_eq!(answered(&mut discovery, 13), 0);
}

// ---- multicast DNS ----

/// A message with one question.
fn asked(labels: &[&str], kind: u16, class: u16) -> Vec<u8> {
    let mut bytes = vec![0x12, 0x34, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    write_name(&mut bytes, labels);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&class.to_be_bytes());
    bytes
}

/// Names, types and times of the records of a message, and how many questions it repeats.
fn records(bytes: &[u8]) -> (u16, Vec<(String, u16, u32)>) {
    let mut reader = Reader::new(bytes);
    let header = reader.header().unwrap();
    assert_eq!(header.flags, 0x8400);
    for _ in 0..header.questions {
        reader.question().unwrap();
    }
    let records = (0..header.records[0])
        .map(|_| {
            let record = reader.record().unwrap();
            (reader.at(record.name).name().unwrap(), record.kind, record.time_to_live)
        })
        .collect();
    assert_eq!(reader.take(1), None, "nothing behind the records");
    (header.questions, records)
}

#[test]
fn a_new_address_is_announced_twice_a_second_apart_with_all_four_records() {
    let mut discovery = Discovery::new(&identity("kitchen"), MAC, Target::Virtual);
    let mut outputs = VecDeque::new();
    let second = Duration::from_secs;
    discovery.follow(None, second(1), &mut outputs);
    discovery.follow(Some(Reach { mqtt: None, ..REACH }), second(2), &mut outputs);
    assert!(outputs.is_empty() && discovery.poll_at().is_none(), "nothing to connect to");
    discovery.follow(Some(REACH), second(3), &mut outputs);
    assert_eq!((outputs.len(), discovery.poll_at()), (1, Some(second(4))));
    discovery.follow(Some(REACH), second(3), &mut outputs);
    assert_eq!(outputs.len(), 1);
    discovery.follow(Some(REACH), second(4), &mut outputs);
    assert_eq!((outputs.len(), discovery.poll_at()), (2, None));
    for output in outputs {
        let Output::Datagram { channel: Channel::Mdns, to, bytes } = output else { panic!("{output:?}") };
        assert_eq!(to.to_string(), "224.0.0.251:5353");
        let instance = "kitchen._mqtt._tcp.local".to_string();
        let expected = vec![
            ("_mqtt._tcp.local".to_string(), PTR, 4500),
            (instance.clone(), SRV, 120),
            (instance, TXT, 4500),
            ("kitchen.local".to_string(), A, 120),
        ];
        assert_eq!(records(&bytes), (0, expected));
        assert!(
            bytes.windows(17).any(|part| part == b"mac=5ccf7fabcd01\x0d" || part == b"\x10mac=5ccf7fabcd01")
        );
        assert!(bytes.ends_with(&[192, 168, 1, 7]));
    }
}

#[test]
fn questions_for_service_instance_host_and_list_are_answered_and_no_others() {
    let instance = ["kitchen", "_mqtt", "_tcp", "local"];
    let answered = [
        (&SERVICE[..], PTR, 4),
        (&SERVICE[..], ANY, 4),
        (&["_MQTT", "_tcp", "LOCAL"], PTR, 4),
        (&instance, SRV, 4),
        (&instance, TXT, 4),
        (&["kitchen", "local"], A, 1),
        (&["_services", "_dns-sd", "_udp", "local"], PTR, 1),
    ];
    for (index, (labels, kind, count)) in answered.into_iter().enumerate() {
        let mut device = device("kitchen");
        let (to, bytes) =
            told(&mut device, Channel::Mdns, asker(MDNS_PORT), &asked(labels, kind, 1), 10).unwrap();
        assert_eq!(to.to_string(), "224.0.0.251:5353");
        assert_eq!((&bytes[..2], records(&bytes).1.len()), (&[0, 0][..], count), "{index}");
    }
    for (labels, kind, class) in [
        (&SERVICE[..], A, 1),
        (&SERVICE[..], PTR, 3),
        (&["_http", "_tcp", "local"], PTR, 1),
        (&["hall", "local"], A, 1),
        (&["kitchen", "local"], 28, 1),
        (&["local"], ANY, 1),
    ] {
        let bytes = asked(labels, kind, class);
        assert_eq!(told(&mut device("kitchen"), Channel::Mdns, asker(MDNS_PORT), &bytes, 10), None);
    }
}

#[test]
fn an_asker_that_wants_it_alone_gets_it_alone_and_a_plain_dns_client_gets_its_question_back() {
    let mut device = device("kitchen");
    let alone = asked(&SERVICE, PTR, 0x8001);
    let (to, bytes) = told(&mut device, Channel::Mdns, asker(MDNS_PORT), &alone, 10).unwrap();
    assert_eq!((to, records(&bytes).0), (asker(MDNS_PORT), 0));

    let (to, bytes) = told(&mut device, Channel::Mdns, asker(4000), &asked(&SERVICE, PTR, 1), 10).unwrap();
    assert_eq!((to, &bytes[..2]), (asker(4000), &[0x12, 0x34][..]));
    let (questions, records) = records(&bytes);
    assert_eq!(questions, 1);
    assert!(records.iter().all(|(_, _, time)| *time <= 10));
}

#[test]
fn the_group_is_answered_once_a_second_and_not_told_what_it_knows() {
    let mut device = device("kitchen");
    let question = asked(&SERVICE, PTR, 1);
    let mut ask = |bytes: &[u8], second| told(&mut device, Channel::Mdns, asker(MDNS_PORT), bytes, second);
    assert!(ask(&question, 10).is_some());
    assert!(ask(&question, 10).is_none());
    assert!(ask(&question, 11).is_some());

    let known = |time: u32| {
        let mut bytes = question.clone();
        bytes[7] = 1;
        // The name by a pointer to the question's.
        bytes.extend_from_slice(&[0xC0, 12, 0, 12, 0, 1]);
        bytes.extend_from_slice(&time.to_be_bytes());
        bytes.extend_from_slice(&[0, 10, 7]);
        bytes.extend_from_slice(b"kitchen\xC0\x0C");
        bytes
    };
    assert!(ask(&known(3000), 20).is_none());
    assert!(ask(&known(2000), 21).is_some(), "soon forgotten");
}

#[test]
fn answers_and_broken_messages_are_left_alone() {
    let mut device = device("kitchen");
    let question = asked(&SERVICE, PTR, 1);
    for end in 0..question.len() {
        assert_eq!(told(&mut device, Channel::Mdns, asker(MDNS_PORT), &question[..end], 10), None);
    }
    let mut answer = question.clone();
    answer[2] = 0x84;
    assert_eq!(told(&mut device, Channel::Mdns, asker(MDNS_PORT), &answer, 10), None);
    // A name that points at itself.
    let mut circle = vec![0; HEADER_LENGTH];
    circle[5] = 1;
    circle.extend_from_slice(&[0xC0, 12, 0, 12, 0, 1]);
    assert_eq!(told(&mut device, Channel::Mdns, asker(MDNS_PORT), &circle, 10), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_bytes_give_at_most_one_answer(bytes in prop::collection::vec(any::<u8>(), 0..200), port in any::<u16>()) {
        let mut discovery = device("kitchen");
        told(&mut discovery, Channel::Mdns, asker(port), &bytes, 10);
        told(&mut discovery, Channel::Probe, asker(port), &bytes, 10);
        let mut line = b"@eb probe token=".to_vec();
        line.extend_from_slice(&bytes);
        told(&mut discovery, Channel::Probe, asker(port), &line, 10);
    }

    #[test]
    fn a_question_with_any_byte_changed_does_no_harm(at in 0usize..34, value in any::<u8>()) {
        let mut bytes = asked(&SERVICE, PTR, 1);
        bytes[at] = value;
        told(&mut device("kitchen"), Channel::Mdns, asker(MDNS_PORT), &bytes, 10);
    }
}
