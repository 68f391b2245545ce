//! Many turns of the ring: what is live stays, wear is even, work comes in small steps.

use super::*;

/// A payload of `length` bytes that `number` tells from others.
fn payload(number: u32, length: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(length).collect()
}

fn assert_even(erased: &[u32]) {
    let (least, most) = (erased.iter().min().unwrap(), erased.iter().max().unwrap());
    assert!(most - least <= 1, "{erased:?}");
}

#[test]
fn a_hundred_thousand_updates_of_one_topic_wear_all_sectors_alike() {
    let mut bench = Bench::blank(16);
    bench.save("boot", b"cold", 0).unwrap();
    for number in 0..100_000 {
        bench.save("home/kitchen/temp", &payload(number, 4), 0).unwrap();
    }
    assert_even(bench.erased());
    // 127 records of 32 B to a sector, and the cold message once a turn.
    let erases: u32 = bench.erased().iter().sum();
    assert!((780..=800).contains(&erases), "{erases}");
    bench.restart();
}

#[test]
fn messages_that_never_change_stay_while_others_turn_the_ring() {
    let mut bench = Bench::blank(5);
    for number in 0..30 {
        bench.save(&format!("cold/{number}"), &payload(number, 100), 2).unwrap();
    }
    for number in 0..2000_u32 {
        let topic = format!("hot/{}", number % 7);
        let length = if number % 50 == 49 { 0 } else { 40 };
        bench.save(&topic, &payload(number, length), 1).unwrap();
        if number % 100 == 0 {
            bench.restart();
        }
    }
    bench.restart();
    assert!(bench.model.len() >= 36);
    assert_even(bench.erased());
    assert!(bench.erased().iter().all(|times| *times > 4), "{:?}", bench.erased());
}

#[test]
fn hundreds_of_short_messages_in_one_sector_stay() {
    let mut bench = Bench::blank(5);
    for number in 0..300 {
        bench.save(&format!("t/{number:03}"), &[1], 0).unwrap();
    }
    for number in 0..1000 {
        bench.save("hot", &payload(number, 40), 1).unwrap();
    }
    assert_eq!(bench.model.len(), 301);
    bench.restart();
}

#[test]
fn topics_with_the_same_sum_are_told_apart() {
    let sum = |topic: &str| espbroker_config::crc::Crc32::new().update(topic.as_bytes()).finish() & 0xFFFF;
    let names = || (0..1_000_000_u32).map(|number| format!("{:08x}", number.wrapping_mul(2_654_435_761)));
    let cold = "00000000";
    let same_length = names().skip(1).find(|name| sum(name) == sum(cold)).unwrap();
    // The worst: the longer topic begins with the shorter one, whose message goes on like the longer topic.
    let end = names().find(|end| sum(&format!("{cold}{end}")) == sum(cold)).unwrap();
    let longer = format!("{cold}{end}");
    for hot in [same_length, longer] {
        let mut bench = Bench::blank(5);
        bench.save(cold, end.as_bytes(), 0).unwrap();
        for number in 0..500 {
            bench.save(&hot, &payload(number, 40), 1).unwrap();
        }
        bench.restart();
    }
}

#[test]
fn topics_that_change_in_unison_between_two_values_do_not_keep_the_store_from_going_on() {
    // What a later record replaces must not count as live because its value is back.
    let mut bench = Bench::blank(6);
    for round in 0..40 {
        let value: &[u8] = if round % 2 == 0 { b"ON" } else { b"OFF" };
        for topic in 0..100 {
            bench.save(&format!("light/{topic:03}/state"), value, 0).unwrap();
        }
    }
    let erases: u32 = bench.erased().iter().sum();
    let written = 40 * 100 * 28 / 4076;
    assert!(erases <= written * 4, "{erases} erases for {written} sectors of records");
    assert_even(bench.erased());
    bench.restart();
}

#[test]
fn a_step_is_one_erase_or_one_sector_read_or_one_record_copied() {
    let mut bench = Bench::blank(5);
    let mut steps = 0;
    for number in 0..2000 {
        let topic = format!("t/{}", number % 90);
        let payload = payload(number, if number % 90 == 5 { 1500 } else { 60 });
        while let Err(refusal) = bench.save_now(&topic, &payload) {
            assert_eq!(refusal, StoreError::Busy);
            while bench.store.is_busy() {
                let before = bench.flash.clone();
                bench.step().unwrap();
                steps += 1;
                let erased: u32 = bench.flash.erased.iter().sum::<u32>() - before.erased.iter().sum::<u32>();
                let (programs, read) =
                    (bench.flash.programs - before.programs, bench.flash.bytes_read - before.bytes_read);
                assert!(erased + u32::from(programs > 0) <= 1, "one kind of work");
                assert!(programs <= 17 && read <= 4 * 4096, "{programs} programs, {read} bytes read");
            }
        }
    }
    assert!(steps > 100);
    bench.restart();
}

#[test]
fn what_was_cleared_leaves_nothing_to_copy() {
    let mut bench = Bench::blank(5);
    for number in 0..200 {
        bench.save(&format!("gone/{number}"), &payload(number, 30), 0).unwrap();
        bench.save(&format!("gone/{number}"), b"", 0).unwrap();
    }
    let mut turned = bench.clone();
    turned.flash.programs = 0;
    for number in 0..1000 {
        // An owner that does not know what it has given up.
        while turned.save_now("hot", &payload(number, 20)) == Err(StoreError::Busy) {
            while turned.store.is_busy() {
                turned.store.step(&mut turned.flash, |_| true).unwrap();
            }
        }
    }
    // 32 B a record: the sectors' headers and a copy of the hot topic now and then.
    assert!(turned.flash.programs <= 1000 + 2 * 1000 * 36 / 4076, "{}", turned.flash.programs);
    turned.restart();
    assert_eq!(turned.model.len(), 1);
}

#[test]
fn what_the_owner_has_given_up_is_not_kept() {
    let mut bench = Bench::blank(5);
    for number in 0..20 {
        bench.save(&format!("given up/{number}"), &payload(number, 200), 0).unwrap();
    }
    // As when the limits have become smaller: the broker did not take them after a restart.
    let given_up: BTreeSet<String> = bench.model.keys().cloned().collect();
    bench.model.clear();
    for number in 0..1000 {
        bench.save("hot", &payload(number, 40), 0).unwrap();
    }
    let left = bench.loaded();
    assert!(given_up.iter().all(|topic| !left.contains_key(topic)));
    bench.restart();
}

#[test]
fn live_messages_spread_over_all_sectors_are_brought_together_for_a_long_one() {
    let mut bench = Bench::blank(8);
    // A third of every sector stays live, the rest of it does not.
    for number in 0..9 {
        bench.save(&format!("live/{number}"), &payload(number, 1300), 0).unwrap();
        for _ in 0..2 {
            bench.save("replaced", &payload(number, 1290), 0).unwrap();
        }
    }
    for number in 0..4 {
        bench.save("long", &payload(number, 4000), 0).unwrap();
        bench.restart();
    }
}

#[test]
fn a_ring_full_of_live_messages_refuses_and_goes_on_when_some_are_cleared() {
    let mut bench = Bench::blank(5);
    let mut kept = 0;
    let refusal = (0..1000).find_map(|number| {
        kept = number;
        bench.save(&format!("live/{number}"), &payload(number, 400), 0).err()
    });
    assert_eq!(refusal, Some(StoreError::Full));
    assert!(kept >= 9 * 2, "two sectors of five are spare, and one is written: {kept}");
    bench.restart();

    // It costs nothing to ask again.
    let refused = |bench: &mut Bench| bench.save("one more", &[1; 410], 0) == Err(StoreError::Full);
    assert!(refused(&mut bench), "a restart may look again");
    let erased = bench.erased().to_vec();
    assert!(refused(&mut bench) && bench.erased() == erased);

    for number in 0..6 {
        bench.save(&format!("live/{number}"), b"", 0).unwrap();
    }
    bench.save("one more", &[1; 410], 0).unwrap();
    bench.restart();
}

#[test]
fn the_greatest_limits_fit_into_the_ring_of_the_device() {
    // 1,024 messages, 65,535 B of topics and payloads, everything replaced once and then given other lengths.
    let mut bench = Bench::blank(RETAINED);
    for round in 0..3 {
        for number in 0..1024_u32 {
            let length = 64 - 9 - usize::from(round == 1 && number % 2 == 0) * 40;
            bench.save(&format!("topic/{number:03x}"), &payload(number + round, length), 1).unwrap();
        }
    }
    bench.restart();
    // The worst to pack: each fills a sector alone, and each is replaced before the others are cleared.
    let mut bench = Bench::blank(RETAINED);
    for number in 0..62 {
        bench.save(&format!("big/{}", number % 31), &payload(number, 2080), 0).unwrap();
    }
    bench.restart();
    assert_even(bench.erased());
}
