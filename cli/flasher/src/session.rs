//! [`Session`]: a device whose loader answers.

use std::ops::Range;
use std::time::Duration;

use crate::connect::{ConnectOptions, sync};
use crate::deflate::Prepared;
use crate::event::Secrecy;
use crate::link::{COMMAND_TIMEOUT, CommandError, Link};
use crate::pipeline::Queued;
use crate::protocol::{Command, Opcode, RegisterWrite, Response, StubInfo};
use crate::transport::Transport;

/// Bytes in the smallest unit that NOR flash erases.
pub const SECTOR: u32 = 4096;
/// How often a command that may run twice is sent at most.
const REPEATS: u32 = 3;
/// How many SYNCs bring a loader back in step; a stub may be erasing when the first ones come.
const ROM_SYNCS: u32 = 5;
const STUB_SYNCS: u32 = 25;
/// A stub that is not the project's answers STUB_INFO with a refusal, or not at all.
const STUB_INFO_TIMEOUT: Duration = Duration::from_millis(300);

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loader {
    /// The boot ROM: no digest, no compression, no faster rate.
    Rom,
    /// An uploaded stub.
    Stub,
}

/// A device whose loader answers; what it can do is in the modules named after each stage.
///
/// Dropping it leaves the device in its loader.
pub struct Session<'e> {
    pub(crate) link: Link<'e>,
    pub(crate) loader: Loader,
    pub(crate) options: ConnectOptions,
    /// The ROM's flash controller is set up; a reset undoes that.
    pub(crate) flash_attached: bool,
    /// The stub is the project's own.
    pub(crate) stub_info: Option<StubInfo>,
    pub(crate) prepared: Vec<Prepared>,
    secret: Vec<Range<u32>>,
}

impl<'e> Session<'e> {
    pub(crate) fn new(link: Link<'e>, loader: Loader, options: ConnectOptions) -> Self {
        Self {
            link,
            loader,
            options,
            flash_attached: false,
            stub_info: None,
            prepared: Vec::new(),
            secret: Vec::new(),
        }
    }

    /// A loader was just reset or started.
    pub(crate) fn enter(&mut self, loader: Loader) {
        self.loader = loader;
        self.flash_attached = false;
        self.stub_info = None;
    }

    /// Asks a stub whether it is the project's own.
    pub(crate) fn ask_stub(&mut self) -> Result<(), CommandError> {
        self.stub_info = match self.link.command(&Command::StubInfo, STUB_INFO_TIMEOUT) {
            Ok(response) => StubInfo::parse(&response.data).ok(),
            Err(error) if error.is_retryable() => None,
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// What the project's own stub says of itself; `None` while another loader answers.
    pub fn stub_info(&self) -> Option<StubInfo> {
        self.stub_info
    }

    /// Offers what was compressed ahead; it is used where a first flash needs just that.
    pub fn offer(&mut self, prepared: Prepared) {
        self.prepared.push(prepared);
    }

    /// Who answers.
    pub fn loader(&self) -> Loader {
        self.loader
    }

    /// The rate it runs at now.
    pub fn baud(&self) -> u32 {
        self.link.baud()
    }

    /// Keeps the content of a span of flash out of every trace and difference from now on, whoever touches it.
    pub fn mark_secret(&mut self, span: Range<u32>) {
        self.secret.push(span);
    }

    /// Gives the port back; the device stays in its loader.
    pub fn into_transport(self) -> Box<dyn Transport> {
        self.link.into_transport()
    }

    pub(crate) fn secrecy(&self, span: &Range<u32>) -> Secrecy {
        let overlaps = |secret: &Range<u32>| secret.start < span.end && span.start < secret.end;
        if self.secret.iter().any(overlaps) { Secrecy::Secret } else { Secrecy::Public }
    }

    /// Runs `operation` with the traffic of a span withheld where the span is secret. Guards nest: within one that
    /// withholds, every other one does too.
    pub(crate) fn guarded<T>(&mut self, span: &Range<u32>, operation: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.link.secrecy();
        if self.secrecy(span) == Secrecy::Secret {
            self.link.set_secrecy(Secrecy::Secret);
        }
        let result = operation(self);
        self.link.set_secrecy(outer);
        result
    }

    /// Sends a command that does no harm when it runs twice: repeats it after a lost or damaged reply.
    pub(crate) fn repeatable(
        &mut self,
        command: &Command<'_>,
        timeout: Duration,
    ) -> Result<Response, CommandError> {
        for _ in 1..REPEATS {
            match self.link.command(command, timeout) {
                Err(error) if error.is_retryable() => self.resync()?,
                result => return result,
            }
        }
        self.link.command(command, timeout)
    }

    pub(crate) fn read_register(&mut self, address: u32) -> Result<u32, CommandError> {
        Ok(self.repeatable(&Command::ReadRegister { address }, COMMAND_TIMEOUT)?.value)
    }

    /// Reads registers, all at once where the loader can take requests ahead.
    pub(crate) fn read_registers<const COUNT: usize>(
        &mut self,
        addresses: [u32; COUNT],
    ) -> Result<[u32; COUNT], CommandError> {
        let mut values = [0; COUNT];
        if let Some(info) = self.stub_info {
            let requests = addresses.map(|address| Queued::plain(Command::ReadRegister { address }));
            let result = self.link.pipeline(info.receive_window, requests, |_, number, response| {
                if let Some(value) = values.get_mut(number) {
                    *value = response.value;
                }
            });
            match result {
                Ok(()) => return Ok(values),
                Err(error) if error.is_retryable() => self.resync()?,
                Err(error) => return Err(error),
            }
        }
        for (value, address) in values.iter_mut().zip(addresses) {
            *value = self.read_register(address)?;
        }
        Ok(values)
    }

    /// A write that starts an erase or a read does the same again when it is repeated.
    pub(crate) fn write_registers(&mut self, writes: &[RegisterWrite]) -> Result<(), CommandError> {
        self.repeatable(&Command::WriteRegister(writes.to_vec()), COMMAND_TIMEOUT).map(|_| ())
    }

    /// Gets back in step after a lost or damaged frame: waits for silence, then SYNCs.
    pub(crate) fn resync(&mut self) -> Result<(), CommandError> {
        self.link.settle()?;
        let waited = COMMAND_TIMEOUT;
        let tries = if self.loader == Loader::Stub { STUB_SYNCS } else { ROM_SYNCS };
        sync(&mut self.link, tries)?.map(|_| ()).ok_or(CommandError::NoReply { opcode: Opcode::Sync, waited })
    }
}

/// The length of a buffer as the wire states it; flash is far smaller than the limit.
pub(crate) fn length_of(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// The part of `bytes` from `start`, at most `length` long.
pub(crate) fn part(bytes: &[u8], start: u32, length: u32) -> &[u8] {
    let bound = |position: u32| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
    bytes.get(bound(start)..bound(start.saturating_add(length))).unwrap_or_default()
}
