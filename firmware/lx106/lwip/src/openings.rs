//! [`Openings`]: connections that bridges ask for: the host is looked up, then connected to.

use alloc::{ffi::CString, vec::Vec};
use core::{net::Ipv4Addr, ptr, time::Duration};

use espbroker_node::{BridgeId, ConnectionId, Instant, OpenFailure};

use crate::{
    bindings::{
        Address, ERR_IN_PROGRESS, ERR_MEM, ERR_OK, ERR_RESET, ERR_ROUTE, Err, Pcb, dns_gethostbyname,
        tcp_abort, tcp_arg, tcp_connect, tcp_err, tcp_new,
    },
    callbacks,
    connection::forget,
};

/// How long looking up a name may take, and then how long connecting may.
const TIME_OUT: Duration = Duration::from_secs(10);

/// Attempts that are under way; one for each bridge at most.
pub(crate) struct Openings {
    attempts: Vec<Attempt>,
    /// Number of the next one. lwIP's lookups cannot be called off: their late answers have an old number.
    next: usize,
}

struct Attempt {
    number: usize,
    bridge: BridgeId,
    port: u16,
    deadline: Instant,
    stage: Stage,
}

enum Stage {
    LookUp,
    Connect { address: Address },
    Connecting { pcb: *mut Pcb },
    Over(Result<ConnectionId, OpenFailure>),
}

/// A host whose address is known.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    pub(crate) number: usize,
    address: Address,
    port: u16,
}

/// What came of an attempt.
pub(crate) struct Opened {
    pub(crate) bridge: BridgeId,
    pub(crate) result: Result<ConnectionId, OpenFailure>,
}

impl Openings {
    pub(crate) const fn new() -> Self {
        Self { attempts: Vec::new(), next: 1 }
    }

    /// Begins, instead of what went on for this bridge; gives the number for [`look_up`].
    pub(crate) fn open(&mut self, bridge: BridgeId, port: u16, now: Instant) -> usize {
        self.abandon(bridge);
        let number = self.next;
        self.next = self.next.wrapping_add(1).max(1);
        let deadline = now + TIME_OUT;
        self.attempts.reserve_exact(1);
        self.attempts.push(Attempt { number, bridge, port, deadline, stage: Stage::LookUp });
        number
    }

    /// Gives up what goes on for this bridge.
    pub(crate) fn abandon(&mut self, bridge: BridgeId) {
        self.attempts.retain(|attempt| attempt.bridge != bridge);
    }

    fn attempt(&mut self, number: usize) -> Option<&mut Attempt> {
        self.attempts.iter_mut().find(|attempt| attempt.number == number)
    }

    /// Notes an address, or that there is none.
    pub(crate) fn found(&mut self, number: usize, address: Option<Address>) {
        if let Some(attempt) = self.attempt(number) {
            attempt.stage = match address {
                Some(address) => Stage::Connect { address },
                None => Stage::Over(Err(OpenFailure::NameNotFound)),
            };
        }
    }

    /// Notes that lwIP has given up a connection and freed it.
    pub(crate) fn failed(&mut self, number: usize, error: Err) {
        if let Some(attempt) = self.attempt(number) {
            // lwIP has freed the connection: dropping the stage must not do it again.
            if let Stage::Connecting { pcb } = &mut attempt.stage {
                *pcb = ptr::null_mut();
            }
            attempt.stage = Stage::Over(Err(failure_of(error)));
        }
    }

    /// Whether this attempt still waits for its connection.
    pub(crate) fn awaits(&mut self, number: usize) -> bool {
        self.attempt(number).is_some_and(|attempt| matches!(attempt.stage, Stage::Connecting { .. }))
    }

    /// Notes the connection, which belongs to the table now.
    pub(crate) fn connected(&mut self, number: usize, id: ConnectionId) {
        if let Some(attempt) = self.attempt(number) {
            if let Stage::Connecting { pcb } = &mut attempt.stage {
                *pcb = ptr::null_mut();
            }
            attempt.stage = Stage::Over(Ok(id));
        }
    }

    /// Whether [`Self::poll`] would do anything before its time.
    pub(crate) fn has_news(&self) -> bool {
        self.attempts.iter().any(|attempt| matches!(attempt.stage, Stage::Connect { .. } | Stage::Over(_)))
    }

    /// When [`Self::poll`] is due.
    pub(crate) fn poll_at(&self) -> Option<Instant> {
        self.attempts.iter().map(|attempt| attempt.deadline).min()
    }

    /// The next host that is to be connected to.
    pub(crate) fn target(&self) -> Option<Target> {
        self.attempts.iter().find_map(|attempt| match attempt.stage {
            Stage::Connect { address } => {
                Some(Target { number: attempt.number, address, port: attempt.port })
            }
            _ => None,
        })
    }

    /// Notes what [`connect`] gave.
    pub(crate) fn connecting(&mut self, number: usize, result: Result<*mut Pcb, Err>, now: Instant) {
        if let Some(attempt) = self.attempt(number) {
            attempt.deadline = now + TIME_OUT;
            attempt.stage = match result {
                Ok(pcb) => Stage::Connecting { pcb },
                Err(error) => Stage::Over(Err(failure_of(error))),
            };
        }
    }

    /// The next attempt that has come to an end.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Opened> {
        for attempt in &mut self.attempts {
            if attempt.deadline <= now && !matches!(attempt.stage, Stage::Over(_)) {
                attempt.stage = Stage::Over(Err(OpenFailure::TimedOut));
            }
        }
        let over = |attempt: &Attempt| matches!(attempt.stage, Stage::Over(_));
        let attempt = self.attempts.swap_remove(self.attempts.iter().position(over)?);
        match attempt.stage {
            Stage::Over(result) => Some(Opened { bridge: attempt.bridge, result }),
            _ => None,
        }
    }
}

impl Drop for Stage {
    /// Ends a connection that nobody waits for any more.
    fn drop(&mut self) {
        if let Self::Connecting { pcb } = *self
            && !pcb.is_null()
        {
            forget(pcb);
            // SAFETY: lwIP would have called `not_connected` or `connected` if it had freed or handed over this
            // connection, and both clear it; no callback of it leads here any more.
            unsafe { tcp_abort(pcb) };
        }
    }
}

/// Begins to look a host up; an answer that is known comes back at once, any other through the callback.
///
/// Called without the table in use: lwIP may call back from within.
pub(crate) fn look_up(host: &str, number: usize) -> Option<Result<Address, OpenFailure>> {
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Some(Ok(Address(address.octets())));
    }
    let Ok(name) = CString::new(host) else { return Some(Err(OpenFailure::NameNotFound)) };
    let mut address = Address([0; 4]);
    let argument = ptr::without_provenance_mut(number);
    // SAFETY: lwIP copies the name, and writes the address before it returns or not at all.
    match unsafe { dns_gethostbyname(name.as_ptr(), &mut address, Some(callbacks::found), argument) } {
        ERR_OK => Some(Ok(address)),
        ERR_IN_PROGRESS => None,
        ERR_MEM => Some(Err(OpenFailure::Other)),
        _ => Some(Err(OpenFailure::NameNotFound)),
    }
}

/// Begins to connect.
///
/// Called without the table in use: out of memory, lwIP ends other connections from within.
pub(crate) fn connect(target: Target) -> Result<*mut Pcb, Err> {
    let Target { number, address, port } = target;
    // SAFETY: a new block is used by nobody else; on an error it is freed here. `tcp_connect` does not call back.
    unsafe {
        let pcb = tcp_new();
        if pcb.is_null() {
            return Err(ERR_MEM);
        }
        tcp_arg(pcb, ptr::without_provenance_mut(number));
        tcp_err(pcb, Some(callbacks::not_connected));
        let error = tcp_connect(pcb, &address, port, Some(callbacks::connected));
        if error == ERR_OK {
            return Ok(pcb);
        }
        forget(pcb);
        tcp_abort(pcb);
        Err(error)
    }
}

fn failure_of(error: Err) -> OpenFailure {
    match error {
        ERR_RESET => OpenFailure::Refused,
        ERR_ROUTE => OpenFailure::Unreachable,
        ERR_MEM => OpenFailure::Other,
        // lwIP aborts a connection whose first segment was never answered.
        _ => OpenFailure::TimedOut,
    }
}
