//! [`Stage`]: our broker and mosquitto's programs, each told where the others are.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    ops::Deref,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::{
    process::{self, Failure},
    watched::Watched,
};

/// A user of our broker or of mosquitto; its password is `secret`.
pub(crate) const USER: &str = "home";

/// Where checks take place: a folder of their own, and the program.
pub(crate) struct Stage<'a> {
    program: &'a Path,
    folder: TempDir,
}

/// A broker of ours or of others that runs here.
pub(crate) struct Served {
    pub(crate) login: Login,
    pub(crate) watched: Watched,
}

/// Where a broker is reached, and as whom.
pub(crate) struct Login {
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
}

impl<'a> Stage<'a> {
    /// # Errors
    ///
    /// When there is no room for a folder.
    pub(crate) fn new(program: &'a Path) -> Result<Self, Failure> {
        Ok(Self { program, folder: tempfile::tempdir()? })
    }

    /// A port that was free a moment ago.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub(crate) fn port() -> Result<u16, Failure> {
        let [port] = Self::ports()?;
        Ok(port)
    }

    /// Different ports.
    ///
    /// # Errors
    ///
    /// When there are not so many.
    pub(crate) fn ports<const COUNT: usize>() -> Result<[u16; COUNT], Failure> {
        let mut ports = [0; COUNT];
        let mut listeners = Vec::new();
        for port in &mut ports {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            *port = listener.local_addr()?.port();
            // No other port may be the same.
            listeners.push(listener);
        }
        Ok(ports)
    }

    /// Debian's mosquitto.
    pub(crate) fn mosquitto_program() -> Command {
        let path = Path::new("/usr/sbin/mosquitto");
        // Debian has it where only root looks.
        Command::new(if path.exists() { path } else { Path::new("mosquitto") })
    }

    /// The path of a file here.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn file(&self, name: &str, text: &str) -> Result<PathBuf, Failure> {
        let path = self.path(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Starts our broker on `port`; `more` goes behind its settings, which end in those of the broker's users.
    ///
    /// # Errors
    ///
    /// When it does not come to say that it is ready.
    pub(crate) fn ours(&self, name: &str, port: u16, more: &str, flags: &[&str]) -> Result<Served, Failure> {
        let settings = format!(
            r#"
            name = "{name}"
            [broker]
            mqtt_port = {port}
            websocket_port = 0
            sys_interval = 1
            users = [
                {{ name = "{USER}", password = "secret" }},
                {{ name = "guest", password = "secret", permissions = [{{ pattern = "open/#", access = "read" }}] }},
            ]
            {more}
            "#
        );
        let settings = self.file(&format!("{name}.toml"), &settings)?;
        let mut command = Command::new(self.program);
        command
            .current_dir(self.folder.path())
            .args(["broker", "--quiet", "--json", "--config"])
            .arg(settings);
        let mut watched = Watched::start(command.args(flags))?;
        watched.line("being ready", |line| event(line) == "ready")?;
        Ok(Served::new(port, watched))
    }

    /// Starts Debian's mosquitto on `port`, with its log; `more` goes behind its settings.
    ///
    /// # Errors
    ///
    /// When it is missing or does not come to run.
    pub(crate) fn mosquitto(&self, name: &str, port: u16, more: &str) -> Result<Served, Failure> {
        let passwords = self.file(&format!("{name}.passwords"), &format!("{USER}:secret\n"))?;
        // Replaces the password by its hash.
        process::run(Command::new("mosquitto_passwd").arg("-U").arg(&passwords))?;
        let settings = format!(
            "listener {port} 127.0.0.1\nallow_anonymous false\npassword_file {}\npersistence true\n\
             persistence_location {}/\npersistence_file {name}.db\nlog_dest stderr\nuser root\n{more}\n",
            passwords.display(),
            self.folder.path().display(),
        );
        let settings = self.file(&format!("{name}.conf"), &settings)?;
        let mut watched = Watched::start(Self::mosquitto_program().arg("-c").arg(settings))?;
        watched.line("running", |line| line.ends_with(" running"))?;
        Ok(Served::new(port, watched))
    }
}

impl Served {
    pub(crate) fn new(port: u16, watched: Watched) -> Self {
        Self { login: Login::new(port), watched }
    }

    /// Waits for news of a bridge.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub(crate) fn bridge(&mut self, wanted: &str) -> Result<String, Failure> {
        self.watched.line(wanted, |line| event(line) == wanted)
    }
}

impl Deref for Served {
    type Target = Login;

    fn deref(&self) -> &Login {
        &self.login
    }
}

impl Login {
    /// As [`USER`].
    pub(crate) fn new(port: u16) -> Self {
        Self { port, user: USER.to_owned(), password: "secret".to_owned() }
    }

    /// `mosquitto_pub` or `mosquitto_sub`.
    pub(crate) fn command(&self, program: &str, arguments: &[&str]) -> Command {
        self.command_as(&self.user, program, arguments)
    }

    /// The same as another user, with the same password.
    pub(crate) fn command_as(&self, user: &str, program: &str, arguments: &[&str]) -> Command {
        // What mosquitto_sub says with -d stays in its buffer until a message comes.
        let mut command = Command::new("stdbuf");
        let port = self.port.to_string();
        command.args(["-oL", program]);
        command.args(["-h", "127.0.0.1", "-p", &port, "-u", user, "-P", &self.password]).args(arguments);
        command
    }

    /// # Errors
    ///
    /// When `mosquitto_pub` does not say that all went well.
    pub(crate) fn publish(&self, topic: &str, message: &str, more: &[&str]) -> Result<(), Failure> {
        let arguments = [&["-t", topic, "-m", message], more].concat();
        process::run(&mut self.command("mosquitto_pub", &arguments)).map(drop)
    }

    /// `mosquitto_sub`, once its subscription stands.
    ///
    /// # Errors
    ///
    /// When that does not happen.
    pub(crate) fn subscribe(&self, filter: &str, more: &[&str]) -> Result<Subscriber, Failure> {
        let mut subscriber = self.resume(filter, more)?;
        subscriber.0.line("its subscription", |line| line.starts_with("Subscribed "))?;
        Ok(subscriber)
    }

    /// `mosquitto_sub` for a session with messages, which come before it has subscribed again.
    ///
    /// # Errors
    ///
    /// When it is missing.
    pub(crate) fn resume(&self, filter: &str, more: &[&str]) -> Result<Subscriber, Failure> {
        let arguments = [&["-d", "-v", "-t", filter], more].concat();
        Watched::start(&mut self.command("mosquitto_sub", &arguments)).map(Subscriber)
    }
}

/// A `mosquitto_sub` that tells all that happens.
pub(crate) struct Subscriber(pub(crate) Watched);

impl Subscriber {
    /// The next message: topic and payload.
    ///
    /// # Errors
    ///
    /// When none comes.
    pub(crate) fn next(&mut self) -> Result<String, Failure> {
        self.0.line("a message", is_message)
    }

    /// Expects these messages next, and in this order.
    ///
    /// # Errors
    ///
    /// When others come, or none.
    pub(crate) fn expect(&mut self, messages: &[&str]) -> Result<(), Failure> {
        messages.iter().try_for_each(|message| same(&self.next()?, message))
    }
}

/// # Errors
///
/// When the two are not the same.
pub(crate) fn same(found: &str, wanted: &str) -> Result<(), Failure> {
    if found == wanted { Ok(()) } else { Err(format!("`{found}` came instead of `{wanted}`").into()) }
}

/// Is it not about packets.
fn is_message(line: &str) -> bool {
    !line.starts_with("Client ") && !line.starts_with("Subscribed ")
}

/// What happened, of a line of JSON; empty for any other line.
fn event(line: &str) -> String {
    let value: Value = serde_json::from_str(line).unwrap_or_default();
    value.get("event").and_then(Value::as_str).unwrap_or_default().to_owned()
}
