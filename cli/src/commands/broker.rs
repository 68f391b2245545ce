//! `broker`: the device's own broker on this computer, for trying its settings, topics and bridges without a board.
//!
//! The very code that the chip runs, on this computer's sockets, with its flash in memory or in a file. It runs until
//! Ctrl-C; SIGHUP makes it read its settings again. What it says as status lines is told in plain words, or as JSON.

mod news;
mod settings;
mod signals;

pub(super) use settings::take_what_is_for_a_board;

use std::{
    collections::VecDeque,
    io::IsTerminal as _,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    time::Duration,
};

use espbroker_config::{
    flash_map::FlashMap,
    image::Target,
    model::Config,
    slots::{self, Absence, Loaded, StoreError},
};
use espbroker_host::{
    FileFlash, Flash, FlashError, Host, HostOptions, MemoryFlash, Nor, Ports, Running, Wired,
};
use espbroker_node::status::{ListenFailure, ResetCause, Service, Status};

use self::{news::News, signals::Signals};
use super::Context;
use crate::{
    arguments::BrokerArguments, failure::Failure, screen::Screen, settings::warn_if_exposed, simulation::MAC,
    start_up,
};

/// How often the program looks whether the broker has something to say or was told something.
const POLL: Duration = Duration::from_millis(50);

/// Why there is no broker, or no more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BrokerError {
    #[error("no settings were named")]
    NoSettings,
    #[error("nobody could log in: the settings name no user, and refuse clients without one")]
    NobodyMayEnter,
    #[error("this computer cannot listen on the address {address}")]
    Address {
        address: IpAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("cannot open the {} port {address}: it is {}", start_up::service_words(*service), start_up::listen_words(*reason))]
    PortNotOpen { service: Service, address: SocketAddr, reason: ListenFailure },
    #[error("cannot keep the store in `{}`", path.display())]
    Store {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("this file is no store of a broker: `{}`", path.display())]
    NotAStore { path: PathBuf },
    #[error("the settings cannot be stored")]
    Settings(#[from] StoreError<FlashError>),
    #[error("the flash cannot be read")]
    Flash(#[from] FlashError),
    #[error("the operating system does not let the broker run")]
    System(#[source] std::io::Error),
    #[error("the broker has ended by itself")]
    Ended,
}

/// Runs a broker until it is told to end.
///
/// # Errors
///
/// When the settings, the address, a port or the store cannot be used.
pub(crate) fn run(given: &BrokerArguments, context: &Context) -> Result<(), Failure> {
    let signals = Signals::watch(context).map_err(BrokerError::System)?;
    let config = settings::resolve(given, context.screen)?;
    let address = given.bind;
    // A port that cannot be opened says no more than that; an address that this computer does not have would be lost.
    TcpListener::bind((address, 0)).map_err(|source| BrokerError::Address { address, source })?;
    let options = HostOptions {
        flash: flash_with(&config, given.store.as_deref(), context.screen)?,
        radio: Box::new(Wired::new(address)),
        bind: address,
        ports: Ports::Configured,
        discovery: None,
        target: Target::Virtual,
        mac: MAC,
        reset: ResetCause::PowerOn,
        heap: given.memory,
    };
    let running = Host::start(options).map_err(BrokerError::System)?;
    let mut broker = Broker { given, screen: context.screen, config, running, lines: Lines::default() };
    broker.serve(&signals)?;
    broker.running.shut_down().map_err(BrokerError::System)?;
    Ok(())
}

/// The device's flash, with the config where the device looks for it.
fn flash_with(config: &Config, store: Option<&Path>, screen: Screen) -> Result<Box<dyn Flash>, BrokerError> {
    let capacity = usize::try_from(FlashMap::Map4M.flash_size()).unwrap_or(usize::MAX);
    let flash: Box<dyn Flash> = match store {
        None => Box::new(MemoryFlash::blank(capacity)),
        Some(path) => {
            let failed = |source| BrokerError::Store { path: path.to_owned(), source };
            let flash = FileFlash::open(path, capacity).map_err(failed)?;
            if let Some(warning) = warn_if_exposed(path) {
                screen.warning(warning);
            }
            Box::new(flash)
        }
    };
    let mut flash = Nor(flash);
    if let (Some(path), Loaded::Nothing(Absence::Damaged(_) | Absence::Newer { .. })) =
        (store, slots::load(&mut flash)?)
    {
        return Err(BrokerError::NotAStore { path: path.to_owned() });
    }
    slots::store(&mut flash, config)?;
    Ok(flash.0)
}

/// A broker that runs.
struct Broker<'a> {
    given: &'a BrokerArguments,
    screen: Screen,
    /// Settings in use, or to be used with the next start.
    config: Config,
    running: Running,
    lines: Lines,
}

impl Broker<'_> {
    /// Tells what the broker says until a signal ends it.
    fn serve(&mut self, signals: &Signals) -> Result<(), Failure> {
        let mut ready = false;
        while !signals.stop() {
            while let Some(line) = self.lines.next(&self.running) {
                if !line.trim().is_empty() {
                    self.screen.detail(line.trim());
                }
                let Ok(Some(status)) = Status::parse(&line) else { continue };
                match status {
                    Status::ListenFailed { service, port, reason } if !ready => {
                        let address = SocketAddr::new(self.given.bind, port);
                        return Err(BrokerError::PortNotOpen { service, address, reason }.into());
                    }
                    Status::Ready { .. } => ready = true,
                    _ => {}
                }
                if let Some(news) = News::of(&status, self.given.bind) {
                    self.tell(&news)?;
                }
                if let Status::Ready { .. } = status {
                    self.screen.line(self.how_to_go_on());
                }
            }
            if !self.running.is_running() {
                return Err(BrokerError::Ended.into());
            }
            if signals.reload() {
                if self.has_lost_its_terminal() {
                    return Ok(());
                }
                let news = self.reload();
                self.tell(&news)?;
            }
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Whether the window that the program was started in was closed, which sends SIGHUP too.
    fn has_lost_its_terminal(&self) -> bool {
        self.screen.is_terminal() && !std::io::stderr().is_terminal()
    }

    /// Reads the settings again and lets the broker use them; those that cannot be used change nothing.
    fn reload(&mut self) -> News {
        if self.given.config.is_none() {
            return News::NotConfigured { reason: "there is no --config FILE to read again".to_owned() };
        }
        let result = settings::resolve(self.given, self.screen).and_then(|config| {
            let with_next_start = settings::with_next_start(&self.config, &config)?;
            Ok((config, with_next_start))
        });
        match result {
            Ok((config, with_next_start)) => {
                self.running.reconfigure(config.clone());
                self.config = config;
                News::Configured { with_next_start }
            }
            Err(failure) => News::NotConfigured { reason: failure.sentence() },
        }
    }

    fn tell(&self, news: &News) -> Result<(), Failure> {
        match news.text() {
            Some(text) if news.is_bad() => self.screen.warning(text),
            Some(text) => self.screen.line(text),
            None => {}
        }
        if self.given.json { crate::print_json(&news.versioned()) } else { Ok(()) }
    }

    fn how_to_go_on(&self) -> String {
        let reload = if signals::CAN_RELOAD && self.given.config.is_some() {
            " SIGHUP makes it read its settings again."
        } else {
            ""
        };
        let open = if self.given.bind.is_loopback() {
            "\nOnly programs on this computer reach it; --bind 0.0.0.0 opens it to your network."
        } else {
            ""
        };
        format!("Ctrl-C ends the broker.{reload}{open}")
    }
}

/// What the broker writes to its serial console, line by line.
#[derive(Default)]
struct Lines {
    /// The start of a line whose end has not come yet.
    partial: Vec<u8>,
    whole: VecDeque<String>,
}

impl Lines {
    fn next(&mut self, running: &Running) -> Option<String> {
        let mut bytes = [0; 1024];
        while self.whole.is_empty() {
            let length = running.console_read(&mut bytes);
            if length == 0 {
                return None;
            }
            self.partial.extend_from_slice(bytes.get(..length).unwrap_or_default());
            while let Some(end) = self.partial.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.partial.drain(..=end).collect();
                self.whole.push_back(String::from_utf8_lossy(&line).into_owned());
            }
        }
        self.whole.pop_front()
    }
}
