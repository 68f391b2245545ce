//! Access to CPU registers, as Tensilica's hardware abstraction layer has it. Two to four instructions each.

use espbroker_lx106::SpecialRegister;

use super::Entry;
use super::call::{Call, Outcome, returned};
use crate::machine::Step;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_DD38, "xthal_get_ccount", count),
    (0x4000_DD40, "xthal_set_ccompare", set_compare),
    (0x4000_DD4C, "xthal_get_ccompare", compare),
    (0x4000_DD58, "xthal_get_interrupt", interrupts),
    (0x4000_DD60, "xthal_set_intclear", clear_interrupts),
    (0x4000_E320, "xthal_window_spill_nw", spill_nothing),
    (0x4000_E324, "xthal_window_spill", nothing),
];

fn count(call: &mut Call<'_>) -> Outcome {
    let count = call.special(SpecialRegister::Ccount);
    returned(call, count, 2)
}

fn set_compare(call: &mut Call<'_>) -> Outcome {
    let [number, value, ..] = call.arguments();
    // There is one comparator, number 0.
    if number == 0 {
        call.set_special(SpecialRegister::Ccompare0, value);
    }
    Ok(Step::Return { cycles: 4 })
}

fn compare(call: &mut Call<'_>) -> Outcome {
    let compare = if call.a2() == 0 { call.special(SpecialRegister::Ccompare0) } else { 0 };
    returned(call, compare, 3)
}

fn interrupts(call: &mut Call<'_>) -> Outcome {
    let pending = call.special(SpecialRegister::Interrupt);
    returned(call, pending, 2)
}

fn clear_interrupts(call: &mut Call<'_>) -> Outcome {
    let bits = call.a2();
    call.set_special(SpecialRegister::Intclear, bits);
    Ok(Step::Return { cycles: 2 })
}

fn spill_nothing(call: &mut Call<'_>) -> Outcome {
    returned(call, 0, 2)
}

fn nothing(_: &mut Call<'_>) -> Outcome {
    Ok(Step::Return { cycles: 1 })
}
