//! [`Watched`]: a program beside a check, whose lines are waited for.

use std::{
    io::{BufRead as _, BufReader, Read},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use crate::process::{self, Failure, missing};

/// Longest wait for a line.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program that runs, with the lines of both of its streams; killed when dropped.
pub(crate) struct Watched {
    name: String,
    child: Child,
    lines: Receiver<String>,
    /// For the report of a failure.
    seen: Vec<String>,
}

impl Watched {
    /// # Errors
    ///
    /// When it cannot be started.
    pub(crate) fn start(command: &mut Command) -> Result<Self, Failure> {
        Self::spawn(command.stdin(Stdio::null()))
    }

    /// As [`Self::start`], with the program's standard input.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn start_with_input(command: &mut Command) -> Result<(Self, ChildStdin), Failure> {
        let mut watched = Self::spawn(command.stdin(Stdio::piped()))?;
        let input = watched.child.stdin.take().ok_or("no standard input")?;
        Ok((watched, input))
    }

    /// A virtual device served over RFC 2217, and the port that it says it has.
    ///
    /// # Errors
    ///
    /// When it does not start, or says no port.
    pub(crate) fn virtual_device(command: &mut Command) -> Result<(Self, String), Failure> {
        let mut device = Self::start(command)?;
        let port = device.line("its port", |line| line.starts_with("rfc2217://"))?;
        Ok((device, port.trim_end().to_owned()))
    }

    fn spawn(command: &mut Command) -> Result<Self, Failure> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| missing(&program, &error))?;
        let (sender, lines) = mpsc::channel();
        read(child.stdout.take(), &sender);
        read(child.stderr.take(), &sender);
        Ok(Self { name: format!("{command:?}"), child, lines, seen: Vec::new() })
    }

    /// The first line that was not looked at and is `wanted`; those before are passed over.
    ///
    /// # Errors
    ///
    /// When it does not come in 20 s, or the program ends without it.
    pub(crate) fn line(&mut self, what: &str, wanted: impl FnMut(&str) -> bool) -> Result<String, Failure> {
        self.line_within(PATIENCE, what, wanted)
    }

    /// [`Self::line`] with another wait.
    ///
    /// # Errors
    ///
    /// When it does not come in time, or the program ends without it.
    pub(crate) fn line_within(
        &mut self,
        patience: Duration,
        what: &str,
        mut wanted: impl FnMut(&str) -> bool,
    ) -> Result<String, Failure> {
        let end = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.seen.push(line.clone());
                    if wanted(&line) {
                        return Ok(line);
                    }
                }
                Err(ended) => {
                    let how =
                        if ended == RecvTimeoutError::Timeout { "says nothing of" } else { "ends before" };
                    let seen = self.seen.join("\n");
                    return Err(format!("`{}` {how} {what}, only:\n{seen}", self.name).into());
                }
            }
        }
    }

    /// Everything that the program has said, if it has ended.
    pub(crate) fn last_words(&mut self) -> Option<String> {
        let ended = matches!(self.child.try_wait(), Ok(Some(_)) | Err(_));
        // The last lines may still be on their way; their end is the end of the channel.
        ended.then(|| {
            self.seen.extend(self.lines.iter());
            self.seen.join("\n")
        })
    }

    /// Prints every line until the program ends.
    pub(crate) fn follow(&mut self) {
        while let Ok(line) = self.lines.recv() {
            println!("{line}");
        }
    }

    /// Lets the program end by itself, and returns whether it says that all went well.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub(crate) fn end(mut self) -> Result<bool, Failure> {
        Ok(self.child.wait()?.success())
    }

    /// Asks the program to end (SIGTERM) and waits for it.
    ///
    /// # Errors
    ///
    /// When it cannot be asked.
    pub(crate) fn stop(mut self) -> Result<(), Failure> {
        process::run(Command::new("kill").arg(self.child.id().to_string()))?;
        self.child.wait()?;
        Ok(())
    }

    /// Ends the program where it stands (SIGKILL).
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub(crate) fn kill(mut self) -> Result<(), Failure> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Passes the lines of a stream on, on a thread that ends with the stream.
fn read(stream: Option<impl Read + Send + 'static>, sender: &Sender<String>) {
    let Some(stream) = stream else { return };
    let sender = sender.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}
