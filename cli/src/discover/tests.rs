use super::*;

const FROM: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 168, 1, 9));

fn found(name: &str, mac: Option<[u8; 6]>) -> Found {
    Found {
        name: name.to_owned(),
        host: FROM,
        mqtt_port: Some(1883),
        websocket_port: None,
        mac,
        firmware: None,
        role: None,
        profile: None,
    }
}

/// An answer as Avahi gives it for a broker of another kind: names by pointers, no A record, an instance with a space.
fn foreign() -> Vec<u8> {
    let mut bytes = vec![0, 0, 0x84, 0, 0, 0, 0, 1, 0, 0, 0, 2];
    bytes.extend_from_slice(b"\x05_mqtt\x04_tcp\x05local\x00");
    bytes.extend_from_slice(&[0, 12, 0, 1, 0, 0, 0x11, 0x94, 0, 12]);
    let instance = bytes.len();
    bytes.extend_from_slice(b"\x09My\x1bBroker\xC0\x0C");
    let pointer = [0xC0, u8::try_from(instance).unwrap()];
    bytes.extend_from_slice(&pointer);
    bytes.extend_from_slice(&[0, 33, 0x80, 1, 0, 0, 0, 120, 0, 13, 0, 0, 0, 0, 0x07, 0x5B]);
    bytes.extend_from_slice(b"\x04host\xC0\x17");
    bytes.extend_from_slice(&pointer);
    bytes.extend_from_slice(&[0, 16, 0x80, 1, 0, 0, 0, 120, 0, 1, 0]);
    bytes
}

#[test]
fn another_broker_is_read_from_a_compressed_answer_and_its_name_made_harmless() {
    let list = mdns::read(&foreign(), FROM);
    assert_eq!(list, [found("my?broker", None)]);
    assert_eq!(list[0].address(), "192.168.1.9:1883");
}

#[test]
fn any_part_of_an_answer_and_any_byte_changed_in_it_does_no_harm() {
    let whole = foreign();
    for end in 0..whole.len() {
        assert!(mdns::read(&whole[..end], FROM).len() <= 1);
    }
    for index in 0..whole.len() {
        for value in [0, 0x3F, 0x40, 0xC0, 0xFF] {
            let mut bytes = whole.clone();
            bytes[index] = value;
            let _ = mdns::read(&bytes, FROM);
        }
    }
    assert!(mdns::read(&mdns::question(), FROM).is_empty(), "a question is no answer");
}

#[test]
fn a_device_is_listed_once_by_what_its_probe_says_and_before_other_brokers() {
    let mut findings = Findings::default();
    let mac = [1, 2, 3, 4, 5, 6];
    let probed = Found { firmware: Some("0.1.0".to_owned()), ..found("hall", Some(mac)) };
    findings.add(found("zoo", None), Source::Mdns);
    findings.add(found("hall", Some(mac)), Source::Mdns);
    findings.add(probed.clone(), Source::Probe);
    findings.add(found("hall", Some(mac)), Source::Mdns);
    assert_eq!(findings.count(&|found| found.name == "hall"), 1);
    assert_eq!(findings.into_list(), [probed, found("zoo", None)]);
}

#[test]
fn a_mac_address_is_text_in_json() {
    let json = serde_json::to_value(found("hall", Some([0x5C, 0xCF, 0x7F, 0, 0, 1]))).unwrap();
    assert_eq!(json["mac"], "5c:cf:7f:00:00:01");
    assert_eq!(serde_json::to_value(found("x", None)).unwrap()["mac"], serde_json::Value::Null);
}

#[test]
fn a_device_is_read_from_its_own_answer() {
    // What a device on 127.0.0.1 answered a plain DNS client.
    let bytes = b"\0\0\x84\0\0\x01\0\x04\0\0\0\0\x05_mqtt\x04_tcp\x05local\0\0\x0c\0\x01\
        \x05_mqtt\x04_tcp\x05local\0\0\x0c\0\x01\0\0\0\n\0\x17\x04hall\x05_mqtt\x04_tcp\x05local\0\
        \x04hall\x05_mqtt\x04_tcp\x05local\0\0!\0\x01\0\0\0\n\0\x12\0\0\0\0J6\x04hall\x05local\0\
        \x04hall\x05_mqtt\x04_tcp\x05local\0\0\x10\0\x01\0\0\0\n\0E\
        \ttxtvers=1\x10mac=5ecf7f000001\rversion=0.1.0\x0brole=broker\x0fprofile=nodemcu\
        \x04hall\x05local\0\0\x01\0\x01\0\0\0\n\0\x04\x7f\0\0\x01";
    let expected = Found {
        host: IpAddr::V4(Ipv4Addr::LOCALHOST),
        mqtt_port: Some(18_998),
        firmware: Some("0.1.0".to_owned()),
        role: Some("broker".to_owned()),
        profile: Some("nodemcu".to_owned()),
        ..found("hall", Some([0x5E, 0xCF, 0x7F, 0, 0, 1]))
    };
    assert_eq!(mdns::read(bytes, FROM), [expected]);
}
