//! The collections of `alloc`, under random operations.

use alloc::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, BinaryHeap, LinkedList, VecDeque},
    format,
    rc::Rc,
    string::String,
    vec::Vec,
};
use core::{cell::RefCell, fmt};

use crate::report::Report;

const ROUNDS: u32 = 2_000;

pub(crate) fn run(report: &mut Report<'_>) -> fmt::Result {
    report.line("vectors", &mut |random, digest| {
        let mut vector: Vec<u64> = Vec::new();
        for _ in 0..ROUNDS {
            let value = random.next() >> 40;
            match random.below(8) {
                0 if !vector.is_empty() => {
                    let at = random.below(1 << 16) as usize % vector.len();
                    digest.take(vector.swap_remove(at));
                }
                1 => vector.insert(vector.len() / 2, value),
                2 => digest.take(vector.pop()),
                3 => vector.truncate(300),
                4 => vector.dedup_by_key(|value| *value & 0xFF),
                _ => vector.push(value),
            }
            digest.take(vector.len());
        }
        digest.take(vector.iter().copied().fold(0, u64::wrapping_add));
        for window in vector.windows(3).step_by(5) {
            digest.take(window.iter().copied().max());
        }
        for chunk in vector.chunks(7) {
            digest.take(chunk.iter().copied().reduce(|a, b| a ^ b));
        }
    })?;
    report.line("queues", &mut |random, digest| {
        let (mut queue, mut list) = (VecDeque::new(), LinkedList::new());
        for _ in 0..ROUNDS {
            let value = random.next();
            match random.below(6) {
                0 | 1 => queue.push_back(value),
                2 => queue.push_front(value),
                3 => digest.take(queue.pop_front()),
                4 => list.extend(queue.pop_back()),
                _ => digest.take(list.pop_front()),
            }
            digest.take(queue.len() + list.len());
        }
        queue.rotate_left(queue.len() / 3);
        for value in queue.make_contiguous() {
            digest.take(*value);
        }
    })?;
    report.line("ordered maps", &mut |random, digest| {
        let mut map: BTreeMap<u32, String> = BTreeMap::new();
        for _ in 0..ROUNDS {
            let key = random.below(300);
            match random.below(4) {
                0 => digest.take(map.remove(&key).as_deref()),
                1 => map.entry(key).or_default().push('x'),
                _ => digest.take(map.insert(key, format!("{key:x}")).as_deref()),
            }
        }
        for (key, value) in map.range(50..200) {
            digest.take((*key, value.as_str()));
        }
        digest.take(map.split_off(&100).len());
        digest.take(map.first_key_value().map(|(key, value)| (*key, value.as_str())));
    })?;
    report.line("sets and heaps", &mut |random, digest| {
        let (mut one, mut two, mut heap) = (BTreeSet::new(), BTreeSet::new(), BinaryHeap::new());
        for _ in 0..ROUNDS {
            one.insert(random.below(500));
            two.insert(random.below(700));
            heap.push(random.next());
            if random.below(3) == 0 {
                digest.take(heap.pop());
            }
        }
        for value in one.intersection(&two) {
            digest.take(*value);
        }
        for value in two.symmetric_difference(&one) {
            digest.take(*value);
        }
        while let Some(value) = heap.pop() {
            digest.take(value);
        }
    })?;
    report.line("boxes and shared values", &mut |random, digest| {
        struct Node {
            value: u64,
            children: Vec<Rc<RefCell<Node>>>,
        }
        fn sum(node: &RefCell<Node>) -> u64 {
            let node = node.borrow();
            node.children.iter().fold(node.value, |total, child| total.rotate_left(1) ^ sum(child))
        }
        let node = |value| Rc::new(RefCell::new(Node { value, children: Vec::new() }));
        let root = node(1);
        let mut nodes = Vec::from([Rc::clone(&root)]);
        for _ in 0..200 {
            let child = node(random.next());
            let parent = random.below(1 << 16) as usize % nodes.len();
            if let Some(parent) = nodes.get(parent) {
                parent.borrow_mut().children.push(Rc::clone(&child));
                digest.take(Rc::strong_count(parent));
            }
            nodes.push(child);
            digest.take(sum(&root));
        }
        let boxed: Box<[u64]> = nodes.iter().map(|node| node.borrow().value).collect();
        digest.take(boxed.iter().copied().fold(0, u64::wrapping_add));
    })
}
