//! [`Openings`]: connections that bridges ask for, made without the device ever waiting.
//!
//! A host is looked up, and its addresses are tried one after the other with a head start each, as in RFC 8305: the
//! first that connects is taken, so that an address that swallows everything costs a moment and not the connection.
//! Left out of that document: asking for both families separately, and interleaving them, which resolvers do.

use std::{
    collections::VecDeque,
    io::{self, ErrorKind},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use espbroker_node::{BridgeId, Instant, OpenFailure};
use mio::{Interest, Registry, Token, event::Event, net::TcpStream};

use crate::lookup::Lookups;

/// How long looking up a name may take, and then how long connecting may.
const TIME_OUT: Duration = Duration::from_secs(10);
/// Head start of an address before the next one is tried as well (RFC 8305 §5, "Connection Attempt Delay").
const HEAD_START: Duration = Duration::from_millis(250);

/// Connections in the making.
pub(crate) struct Openings {
    registry: Registry,
    lookups: Lookups,
    attempts: Vec<Attempt>,
    /// Tokens from here on are used for one candidate each.
    next_token: usize,
}

struct Attempt {
    bridge: BridgeId,
    host: String,
    port: u16,
    deadline: Instant,
    stage: Stage,
}

enum Stage {
    /// The host's name is being looked up.
    LookUp,
    Connect {
        untried: VecDeque<SocketAddr>,
        /// When the next of them is tried if none of the candidates has connected.
        next_at: Instant,
        candidates: Vec<Candidate>,
        failures: Vec<OpenFailure>,
    },
}

/// A socket that is connecting.
struct Candidate {
    token: Token,
    stream: TcpStream,
    /// The selector has news of it.
    news: bool,
}

/// What came of an attempt.
pub(crate) struct Opened {
    pub(crate) bridge: BridgeId,
    /// The stream is connected and with no selector.
    pub(crate) result: Result<TcpStream, OpenFailure>,
}

impl Openings {
    /// Nothing yet. Tokens from `first_token` on must be used by nobody else.
    pub(crate) const fn new(registry: Registry, lookups: Lookups, first_token: usize) -> Self {
        Self { registry, lookups, attempts: Vec::new(), next_token: first_token }
    }

    /// Begins to connect, instead of what went on for this bridge.
    pub(crate) fn open(&mut self, bridge: BridgeId, host: String, port: u16, now: Instant) {
        self.abandon(bridge);
        let stage = match host.parse::<IpAddr>() {
            Ok(address) => Stage::connect([address].into_iter(), port, now),
            Err(_) => match self.lookups.begin(&host) {
                Ok(()) => Stage::LookUp,
                Err(_) => Stage::failed(OpenFailure::Other),
            },
        };
        self.attempts.push(Attempt { bridge, host, port, deadline: now + TIME_OUT, stage });
    }

    /// Gives up what goes on for this bridge.
    pub(crate) fn abandon(&mut self, bridge: BridgeId) {
        self.attempts.retain(|attempt| attempt.bridge != bridge);
    }

    /// Notes what the selector says.
    pub(crate) fn mark(&mut self, event: &Event) {
        let stages = self.attempts.iter_mut().map(|attempt| &mut attempt.stage);
        let candidates = stages.flat_map(|stage| match stage {
            Stage::Connect { candidates, .. } => candidates.as_mut_slice(),
            Stage::LookUp => &mut [],
        });
        for candidate in candidates.filter(|candidate| candidate.token == event.token()) {
            candidate.news = true;
        }
    }

    /// The next attempt that has come to an end.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Opened> {
        while let Some(found) = self.lookups.poll() {
            let waiting = self.attempts.iter_mut().filter(|attempt| attempt.host == found.host);
            for attempt in waiting.filter(|attempt| matches!(attempt.stage, Stage::LookUp)) {
                attempt.deadline = now + TIME_OUT;
                attempt.stage = match &found.addresses {
                    Ok(addresses) if !addresses.is_empty() => {
                        Stage::connect(addresses.iter().copied(), attempt.port, now)
                    }
                    _ => Stage::failed(OpenFailure::NameNotFound),
                };
            }
        }
        let (registry, next_token) = (&self.registry, &mut self.next_token);
        let ended = self.attempts.iter_mut().enumerate().find_map(|(index, attempt)| {
            let result = attempt.step(registry, next_token, now).transpose()?;
            Some((index, Opened { bridge: attempt.bridge, result }))
        });
        let (index, opened) = ended?;
        self.attempts.remove(index);
        Some(opened)
    }

    /// When [`Openings::poll`] has something to do if nothing happens before.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.attempts.iter().map(Attempt::poll_at).min()
    }
}

impl Stage {
    fn connect(addresses: impl Iterator<Item = IpAddr>, port: u16, now: Instant) -> Self {
        let untried = addresses.map(|address| SocketAddr::new(address, port)).collect();
        Self::Connect { untried, next_at: now, candidates: Vec::new(), failures: Vec::new() }
    }

    /// Nothing to try: the next step tells the failure.
    fn failed(failure: OpenFailure) -> Self {
        let (untried, candidates) = (VecDeque::new(), Vec::new());
        Self::Connect { untried, next_at: Instant::ZERO, candidates, failures: vec![failure] }
    }
}

impl Attempt {
    /// Goes on as far as possible; `Some` is the end.
    fn step(
        &mut self,
        registry: &Registry,
        next_token: &mut usize,
        now: Instant,
    ) -> Result<Option<TcpStream>, OpenFailure> {
        let Stage::Connect { untried, next_at, candidates, failures } = &mut self.stage else {
            return if now >= self.deadline { Err(OpenFailure::TimedOut) } else { Ok(None) };
        };
        let mut index = 0;
        while let Some(candidate) = candidates.get_mut(index) {
            match candidate.outcome() {
                None => index += 1,
                Some(Ok(())) => {
                    let mut stream = candidates.swap_remove(index).stream;
                    // What takes it over registers it as its own.
                    let _ = registry.deregister(&mut stream);
                    return Ok(Some(stream));
                }
                Some(Err(error)) => {
                    candidates.swap_remove(index);
                    failures.push(failure_of(&error));
                }
            }
        }
        while candidates.is_empty() || now >= *next_at {
            let Some(address) = untried.pop_front() else { break };
            let token = Token(*next_token);
            *next_token = next_token.wrapping_add(1);
            match Candidate::start(address, registry, token) {
                Ok(candidate) => {
                    candidates.push(candidate);
                    *next_at = now + HEAD_START;
                }
                Err(error) => failures.push(failure_of(&error)),
            }
        }
        match candidates.is_empty() {
            false if now < self.deadline => return Ok(None),
            false => failures.push(OpenFailure::TimedOut),
            true => {}
        }
        Err(failures.iter().copied().max_by_key(|failure| weight(*failure)).unwrap_or(OpenFailure::Other))
    }

    fn poll_at(&self) -> Instant {
        match &self.stage {
            Stage::LookUp => self.deadline,
            Stage::Connect { candidates, .. }
                if candidates.is_empty() || candidates.iter().any(|candidate| candidate.news) =>
            {
                Instant::ZERO
            }
            Stage::Connect { untried, .. } if untried.is_empty() => self.deadline,
            Stage::Connect { next_at, .. } => self.deadline.min(*next_at),
        }
    }
}

impl Candidate {
    fn start(address: SocketAddr, registry: &Registry, token: Token) -> io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, token, Interest::WRITABLE)?;
        Ok(Self { token, stream, news: false })
    }

    /// Whether it is connected; `None` while that is open.
    fn outcome(&mut self) -> Option<io::Result<()>> {
        if !std::mem::take(&mut self.news) {
            return None;
        }
        if let Ok(Some(error)) | Err(error) = self.stream.take_error() {
            return Some(Err(error));
        }
        match (self.stream.peer_addr(), self.stream.local_addr()) {
            // A port of this computer that nobody listens on may be the one that the socket itself was given, and then
            // it is connected to itself (RFC 9293 §3.5, simultaneous open).
            (Ok(peer), Ok(local)) if peer == local => Some(Err(ErrorKind::ConnectionRefused.into())),
            (Ok(_), _) => Some(Ok(())),
            (Err(error), _) if error.kind() == ErrorKind::NotConnected => None,
            (Err(error), _) => Some(Err(error)),
        }
    }
}

/// What an error of connecting means.
pub(crate) fn failure_of(error: &io::Error) -> OpenFailure {
    match error.kind() {
        ErrorKind::ConnectionRefused => OpenFailure::Refused,
        ErrorKind::HostUnreachable
        | ErrorKind::NetworkUnreachable
        | ErrorKind::NetworkDown
        | ErrorKind::AddrNotAvailable => OpenFailure::Unreachable,
        ErrorKind::TimedOut => OpenFailure::TimedOut,
        _ => OpenFailure::Other,
    }
}

/// How much a failure tells of the host: of several addresses, the one that was heard of says most.
const fn weight(failure: OpenFailure) -> u8 {
    match failure {
        OpenFailure::Refused => 4,
        OpenFailure::TimedOut => 3,
        OpenFailure::Unreachable => 2,
        OpenFailure::NameNotFound => 1,
        OpenFailure::Other => 0,
    }
}

#[cfg(test)]
mod tests;
