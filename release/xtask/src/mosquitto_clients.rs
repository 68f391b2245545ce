//! Debian's mosquitto_pub and mosquitto_sub against `espbroker broker`, and what outlives its end.

use std::path::Path;

use crate::{
    process::{self, Failure, Tally},
    stage::{Login, Stage, same},
    watched::Watched,
};

/// # Errors
///
/// When the broker does not start.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let stage = Stage::new(program)?;
    let broker = stage.ours("home", Stage::port()?, "", &[])?;
    with(&broker, "mosquitto", tally);
    tally.check("mosquitto: retained messages are there after kill -9", || outlives_kill(&stage));
    Ok(())
}

/// What goes with a broker that others have started: with the users of [`Stage::ours`], and with `$SYS` each second.
pub(crate) fn with(broker: &Login, whose: &str, tally: &mut Tally) {
    let mut check = |name: &str, check: fn(&Login) -> Result<(), Failure>| {
        tally.check(&format!("{whose}: {name}"), || check(broker));
    };
    check("every QoS arrives as granted, of a few bytes and of 3,900", every_qos);
    check("a retained message is kept, replaced and cleared", retained);
    check("what waits for a persistent session comes once and in order", session);
    check("a will is sent when a client is killed, and not when it takes leave", will);
    check("a user with permissions is refused, ignored and served", permissions);
    check("$SYS tells of the broker", system);
    check("MQTT 3.1 is spoken as well", old_protocol);
}

fn every_qos(broker: &Login) -> Result<(), Failure> {
    let long = "x".repeat(3_900);
    for granted in ["0", "1", "2"] {
        let mut subscriber = broker.subscribe("qos/#", &["-q", granted])?;
        for sent in ["0", "1", "2"] {
            for (message, length) in [("hello", "5 bytes"), (&long, "3900 bytes")] {
                broker.publish("qos/t", message, &["-q", sent])?;
                let qos = granted.min(sent);
                let packet = subscriber.0.line("the packet", |line| line.contains("received PUBLISH"))?;
                let begin = format!("PUBLISH (d0, q{qos}, r0, ");
                if !packet.contains(&begin) || !packet.contains(length) {
                    return Err(format!("`{packet}` came for QoS {sent} over {granted}").into());
                }
                same(&subscriber.next()?, &format!("qos/t {message}"))?;
            }
        }
    }
    Ok(())
}

fn retained(broker: &Login) -> Result<(), Failure> {
    let mut watcher = broker.subscribe("kept/#", &["-q", "1"])?;
    for message in ["1", "2"] {
        broker.publish("kept/t", message, &["-q", "1", "-r"])?;
        // An ordinary message for a subscription that was there before.
        let packet = watcher.0.line("the packet", |line| line.contains("received PUBLISH"))?;
        if !packet.contains("r0") {
            return Err(format!("`{packet}` has RETAIN").into());
        }
    }
    let mut late = broker.subscribe("kept/#", &["-q", "1"])?;
    late.0.line("the retained message", |line| line.contains("received PUBLISH (d0, q1, r1"))?;
    late.expect(&["kept/t 2"])?;
    process::run(&mut broker.command("mosquitto_pub", &["-t", "kept/t", "-n", "-r", "-q", "1"]))?;
    let mut later = broker.subscribe("kept/#", &["-q", "1"])?;
    broker.publish("kept/other", "live", &["-q", "1"])?;
    later.expect(&["kept/other live"])
}

fn session(broker: &Login) -> Result<(), Failure> {
    let away = ["-c", "-i", "away", "-q", "1"];
    // Leaves as soon as the subscription stands.
    broker.subscribe("away/#", &[&away[..], &["-E"]].concat())?.0.end()?;
    let messages: Vec<String> = (0..20).map(|number| format!("away/t {number}")).collect();
    for number in 0..20 {
        broker.publish("away/t", &number.to_string(), &["-q", "1"])?;
    }
    let mut again = broker.resume("away/#", &[&away[..], &["-C", "20"]].concat())?;
    messages.iter().try_for_each(|message| again.expect(&[message]))?;
    // With a clean session it is gone.
    broker.subscribe("away/#", &["-i", "away", "-E"])?.0.end().map(drop)
}

fn will(broker: &Login) -> Result<(), Failure> {
    let mut watcher = broker.subscribe("wills/#", &["-q", "1"])?;
    let with_will = |name: &str, more: &[&str]| {
        let will = ["--will-topic", "wills/t", "--will-payload", name, "--will-qos", "1"];
        broker.subscribe("nothing/here", &[&will[..], more].concat())
    };
    with_will("took leave", &["-E"])?.0.end()?;
    with_will("was killed", &[])?.0.kill()?;
    watcher.expect(&["wills/t was killed"])
}

fn permissions(broker: &Login) -> Result<(), Failure> {
    let mut home = broker.subscribe("#", &["-q", "1"])?;
    let arguments = ["-d", "-v", "-t", "open/#", "-t", "closed/#", "-q", "1"];
    let mut guest = Watched::start(&mut broker.command_as("guest", "mosquitto_sub", &arguments))?;
    guest.line("its subscriptions", |line| line == "Subscribed (mid: 1): 1, 128")?;
    process::run(&mut broker.command_as(
        "guest",
        "mosquitto_pub",
        &["-t", "open/t", "-m", "guest", "-q", "1"],
    ))?;
    broker.publish("closed/t", "secret", &["-q", "1"])?;
    broker.publish("open/t", "home", &["-q", "1"])?;
    home.expect(&["closed/t secret", "open/t home"])?;
    let first = guest.line("a message", |line| line.starts_with("open/") || line.starts_with("closed/"))?;
    same(&first, "open/t home")
}

fn system(broker: &Login) -> Result<(), Failure> {
    let mut client = broker.subscribe("$SYS/#", &[])?;
    for topic in ["uptime", "clients/connected", "messages/received", "version", "heap/free"] {
        client.0.line(topic, |line| line.starts_with(&format!("$SYS/broker/{topic} ")))?;
    }
    // And again, in the next round.
    client.0.line("the next round", |line| line.starts_with("$SYS/broker/uptime ")).map(drop)
}

fn old_protocol(broker: &Login) -> Result<(), Failure> {
    let mut subscriber = broker.subscribe("old/#", &["-V", "mqttv31", "-q", "2"])?;
    broker.publish("old/t", "hello", &["-V", "mqttv31", "-q", "2"])?;
    subscriber.expect(&["old/t hello"])
}

fn outlives_kill(stage: &Stage<'_>) -> Result<(), Failure> {
    let port = Stage::port()?;
    let start = || stage.ours("kept", port, "", &["--store", "store.flash"]);
    let broker = start()?;
    let messages: Vec<String> = (0..20).map(|number| format!("house/{number} {}", number * number)).collect();
    for message in &messages {
        let (topic, payload) = message.split_once(' ').unwrap_or_default();
        broker.publish(topic, "not the last", &["-q", "1", "-r"])?;
        broker.publish(topic, payload, &["-q", "1", "-r"])?;
    }
    broker.publish("gone", "x", &["-q", "1", "-r"])?;
    process::run(&mut broker.command("mosquitto_pub", &["-t", "gone", "-n", "-r", "-q", "1"]))?;
    let mut client = broker.subscribe("$SYS/broker/retained messages/unsaved", &[])?;
    client.0.line("everything being saved", |line| line == "$SYS/broker/retained messages/unsaved 0")?;
    broker.watched.kill()?;
    let broker = start()?;
    let mut client = broker.subscribe("#", &["-q", "1", "-C", "20"])?;
    let mut found = Vec::new();
    for _ in &messages {
        found.push(client.next()?);
    }
    found.sort_by_key(|message| messages.iter().position(|wanted| wanted == message));
    same(&found.join(", "), &messages.join(", "))
}
