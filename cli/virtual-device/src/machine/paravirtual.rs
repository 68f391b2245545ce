//! [`Paravirtual`]: the device in place of radio and network stack, as `espbroker-paravirtual` lays it down.
//!
//! The firmware's orders are carried out on the computer's sockets and on the simulated networks; its time is the
//! chip's. Whatever the guest writes, what comes of it is a result in a register.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use espbroker_host::Outside;
use espbroker_node::Input;
use espbroker_node::status::Mode;
use espbroker_paravirtual::{
    Command, ID_VALUE, NEWS_HEAD, Order, Refusal, VERSION_VALUE, WINDOW, register, write_news,
};

use crate::machine::memory::Memory;

/// Makes the outside anew, with nothing open.
pub(crate) type Plug = Box<dyn Fn() -> io::Result<Outside<Vec<u8>>> + Send>;

/// How often the operating system is asked what has happened, by the chip's time.
const LOOK: Duration = Duration::from_micros(200);
/// Bytes of the longest host name (RFC 1035 §2.3.4).
const HOST_MAX: usize = 255;
/// Bytes that a client's news may have at once.
const PIECE: usize = 2048;

/// A span of guest memory.
#[derive(Clone, Copy, Debug, Default)]
struct Span {
    address: u32,
    length: u32,
}

/// The device.
#[derive(Default)]
pub(crate) struct Paravirtual {
    plug: Option<Plug>,
    outside: Option<Outside<Vec<u8>>>,
    /// Answers to orders, which come before everything else.
    answers: VecDeque<Input<'static>>,
    span: Span,
    more: Span,
    result: u32,
    interrupts: bool,
    looked_at: Duration,
}

impl std::fmt::Debug for Paravirtual {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Paravirtual")
            .field("attached", &self.outside.is_some())
            .finish_non_exhaustive()
    }
}

impl Paravirtual {
    /// Gives it something to attach to.
    pub(crate) fn plug(&mut self, plug: Plug) {
        self.plug = Some(plug);
    }

    /// A reset of the chip: everything is closed.
    pub(crate) fn reset(&mut self) {
        let plug = self.plug.take();
        *self = Self { plug, ..Self::default() };
    }

    /// Whether firmware uses it.
    pub(crate) const fn is_attached(&self) -> bool {
        self.outside.is_some()
    }

    /// Reads the register at `offset`.
    pub(crate) fn read(&self, offset: u32, now: Duration) -> u32 {
        match offset {
            register::ID => ID_VALUE,
            register::VERSION => VERSION_VALUE,
            register::ADDRESS => self.span.address,
            register::LENGTH => self.span.length,
            register::MORE_ADDRESS => self.more.address,
            register::MORE_LENGTH => self.more.length,
            register::RESULT => self.result,
            register::PENDING => u32::from(self.has_news(now)),
            register::INTERRUPT => u32::from(self.interrupts),
            _ => 0,
        }
    }

    /// Writes the register at `offset`; commands are carried out on `memory`.
    pub(crate) fn write(&mut self, offset: u32, value: u32, memory: &mut Memory, now: Duration) {
        match offset {
            register::ADDRESS => self.span.address = value,
            register::LENGTH => self.span.length = value,
            register::MORE_ADDRESS => self.more.address = value,
            register::MORE_LENGTH => self.more.length = value,
            register::INTERRUPT => self.interrupts = value & 1 != 0,
            register::COMMAND => {
                self.result = self.command(value, memory, now).unwrap_or_else(Refusal::result);
            }
            _ => {}
        }
    }

    /// Whether the interrupt line is up.
    pub(crate) fn interrupts(&self, now: Duration) -> bool {
        self.interrupts && self.has_news(now)
    }

    /// Whether there may be news.
    fn has_news(&self, now: Duration) -> bool {
        self.outside.as_ref().is_some_and(|outside| !self.answers.is_empty() || outside.has_news(now))
    }

    /// When there is news unless somebody outside does something before.
    pub(crate) fn next_event(&self, now: Duration) -> Option<Duration> {
        self.outside.as_ref()?.poll_at().filter(|at| *at > now)
    }

    /// Asks the operating system what has happened, if that was not done just now.
    pub(crate) fn look(&mut self, now: Duration) {
        if let Some(outside) = &mut self.outside
            && now.saturating_sub(self.looked_at) >= LOOK
        {
            self.looked_at = now;
            if outside.wait(Some(Duration::ZERO)).is_err() {
                // Without a selector there is no network; connections end.
                self.outside = None;
            }
        }
    }

    fn command(&mut self, number: u32, memory: &mut Memory, now: Duration) -> Result<u32, Refusal> {
        match Command::from_number(number).ok_or(Refusal::Unknown)? {
            Command::Attach => {
                self.answers.clear();
                // What was open is closed first: its ports are wanted again.
                self.outside = None;
                let plug = self.plug.as_ref().ok_or(Refusal::Failed)?;
                self.outside = Some(plug().map_err(|_| Refusal::Failed)?);
                Ok(0)
            }
            Command::Order => {
                let mut order = bytes(memory, self.span)?.to_vec();
                order.extend_from_slice(bytes(memory, self.more)?);
                self.carry_out(&order, now)
            }
            Command::News => self.news(memory, now),
        }
    }

    fn carry_out(&mut self, order: &[u8], now: Duration) -> Result<u32, Refusal> {
        let outside = self.outside.as_mut().ok_or(Refusal::NotAttached)?;
        match Order::read(order).map_err(|_| Refusal::Malformed)? {
            Order::Radio(command) => outside.radio(command.into_owned(), now),
            Order::Listen { service, port } => self.answers.push_back(outside.listen(service, port)),
            Order::StopListening { service } => outside.stop_listening(service),
            Order::Send { connection, bytes } => {
                if outside.waiting(connection).saturating_add(bytes.len()) > WINDOW {
                    return Err(Refusal::Window);
                }
                outside.send(connection, bytes.to_vec());
            }
            Order::Close { connection } => outside.close(connection),
            Order::Open { host, .. } if host.len() > HOST_MAX => return Err(Refusal::Malformed),
            Order::Open { bridge, port, host } => outside.open(bridge, host.to_owned(), port, now),
            Order::Abandon { bridge } => outside.abandon(bridge),
            Order::Datagram { channel, to, bytes } => outside.send_datagram(channel, to, bytes),
        }
        Ok(0)
    }

    fn news(&mut self, memory: &mut Memory, now: Duration) -> Result<u32, Refusal> {
        let outside = self.outside.as_mut().ok_or(Refusal::NotAttached)?;
        let span = span_mut(memory, self.span)?;
        let room = span.len().checked_sub(NEWS_HEAD).filter(|room| *room > 0).ok_or(Refusal::Room)?;
        let mut buffer = [0; PIECE];
        let buffer = buffer.get_mut(..room.min(PIECE)).unwrap_or_default();
        // Which network clients come through is for the firmware to know.
        let news = self.answers.pop_front().or_else(|| outside.next(buffer, Mode::Station, now));
        let length = news.and_then(|news| write_news(&news, span)).unwrap_or(0);
        Ok(u32::try_from(length).unwrap_or(0))
    }
}

fn bytes(memory: &Memory, Span { address, length }: Span) -> Result<&[u8], Refusal> {
    if length == 0 {
        return Ok(&[]);
    }
    memory.data(address, length as usize).ok_or(Refusal::Span)
}

fn span_mut(memory: &mut Memory, Span { address, length }: Span) -> Result<&mut [u8], Refusal> {
    memory.data_mut(address, length as usize).ok_or(Refusal::Span)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use espbroker_host::{Doors, Ports, Wired};
    use proptest::prelude::*;

    use super::*;
    use crate::machine::memory::DRAM;

    const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
    const NOW: Duration = Duration::from_secs(1);

    fn device() -> (Paravirtual, Memory) {
        let mut device = Paravirtual::default();
        device.plug(Box::new(|| {
            let doors = Doors { bind: LOCALHOST, ports: Ports::Any, discovery: None };
            Outside::new(Box::new(Wired::new(LOCALHOST)), doors)
        }));
        (device, Memory::new(0))
    }

    fn order(device: &mut Paravirtual, memory: &mut Memory, bytes: &[u8]) -> u32 {
        assert!(memory.fill(DRAM.start, bytes));
        device.write(register::ADDRESS, DRAM.start, memory, NOW);
        device.write(register::LENGTH, u32::try_from(bytes.len()).unwrap(), memory, NOW);
        command(device, memory, Command::Order)
    }

    fn command(device: &mut Paravirtual, memory: &mut Memory, command: Command) -> u32 {
        device.write(register::COMMAND, command as u32, memory, NOW);
        device.read(register::RESULT, NOW)
    }

    #[test]
    fn a_join_is_answered_and_the_interrupt_is_up_for_as_long_as_there_is_news() {
        let (mut device, mut memory) = device();
        assert_eq!(order(&mut device, &mut memory, &[2]), Refusal::NotAttached.result());
        assert_eq!(command(&mut device, &mut memory, Command::Attach), 0);
        device.write(register::INTERRUPT, 1, &mut memory, NOW);
        assert!(!device.interrupts(NOW));
        // To an open network named "x", with nothing else given.
        assert_eq!(order(&mut device, &mut memory, b"\x01\x01x\0\0\0\0\0"), 0);
        assert!(device.interrupts(NOW));
        device.write(register::LENGTH, 64, &mut memory, NOW);
        assert_eq!(command(&mut device, &mut memory, Command::News), 3);
        assert_eq!(memory.data(DRAM.start, 3), Some(&[1, 0, 0][..]));
        assert_eq!(command(&mut device, &mut memory, Command::News), 5);
        assert_eq!(memory.data(DRAM.start, 5), Some(&[3, 127, 0, 0, 1][..]));
        assert_eq!(command(&mut device, &mut memory, Command::News), 0);
        assert!(!device.interrupts(NOW));
    }

    #[test]
    fn spans_that_are_not_data_ram_and_orders_that_are_none_are_refused() {
        let (mut device, mut memory) = device();
        command(&mut device, &mut memory, Command::Attach);
        assert_eq!(order(&mut device, &mut memory, &[0xFF]), Refusal::Malformed.result());
        device.write(register::MORE_ADDRESS, DRAM.end - 1, &mut memory, NOW);
        device.write(register::MORE_LENGTH, 2, &mut memory, NOW);
        assert_eq!(order(&mut device, &mut memory, &[2]), Refusal::Span.result());
        device.write(register::LENGTH, 16, &mut memory, NOW);
        assert_eq!(command(&mut device, &mut memory, Command::News), Refusal::Room.result());
        device.write(register::COMMAND, 99, &mut memory, NOW);
        assert_eq!(device.read(register::RESULT, NOW), Refusal::Unknown.result());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_writes_to_any_registers_are_taken(
            writes in proptest::collection::vec((0_u32..12, any::<u32>()), 0..40),
            bytes in proptest::collection::vec(any::<u8>(), 64),
        ) {
            let (mut device, mut memory) = device();
            memory.fill(DRAM.start, &bytes);
            for (number, value) in writes {
                // Near the bytes and short, every other time.
                let value = match (number, value & 1) {
                    (2 | 4, 1) => DRAM.start + (value >> 8 & 0x3F),
                    (3 | 5, 1) => value >> 8 & 0x3F,
                    (6, 1) => value >> 8 & 3,
                    _ => value,
                };
                // Looking up names is left out: it asks the system's resolver on a thread.
                let is_open = number == 6 && memory.data(device.span.address, 1) == Some(&[9]);
                if !is_open {
                    device.write(4 * number, value, &mut memory, NOW);
                }
                device.read(4 * number, NOW);
                device.look(NOW);
            }
        }
    }
}
