use alloc::{
    collections::{BTreeMap, BTreeSet},
    format,
    string::{String, ToString},
    vec,
    vec::Vec,
};

use espbroker_config::flash_map::{FlashMap, Region, SECTOR_SIZE};

use super::{CONTENT_MAX, RETAINED, Record, Ring, Store, StoreError};
use crate::test_flash::TestFlash;

mod damage;
mod power;
mod turns;

/// Payload and QoS of each topic that has a message.
type Model = BTreeMap<String, (Vec<u8>, u8)>;

/// A store, its flash, and what should be in it. The ring has a sector of somebody else on either side.
#[derive(Clone)]
struct Bench {
    flash: TestFlash,
    ring: Ring,
    store: Store,
    model: Model,
}

/// Steps after which a store that is still busy does not end.
const PATIENCE: usize = 100_000;

impl Bench {
    fn blank(sectors: u8) -> Self {
        let length = u32::from(sectors) * SECTOR_SIZE;
        let mut flash = TestFlash::of_size(length + 2 * SECTOR_SIZE);
        flash.put(0, &[0xA5; SECTOR_SIZE as usize]);
        flash.put(SECTOR_SIZE + length, &[0xA5; SECTOR_SIZE as usize]);
        Self::over(flash, sectors)
    }

    /// Whatever is in the flash.
    fn over(mut flash: TestFlash, sectors: u8) -> Self {
        let length = u32::from(sectors) * SECTOR_SIZE;
        let ring = Ring::at_start_of(Region { name: "test", offset: SECTOR_SIZE, length }, sectors);
        let (store, model) = load(&mut flash, ring);
        Self { flash, ring, store, model }
    }

    fn step(&mut self) -> Result<(), embedded_storage::nor_flash::NorFlashErrorKind> {
        let model = &self.model;
        self.store.step(&mut self.flash, |topic| model.contains_key(topic))
    }

    fn settle(&mut self) {
        for _ in 0..PATIENCE {
            if !self.store.is_busy() {
                return;
            }
            self.step().unwrap();
        }
        panic!("the store is busy for ever");
    }

    /// One attempt.
    fn save_now(&mut self, topic: &str, payload: &[u8]) -> Result<(), Refusal> {
        let record = Record { topic, payload, qos: 0 };
        self.store.append(&mut self.flash, record).inspect(|()| remember(&mut self.model, record))
    }

    /// What an owner does for each message that has changed.
    fn save(&mut self, topic: &str, payload: &[u8], qos: u8) -> Result<(), Refusal> {
        for _ in 0..PATIENCE {
            match self.store.append(&mut self.flash, Record { topic, payload, qos }) {
                Err(StoreError::Busy) => self.settle(),
                outcome => {
                    return outcome.inspect(|()| self.remember(topic, payload, qos));
                }
            }
        }
        panic!("room is made for ever");
    }

    fn remember(&mut self, topic: &str, payload: &[u8], qos: u8) {
        remember(&mut self.model, Record { topic, payload, qos });
    }

    /// The messages after a restart.
    fn loaded(&mut self) -> Model {
        load(&mut self.flash, self.ring).1
    }

    fn restart(&mut self) {
        let (store, model) = load(&mut self.flash, self.ring);
        self.store = store;
        assert_eq!(model, self.model, "after a restart");
    }

    /// Times that each sector of the ring was erased.
    fn erased(&self) -> &[u32] {
        let (first, rest) = self.flash.erased.split_first().unwrap();
        let (last, ring) = rest.split_last().unwrap();
        assert_eq!((*first, *last), (0, 0), "nobody else's sector is touched");
        ring
    }

    fn sector(&mut self, sector: u8) -> &mut [u8] {
        let start = SECTOR_SIZE as usize * (usize::from(sector) + 1);
        &mut self.flash.bytes[start..][..SECTOR_SIZE as usize]
    }
}

type Refusal = StoreError<embedded_storage::nor_flash::NorFlashErrorKind>;

fn remember(model: &mut Model, record: Record<'_>) {
    if record.payload.is_empty() {
        model.remove(record.topic);
    } else {
        model.insert(record.topic.into(), (record.payload.into(), record.qos));
    }
}

fn load(flash: &mut TestFlash, ring: Ring) -> (Store, Model) {
    let mut model = Model::new();
    let store = Store::open_ring(flash, ring, |record| remember(&mut model, record)).unwrap();
    (store, model)
}

#[test]
fn messages_are_there_after_a_restart_with_their_qos_and_the_last_one_of_a_topic_counts() {
    let mut bench = Bench::blank(4);
    assert_eq!(bench.model, Model::new());
    let longest = vec![7; usize::from(CONTENT_MAX) - 1];
    let saves: [(&str, &[u8], u8); 9] = [
        ("home/kitchen/light", b"ON", 1),
        ("home/kitchen/temperature", b"21.5", 0),
        ("home/kitchen/light", b"OFF", 2),
        ("b", &longest, 1),
        ("binary", &[0, 0xFF, 0xFE, 0x80], 0),
        ("k\u{fc}che/\u{1f4a1}", b"x", 0),
        ("home/kitchen/temperature", b"", 0),
        ("never had one", b"", 0),
        ("b", b"shorter", 0),
    ];
    for (topic, payload, qos) in saves {
        bench.save(topic, payload, qos).unwrap();
        bench.restart();
    }
    let topics: Vec<&str> = bench.model.keys().map(String::as_str).collect();
    assert_eq!(topics, ["b", "binary", "home/kitchen/light", "k\u{fc}che/\u{1f4a1}"]);
    assert_eq!(bench.model["home/kitchen/light"], (b"OFF".to_vec(), 2));
}

#[test]
fn the_bytes_of_format_1_stay_what_they_are() {
    let mut bench = Bench::blank(4);
    bench.save("a/b", b"on", 1).unwrap();
    bench.save("a/b", b"", 0).unwrap();
    let expected = [
        b'E', b'B', b'R', b'M', 1, 0, 0, 0, // magic, format
        1, 0, 0, 0, 1, 0, 0, 0, 0x24, 0x7F, 0x96, 0x09, // sequence, oldest, CRC
        3, 0x10, 2, 0, 0x6D, 0xB6, 0x91, 0xFD, // topic of 3 bytes with QoS 1, payload of 2 bytes, CRC
        b'a', b'/', b'b', b'o', b'n', 0xFF, 0xFF, 0xFF, //
        3, 0, 0, 0, 0x3B, 0xCF, 0xA2, 0xC4, b'a', b'/', b'b', 0xFF, //
        0xFF, 0xFF, 0xFF, 0xFF,
    ];
    let found = &bench.sector(0)[..expected.len()];
    assert_eq!(found, expected, "{found:02X?}");
}

#[test]
fn a_message_that_does_not_fit_into_a_sector_is_refused_and_the_flash_not_touched() {
    let mut bench = Bench::blank(4);
    bench.save("t", b"old", 0).unwrap();
    let before = bench.flash.bytes.clone();
    for length in [usize::from(CONTENT_MAX), 4096, 65_535, 70_000] {
        let outcome = bench.save("t", &vec![1; length], 0);
        assert_eq!(outcome, Err(StoreError::TooLong { length: length + 1 }));
        assert_eq!(
            outcome.unwrap_err().to_string(),
            format!("topic and payload are longer than 4068 bytes: {}", length + 1)
        );
    }
    assert_eq!(bench.save(&"t".repeat(4069), b"", 0), Err(StoreError::TooLong { length: 4069 }));
    assert!(!bench.store.is_busy() && bench.flash.bytes == before);
    bench.save(&"t".repeat(4068), b"", 0).unwrap();
    bench.restart();
}

#[test]
fn an_append_is_one_program_operation_for_a_piece_of_256_bytes_and_never_an_erase() {
    let mut bench = Bench::blank(4);
    bench.save("first", b"makes a sector ready", 0).unwrap();
    let erases = bench.erased().to_vec();
    for (length, programs) in [(1, 1), (247, 1), (248, 2), (503, 2), (504, 3), (2000, 8)] {
        let before = bench.flash.programs;
        let outcome =
            bench.store.append(&mut bench.flash, Record { topic: "t", payload: &vec![1; length], qos: 0 });
        assert_eq!((outcome, bench.flash.programs - before), (Ok(()), programs), "{length}");
    }
    assert_eq!(bench.erased(), erases);
}

#[test]
fn the_ring_of_the_device_is_at_the_start_of_the_store_region() {
    for map in [FlashMap::Map4M, FlashMap::Map1M] {
        let mut flash = TestFlash::of_size(map.flash_size());
        let mut store = Store::open(&mut flash, |_| panic!("a blank flash")).unwrap();
        while store.append(&mut flash, Record { topic: "t", payload: b"x", qos: 0 }) == Err(StoreError::Busy)
        {
            store.step(&mut flash, |_| true).unwrap();
        }
        assert!(flash.bytes[map.store().offset as usize..].starts_with(b"EBRM"));
        assert_eq!(flash.bytes_changed, 4096 + 20 + 12);
    }
}

#[test]
fn the_store_is_small_in_memory() {
    assert!(size_of::<Store>() <= 80, "{}", size_of::<Store>());
    let collection = size_of::<super::Collection>();
    assert!(collection <= 120, "{collection}");
}

#[test]
fn a_wipe_drops_everything_at_once_and_then_erases_it() {
    let mut bench = Bench::blank(6);
    for round in 0..40 {
        bench.save(&format!("secret/{round}"), &vec![round; 300], 1).unwrap();
    }
    bench.store.wipe();
    assert_eq!(
        bench.store.append(&mut bench.flash, Record { topic: "t", payload: b"", qos: 0 }),
        Err(StoreError::Busy)
    );
    while bench.loaded() == bench.model {
        bench.step().unwrap();
    }
    assert_eq!(bench.loaded(), Model::new(), "there is nothing between all and none");
    bench.model.clear();
    bench.settle();
    let left: usize = (0..6).map(|sector| bench.sector(sector).iter().filter(|b| **b != 0xFF).count()).sum();
    assert!(left <= 20, "only a header is left, not {left} bytes");
    bench.save("t", b"new", 0).unwrap();
    bench.restart();

    let mut blank = Bench::blank(4);
    blank.store.wipe();
    blank.settle();
    blank.restart();
}
