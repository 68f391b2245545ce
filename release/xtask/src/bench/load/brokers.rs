//! The two brokers, each in a process of its own on loopback.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::process::{Failure, missing};

/// Longest wait for a broker to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// A broker that runs, and is killed when dropped.
#[derive(Debug)]
pub(crate) struct Broker {
    pub(crate) address: SocketAddr,
    child: Child,
    /// Of ours: asks it and is answered.
    conversation: Option<(ChildStdin, BufReader<ChildStdout>)>,
    _folder: Option<TempDir>,
}

impl Broker {
    /// Debian's mosquitto, without authentication, persistence, log, and without limits that would make it drop.
    ///
    /// # Errors
    ///
    /// When it is missing or does not start.
    pub(crate) fn mosquitto() -> Result<Self, Failure> {
        // Free a moment ago; mosquitto cannot choose one itself.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("mosquitto.conf");
        let port = address.port();
        fs::write(
            &config,
            format!(
                "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nlog_dest none\n\
                 set_tcp_nodelay true\nmax_queued_messages 0\nmax_inflight_messages 0\nsys_interval 0\n"
            ),
        )?;
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| missing("mosquitto", &error))?;
        let broker = Self { address, child, conversation: None, _folder: Some(folder) };
        let started = Instant::now();
        while TcpStream::connect(address).is_err() {
            if started.elapsed() > PATIENCE {
                return Err("mosquitto does not open its port".into());
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(broker)
    }

    /// Ours: this program as `bench serve`.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub(crate) fn ours() -> Result<Self, Failure> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["bench", "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let conversation = pipes.map(|(stdin, stdout)| (stdin, BufReader::new(stdout)));
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut broker = Self { address, child, conversation, _folder: None };
        let port = broker.hear("port")?;
        broker.address.set_port(u16::try_from(port)?);
        Ok(broker)
    }

    /// The most bytes that the process has had in memory, its code included.
    ///
    /// # Errors
    ///
    /// When the process has ended.
    pub(crate) fn peak_process(&self) -> Result<u64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        peak_resident(&status).ok_or_else(|| "the broker has ended".into())
    }

    /// Nanoseconds that the process has had a processor; `None` if the kernel does not count them.
    pub(crate) fn processor_time(&self) -> Option<u64> {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).ok()?;
        let times = threads.map(|thread| {
            let schedule = fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?;
            schedule.split(' ').next()?.parse::<u64>().ok()
        });
        times.sum()
    }

    /// The most bytes that the broker has held by its own account; `None` for mosquitto, which is not asked.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub(crate) fn peak_own(&mut self) -> Result<Option<u64>, Failure> {
        let Some((stdin, _)) = &mut self.conversation else { return Ok(None) };
        stdin.write_all(b"peak\n")?;
        self.hear("peak").map(Some)
    }

    /// Reads a line of a word and a number.
    fn hear(&mut self, word: &str) -> Result<u64, Failure> {
        let mut line = String::new();
        if let Some((_, stdout)) = &mut self.conversation {
            stdout.read_line(&mut line)?;
        }
        let number = line.strip_prefix(word).and_then(|number| number.trim().parse().ok());
        number.ok_or_else(|| format!("the broker said `{}`", line.trim()).into())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        // Already gone is as good as killed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// VmHWM of `/proc/PID/status`, in bytes.
fn peak_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_read_in_bytes() {
        assert_eq!(peak_resident("Name:\tx\nVmHWM:\t    3456 kB\nVmRSS:\t 1 kB\n"), Some(3_538_944));
        assert_eq!(peak_resident("Name:\tx\n"), None);
    }
}
