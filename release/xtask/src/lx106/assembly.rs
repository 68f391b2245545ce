//! rustc's assembly for the LX106, made fit for GNU `as`.
//!
//! LLVM prints a function's literals before it changes to the function's section, so that they would land in the
//! previous function's: they move down to the function's label. And it calls everything through a register, `l32r`
//! and `callx0`: where the register is used for nothing else this becomes `call0`, which is 3 to 8 bytes shorter. What
//! the file does not define may be further away than `call0` reaches, as the boot ROM is: there `as` writes the long
//! form again, with a mark by which `ld` shortens it where it is near.

use std::collections::HashSet;

/// Returns the assembly that GNU `as` takes.
pub(crate) fn clean(source: &str) -> String {
    let lines: Vec<&str> = source.lines().collect();
    let defined: HashSet<&str> = lines.iter().filter_map(|line| function_label(line)).collect();
    let mut output = String::with_capacity(source.len());
    let mut rest = lines.as_slice();
    while !rest.is_empty() {
        let (function, after) = rest.split_at(function_length(rest));
        write_function(function, &defined, &mut output);
        rest = after;
    }
    output
}

/// A line `.literal NAME, VALUE`.
#[derive(Clone, Copy, Debug)]
struct Literal<'a> {
    name: &'a str,
    value: &'a str,
}

impl<'a> Literal<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (name, value) = line.trim_start().strip_prefix(".literal ")?.split_once(", ")?;
        Some(Self { name, value })
    }

    /// Whether it is the address of a symbol that can be called by name.
    fn is_symbol(&self) -> bool {
        let plain =
            |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | '$');
        self.value.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && self.value.chars().all(plain)
    }
}

/// Lines up to where the next function's literals begin.
fn function_length(lines: &[&str]) -> usize {
    let mut in_code = false;
    for (position, line) in lines.iter().enumerate() {
        if Literal::parse(line).is_some() || line.trim() == ".literal_position" {
            if in_code {
                return position;
            }
        } else if function_label(line).is_some() {
            in_code = true;
        }
    }
    lines.len()
}

/// Returns the label that a line consists of, but not the compiler's own, which begin with `.L`.
fn function_label(line: &str) -> Option<&str> {
    let foreign = |first: char| first.is_whitespace() || matches!(first, '.' | '#');
    line.strip_suffix(':').filter(|label| !label.starts_with(foreign))
}

fn write_function(lines: &[&str], defined: &HashSet<&str>, output: &mut String) {
    let literals: Vec<Literal<'_>> = lines.iter().filter_map(|line| Literal::parse(line)).collect();
    let code: Vec<&str> = lines
        .iter()
        .copied()
        .filter(|line| Literal::parse(line).is_none() && line.trim() != ".literal_position")
        .collect();
    let code = shorten_calls(&code, &literals, defined);
    let mut placed = false;
    for line in &code {
        if !placed && function_label(line).is_some() {
            placed = true;
            for literal in literals.iter().filter(|literal| code.iter().any(|line| uses(line, literal.name)))
            {
                output.push_str(&format!("\t.literal {}, {}\n", literal.name, literal.value));
            }
        }
        output.push_str(line);
        output.push('\n');
    }
}

/// Replaces `l32r REGISTER, LITERAL` … `callx0 REGISTER` by `call0 SYMBOL`.
fn shorten_calls(code: &[&str], literals: &[Literal<'_>], defined: &HashSet<&str>) -> Vec<String> {
    let mut lines: Vec<Option<String>> = code.iter().map(|line| Some((*line).to_owned())).collect();
    for (position, line) in code.iter().enumerate() {
        let Some((register, name)) = loaded(line) else { continue };
        let Some(literal) = literals.iter().find(|literal| literal.name == name && literal.is_symbol())
        else {
            continue;
        };
        if let Some(call) = call_through(register, code, position + 1) {
            if let Some(line) = lines.get_mut(position) {
                *line = None;
            }
            if let Some(line) = lines.get_mut(call) {
                *line = Some(direct_call(literal.value, defined));
            }
        }
    }
    lines.into_iter().flatten().collect()
}

fn direct_call(symbol: &str, defined: &HashSet<&str>) -> String {
    if defined.contains(symbol) {
        format!("\tcall0\t{symbol}")
    } else {
        format!("\t.begin\tlongcalls\n\tcall0\t{symbol}\n\t.end\tlongcalls")
    }
}

/// Returns register and literal of an `l32r`, when a call destroys the register: the code after cannot rely on it.
fn loaded(line: &str) -> Option<(&str, &str)> {
    let (register, name) = line.trim_start().strip_prefix("l32r\t")?.split_once(", ")?;
    let number: u8 = register.strip_prefix('a')?.parse().ok()?;
    (2..=11).contains(&number).then_some((register, name))
}

/// Finds the `callx0` through a register from `start` on, when nothing before it uses the register, jumps, or is
/// jumped to.
fn call_through(register: &str, code: &[&str], start: usize) -> Option<usize> {
    for (position, line) in code.iter().enumerate().skip(start) {
        if !line.starts_with(char::is_whitespace) {
            return None;
        }
        let (operation, operands) = line.trim_start().split_once('\t').unwrap_or((line.trim(), ""));
        match operation {
            "callx0" => return (operands == register).then_some(position),
            _ if operation.starts_with('b') || operation.starts_with('j') => return None,
            "call0" | "ret" | "ret.n" => return None,
            _ if uses(operands, register) => return None,
            _ => {}
        }
    }
    None
}

/// Whether a line names a register or label as a whole word.
fn uses(line: &str, word: &str) -> bool {
    line.split(|character: char| !character.is_ascii_alphanumeric() && !matches!(character, '_' | '.' | '$'))
        .any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_move_into_the_section_of_their_function() {
        let source = "\t.text\n\t.section\t.text.one\none:\n\tret\n\
                      \t.literal_position\n\t.literal .LCPI1_0, 65280\n\t.section\t.text.two\ntwo:\n\
                      \tl32r\ta2, .LCPI1_0\n\tret\n";
        let cleaned = "\t.text\n\t.section\t.text.one\none:\n\tret\n\
                       \t.section\t.text.two\n\t.literal .LCPI1_0, 65280\ntwo:\n\
                       \tl32r\ta2, .LCPI1_0\n\tret\n";
        assert_eq!(clean(source), cleaned);
    }

    fn body(lines: &str) -> String {
        let cleaned =
            clean(&format!("\t.literal .LCPI0_0, callee\n\t.literal .LCPI0_1, 65280\nf:\n{lines}callee:\n"));
        let body = cleaned.split_once("f:\n").and_then(|(_, body)| body.strip_suffix("callee:\n"));
        body.map(str::to_owned).unwrap()
    }

    #[test]
    fn a_call_out_of_the_file_may_become_long_again() {
        assert_eq!(
            clean("\t.literal .LCPI0_0, ets_delay_us\nf:\n\tl32r\ta8, .LCPI0_0\n\tcallx0\ta8\n"),
            "f:\n\t.begin\tlongcalls\n\tcall0\tets_delay_us\n\t.end\tlongcalls\n"
        );
    }

    #[test]
    fn a_call_through_a_register_that_only_the_call_uses_becomes_direct() {
        assert_eq!(
            body("\tl32r\ta8, .LCPI0_0\n\tor\ta2, a3, a3\n\tcallx0\ta8\n\tret\n"),
            "\tor\ta2, a3, a3\n\tcall0\tcallee\n\tret\n"
        );
    }

    #[test]
    fn every_other_call_stays_as_it_is() {
        for kept in [
            // The address is an argument too.
            "\tl32r\ta8, .LCPI0_0\n\tor\ta2, a8, a8\n\tcallx0\ta8\n",
            // A call keeps a12.
            "\tl32r\ta12, .LCPI0_0\n\tcallx0\ta12\n\tcallx0\ta12\n",
            // Another way leads to the call.
            "\tl32r\ta8, .LCPI0_0\n.LBB0_1:\n\tcallx0\ta8\n",
            "\tl32r\ta8, .LCPI0_0\n\tbeqz\ta2, .LBB0_1\n\tcallx0\ta8\n",
            // Not the address of a symbol.
            "\tl32r\ta8, .LCPI0_1\n\tcallx0\ta8\n",
        ] {
            assert_eq!(body(kept), kept);
        }
    }
}
