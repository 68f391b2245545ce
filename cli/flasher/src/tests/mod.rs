//! Whole operations against a device made of a few tables: what is sent, in which order, and what is left in flash.
//!
//! The device answers at once and keeps its own clock, so no test waits. It is no model of the chip: how the flasher
//! gets on with real timing and faults is tested where the virtual device lives.

mod boot;
mod connect;
mod own_stub;
mod program;
mod read;
mod stub;
mod trace;

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use flate2::write::ZlibDecoder;
use md5::{Digest, Md5};

use crate::protocol::{
    CHIP_MAGIC, CHIP_MAGIC_REGISTER, Command, EFUSE_BASE, Refusal, Request, Response, StubInfo,
    UART_CLOCK_DIVIDER, spi,
};
use crate::slip::{self, Decoder};
use crate::transport::{ControlLines, Transport, TransportError};
use crate::{Event, Order, Region, Secrecy};

/// What the UART's rate is divided from: twice the crystal.
const UART_CLOCK: u32 = 52_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Nothing answers.
    Dead,
    Rom,
    Stub,
}

/// What goes wrong with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    LoseRequest,
    LoseReply,
    Refuse(Refusal),
    /// One bit of what is written does not get there.
    DamageWrite,
    /// From now on the port is gone.
    Unplug,
}

type FaultScript = Box<dyn FnMut(usize, &Command<'_>) -> Fault + Send>;

pub(super) struct Device {
    pub(super) now: Duration,
    pub(super) host_baud: u32,
    pub(super) device_baud: u32,
    pub(super) mode: Mode,
    pub(super) flash: Vec<u8>,
    pub(super) registers: HashMap<u32, u32>,
    /// Opcode and fields of everything that came.
    pub(super) requests: Vec<String>,
    pub(super) lines: Vec<(Duration, ControlLines)>,
    pub(super) has_lines: bool,
    /// What a reset leads to.
    pub(super) after_reset: Mode,
    /// The user grounds GPIO0 and power-cycles at this time.
    pub(super) user_resets_at: Option<Duration>,
    /// What a reset prints, by the host's rate.
    pub(super) boot_log: HashMap<u32, Vec<u8>>,
    pub(super) refused_bauds: Vec<u32>,
    pub(super) stub_starts: bool,
    /// The stub that starts is the project's own.
    pub(super) own_stub: Option<StubInfo>,
    /// Most bytes of requests that were without an answer at a time.
    pub(super) window_used: u32,
    /// Answers that a busy stub has not given yet.
    held: VecDeque<(u32, Vec<u8>)>,
    pub(super) baud_ceiling: u32,
    /// The same for the boot ROM.
    pub(super) rom_baud_ceiling: u32,
    pub(super) fault: FaultScript,
    pub(super) unplugged: bool,
    pub(super) output: VecDeque<u8>,
    /// How often a byte comes that nobody asked for.
    pub(super) chatter: Option<Duration>,
    decoder: Decoder,
    flash_write: Option<(u32, u32)>,
    deflate: Option<(u32, ZlibDecoder<Vec<u8>>)>,
    reading: Option<(Range<u32>, u32)>,
    write_enabled: bool,
}

impl Device {
    pub(super) fn new() -> Self {
        let registers = [
            (CHIP_MAGIC_REGISTER, CHIP_MAGIC),
            (EFUSE_BASE, 0x0100_0000),
            (EFUSE_BASE + 12, 0x005C_CF7F),
            (UART_CLOCK_DIVIDER, 52_000_000 / 115_200),
        ];
        Self {
            now: Duration::ZERO,
            host_baud: 115_200,
            device_baud: 115_200,
            mode: Mode::Dead,
            flash: vec![0x5A; 0x8_0000],
            registers: registers.into(),
            requests: Vec::new(),
            lines: Vec::new(),
            has_lines: true,
            after_reset: Mode::Rom,
            user_resets_at: None,
            boot_log: HashMap::new(),
            refused_bauds: Vec::new(),
            stub_starts: true,
            own_stub: None,
            window_used: 0,
            held: VecDeque::new(),
            baud_ceiling: u32::MAX,
            rom_baud_ceiling: u32::MAX,
            fault: Box::new(|_, _| Fault::None),
            unplugged: false,
            output: VecDeque::new(),
            chatter: None,
            decoder: Decoder::new(1 << 16),
            flash_write: None,
            deflate: None,
            reading: None,
            write_enabled: false,
        }
    }

    fn reset(&mut self) {
        self.mode = self.after_reset;
        self.device_baud = self.host_baud;
        self.flash_write = None;
        self.held.clear();
        self.output.extend(self.boot_log.get(&self.host_baud).into_iter().flatten());
    }

    fn register(&self, address: u32) -> u32 {
        if address == UART_CLOCK_DIVIDER && self.mode == Mode::Rom {
            return UART_CLOCK / self.device_baud;
        }
        self.registers.get(&address).copied().unwrap_or(0)
    }

    fn erase(&mut self, span: Range<u32>) {
        self.flash[span.start as usize..span.end as usize].fill(0xFF);
    }

    /// NOR: bits only go from 1 to 0.
    fn write(&mut self, offset: u32, bytes: &[u8], damage: bool) {
        for (index, byte) in bytes.iter().enumerate() {
            self.flash[offset as usize + index] &= byte;
        }
        if damage {
            self.flash[offset as usize] ^= 0x10;
        }
    }

    fn request(&mut self, frame: &[u8]) {
        if let Some((span, total)) = self.reading.take() {
            self.next_read_frame(span, total);
            return;
        }
        let Ok(request) = Request::parse(frame) else { return };
        let command = Command::parse(&request).unwrap();
        let fault = (self.fault)(self.requests.len(), &command);
        self.requests.push(describe(&command));
        match fault {
            Fault::Unplug => {
                self.unplugged = true;
                return;
            }
            Fault::LoseRequest => return,
            Fault::Refuse(refusal) => return self.reply(&Response::failure(request.opcode, 0, refusal)),
            Fault::None | Fault::LoseReply | Fault::DamageWrite => {}
        }
        let before = self.output.len();
        self.answer(request.opcode, command, fault == Fault::DamageWrite);
        if fault == Fault::LoseReply {
            self.output.truncate(before);
        }
        if self.own_stub.is_some() && self.mode == Mode::Stub && self.reading.is_none() {
            // Busy until someone listens: everything that is sent before stays in the window.
            let answer = self.output.drain(before..).collect();
            self.held.push_back((crate::session::length_of(frame), answer));
            self.window_used = self.window_used.max(self.held.iter().map(|(length, _)| length).sum());
        }
    }

    fn reply(&mut self, response: &Response) {
        self.output.extend(slip::encode(&response.to_bytes()));
    }

    fn answer(&mut self, opcode: u8, command: Command<'_>, damage: bool) {
        let refuse = |refusal| Response::failure(opcode, 0, refusal);
        let ok = || Response::success(opcode, 0, Vec::new());
        let response = match command {
            Command::Sync => {
                let value = if self.mode == Mode::Rom { 0x2012_0707 } else { 0 };
                for _ in 0..8 {
                    self.reply(&Response::success(opcode, value, Vec::new()));
                }
                return;
            }
            Command::ReadRegister { address } => {
                Response::success(opcode, self.register(address), Vec::new())
            }
            Command::WriteRegister(writes) => {
                for write in writes {
                    self.write_register(write.address, write.value);
                }
                ok()
            }
            // ESP8266 boot ROM, SPIEraseArea: whole sectors only, also where nothing is to be erased.
            Command::FlashBegin { offset, .. } if !offset.is_multiple_of(4096) => {
                refuse(Refusal::OperationFailed)
            }
            Command::FlashBegin { erase_size, offset, .. } => {
                assert_eq!(self.mode, Mode::Rom);
                let (start, sectors) = (offset / 4096, erase_size / 4096);
                let erased = sectors + sectors.min(16 - start % 16);
                self.erase(offset..offset + erased * 4096);
                self.flash_write = Some((offset, 0));
                ok()
            }
            Command::FlashData { sequence, block } => match self.flash_write {
                Some((offset, next)) if next == sequence => {
                    self.write(offset, &block, damage);
                    self.flash_write = Some((offset + 0x400, next + 1));
                    ok()
                }
                _ => refuse(Refusal::InvalidMessage),
            },
            Command::MemBegin { .. } | Command::MemData { .. } => ok(),
            Command::MemEnd { .. } => {
                if self.stub_starts {
                    self.mode = Mode::Stub;
                    self.output.extend(slip::encode(b"OHAI"));
                }
                return;
            }
            _ if self.mode == Mode::Rom => refuse(Refusal::InvalidMessage),
            Command::ChangeBaud { new, .. } => {
                self.reply(&ok());
                self.device_baud = if new > self.baud_ceiling { 1 } else { new };
                return;
            }
            Command::EraseRegion { offset, size } => {
                self.erase(offset..offset + size);
                ok()
            }
            Command::FlashDeflateBegin { size, offset, .. } => {
                self.erase(offset..offset + size.next_multiple_of(4096));
                self.deflate = Some((offset, ZlibDecoder::new(Vec::new())));
                ok()
            }
            Command::FlashDeflateData { block, .. } => match &mut self.deflate {
                Some((_, decoder)) => match decoder.write_all(&block) {
                    Ok(()) => {
                        if damage {
                            self.registers.insert(0, 1);
                        }
                        ok()
                    }
                    Err(_) => refuse(Refusal::StubInflate),
                },
                None => refuse(Refusal::StubNotInFlashMode),
            },
            Command::FlashDeflateEnd { .. } => match self.deflate.take() {
                Some((offset, decoder)) => {
                    let damaged = self.registers.remove(&0).is_some();
                    match decoder.finish() {
                        Ok(bytes) => {
                            self.write(offset, &bytes, damaged);
                            ok()
                        }
                        Err(_) => refuse(Refusal::StubNotEnoughData),
                    }
                }
                None => refuse(Refusal::StubNotInFlashMode),
            },
            Command::SpiFlashMd5 { offset, size } => {
                let digest = Md5::digest(&self.flash[offset as usize..(offset + size) as usize]);
                Response::success(opcode, 0, digest.to_vec())
            }
            Command::StubInfo => match self.own_stub {
                Some(info) => Response::success(opcode, 0, info.to_bytes().to_vec()),
                None => refuse(Refusal::StubUnknownCommand),
            },
            Command::SectorDigests { offset, count } if self.own_stub.is_some() => {
                let span = offset as usize..(offset + count * 4096) as usize;
                let digests = self.flash[span].chunks(4096).flat_map(|sector| Md5::digest(sector).to_vec());
                Response::success(opcode, 0, digests.collect())
            }
            Command::Echo { bytes } if self.own_stub.is_some() => {
                Response::success(opcode, 0, bytes.to_vec())
            }
            Command::RunUserCode if self.own_stub.is_some() => {
                self.mode = Mode::Dead;
                ok()
            }
            Command::ReadFlash { offset, size, .. } => {
                self.reply(&ok());
                self.next_read_frame(offset..offset + size, 0);
                return;
            }
            _ => refuse(Refusal::StubNotImplemented),
        };
        self.reply(&response);
    }

    fn next_read_frame(&mut self, span: Range<u32>, sent: u32) {
        let start = span.start + sent;
        let end = (start + 0x1000).min(span.end);
        if start < end {
            let frame = slip::encode(&self.flash[start as usize..end as usize]);
            self.output.extend(frame);
            self.reading = Some((span.clone(), end - span.start));
        } else {
            let digest = Md5::digest(&self.flash[span.start as usize..span.end as usize]);
            self.output.extend(slip::encode(&digest));
        }
    }

    fn write_register(&mut self, address: u32, value: u32) {
        if address == UART_CLOCK_DIVIDER && self.mode == Mode::Rom {
            let baud = UART_CLOCK / value.max(1);
            // As on a chip, a divider gives the rate nearly.
            let meant =
                [self.device_baud, 230_400, 460_800].into_iter().min_by_key(|rate| rate.abs_diff(baud));
            let above = baud > self.rom_baud_ceiling.saturating_add(self.rom_baud_ceiling / 50);
            self.device_baud = if above { 1 } else { meant.unwrap_or(baud) };
            return;
        }
        if address != spi::CMD {
            self.registers.insert(address, value);
            return;
        }
        let offset = self.register(spi::ADDR);
        match value {
            spi::CMD_WREN => self.write_enabled = true,
            spi::CMD_SE => {
                assert!(std::mem::take(&mut self.write_enabled), "erase without write enable");
                self.erase(offset..offset + 4096);
            }
            spi::CMD_USR => match self.register(spi::USER2) & 0xFF {
                spi::FLASH_READ_ID => self.registers.insert(spi::W0, 0x16_40EF).map_or((), |_| ()),
                spi::FLASH_READ => {
                    for word in 0..16 {
                        let at = (offset >> 8) as usize + 4 * word as usize;
                        let bytes =
                            self.flash.get(at..at + 4).map_or([0xFF; 4], |bytes| bytes.try_into().unwrap());
                        self.registers.insert(spi::W0 + 4 * word, u32::from_le_bytes(bytes));
                    }
                }
                other => panic!("unknown flash command {other:#x}"),
            },
            _ => {}
        }
    }
}

/// One line for each request, without the bulk.
fn describe(command: &Command<'_>) -> String {
    match command {
        Command::FlashBegin { erase_size, blocks, offset, .. } => {
            format!("FLASH_BEGIN erase {erase_size:#x} blocks {blocks} at {offset:#x}")
        }
        Command::EraseRegion { offset, size } => format!("ERASE_REGION {size:#x} at {offset:#x}"),
        Command::FlashDeflateBegin { size, offset, .. } => {
            format!("FLASH_DEFL_BEGIN {size:#x} at {offset:#x}")
        }
        Command::ChangeBaud { new, old } => format!("CHANGE_BAUDRATE {new} {old}"),
        other => other.opcode().name().to_owned(),
    }
}

/// A handle on a device; cloning shares it.
#[derive(Clone)]
pub(super) struct Bench(Arc<Mutex<Device>>);

impl Bench {
    pub(super) fn new(change: impl FnOnce(&mut Device)) -> Self {
        let mut device = Device::new();
        change(&mut device);
        Self(Arc::new(Mutex::new(device)))
    }

    pub(super) fn device(&self) -> MutexGuard<'_, Device> {
        self.0.lock().unwrap()
    }

    pub(super) fn port(&self) -> Box<dyn Transport> {
        Box::new(self.clone())
    }
}

impl Transport for Bench {
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), TransportError> {
        let mut device = self.device();
        device.now += Duration::from_millis(1);
        if device.user_resets_at.is_some_and(|time| device.now >= time) {
            device.user_resets_at = None;
            device.after_reset = Mode::Rom;
            device.reset();
        }
        for &byte in bytes {
            if let Ok(Some(frame)) = device.decoder.push(byte)
                && device.mode != Mode::Dead
                && device.host_baud == device.device_baud
            {
                device.request(&frame);
            }
        }
        if device.unplugged { Err(TransportError::Gone { port: "bench".to_owned() }) } else { Ok(()) }
    }

    fn read(&mut self, buffer: &mut [u8], timeout: Duration) -> Result<usize, TransportError> {
        let mut device = self.device();
        if device.unplugged {
            return Err(TransportError::Gone { port: "bench".to_owned() });
        }
        while device.output.is_empty()
            && let Some((_, answer)) = device.held.pop_front()
        {
            device.output.extend(answer);
        }
        if device.output.is_empty() {
            let chatter = device.chatter.filter(|pause| *pause < timeout);
            device.now += chatter.unwrap_or(timeout);
            device.output.extend(chatter.map(|_| b'.'));
        }
        // Seven at a time, so that frames are split wherever it hurts.
        let length = buffer.len().min(7).min(device.output.len());
        for slot in &mut buffer[..length] {
            *slot = device.output.pop_front().unwrap();
        }
        Ok(length)
    }

    fn set_lines(&mut self, lines: ControlLines) -> Result<(), TransportError> {
        let mut device = self.device();
        if !device.has_lines {
            return Err(TransportError::NoControlLines { port: "bench".to_owned() });
        }
        let in_reset = |lines: &ControlLines| lines.rts && !lines.dtr;
        let was_in_reset = device.lines.last().is_some_and(|(_, lines)| in_reset(lines));
        let now = device.now;
        device.lines.push((now, lines));
        if was_in_reset && !in_reset(&lines) {
            device.reset();
        }
        Ok(())
    }

    fn set_baud(&mut self, baud: u32) -> Result<(), TransportError> {
        let mut device = self.device();
        if device.refused_bauds.contains(&baud) {
            return Err(TransportError::BaudRefused { port: "bench".to_owned(), baud });
        }
        device.host_baud = baud;
        Ok(())
    }

    fn baud(&self) -> u32 {
        self.device().host_baud
    }

    fn discard_input(&mut self) -> Result<(), TransportError> {
        self.device().output.clear();
        self.device().held.clear();
        Ok(())
    }

    fn now(&self) -> Duration {
        self.device().now
    }

    fn sleep(&mut self, duration: Duration) {
        self.device().now += duration;
    }

    fn name(&self) -> &str {
        "bench"
    }
}

/// Drops every event.
pub(super) fn ignore(_: Event) {}

pub(crate) fn region(name: &str, offset: u32, bytes: Vec<u8>, order: Order) -> Region {
    Region { name: name.to_owned(), offset, bytes, secrecy: Secrecy::Public, order }
}

/// Bytes that differ from sector to sector and compress badly enough to make several blocks.
pub(crate) fn pattern(length: u32) -> Vec<u8> {
    let mut state = 0x2545_F491_u32;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()[0]
        })
        .collect()
}
