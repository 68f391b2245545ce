//! Bridges to Debian's mosquitto and from it: both ways, through a restart, refused, and in a circle.

use std::path::Path;

use crate::{
    process::{Failure, Tally},
    stage::{Login, Stage, USER},
};

/// # Errors
///
/// When there is no room for a folder.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let stage = Stage::new(program)?;
    tally.check("bridge to mosquitto: both ways, as a bridge, each message once", || to_mosquitto(&stage));
    tally.check("bridge to mosquitto: what waits outlives a restart of mosquitto", || restart(&stage));
    tally
        .check("bridge to mosquitto: a wrong password is told in events and $SYS", || wrong_password(&stage));
    tally.check("bridge from mosquitto: both ways, with its state here", || from_mosquitto(&stage));
    tally.check("bridges both ways round: a circle with mosquitto comes to an end", || circle(&stage));
    Ok(())
}

/// The settings of our bridge.
fn bridge(port: u16, password: &str, topics: &str) -> String {
    format!(
        r#"
        [[bridges]]
        name = "lan"
        host = "127.0.0.1"
        port = {port}
        user = "{USER}"
        password = "{password}"
        restart_base = 1
        restart_cap = 1
        topics = [{topics}]
        "#
    )
}

const PREFIXED: &str = r#"{ pattern = "shared/#", direction = "both", qos = 2, remote_prefix = "house/" }"#;
const ALL: &str = "{ pattern = \"#\", direction = \"both\", qos = 1 }";

/// The settings of mosquitto's bridge.
pub(crate) fn from(port: u16) -> String {
    format!(
        "connection ours\naddress 127.0.0.1:{port}\ntopic # both 1\nremote_username {USER}\nremote_password secret\n\
         remote_clientid mosquitto.ours\nrestart_timeout 1\nbridge_protocol_version mqttv311\n"
    )
}

/// Publishes on each side at every QoS, and looks that both see each message once. `there` is for topics on the other
/// side.
///
/// # Errors
///
/// When a message is missing or there twice.
pub(crate) fn exchange(here: &Login, there: &Login, prefix: &str) -> Result<(), Failure> {
    let mut watchers = [
        here.subscribe("shared/#", &["-q", "2"])?,
        there.subscribe(&format!("{prefix}shared/#"), &["-q", "2"])?,
    ];
    for qos in ["0", "1", "2"] {
        for number in 0..10 {
            let own = ["shared/t".to_owned(), format!("{prefix}shared/t")];
            for (broker, topic) in [here, there].into_iter().zip(&own) {
                let message = format!("{number} at {qos} on {}", broker.port);
                broker.publish(topic, &message, &["-q", qos])?;
                for (watcher, topic) in watchers.iter_mut().zip(&own) {
                    watcher.expect(&[&format!("{topic} {message}")])?;
                }
            }
        }
    }
    Ok(())
}

fn to_mosquitto(stage: &Stage<'_>) -> Result<(), Failure> {
    let mut mosquitto = stage.mosquitto("remote", Stage::port()?, "")?;
    let mut ours = stage.ours("near", Stage::port()?, &bridge(mosquitto.port, "secret", PREFIXED), &[])?;
    ours.bridge("bridge-connected")?;
    // mosquitto says `bridge` of those that set the bit in the protocol level, and `client` of the others.
    mosquitto.watched.line("the bridge", |line| {
        line.contains("New bridge connected") && line.contains(" as near.lan (p2, c0, k60")
    })?;
    exchange(&ours, &mosquitto, "house/")?;
    let mut state = mosquitto.subscribe("$SYS/broker/connection/near.lan/state", &["-q", "1"])?;
    state.expect(&["$SYS/broker/connection/near.lan/state 1"])?;
    ours.watched.kill()?;
    state.expect(&["$SYS/broker/connection/near.lan/state 0"])
}

fn restart(stage: &Stage<'_>) -> Result<(), Failure> {
    let port = Stage::port()?;
    let mosquitto = stage.mosquitto("restarted", port, "")?;
    let mut ours = stage.ours("near", Stage::port()?, &bridge(port, "secret", PREFIXED), &[])?;
    ours.bridge("bridge-connected")?;
    // A session there, so that nothing depends on who is back first.
    let away = ["-c", "-i", "away", "-q", "1"];
    let leave = [&away[..], &["-E"]].concat();
    mosquitto.subscribe("house/shared/#", &leave)?.0.end()?;
    mosquitto.watched.stop()?;
    ours.bridge("bridge-failed")?;
    for number in 0..20 {
        ours.publish("shared/t", &number.to_string(), &["-q", "1"])?;
    }
    let mosquitto = stage.mosquitto("restarted", port, "")?;
    ours.bridge("bridge-connected")?;
    let mut watcher = mosquitto.resume("house/shared/#", &[&away[..], &["-C", "20"]].concat())?;
    for number in 0..20 {
        watcher.expect(&[&format!("house/shared/t {number}")])?;
    }
    // And back, over the session that mosquitto kept for the bridge.
    let mut here = ours.subscribe("shared/#", &["-q", "1"])?;
    mosquitto.publish("house/shared/back", "x", &["-q", "1"])?;
    here.expect(&["shared/back x"])
}

fn wrong_password(stage: &Stage<'_>) -> Result<(), Failure> {
    let mosquitto = stage.mosquitto("strict", Stage::port()?, "")?;
    let mut ours = stage.ours("near", Stage::port()?, &bridge(mosquitto.port, "wrong", PREFIXED), &[])?;
    let news = ours.bridge("bridge-failed")?;
    // mosquitto 2 answers so, and not with the code for a wrong password.
    if !news.contains(r#""reason":"not-authorized""#) {
        return Err(format!("the event is `{news}`").into());
    }
    let mut system = ours.subscribe("$SYS/broker/connection/#", &[])?;
    system.0.line("the state", |line| line == "$SYS/broker/connection/near.lan/state 0")?;
    system
        .0
        .line("the error", |line| line == "$SYS/broker/connection/near.lan/error not authorized")
        .map(drop)
}

fn from_mosquitto(stage: &Stage<'_>) -> Result<(), Failure> {
    let ours = stage.ours("home", Stage::port()?, "", &[])?;
    let mut state = ours.subscribe("$SYS/broker/connection/+/state", &["-q", "1"])?;
    let mosquitto = stage.mosquitto("leading", Stage::port()?, &from(ours.port))?;
    let topic = "$SYS/broker/connection/mosquitto.ours/state";
    state.0.line("the state", |line| line == format!("{topic} 1"))?;
    exchange(&ours, &mosquitto, "")?;
    mosquitto.watched.kill()?;
    state.expect(&[&format!("{topic} 0")])
}

/// mosquitto passes on what comes round for ever; our broker ends it. Here each message is seen once, and at mosquitto as
/// often as it comes over the two links.
fn circle(stage: &Stage<'_>) -> Result<(), Failure> {
    let [our_port, port] = Stage::ports()?;
    let mut ours = stage.ours("circle", our_port, &bridge(port, "secret", ALL), &[])?;
    let mosquitto = stage.mosquitto("circle", port, &from(our_port))?;
    ours.bridge("bridge-connected")?;
    let mut state = ours.subscribe("$SYS/broker/connection/mosquitto.ours/state", &["-q", "1"])?;
    state.0.line("the state", |line| line.ends_with("state 1"))?;
    // The first ones go round until it is sure that there is a circle. They are fewer than our broker remembers, or some
    // would be passed on while others are remembered, and what comes then would be among them.
    for number in 0..8 {
        for broker in [&ours, &mosquitto] {
            broker.publish("first/t", &format!("{number} on {}", broker.port), &["-q", "1"])?;
        }
    }
    let is_counted = |line: &str| {
        line.rsplit(' ').next().is_some_and(|count| count.parse().is_ok_and(|count: u32| count > 0))
    };
    let mut count = ours.subscribe("$SYS/broker/bridge/circles", &[])?;
    count.0.line("what came round", is_counted)?;
    let mut here = ours.subscribe("then/#", &["-q", "1"])?;
    let mut there = mosquitto.subscribe("then/#", &["-q", "1"])?;
    for number in 0..40 {
        for broker in [&ours, &mosquitto] {
            let message = format!("{number} on {}", broker.port);
            broker.publish("then/t", &message, &["-q", "1"])?;
            here.expect(&[&format!("then/t {message}")])?;
        }
    }
    ours.publish("then/end", "x", &["-q", "1"])?;
    here.expect(&["then/end x"])?;
    let mut seen = 0;
    while there.next()? != "then/end x" {
        seen += 1;
    }
    if seen > 3 * 80 {
        return Err(format!("mosquitto saw 80 messages {seen} times").into());
    }
    Ok(())
}
