//! Debian's mosquitto clients against a broker that `setup --simulate` has just set up.

use std::{fs, path::Path, process::Command};

use serde_json::Value;

use crate::{
    process::{self, Failure, Tally, scratch},
    stage::{Login, Served},
    watched::Watched,
};

/// Sets a simulated device up, and uses its broker.
///
/// # Errors
///
/// When the set-up fails.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let device = set_up(program)?;
    tally.check("mosquitto and a device: a published message reaches a subscriber", || {
        let mut subscriber = device.subscribe("check/1", &[])?;
        device.publish("check/1", "hello", &[])?;
        subscriber.expect(&["check/1 hello"])
    });
    tally.check("mosquitto and a device: a retained message waits for its subscriber", || {
        device.publish("check/retained", "kept", &["-r", "-q", "1"])?;
        device.subscribe("check/+", &[])?.expect(&["check/retained kept"])
    });
    tally.check("mosquitto and a device: a will is sent when a client is killed", || {
        let mut watcher = device.subscribe("check/will", &[])?;
        let will = ["--will-topic", "check/will", "--will-payload", "gone"];
        device.subscribe("nothing/here", &will)?.0.kill()?;
        watcher.expect(&["check/will gone"])
    });
    tally.check("mosquitto and a device: a wrong password is refused", || {
        let mut wrong = device.command("mosquitto_pub", &["-t", "check/2", "-m", "x", "-P", "wrong"]);
        match process::run(&mut wrong) {
            Ok(_) => Err("a wrong password was taken".into()),
            Err(refusal) if refusal.to_string().contains("bad user name or password") => Ok(()),
            Err(other) => Err(other),
        }
    });
    Ok(())
}

fn set_up(program: &Path) -> Result<Served, Failure> {
    let data = scratch().join("mosquitto-check");
    fs::create_dir_all(&data)?;
    // Safe for others on this machine: the generated password goes to a folder of its own, not to the user's.
    // The demo takes the first free of its ports by itself.
    let arguments = ["setup", "--quiet", "--simulate", "--hold", "--json", "--pace=instant"];
    let mut watched =
        Watched::start(Command::new(program).args(arguments).env("XDG_DATA_HOME", data.as_os_str()))?;
    let report: Value = serde_json::from_str(&watched.line("the set-up's report", |_| true)?)?;
    let broker = report.get("broker").ok_or("the report has no broker")?;
    let text = |name: &str| {
        broker.get(name).and_then(Value::as_str).ok_or_else(|| format!("the report has no broker.{name}"))
    };
    let port = broker.get("port").and_then(Value::as_u64).ok_or("the report has no broker.port")?;
    let password = fs::read_to_string(text("password_file")?)?.trim_end().to_owned();
    let login = Login { port: u16::try_from(port)?, user: text("user")?.to_owned(), password };
    Ok(Served { login, watched })
}
