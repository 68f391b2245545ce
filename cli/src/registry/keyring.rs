//! The system keyring. On Linux through `secret-tool` of libsecret, which speaks to GNOME's keyring, KDE's wallet and
//! KeePassXC; on macOS and Windows through their own, see `native`.
//!
//! Secrets go to `secret-tool` through standard input and output only, never through arguments. There is no keyring without
//! a session bus or without that program, nor where `ESPBROKER_KEYRING=off`; secrets are then kept in the registry's file.

use std::{
    env,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use espbroker_config::secret::Secret;

/// How long a keyring may take: its owner may have to unlock it first.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks whether it has ended.
const PAUSE: Duration = Duration::from_millis(10);
const TOOL: &str = "secret-tool";

/// Why a keyring has failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyringError {
    #[error("`{TOOL}` cannot be run")]
    Run(#[from] io::Error),
    #[error("`{TOOL}` does not end within {} s", PATIENCE.as_secs())]
    Late,
    #[error("`{TOOL}` could not do it: {0}")]
    Failed(String),
    #[error("the system's keyring could not do it: {0}")]
    #[cfg_attr(not(any(target_os = "macos", windows, test)), expect(dead_code, reason = "another system's"))]
    System(String),
}

/// Keeps one secret text for each device.
pub(crate) trait Keyring {
    /// Keeps it, instead of an older one.
    fn save(&self, mac: &str, secret: &Secret<String>) -> Result<(), KeyringError>;
    /// Gives it back, if there is one.
    fn load(&self, mac: &str) -> Result<Option<Secret<String>>, KeyringError>;
    /// Forgets it; it need not be there.
    fn remove(&self, mac: &str) -> Result<(), KeyringError>;
    /// Gives a secret that the user has put there under this name, if there is one.
    fn named(&self, name: &str) -> Result<Option<Secret<String>>, KeyringError>;
}

/// The keyring of this session, if there is one.
pub(crate) fn system_keyring() -> Option<Box<dyn Keyring>> {
    if env::var_os("ESPBROKER_KEYRING").is_some_and(|value| value == "off") {
        return None;
    }
    of_this_system()
}

#[cfg(any(target_os = "macos", windows))]
fn of_this_system() -> Option<Box<dyn Keyring>> {
    Some(Box::new(super::native::Native))
}

#[cfg(not(any(target_os = "macos", windows)))]
fn of_this_system() -> Option<Box<dyn Keyring>> {
    env::var_os("DBUS_SESSION_BUS_ADDRESS")?;
    let paths = env::var_os("PATH")?;
    let program = env::split_paths(&paths).map(|folder| folder.join(TOOL)).find(|path| path.is_file())?;
    Some(Box::new(SecretTool { program }))
}

struct SecretTool {
    program: PathBuf,
}

impl SecretTool {
    fn look_up(&self, attribute: [&str; 2]) -> Result<Option<Secret<String>>, KeyringError> {
        // Not found is 1 without a word.
        match self.run("lookup", &[], attribute, "")? {
            (true, secret, _) => Ok(Some(secret)),
            (false, _, complaint) if complaint.is_empty() => Ok(None),
            (false, _, complaint) => Err(KeyringError::Failed(complaint)),
        }
    }

    /// Runs it to its end; gives what it printed, and whether it said that all went well.
    fn run(
        &self,
        verb: &str,
        flags: &[&str],
        attribute: [&str; 2],
        input: &str,
    ) -> Result<(bool, Secret<String>, String), KeyringError> {
        let mut child = Command::new(&self.program)
            .arg(verb)
            .args(flags)
            .args(["service", "espbroker"])
            .args(attribute)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            match stdin.write_all(input.as_bytes()) {
                // It needs none.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                result => result?,
            }
        }
        let succeeded = wait(&mut child)?;
        // Both are short: what waits in a pipe does not keep it from its end.
        let (mut output, mut complaint) = (String::new(), String::new());
        if let Some(mut stdout) = child.stdout.take() {
            stdout.read_to_string(&mut output)?;
        }
        if let Some(mut stderr) = child.stderr.take() {
            stderr.read_to_string(&mut complaint)?;
        }
        Ok((succeeded, Secret::new(output), complaint.trim().to_owned()))
    }
}

fn wait(child: &mut Child) -> Result<bool, KeyringError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.success());
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Err(KeyringError::Late);
        }
        std::thread::sleep(PAUSE);
    }
}

impl Keyring for SecretTool {
    fn save(&self, mac: &str, secret: &Secret<String>) -> Result<(), KeyringError> {
        let label = format!("--label=espbroker device {mac}");
        let (succeeded, _, complaint) = self.run("store", &[&label], ["device", mac], secret.expose())?;
        // A keyring that is locked may say nothing, and keep nothing.
        match (succeeded, self.load(mac)?) {
            (true, Some(kept)) if kept == *secret => Ok(()),
            _ => Err(KeyringError::Failed(complaint)),
        }
    }

    fn load(&self, mac: &str) -> Result<Option<Secret<String>>, KeyringError> {
        self.look_up(["device", mac])
    }

    fn named(&self, name: &str) -> Result<Option<Secret<String>>, KeyringError> {
        self.look_up(["name", name])
    }

    fn remove(&self, mac: &str) -> Result<(), KeyringError> {
        match self.run("clear", &[], ["device", mac], "")? {
            (false, _, complaint) if !complaint.is_empty() => Err(KeyringError::Failed(complaint)),
            _ => Ok(()),
        }
    }
}
