//! `espbroker-cost`: fixed work for the broker core, the same in every run, to be counted by somebody else.
//!
//! `espbroker-cost work ITEM COUNT` does an item of [`work::Item`] `COUNT` times; `cargo xtask bench broker` runs that
//! under callgrind. `espbroker-cost memory` prints what [`memory`] counts. Built for a 32-bit target the pointers have
//! the chip's size; nothing here has been near a chip.

mod client;
mod heap;
mod measured;
mod memory;
mod work;
mod world;

use std::{env, process::ExitCode};

/// Why the program gave up: a figure would have described other work than it claims.
type Failure = String;

// Tests run in threads, which it is not made for.
#[cfg_attr(not(test), global_allocator)]
static HEAP: heap::Heap = heap::Heap::new();

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        ["work", item, count] => work(item, count),
        ["memory"] => memory::run(),
        _ => Err("usage: espbroker-cost work ITEM COUNT | espbroker-cost memory".to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn work(item: &str, count: &str) -> Result<(), Failure> {
    let item = work::Item::named(item).ok_or_else(|| format!("no such item: {item}"))?;
    let count = count.parse().map_err(|error| format!("not a count ({error}): {count}"))?;
    let done = work::run(item, count)?;
    println!("deliveries {}", done.deliveries);
    println!("acknowledged {}", done.acknowledged);
    println!("allocations {}", done.allocations);
    Ok(())
}
