//! Power cuts at every byte: one message is old or new, all others are as they were, and the store goes on.

use proptest::prelude::*;

use super::*;

/// One call into the store.
#[derive(Clone, Copy, Debug)]
enum Call<'a> {
    Append(Record<'a>),
    Step,
}

impl Bench {
    fn call(&mut self, call: Call<'_>) -> Result<(), Refusal> {
        match call {
            Call::Append(record) => self.store.append(&mut self.flash, record),
            Call::Step => self.step().map_err(StoreError::Flash),
        }
    }

    /// Cuts the power at the bytes `cuts` of what `call` changes, on copies; then carries it out.
    fn cut_at_each_byte(&mut self, call: Call<'_>) -> Result<(), Refusal> {
        let before = self.clone();
        let outcome = self.call(call);
        if let (Call::Append(Record { topic, payload, qos }), Ok(())) = (call, outcome) {
            self.remember(topic, payload, qos);
        }
        let changed = self.flash.bytes_changed - before.flash.bytes_changed;
        let erasing = self.flash.erased != before.flash.erased;
        for cut in (0..changed).filter(|cut| is_worth_a_cut(*cut, changed, erasing)) {
            let mut bench = before.clone();
            (bench.flash.power, bench.flash.torn_bits) = (Some(cut), [0x00, 0x55, 0xAA, 0xFF][cut % 4]);
            // What fails is not always told: a copy that fails is tried elsewhere.
            let _ = bench.call(call);
            assert!(bench.flash.is_off());
            bench.flash.power_up();
            bench.assert_old_or_new(&self.model, cut % 64 == 0 || cut + 1 == changed);
        }
        if erasing {
            // All cells of a sector are erased at once: each bit of it may be there or not.
            for mask in [0x00_u8, 0x01, 0x0F, 0x55, 0xF0, 0xFE] {
                let mut bench = before.clone();
                for (byte, new) in bench.flash.bytes.iter_mut().zip(&self.flash.bytes) {
                    *byte |= *new & mask;
                }
                bench.assert_old_or_new(&self.model, true);
            }
        }
        outcome
    }

    /// After a cut: the model of before, or `new`, and if asked: room for more.
    fn assert_old_or_new(&mut self, new: &Model, go_on: bool) {
        let (store, found) = load(&mut self.flash, self.ring);
        assert!(found == self.model || found == *new, "neither old nor new");
        if go_on {
            (self.store, self.model) = (store, found);
            for payload in [&[1; 900], &[2; 900]] {
                self.save("after the cut", payload, 0).unwrap();
            }
            self.restart();
        }
    }

    fn save_with_cuts(&mut self, record: Record<'_>) {
        for _ in 0..PATIENCE {
            match self.cut_at_each_byte(Call::Append(record)) {
                Err(StoreError::Busy) => {
                    while self.store.is_busy() {
                        self.cut_at_each_byte(Call::Step).unwrap();
                    }
                }
                outcome => return outcome.unwrap(),
            }
        }
        panic!("room is made for ever");
    }
}

/// Every byte at the beginning and the end of a change; of what is between, where all bytes are alike, some.
fn is_worth_a_cut(cut: usize, changed: usize, erasing: bool) -> bool {
    let few = if erasing { 512 } else { 64 };
    cut < 48 || changed - cut < 16 || cut.is_multiple_of(few)
}

#[test]
fn a_power_cut_at_any_byte_leaves_one_message_old_or_new_and_the_others_as_they_were() {
    let mut bench = Bench::blank(4);
    // Short messages whose every byte is tried, and long ones that turn the ring; some are cleared, some never change.
    let script = (0..48_usize).map(|number| match number % 6 {
        0 => (format!("short/{}", number % 4), vec![1; 1 + number]),
        1 => (format!("long/{}", number % 3), vec![number.to_le_bytes()[0]; 1100]),
        2 => (format!("cold/{number}"), b"stays".repeat(number / 6)),
        3 => (format!("short/{}", number % 4), vec![]),
        4 => ("longer".into(), vec![number.to_le_bytes()[0]; 1900]),
        _ => (format!("long/{}", number % 4), if number > 18 { vec![] } else { vec![5; 700] }),
    });
    for (topic, payload) in script {
        bench.save_with_cuts(Record { topic: &topic, payload: &payload, qos: 1 });
    }
    assert!(bench.erased().iter().all(|times| *times >= 2), "the ring has turned: {:?}", bench.erased());
    assert!(bench.model.contains_key("cold/8"));
    bench.restart();

    bench.store.wipe();
    bench.model.clear();
    let mut kept = bench.clone();
    kept.model = kept.loaded();
    while bench.store.is_busy() {
        // Everything old or everything gone.
        let before = bench.loaded();
        kept.cut_at_each_byte(Call::Step).unwrap();
        bench.step().unwrap();
        kept.model = bench.loaded();
        assert!(kept.model.is_empty() || kept.model == before);
    }
}

#[derive(Clone, Debug)]
enum Event {
    Save {
        topic: usize,
        length: usize,
        qos: u8,
    },
    Clear {
        topic: usize,
    },
    Restart,
    /// The power goes after this many bytes.
    Power(usize),
    Wipe,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let length = prop_oneof![4 => 1..60_usize, 2 => 60..600_usize, 1 => 600..4000_usize];
    let event = prop_oneof![
        40 => (0..12_usize, length, 0..3_u8).prop_map(|(topic, length, qos)| Event::Save { topic, length, qos }),
        8 => (0..12_usize).prop_map(|topic| Event::Clear { topic }),
        4 => Just(Event::Restart),
        12 => (0..6000_usize).prop_map(Event::Power),
        1 => Just(Event::Wipe),
    ];
    proptest::collection::vec(event, 1..160)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_of_saves_restarts_and_cuts_is_that_of_a_map(events in events()) {
        let mut bench = Bench::blank(16);
        for (number, event) in (0_u32..).zip(events) {
            let (topic, payload, qos) = match event {
                Event::Save { topic, length, qos } => {
                    (topic, number.to_le_bytes().into_iter().cycle().take(length).collect(), qos)
                }
                Event::Clear { topic } => (topic, vec![], 0),
                Event::Restart => {
                    bench.flash.power_up();
                    bench.restart();
                    continue;
                }
                Event::Power(bytes) => {
                    bench.flash.power = Some(bytes);
                    continue;
                }
                Event::Wipe => {
                    bench.flash.power_up();
                    bench.store.wipe();
                    bench.settle();
                    bench.model.clear();
                    continue;
                }
            };
            let topic = format!("topic/{topic}");
            let record = Record { topic: &topic, payload: &payload, qos };
            let mut new = bench.model.clone();
            remember(&mut new, record);
            loop {
                let mut outcome = bench.store.append(&mut bench.flash, record);
                while bench.store.is_busy() && !bench.flash.is_off() {
                    outcome = bench.step().map_err(StoreError::Flash).and(outcome);
                }
                if bench.flash.is_off() {
                    bench.flash.power_up();
                    let found = bench.loaded();
                    prop_assert!(found == bench.model || found == new);
                    bench.model = found;
                    bench.restart();
                    if bench.model == new {
                        break;
                    }
                } else if outcome != Err(StoreError::Busy) {
                    prop_assert_eq!(outcome, Ok(()));
                    bench.model = new;
                    break;
                }
            }
        }
        bench.flash.power_up();
        bench.restart();
    }
}
