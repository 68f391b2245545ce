//! The client's end of remote administration: requests sealed with the admin key, over the network or a serial console.
//!
//! Nothing here depends on a clock: a request is good because of the permit and the sequence that it names, not because of
//! a time, so that a device that does not know the date can be changed from a computer whose clock is wrong.

use std::{
    io::{self, ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use espbroker_admin::{
    FrameError, NONCE_LENGTH, OpenError,
    client::{FrameReader, Plain, Refusal, Reply, Request, State, open_reply, seal},
};
use espbroker_config::{
    codec::{self, DecodeError},
    model::Config,
    secret::Secret,
};
use espbroker_flasher::cancel::Cancel;

use super::trial::moved;
use crate::{credentials, registry::Seen};

/// How long a device may take to let itself be connected to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long an answer may take; the device erases and writes a sector of flash in it.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two looks whether the user has stopped the program.
const SLICE: Duration = Duration::from_millis(100);
/// How long a device may be busy with somebody else.
const BUSY_TIMEOUT: Duration = Duration::from_secs(4);
/// Between two attempts to find it less busy.
const BUSY_PAUSE: Duration = Duration::from_millis(250);
/// Bytes read at once.
const CHUNK: usize = 2048;

/// A device's key for changes.
pub(crate) type AdminKey = Secret<[u8; 32]>;

/// Why a device cannot be changed from afar.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteError {
    #[error("no connection to {address}")]
    Connect {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("the connection to {address} broke")]
    Broken {
        address: SocketAddr,
        #[source]
        source: io::Error,
    },
    #[error("{address} closes the connection without an answer")]
    Closed { address: SocketAddr },
    #[error("no answer from {place} within {} s", ANSWER_TIMEOUT.as_secs())]
    Silent { place: String },
    #[error("what answers at {place} is not an espbroker device")]
    Stranger {
        place: String,
        #[source]
        source: FrameError,
    },
    #[error("{0}")]
    Plain(Plain),
    #[error("the answer cannot be trusted: {0}")]
    Open(OpenError),
    #[error("the device refuses the change: {0}")]
    Refused(Refusal),
    #[error("the device's settings cannot be read")]
    Config(#[source] DecodeError),
    #[error("the answer is to another question")]
    OtherAnswer,
    #[error("the operating system has no random numbers")]
    Random,
    #[error("stopped")]
    Stopped,
    #[error(transparent)]
    Port(#[from] espbroker_flasher::FlasherError),
}

impl RemoteError {
    /// Whether nobody was there who could have taken the request: trying again, or elsewhere, may help.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Connect { .. } | Self::Broken { .. } | Self::Closed { .. } | Self::Silent { .. })
    }

    /// Whether this computer's own side says so, or the device itself, under its key.
    pub(super) fn is_certain(&self) -> bool {
        matches!(
            self,
            Self::Refused(_)
                | Self::Config(_)
                | Self::OtherAnswer
                | Self::Random
                | Self::Stopped
                | Self::Port(_)
        )
    }

    /// Whether whoever answers has another key.
    pub(super) fn is_wrong_key(&self) -> bool {
        matches!(self, Self::Plain(Plain::WrongKey) | Self::Open(OpenError::NotAuthentic))
    }
}

/// Takes a frame to the device, and the reply back.
pub(super) trait Carrier {
    fn exchange(&mut self, frame: &[u8], cancel: &Cancel) -> Result<Vec<u8>, RemoteError>;
    /// Looks for a device that may have moved; whether it was found somewhere.
    fn relocate(&mut self) -> bool {
        false
    }
    /// The device's config is `after` from now on, where it was `before`.
    fn expect(&mut self, _before: &Config, _after: &Config) {}
    /// Where its broker is reached, as far as that is known.
    fn seen(&mut self, cancel: &Cancel) -> Result<Option<Seen>, RemoteError>;
    /// Where the device answered last, for people.
    fn place(&self) -> String;
}

/// The config of a device, and what a change of it must name.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) config: Config,
    pub(super) base: u32,
    pub(super) permit: u64,
}

/// A device behind a carrier.
pub(super) struct Remote<'a> {
    pub(super) carrier: Box<dyn Carrier + 'a>,
    /// The one that has worked first.
    keys: Vec<AdminKey>,
    cancel: &'a Cancel,
}

impl<'a> Remote<'a> {
    /// A device that has one of these keys.
    pub(super) fn new(carrier: Box<dyn Carrier + 'a>, keys: Vec<AdminKey>, cancel: &'a Cancel) -> Self {
        Self { carrier, keys, cancel }
    }

    /// A key that the device should have from now on.
    pub(super) fn expect_key(&mut self, key: &AdminKey) {
        self.keys.retain(|known| known != key);
        self.keys.insert(0, key.clone());
    }

    /// How the device is.
    pub(super) fn state(&mut self) -> Result<State, RemoteError> {
        match self.ask(&Request::State)? {
            Reply::State(state) => Ok(state),
            Reply::Refused(refusal) => Err(RemoteError::Refused(refusal)),
            _ => Err(RemoteError::OtherAnswer),
        }
    }

    /// The config that it runs on.
    pub(super) fn read(&mut self) -> Result<Snapshot, RemoteError> {
        match self.ask(&Request::Read)? {
            Reply::Config { base, permit, config, .. } => {
                let config = Secret::new(config);
                let config = codec::decode(config.expose()).map_err(RemoteError::Config)?;
                Ok(Snapshot { config, base, permit })
            }
            Reply::Refused(refusal) => Err(RemoteError::Refused(refusal)),
            _ => Err(RemoteError::OtherAnswer),
        }
    }

    /// Another config in the place of the one of `snapshot`; gives the sequence that it got.
    pub(super) fn write(
        &mut self,
        snapshot: &Snapshot,
        config: &[u8],
        try_for: u16,
    ) -> Result<u32, RemoteError> {
        let Snapshot { base, permit, .. } = *snapshot;
        match self.ask(&Request::Write { base, permit, try_for, config })? {
            Reply::Accepted { sequence, .. } => Ok(sequence),
            Reply::Refused(refusal) => Err(RemoteError::Refused(refusal)),
            _ => Err(RemoteError::OtherAnswer),
        }
    }

    /// Asks with each key in turn until one fits.
    fn ask(&mut self, request: &Request<'_>) -> Result<Reply, RemoteError> {
        let mut refused = RemoteError::Plain(Plain::NoKey);
        for index in 0..self.keys.len() {
            match self.ask_with(index, request) {
                Err(error) if error.is_wrong_key() => refused = error,
                Ok(reply) => {
                    // The next question begins with it.
                    if let Some(before) = self.keys.get_mut(..=index) {
                        before.rotate_right(1);
                    }
                    return Ok(reply);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused)
    }

    /// Asks with one key, and with the same one again while the device is busy: to begin anew with a wrong one would keep it
    /// from ever looking at the right one.
    fn ask_with(&mut self, index: usize, request: &Request<'_>) -> Result<Reply, RemoteError> {
        let begun = Instant::now();
        loop {
            let key = self.keys.get(index).ok_or(RemoteError::Plain(Plain::NoKey))?;
            let nonce = credentials::random::<NONCE_LENGTH>().map_err(|_| RemoteError::Random)?;
            let sealed = seal(request, key.expose(), &nonce);
            let frame = self.carrier.exchange(&sealed, self.cancel)?;
            match open_reply(&frame, key.expose(), &sealed) {
                Err(OpenError::Plain(Plain::Busy | Plain::Later)) if begun.elapsed() < BUSY_TIMEOUT => {
                    pause(BUSY_PAUSE, self.cancel)?;
                }
                Err(OpenError::Plain(plain)) => return Err(RemoteError::Plain(plain)),
                result => return result.map_err(RemoteError::Open),
            }
        }
    }
}

/// Waits, and less than that when the user stops the program.
pub(super) fn pause(time: Duration, cancel: &Cancel) -> Result<(), RemoteError> {
    let end = Instant::now() + time;
    while Instant::now() < end {
        if cancel.is_cancelled() {
            return Err(RemoteError::Stopped);
        }
        std::thread::sleep(SLICE.min(end.saturating_duration_since(Instant::now())));
    }
    if cancel.is_cancelled() { Err(RemoteError::Stopped) } else { Ok(()) }
}

/// Over TCP, to the port of MQTT: a connection for each exchange.
pub(super) struct Network<'a> {
    /// Where the device may be, the likeliest first.
    addresses: Vec<SocketAddr>,
    /// Asks the network where it is now.
    find: Box<dyn FnMut() -> Option<SocketAddr> + 'a>,
}

impl<'a> Network<'a> {
    pub(super) fn new(addresses: Vec<SocketAddr>, find: Box<dyn FnMut() -> Option<SocketAddr> + 'a>) -> Self {
        Self { addresses, find }
    }

    /// Somewhere else that it may be from now on.
    pub(super) fn prefer(&mut self, address: SocketAddr) {
        self.addresses.retain(|known| *known != address);
        self.addresses.insert(0, address);
    }
}

impl Carrier for Network<'_> {
    fn exchange(&mut self, frame: &[u8], cancel: &Cancel) -> Result<Vec<u8>, RemoteError> {
        let mut failed = RemoteError::Silent { place: "the network".to_owned() };
        for address in self.addresses.clone() {
            match over_tcp(address, frame, cancel) {
                Ok(reply) => {
                    self.prefer(address);
                    return Ok(reply);
                }
                Err(error @ RemoteError::Stopped) => return Err(error),
                // Once a request is out, it may have been taken: another address would be another device.
                Err(error @ (RemoteError::Connect { .. } | RemoteError::Stranger { .. })) => failed = error,
                Err(error) => return Err(error),
            }
        }
        Err(failed)
    }

    fn relocate(&mut self) -> bool {
        let found = (self.find)();
        if let Some(address) = found {
            self.prefer(address);
        }
        found.is_some()
    }

    fn expect(&mut self, before: &Config, after: &Config) {
        if let Some(&address) = self.addresses.first() {
            self.prefer(moved(address, before, after));
        }
    }

    fn seen(&mut self, _cancel: &Cancel) -> Result<Option<Seen>, RemoteError> {
        Ok(self.addresses.first().map(|address| Seen {
            address: Some(address.ip()),
            mqtt_port: Some(address.port()),
            websocket_port: None,
        }))
    }

    fn place(&self) -> String {
        self.addresses.first().map_or_else(|| "the network".to_owned(), SocketAddr::to_string)
    }
}

fn over_tcp(address: SocketAddr, frame: &[u8], cancel: &Cancel) -> Result<Vec<u8>, RemoteError> {
    if cancel.is_cancelled() {
        return Err(RemoteError::Stopped);
    }
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIMEOUT)
        .map_err(|source| RemoteError::Connect { address, source })?;
    let broken = |source| RemoteError::Broken { address, source };
    // The frame goes out in one piece, and does not wait for another.
    stream.set_nodelay(true).map_err(broken)?;
    stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(broken)?;
    stream.set_read_timeout(Some(SLICE)).map_err(broken)?;
    stream.write_all(frame).map_err(broken)?;
    let deadline = Instant::now() + ANSWER_TIMEOUT;
    let mut reader = FrameReader::default();
    let mut buffer = [0; CHUNK];
    loop {
        if cancel.is_cancelled() {
            return Err(RemoteError::Stopped);
        }
        if Instant::now() >= deadline {
            return Err(RemoteError::Silent { place: address.to_string() });
        }
        let length = match stream.read(&mut buffer) {
            Ok(0) => return Err(RemoteError::Closed { address }),
            Ok(length) => length,
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) =>
            {
                continue;
            }
            Err(error) => return Err(broken(error)),
        };
        let taken = reader.push(buffer.get(..length).unwrap_or_default());
        let place = || address.to_string();
        if let (Some(reply), _) = taken.map_err(|source| RemoteError::Stranger { place: place(), source })? {
            return Ok(reply);
        }
    }
}
