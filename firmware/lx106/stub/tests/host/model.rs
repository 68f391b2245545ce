//! A chip for tests: NOR flash that takes its time, digests, words of memory, and a host on the other side.

use std::collections::BTreeMap;

use espbroker_stub::{Buffers, Chip, FIFO, Lost, Next, Operation, RING, Receiver, Stub, Transfer};
use md5::{Digest, Md5};

pub(crate) const FLASH: usize = 0x10_0000;
/// Divider of the UART at the start: 52 MHz by 115200.
pub(crate) const DIVIDER: u32 = 451;

/// What the flash did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sectors: u32,
    pub(crate) blocks: u32,
    pub(crate) programs: u32,
    pub(crate) status_writes: u32,
}

pub(crate) struct Model {
    pub(crate) flash: Vec<u8>,
    pub(crate) status: u8,
    pub(crate) capacity: u8,
    /// Cycles until which the flash is busy.
    busy_until: u64,
    cycles: u64,
    enabled: bool,
    pub(crate) counts: Counts,
    /// Operations of the flash until the power goes; the last one is done by half.
    pub(crate) power: Option<u32>,
    /// The flash never gets ready again.
    pub(crate) stuck: bool,
    pub(crate) refuses_unlock: bool,
    pub(crate) sent: Vec<u8>,
    pub(crate) words: BTreeMap<u32, u32>,
    pub(crate) accesses: Vec<(char, u32, u32)>,
    pub(crate) delays: Vec<u32>,
    pub(crate) divider: u32,
    /// Dividers, each with the bytes that had been sent before.
    pub(crate) dividers: Vec<(u32, usize)>,
    pub(crate) attached: u32,
    random: u8,
}

impl Model {
    pub(crate) fn new(flash: Vec<u8>) -> Self {
        assert_eq!(flash.len(), FLASH);
        Self {
            flash,
            status: 0,
            capacity: 0x14,
            busy_until: 0,
            cycles: 0,
            enabled: false,
            counts: Counts::default(),
            power: None,
            stuck: false,
            refuses_unlock: false,
            sent: Vec::new(),
            words: BTreeMap::new(),
            accesses: Vec::new(),
            delays: Vec::new(),
            divider: DIVIDER,
            dividers: Vec::new(),
            attached: 0,
            random: 0x5A,
        }
    }

    /// Lets time pass.
    pub(crate) fn tick(&mut self) {
        self.cycles += 100;
    }

    fn is_busy(&self) -> bool {
        self.stuck && self.busy_until > 0 || self.cycles < self.busy_until
    }

    fn has_power(&self) -> bool {
        self.power != Some(0)
    }

    /// Whether the operation is begun, and whether it is completed.
    fn begin(&mut self, cycles: u64) -> Option<bool> {
        if !self.has_power() || self.is_busy() || !self.enabled {
            return None;
        }
        self.enabled = false;
        self.busy_until = self.cycles + cycles;
        if let Some(left) = &mut self.power {
            *left -= 1;
        }
        Some(self.has_power())
    }

    fn erase(&mut self, address: usize, length: usize, cycles: u64) -> bool {
        let Some(whole) = self.begin(cycles) else { return false };
        let start = address & !(length - 1);
        for byte in &mut self.flash[start..start + length] {
            self.random = self.random.wrapping_mul(13).wrapping_add(7);
            *byte |= if whole { 0xFF } else { self.random };
        }
        true
    }
}

impl Chip for Model {
    type Digest = Md5;

    fn send(&mut self, byte: u8) {
        self.cycles += 4510;
        self.sent.push(byte);
    }

    fn drain(&mut self) {}

    fn divider(&mut self) -> u32 {
        self.divider
    }

    fn set_divider(&mut self, divider: u32) {
        self.divider = divider;
        self.dividers.push((divider, self.sent.len()));
    }

    fn read_word(&mut self, address: u32) -> u32 {
        let value = self.words.get(&address).copied().unwrap_or(0);
        self.accesses.push(('r', address, value));
        value
    }

    fn write_word(&mut self, address: u32, value: u32) {
        assert_eq!(address % 4, 0);
        self.accesses.push(('w', address, value));
        self.words.insert(address, value);
    }

    fn delay(&mut self, microseconds: u32) {
        self.delays.push(microseconds);
    }

    fn cycles(&mut self) -> u32 {
        // Time-outs must not take the tests seconds.
        self.cycles += if self.stuck || !self.has_power() { 1_000_000 } else { 10 };
        self.cycles as u32
    }

    fn attach_flash(&mut self) {
        self.attached += 1;
    }

    fn transfer(&mut self, transfer: Transfer, buffer: &mut [u32]) {
        self.cycles += 60 + 32 * (transfer.send + transfer.receive) as u64;
        assert!(transfer.send <= FIFO && transfer.receive <= FIFO);
        assert!(transfer.send == 0 || transfer.receive == 0);
        let address = transfer.address.map_or(0, |address| {
            assert!(address < 1 << 24);
            address as usize % FLASH
        });
        let sent: Vec<u8> = buffer.iter().flat_map(|word| word.to_le_bytes()).take(transfer.send).collect();
        let mut answer = vec![0xFF; transfer.receive];
        let busy = self.is_busy();
        match transfer.command {
            _ if !self.has_power() => {}
            0x05 => answer.fill(self.status | u8::from(busy) | u8::from(self.enabled) << 1),
            _ if busy => panic!("command {:#x} while the flash is busy", transfer.command),
            0x9F => answer.copy_from_slice(&[0xEF, 0x40, self.capacity]),
            0x06 => self.enabled = self.status & 0x7C == 0 || self.status & 0x80 == 0,
            0x03 => answer.copy_from_slice(&self.flash[address..address + transfer.receive]),
            0x01 => {
                if self.begin(1000).is_some() {
                    self.counts.status_writes += 1;
                    if !self.refuses_unlock {
                        self.status = sent[0];
                    }
                }
            }
            0x02 => {
                assert_eq!(address / 256, (address + sent.len() - 1) / 256, "over the end of a page");
                assert_eq!(self.status & 0x7C, 0, "programming while protected");
                if let Some(whole) = self.begin(5_000) {
                    self.counts.programs += 1;
                    let count = if whole { sent.len() } else { sent.len() / 2 };
                    for (cell, byte) in self.flash[address..].iter_mut().zip(&sent[..count]) {
                        assert_eq!(*cell & byte, *byte, "programming at {address:#x} what is not erased");
                        *cell &= byte;
                    }
                }
            }
            0x20 => self.counts.sectors += u32::from(self.erase(address, 0x1000, 200_000)),
            0xD8 => self.counts.blocks += u32::from(self.erase(address, 0x1_0000, 700_000)),
            other => panic!("the flash has no command {other:#x}"),
        }
        for (word, bytes) in buffer.iter_mut().zip(answer.chunks(4)) {
            let mut whole = [0; 4];
            whole[..bytes.len()].copy_from_slice(bytes);
            *word = u32::from_le_bytes(whole);
        }
    }

    fn digest(&mut self) -> Md5 {
        Md5::new()
    }

    fn update(&mut self, digest: &mut Md5, buffer: &[u32; FIFO / 4], length: usize) {
        let bytes: Vec<u8> = buffer.iter().flat_map(|word| word.to_le_bytes()).take(length).collect();
        digest.update(&bytes);
    }

    fn finish(&mut self, digest: &mut Md5) -> [u8; 16] {
        std::mem::take(digest).finalize().into()
    }
}

/// A response: operation, value, data, status and error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    pub(crate) operation: u8,
    pub(crate) value: u32,
    pub(crate) data: Vec<u8>,
    pub(crate) error: Option<u8>,
}

/// The stub on a model, and a host.
pub(crate) struct Bench {
    pub(crate) chip: Model,
    pub(crate) receiver: Box<Receiver<RING>>,
    pub(crate) stub: Stub<'static, Model>,
    pub(crate) next: Next,
    read: usize,
}

impl Bench {
    pub(crate) fn new(flash: Vec<u8>) -> Self {
        Self::on(Model::new(flash))
    }

    pub(crate) fn blank() -> Self {
        Self::new(vec![0xFF; FLASH])
    }

    pub(crate) fn on(mut chip: Model) -> Self {
        let stub = Stub::start(Box::leak(Box::new(Buffers::new())), &mut chip);
        let mut bench = Self { chip, receiver: Box::new(Receiver::new()), stub, next: Next::Poll, read: 0 };
        assert_eq!(bench.frame(), Some(b"OHAI".to_vec()));
        bench
    }

    /// Bytes on the line.
    pub(crate) fn line(&self, bytes: &[u8]) {
        let mut bytes = bytes.iter().copied();
        self.receiver.interrupt(Lost::None, || bytes.next());
    }

    pub(crate) fn poll(&mut self) {
        if self.next == Next::Poll {
            self.next = self.stub.poll(&mut self.chip, &self.receiver);
        }
    }

    /// Polls until nothing happens any more.
    pub(crate) fn rest(&mut self) {
        for _ in 0..5000 {
            self.poll();
        }
    }

    /// Polls, with time passing, until the stub has nothing to do, and forgets what it sent.
    pub(crate) fn settle(&mut self) {
        self.rest();
        self.read = self.chip.sent.len();
    }

    /// The next frame that the stub has sent, unescaped.
    pub(crate) fn frame(&mut self) -> Option<Vec<u8>> {
        loop {
            let rest = &self.chip.sent[self.read..];
            let start = rest.iter().position(|&byte| byte == 0xC0)?;
            let end = start + 1 + rest[start + 1..].iter().position(|&byte| byte == 0xC0)?;
            let escaped = rest[start + 1..end].to_vec();
            self.read += end + 1;
            if !escaped.is_empty() {
                return Some(unescaped(&escaped));
            }
        }
    }

    pub(crate) fn response(&mut self) -> Option<Response> {
        let frame = self.frame()?;
        assert!(frame.len() >= 10, "{frame:?}");
        assert_eq!(frame[0], 1);
        assert_eq!(usize::from(frame[2]) | usize::from(frame[3]) << 8, frame.len() - 8);
        let (data, status) = frame[8..].split_at(frame.len() - 10);
        let error = match *status {
            [0, 0] => None,
            [1, error] => Some(error),
            _ => panic!("status {status:?}"),
        };
        let value = u32::from_le_bytes(frame[4..8].try_into().unwrap());
        Some(Response { operation: frame[1], value, data: data.to_vec(), error })
    }

    /// Polls until a frame comes.
    pub(crate) fn wait(&mut self) -> Response {
        for _ in 0..1_000_000 {
            if let Some(response) = self.response() {
                return response;
            }
            self.poll();
        }
        panic!("no response");
    }

    /// One request and its response.
    pub(crate) fn ask(&mut self, operation: u8, data: &[u8]) -> Response {
        self.line(&request(operation, 0, data));
        let response = self.wait();
        assert_eq!(response.operation, operation);
        response
    }

    /// One request that is expected to succeed.
    pub(crate) fn run(&mut self, operation: Operation, data: &[u8]) -> Response {
        let response = self.ask(operation as u8, data);
        assert_eq!(response.error, None, "{operation:?}");
        response
    }

    /// One request's error.
    pub(crate) fn error(&mut self, operation: Operation, data: &[u8]) -> Option<u8> {
        self.ask(operation as u8, data).error
    }

    pub(crate) fn block(&mut self, operation: Operation, sequence: u32, block: &[u8]) -> Option<u8> {
        self.line(&block_request(operation, sequence, block));
        let response = self.wait();
        assert_eq!(response.operation, operation as u8);
        response.error
    }

    /// A whole write as esptool does it, one block after the other.
    pub(crate) fn write(&mut self, offset: u32, bytes: &[u8], block: usize) -> Result<(), u8> {
        let packed = zlib(bytes);
        let begin = words(&[bytes.len() as u32, packed.len().div_ceil(block) as u32, block as u32, offset]);
        self.error(Operation::FlashDeflateBegin, &begin).map_or(Ok(()), Err)?;
        for (sequence, block) in (0..).zip(packed.chunks(block)) {
            self.block(Operation::FlashDeflateData, sequence, block).map_or(Ok(()), Err)?;
        }
        self.error(Operation::FlashDeflateEnd, &words(&[1])).map_or(Ok(()), Err)
    }

    pub(crate) fn md5(&mut self, offset: u32, size: u32) -> Vec<u8> {
        self.run(Operation::SpiFlashMd5, &words(&[offset, size, 0, 0])).data
    }
}

pub(crate) fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

pub(crate) fn request(operation: u8, checksum: u32, data: &[u8]) -> Vec<u8> {
    let mut frame = vec![0, operation];
    frame.extend(u16::try_from(data.len()).unwrap().to_le_bytes());
    frame.extend(checksum.to_le_bytes());
    frame.extend(data);
    escaped(&frame)
}

pub(crate) fn block_request(operation: Operation, sequence: u32, block: &[u8]) -> Vec<u8> {
    let mut data = words(&[block.len() as u32, sequence, 0, 0]);
    data.extend(block);
    let checksum = block.iter().fold(0xEF, |sum, byte| sum ^ byte);
    request(operation as u8, u32::from(checksum), &data)
}

pub(crate) fn escaped(frame: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0xC0];
    for &byte in frame {
        match byte {
            0xC0 => bytes.extend([0xDB, 0xDC]),
            0xDB => bytes.extend([0xDB, 0xDD]),
            other => bytes.push(other),
        }
    }
    bytes.push(0xC0);
    bytes
}

fn unescaped(bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    let mut rest = bytes.iter();
    while let Some(&byte) = rest.next() {
        frame.push(match (byte, byte == 0xDB) {
            (_, true) => match rest.next() {
                Some(0xDC) => 0xC0,
                Some(0xDD) => 0xDB,
                other => panic!("escape before {other:?}"),
            },
            (other, false) => other,
        });
    }
    frame
}

pub(crate) fn zlib(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Bytes that compress to about two thirds, as machine code does, with runs of FF in between.
pub(crate) fn program(length: usize, mut seed: u32) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(length);
    while bytes.len() < length {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let pick = seed >> 16;
        if pick.is_multiple_of(5) && bytes.len() > 400 {
            let from = bytes.len() - 1 - (seed >> 8) as usize % bytes.len().min(30_000);
            for index in 0..4 + (pick >> 4) as usize % 60 {
                let byte = bytes[from + index % (bytes.len() - from)];
                bytes.push(byte);
            }
        } else if pick.is_multiple_of(97) {
            bytes.extend(std::iter::repeat_n(0xFF, 300));
        } else {
            bytes.extend([(seed >> 24) as u8, (seed >> 13) as u8 & 0x1F]);
        }
    }
    bytes.truncate(length);
    bytes
}
