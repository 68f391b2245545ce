//! `pictures`: what a user sees, recorded in a real terminal (tmux) and drawn as SVG for the README.
//!
//! Everything runs against virtual devices, so anyone can make the pictures again. Temporary paths are replaced by the
//! ones a user would see, and the user gives a password of their own, so that no picture shows one.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use crate::{
    process::{self, Failure, root},
    watched::Watched,
};

/// Begin of the names of this task's tmux servers, apart from the user's own; one each, since a server that was told to
/// end may still be there when the next one starts.
const SERVER: &str = "espbroker-picture-";

/// Columns and rows of the recorded terminal.
const SIZE: (&str, &str) = ("110", "45");

/// Longest wait for a text to appear.
const PATIENCE: Duration = Duration::from_secs(90);

/// Shown where the temporary folder was.
const HOME: &str = "~";

/// Records all pictures.
///
/// # Errors
///
/// When tmux is missing, or the screen does not show what it should.
pub(crate) fn run() -> Result<(), Failure> {
    process::run(Command::new("tmux").arg("-V"))?;
    let program = process::program()?;
    let out = root().join("release/pictures");
    fs::create_dir_all(&out)?;
    let folder = tempfile::tempdir()?;
    let studio = Studio { program, folder: folder.path().to_owned(), out };
    studio.wizard()?;
    let faults = [
        ("failure-flash", "setup --simulate --pace instant --fault flash-1mb", "hint:"),
        ("failure-silence", "setup --simulate --pace instant --fault silent", "hint:"),
        (
            "failure-passphrase",
            "setup --simulate --pace instant --ssid home --wifi-passphrase-file typo --user me --network home=right",
            "hint:",
        ),
    ];
    fs::write(studio.folder.join("typo"), "correct horse battery stable\n")?;
    fs::write(studio.folder.join("right"), "correct horse battery staple\n")?;
    for (name, arguments, end) in faults {
        studio.record(name, arguments, |terminal| terminal.wait_for(end))?;
    }
    println!("4 passed, 0 failed");
    Ok(())
}

struct Studio {
    program: PathBuf,
    folder: PathBuf,
    out: PathBuf,
}

/// A terminal in a tmux server of its own.
struct Terminal {
    server: String,
}

impl Studio {
    /// The questions, answered by hand, and the whole set-up in real time.
    fn wizard(&self) -> Result<(), Failure> {
        fs::write(self.folder.join("passphrase"), "correct horse battery staple\n")?;
        let network = format!("home={}", self.folder.join("passphrase").display());
        let arguments = ["simulate", "--quiet", "--rfc2217", "--network", &network];
        let (_device, port) = Watched::virtual_device(Command::new(&self.program).args(arguments))?;
        self.record("wizard", &format!("setup --port {port}"), |terminal| {
            terminal.wait_for("Which board")?;
            terminal.keys(&["Down", "Down", "Enter"])?;
            terminal.wait_for("Name of the device")?;
            terminal.answer("hall")?;
            terminal.wait_for("Wi-Fi network")?;
            terminal.answer("home")?;
            terminal.wait_for("passphrase")?;
            terminal.answer("correct horse battery staple")?;
            terminal.wait_for("User of the broker")?;
            terminal.keys(&["Enter"])?;
            terminal.wait_for("Its password")?;
            terminal.answer("my own password")?;
            terminal.wait_for("same password again")?;
            terminal.answer("my own password")?;
            terminal.wait_for("Write this to the device")?;
            terminal.keys(&["Enter"])?;
            terminal.wait_for("mosquitto_pub")
        })
    }

    /// Runs one command in a new terminal, plays it to its end, and draws the last screen.
    fn record(
        &self,
        name: &str,
        arguments: &str,
        play: impl FnOnce(&Terminal) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let terminal = Terminal { server: format!("{SERVER}{name}") };
        let folder = self.folder.display();
        let path = self.program.parent().unwrap_or(Path::new(".")).display();
        let shell = format!(
            "cd '{folder}' && HOME='{folder}' XDG_DATA_HOME='{folder}/.local/share' PATH='{path}':\"$PATH\" PS1='$ ' \
             exec bash --norc --noprofile"
        );
        let (columns, rows) = SIZE;
        terminal.tmux(&["new-session", "-d", "-x", columns, "-y", rows, &shell])?;
        terminal.wait_for("$")?;
        terminal.answer("clear")?;
        std::thread::sleep(Duration::from_millis(300));
        terminal.answer(&format!("espbroker {arguments}"))?;
        let played = play(&terminal);
        // The prompt comes back after the last line.
        std::thread::sleep(Duration::from_millis(700));
        let screen = terminal.screen(true);
        terminal.tmux(&["kill-server"])?;
        played?;
        let text = screen?.replace(&folder.to_string(), HOME);
        let svg = anstyle_svg::Term::new().render_svg(text.trim_end());
        fs::write(self.out.join(format!("{name}.svg")), svg)?;
        println!("drawn   {name}");
        Ok(())
    }
}

impl Terminal {
    fn tmux(&self, arguments: &[&str]) -> Result<String, Failure> {
        process::run(Command::new("tmux").args(["-L", &self.server, "-f", "/dev/null"]).args(arguments))
    }

    fn keys(&self, keys: &[&str]) -> Result<(), Failure> {
        for key in keys {
            self.tmux(&["send-keys", key])?;
            std::thread::sleep(Duration::from_millis(150));
        }
        Ok(())
    }

    /// Types a text, which may be the name of a key, and Enter.
    fn answer(&self, text: &str) -> Result<(), Failure> {
        self.tmux(&["send-keys", "-l", text])?;
        self.keys(&["Enter"])
    }

    fn screen(&self, colours: bool) -> Result<String, Failure> {
        let mut arguments = vec!["capture-pane", "-p"];
        if colours {
            arguments.push("-e");
        }
        self.tmux(&arguments)
    }

    fn wait_for(&self, text: &str) -> Result<(), Failure> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if self.screen(false)?.contains(text) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("`{text}` did not appear; the screen shows:\n{}", self.screen(false)?).into())
    }
}
