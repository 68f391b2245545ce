//! [`Costs`]: instructions by function, from the file that callgrind writes.
//!
//! Reads version 1 of the format ("Callgrind Format Specification", Valgrind's manual) as far as one event and one
//! position column go. Only the cost of a function itself is kept; the inclusive cost on the line after `calls=` is
//! the sum of other lines.

use std::collections::{BTreeMap, HashMap};

/// Where instructions were executed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Program or library.
    pub(crate) object: String,
    /// Demangled name.
    pub(crate) function: String,
    /// Source file, of the inlined function if there is one.
    pub(crate) file: String,
}

/// Instructions for each place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Costs(pub(crate) BTreeMap<Place, u64>);

impl Costs {
    /// Reads the file's text; what it does not understand costs nothing.
    pub(crate) fn parse(text: &str) -> Self {
        let mut names = Names::default();
        let (mut object, mut function, mut file) = (String::new(), String::new(), String::new());
        let mut costs = Self::default();
        let mut after_calls = false;
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=') {
                match key {
                    "ob" => object = names.resolve(Kind::Object, value),
                    "fl" | "fi" | "fe" => file = names.resolve(Kind::File, value),
                    "fn" => function = names.resolve(Kind::Function, value),
                    "cob" => drop(names.resolve(Kind::Object, value)),
                    "cfl" | "cfi" => drop(names.resolve(Kind::File, value)),
                    "cfn" => drop(names.resolve(Kind::Function, value)),
                    "calls" => after_calls = true,
                    _ => {}
                }
                continue;
            }
            let is_cost = line.starts_with(|first: char| first.is_ascii_digit() || "+-*".contains(first));
            if let Some(cost) = line.split_whitespace().nth(1).and_then(|cost| cost.parse::<u64>().ok())
                && is_cost
                && !std::mem::take(&mut after_calls)
            {
                let place = Place { object: object.clone(), function: function.clone(), file: file.clone() };
                *costs.0.entry(place).or_default() += cost;
            }
        }
        costs
    }

    /// What this run has more than `less`; places where it has less are left out.
    pub(crate) fn minus(mut self, less: &Self) -> Self {
        for (place, cost) in &mut self.0 {
            *cost = cost.saturating_sub(less.0.get(place).copied().unwrap_or(0));
        }
        self.0.retain(|_, cost| *cost > 0);
        self
    }

    /// Instructions in the places that `wanted` accepts.
    pub(crate) fn sum(&self, wanted: impl Fn(&Place) -> bool) -> u64 {
        self.0.iter().filter(|(place, _)| wanted(place)).map(|(_, cost)| cost).sum()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Object,
    File,
    Function,
}

/// Names are written once as `(7) name` and then as `(7)`.
#[derive(Default)]
struct Names(HashMap<(Kind, String), String>);

impl Names {
    fn resolve(&mut self, kind: Kind, value: &str) -> String {
        let Some((number, name)) = value.strip_prefix('(').and_then(|value| value.split_once(')')) else {
            return value.to_owned();
        };
        let key = (kind, number.to_owned());
        match name.trim() {
            "" => self.0.get(&key).cloned().unwrap_or_default(),
            name => self.0.entry(key).insert_entry(name.to_owned()).get().clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
# callgrind format
version: 1
positions: line
events: Ir
summary: 30

ob=(1) /tmp/program
fl=(1) main.rs
fn=(1) work
10 3
+1 2
cob=(2) /lib/libc.so
cfi=(2) memcpy.S
cfn=(2) memcpy
calls=2 5
+1 20
fi=(3) inlined.rs
* 4
fe=(1)
12 1

ob=(2)
fl=(2)
fn=(2)
5 20

totals: 30
";

    fn place(object: &str, function: &str, file: &str) -> Place {
        Place { object: object.to_owned(), function: function.to_owned(), file: file.to_owned() }
    }

    #[test]
    fn a_call_does_not_count_for_the_caller() {
        let expected = [
            (place("/lib/libc.so", "memcpy", "memcpy.S"), 20),
            (place("/tmp/program", "work", "inlined.rs"), 4),
            (place("/tmp/program", "work", "main.rs"), 6),
        ];
        let costs = Costs::parse(FILE);
        assert_eq!(costs, Costs(expected.into()));
        assert_eq!(costs.sum(|place| place.object == "/tmp/program"), 10);
    }

    #[test]
    fn what_two_runs_have_in_common_is_taken_away() {
        let short = Costs::parse(FILE);
        let long = Costs::parse(&FILE.replace("5 20\n", "5 50\n"));
        let rest = long.minus(&short);
        assert_eq!(rest, Costs([(place("/lib/libc.so", "memcpy", "memcpy.S"), 30)].into()));
    }
}
