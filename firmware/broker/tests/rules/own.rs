//! What the device itself publishes and hears, without being a client.

use espbroker_broker::{Input, OwnMessage, Settings};
use espbroker_mqtt::QoS;

use crate::script::{Script, open, publish, retained};

fn listening() -> Script {
    let mut script = Script::open();
    script.broker.listen("hall/+/set");
    script.join(1, "phone");
    script
}

fn heard(script: &mut Script) -> Vec<OwnMessage> {
    std::iter::from_fn(|| script.broker.poll_own()).collect()
}

fn own(topic: &str, payload: &[u8]) -> OwnMessage {
    OwnMessage { topic: topic.into(), payload: payload.into() }
}

#[test]
fn the_device_hears_the_topics_of_its_filter_and_nothing_else() {
    let mut script = listening();
    script.send(1, publish("hall/relay", b"on"));
    script.send(1, publish("hall/relay/set", b"on"));
    script.send(1, retained("hall/relay2/set", b"off"));
    assert_eq!(heard(&mut script), [own("hall/relay/set", b"on"), own("hall/relay2/set", b"off")]);
    assert_eq!(heard(&mut script), []);
    let mut deaf = Script::open();
    deaf.join(1, "phone");
    deaf.send(1, publish("hall/relay/set", b"on"));
    assert_eq!(heard(&mut deaf), []);
}

#[test]
fn what_is_too_long_or_too_many_for_the_device_is_dropped_and_counted() {
    let mut script = listening();
    script.send(1, publish("hall/relay/set", &[b'x'; 33]));
    for _ in 0..9 {
        script.send(1, publish("hall/relay/set", &[b'x'; 32]));
    }
    assert_eq!(heard(&mut script).len(), 8);
    assert_eq!(script.counters().messages_dropped, 2);
}

#[test]
fn what_the_device_publishes_reaches_subscribers_and_not_itself() {
    let mut script = listening();
    script.subscribe(1, &["hall/#"]);
    let now = script.now;
    assert!(script.broker.publish_own("hall/button", b"short", now));
    assert!(script.broker.retain_own("hall/relay", b"on", now));
    assert!(script.broker.publish_own("hall/relay/set", b"on", now));
    script.handle(Input::Tick);
    script.expect(
        1,
        &[publish("hall/button", b"short"), publish("hall/relay", b"on"), publish("hall/relay/set", b"on")],
    );
    assert_eq!(heard(&mut script), []);
    assert_eq!(script.broker.retained_message("hall/relay"), Some((&b"on"[..], QoS::AtLeastOnce)));
    assert_eq!(script.broker.retained_message("hall/button"), None);
}

#[test]
fn the_device_publishes_nothing_under_a_topic_that_is_none_or_without_memory() {
    let mut script = Script::new(Settings { heap_floor: 1000, ..open() });
    let now = script.now;
    for topic in ["", "a/#", "$SYS/broker/uptime"] {
        assert!(!script.broker.publish_own(topic, b"x", now), "{topic}");
    }
    script.broker.set_free(1000);
    assert!(!script.broker.retain_own("hall/relay", b"on", now));
    assert_eq!(script.counters().messages_dropped, 1);
}
