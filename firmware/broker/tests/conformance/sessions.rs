//! Sessions: how long they last and what they hold (MQTT 3.1.1 §3.1.2.4, §4.1).

use espbroker_broker::Settings;

use crate::{
    packets::{accepted, persistent},
    script::{Script, open},
};

// [MQTT-3.1.2-4], [MQTT-4.1.0-1]
#[test]
fn a_take_over_costs_no_other_client_its_session() {
    let mut script = Script::new(Settings { sessions: 1, ..open() });
    script.connect(1, persistent("away"));
    script.drop_link(1);
    script.connect(2, persistent("here"));
    script.come_back(3, "here", &[accepted(true)]);
    assert_eq!((script.broker.sessions_away(), script.counters().sessions_forgotten), (1, 0));
    script.come_back(4, "away", &[accepted(true)]);
}

// [MQTT-4.1.0-2]
#[test]
fn a_session_lasts_as_long_as_its_connection_also_where_none_is_kept() {
    let mut script = Script::new(Settings { sessions: 0, ..open() });
    script.connect(1, persistent("a"));
    script.subscribe(1, &["t"]);
    script.come_back(2, "a", &[accepted(true)]);
    script.drop_link(2);
    assert_eq!((script.broker.sessions_away(), script.counters().sessions_forgotten), (0, 1));
    script.come_back(3, "a", &[accepted(false)]);
}
