//! Debian's mosquitto clients against a broker that `setup --simulate` has just set up.

use std::{path::Path, process::Command, time::Duration};

use crate::process::{self, Background, Failure, Tally, scratch};

/// Seconds that a subscriber waits for a message.
const WAIT: &str = "5";

/// What the report of the set-up said.
struct Broker {
    host: String,
    port: String,
    user: String,
    password: String,
}

/// Sets a simulated device up, and uses its broker.
///
/// # Errors
///
/// When the set-up fails.
pub(crate) fn run(program: &Path, tally: &mut Tally) -> Result<(), Failure> {
    let data = scratch().join("mosquitto-check");
    std::fs::create_dir_all(&data)?;
    // Safe for others on this machine: the generated password goes to a folder of its own, not to the user's.
    // The demo takes the first free of its ports by itself.
    let arguments = ["setup", "--quiet", "--simulate", "--hold", "--json", "--pace=instant"];
    let (_device, report) =
        Background::start_in(program, &arguments, &[("XDG_DATA_HOME", data.as_os_str())])?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let text = |value: &serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let broker = report.get("broker").ok_or("the report has no broker")?;
    let field = |name: &str| broker.get(name).map(text).ok_or(format!("the report has no broker.{name}"));
    let broker = Broker {
        host: field("host")?,
        port: field("port")?,
        user: field("user")?,
        password: std::fs::read_to_string(field("password_file")?)?.trim_end().to_owned(),
    };
    tally.check("mosquitto: a published message reaches a subscriber", || broker.message("check/1", "hello"));
    tally.check("mosquitto: a retained message waits for its subscriber", || {
        broker.publish("check/retained", "kept", &["-r"])?;
        let line = broker.subscribe("check/+")?.finish()?;
        expect(&line, "check/retained kept")
    });
    tally.check("mosquitto: a will is sent when a client is killed", || broker.will());
    tally.check("mosquitto: a wrong password is refused", || {
        let wrong = Broker { password: "wrong".to_owned(), ..broker.copy() };
        match wrong.publish("check/2", "x", &[]) {
            Ok(()) => Err("a wrong password was taken".into()),
            Err(refusal) if refusal.to_string().contains("bad user name or password") => Ok(()),
            Err(other) => Err(other),
        }
    });
    Ok(())
}

fn expect(found: &str, wanted: &str) -> Result<(), Failure> {
    if found.trim() == wanted {
        Ok(())
    } else {
        Err(format!("`{}` came instead of `{wanted}`", found.trim()).into())
    }
}

/// A mosquitto_sub that ends with its first message.
struct Subscriber(std::process::Child);

impl Subscriber {
    fn finish(self) -> Result<String, Failure> {
        let output = self.0.wait_with_output()?;
        Ok(String::from_utf8(output.stdout)?)
    }
}

impl Broker {
    fn copy(&self) -> Self {
        Self {
            host: self.host.clone(),
            port: self.port.clone(),
            user: self.user.clone(),
            password: self.password.clone(),
        }
    }

    fn command(&self, program: &str, topic: &str) -> Command {
        let mut command = Command::new(program);
        command.args([
            "-h",
            &self.host,
            "-p",
            &self.port,
            "-u",
            &self.user,
            "-P",
            &self.password,
            "-t",
            topic,
        ]);
        command
    }

    fn publish(&self, topic: &str, message: &str, more: &[&str]) -> Result<(), Failure> {
        process::run(self.command("mosquitto_pub", topic).args(["-m", message]).args(more)).map(drop)
    }

    fn subscribe(&self, filter: &str) -> Result<Subscriber, Failure> {
        let child = self
            .command("mosquitto_sub", filter)
            .args(["-v", "-C", "1", "-W", WAIT])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .map_err(|error| process::missing("mosquitto_sub", &error))?;
        Ok(Subscriber(child))
    }

    fn message(&self, topic: &str, message: &str) -> Result<(), Failure> {
        let subscriber = self.subscribe(topic)?;
        settle();
        self.publish(topic, message, &[])?;
        expect(&subscriber.finish()?, &format!("{topic} {message}"))
    }

    fn will(&self) -> Result<(), Failure> {
        let watcher = self.subscribe("check/will")?;
        let mut dying = self
            .command("mosquitto_sub", "nothing/here")
            .args(["--will-topic", "check/will", "--will-payload", "gone"])
            .spawn()?;
        settle();
        dying.kill()?;
        dying.wait()?;
        expect(&watcher.finish()?, "check/will gone")
    }
}

/// mosquitto_sub does not say when its subscription stands; this is ten times what it takes here.
fn settle() {
    std::thread::sleep(Duration::from_millis(500));
}
