//! What the tests share: a home folder for each, runs of the program, and a virtual device in the background.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use assert_cmd::cargo::CommandCargoExt as _;
use tempfile::TempDir;

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// `setup` on a device that takes no time. What the tests are about is this program, so the firmware runs as a part of it;
/// those about the image that is executed say so.
pub(crate) const SETUP: [&str; 4] = ["setup", "--simulate=host", "--pace", "instant"];

/// The folder that one test's runs take for the user's home.
pub(crate) struct Home {
    folder: TempDir,
}

/// What a run left behind.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Home {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The path of a file as an argument.
    pub(crate) fn file(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Writes a file that only its owner can read, and returns its path as an argument.
    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        self.file(name)
    }

    /// Where a generated password of this device is saved.
    pub(crate) fn password(&self, device: &str) -> PathBuf {
        self.path("data/espbroker").join(format!("{device}.password"))
    }

    /// The program with these arguments, a home of its own and no terminal.
    pub(crate) fn command<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::cargo_bin("espbroker").unwrap();
        self.prepare(&mut command);
        command.args(arguments);
        command
    }

    /// Gives a command this home and no terminal.
    pub(crate) fn prepare(&self, command: &mut Command) {
        command
            .env("HOME", self.folder.path())
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("COLUMNS", "100")
            .env("ESPBROKER_KEYRING", "off")
            .env_remove("ESPBROKER_PORT")
            .env_remove("ESPBROKER_KEY_FILE")
            .env_remove("ESPBROKER_FIRMWARE_SOURCE")
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
    }

    /// Runs the program to its end.
    pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: &[S]) -> Run {
        Run::from(self.command(arguments).output().unwrap())
    }

    /// Runs `setup` on a fast device with a free MQTT port.
    pub(crate) fn setup(&self, arguments: &[&str]) -> Run {
        let port = free_port().to_string();
        self.run(&[&SETUP, ["--mqtt-port", &port].as_slice(), arguments].concat())
    }

    /// Runs `setup` to a finished device in `flash`, with settings of its own.
    pub(crate) fn device(&self, flash: &str) {
        let run = self.setup(&["--flash", flash, "--name", "hall", "--ssid", "home", "--open-network", "-q"]);
        assert_eq!(run.code, 0, "{}", run.stderr);
    }

    /// Text with what differs from run to run replaced, for a snapshot.
    pub(crate) fn settled(&self) -> insta::Settings {
        let mut settings = insta::Settings::clone_current();
        settings.set_prepend_module_to_snapshot(false);
        settings.add_filter(self.folder.path().to_str().unwrap(), "[HOME]");
        settings.add_filter(r"/dev/pts/\d+", "[TERMINAL]");
        settings.add_filter(r"rfc2217://127\.0\.0\.1:\d+", "rfc2217://[ADDRESS]");
        settings.add_filter(r"(cannot write region `\w+`) at 0x[0-9a-f]+", "$1 at [OFFSET]");
        settings.add_filter(r"within: \d+ ms", "within: [TIMEOUT] ms");
        settings.add_filter(r"process \d+", "process [PID]");
        settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]");
        settings.add_filter(r"-p \d+", "-p [PORT]");
        settings.add_filter(r"(MQTT port:|MQTT on port|WebSocket on port) \d+", "$1 [PORT]");
        settings.add_filter(r"\d+ million instructions", "[COUNT] million instructions");
        settings.add_filter(r"\d+ bytes(.*) for virtual", "[SIZE] bytes$1 for virtual");
        settings.add_filter(r"\d+ of \d+ KB differed", "[SIZE] of [SIZE] KB differed");
        settings.add_filter(r"\d+ bytes of heap", "[HEAP] bytes of heap");
        settings.add_filter(r" +\d+\.\d s\b", " [TIME]");
        settings.add_filter(&env!("CARGO_PKG_VERSION").replace('.', r"\."), "[VERSION]");
        settings
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: code(output.status),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Run {
    /// Exit code and message, for a snapshot.
    pub(crate) fn verdict(&self) -> String {
        format!("exit {}\n{}", self.code, self.stderr)
    }

    /// Standard output as JSON; the run must have succeeded.
    pub(crate) fn json(&self) -> serde_json::Value {
        assert_eq!(self.code, 0, "{}", self.stderr);
        serde_json::from_str(&self.stdout).unwrap()
    }

    /// Standard output of a run that succeeded.
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.code, 0, "{}", self.stderr);
        &self.stdout
    }
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| panic!("{status}"))
}

/// A port that nobody has, and that nobody is given: below those that systems hand out by themselves (from 32,768), so
/// that it is still free when a device that had it starts again, and refuses when that device is gone.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 20_000;
    const COUNT: u32 = 12_000;
    static TURN: AtomicU32 = AtomicU32::new(0);
    loop {
        // Two runs of the tests at a time begin in different places.
        let turn = TURN.fetch_add(1, Ordering::Relaxed) + std::process::id() * 97;
        let port = u16::try_from(FIRST + turn % COUNT).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// A run in the background; it is killed when the test is over.
pub(crate) struct Background {
    child: Child,
    /// First line on standard output.
    pub(crate) line: String,
    stdout: BufReader<std::process::ChildStdout>,
}

impl Background {
    /// Starts a run and waits for its first line.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        Self { child, line: line.trim_end().to_owned(), stdout }
    }

    /// A virtual device with this flash, served by RFC 2217; [`Background::line`] is the port.
    pub(crate) fn simulate(home: &Home, flash: &str, arguments: &[&str]) -> Self {
        let fixed = ["simulate", "--rfc2217", "127.0.0.1:0", "--pace", "instant", "--execute", "host"];
        Self::start(home.command(&[fixed.as_slice(), &["--flash", flash], arguments].concat()))
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// As Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        interrupt(self.id());
    }

    /// Waits for the next line on standard output.
    pub(crate) fn next_line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Waits for the end; the output is that after the first line.
    pub(crate) fn finish(mut self) -> Run {
        let deadline = Instant::now() + PATIENCE;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut stdout = String::new();
        std::io::Read::read_to_string(&mut self.stdout, &mut stdout).unwrap();
        let mut stderr = String::new();
        std::io::Read::read_to_string(&mut self.child.stderr.take().unwrap(), &mut stderr).unwrap();
        Run { code: code(self.child.wait().unwrap()), stdout, stderr }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends SIGINT.
pub(crate) fn interrupt(process: u32) {
    signal(process, "INT");
}

/// Sends the signal of this name.
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &process.to_string()]).status().unwrap();
    assert!(sent.success());
}

/// Permission bits of a file.
pub(crate) fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// How many threads share the runs of one test; most of a run is waiting.
const THREADS: usize = 4;

/// Does `work` for every case, several at a time.
pub(crate) fn in_parallel<T>(cases: impl Iterator<Item = T> + Send, work: impl Fn(T) + Sync) {
    let cases = Mutex::new(cases);
    let next = || cases.lock().unwrap().next();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(case) = next() {
                    work(case);
                }
            });
        }
    });
}
