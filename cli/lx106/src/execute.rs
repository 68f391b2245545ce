//! What each instruction does.

use crate::bus::{Bus, Width};
use crate::cpu::{PS_EXCM, PS_INTLEVEL};
use crate::idle::Snapshot;
use crate::{Cause, Cpu, Instruction, Operation, SpecialRegister};

/// DEBUGCAUSE of BREAK and of BREAK.N.
const DEBUG_BREAK: u32 = 8;
const DEBUG_BREAK_N: u32 = 16;
/// The bits of an address that name its region for the TLB instructions.
const REGION: u32 = 0xE000_0000;

/// The low half.
const fn low(value: u64) -> u32 {
    let [a, b, c, d, ..] = value.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The leading bits equal to the sign, without the sign itself.
const fn normalization(value: u32) -> u32 {
    let sign = value.cast_signed().wrapping_shr(31).cast_unsigned();
    let leading = (value ^ sign).leading_zeros();
    leading - 1
}

/// The low 16 bits, sign-extended.
const fn half(value: u32) -> i32 {
    (value << 16).cast_signed().wrapping_shr(16)
}

impl Cpu {
    /// Register number `number`, of which 4 bits count.
    #[inline(always)]
    fn get(&self, number: u8) -> u32 {
        self.a.get(usize::from(number & 15)).copied().unwrap_or(0)
    }

    #[inline(always)]
    fn set(&mut self, number: u8, value: u32) {
        if let Some(register) = self.a.get_mut(usize::from(number & 15)) {
            *register = value;
        }
    }

    /// Executes one instruction at PC; PC is at the next one afterwards, or at a vector.
    #[inline(always)]
    pub(crate) fn execute<B: Bus>(&mut self, bus: &mut B, i: Instruction) {
        use Operation as O;
        let s = self.get(i.s);
        let t = self.get(i.t);
        match i.operation {
            O::Add | O::AddN => self.set(i.r, s.wrapping_add(t)),
            O::Addx2 => self.set(i.r, (s << 1).wrapping_add(t)),
            O::Addx4 => self.set(i.r, (s << 2).wrapping_add(t)),
            O::Addx8 => self.set(i.r, (s << 3).wrapping_add(t)),
            O::Sub => self.set(i.r, s.wrapping_sub(t)),
            O::Subx2 => self.set(i.r, (s << 1).wrapping_sub(t)),
            O::Subx4 => self.set(i.r, (s << 2).wrapping_sub(t)),
            O::Subx8 => self.set(i.r, (s << 3).wrapping_sub(t)),
            O::And => self.set(i.r, s & t),
            O::Or => self.set(i.r, s | t),
            O::Xor => self.set(i.r, s ^ t),
            O::Neg => self.set(i.r, t.wrapping_neg()),
            O::Abs => self.set(i.r, t.cast_signed().unsigned_abs()),
            O::Addi | O::Addmi => self.set(i.t, s.wrapping_add(i.immediate)),
            O::AddiN => self.set(i.r, s.wrapping_add(i.immediate)),
            O::Movi => self.set(i.t, i.immediate),
            O::MoviN => self.set(i.s, i.immediate),
            O::MovN => self.set(i.t, s),
            O::Moveqz => self.set_if(t == 0, i.r, s),
            O::Movnez => self.set_if(t != 0, i.r, s),
            O::Movltz => self.set_if(t.cast_signed() < 0, i.r, s),
            O::Movgez => self.set_if(t.cast_signed() >= 0, i.r, s),
            O::Extui => self.set(i.r, (t >> (i.amount & 31)) & i.immediate),
            O::Nsa => self.set(i.t, normalization(s)),
            O::Nsau => self.set(i.t, s.leading_zeros()),
            O::Mul16s => self.set(i.r, half(s).wrapping_mul(half(t)).cast_unsigned()),
            O::Mul16u => self.set(i.r, (s & 0xFFFF).wrapping_mul(t & 0xFFFF)),
            O::Mull => self.set(i.r, s.wrapping_mul(t)),

            O::Slli => self.set(i.r, s << (i.immediate & 31)),
            O::Srai => self.set(i.r, (t.cast_signed() >> (i.immediate & 31)).cast_unsigned()),
            O::Srli => self.set(i.r, t >> (i.immediate & 31)),
            O::Sll => self.set(i.r, low(u64::from(s) << (32_u32.wrapping_sub(self.sar) & 63))),
            O::Srl => self.set(i.r, low(u64::from(t) >> (self.sar & 63))),
            O::Sra => {
                self.set(i.r, low((i64::from(t.cast_signed()) >> (self.sar & 63)).cast_unsigned()));
            }
            O::Src => self.set(i.r, low((u64::from(s) << 32 | u64::from(t)) >> (self.sar & 63))),
            O::Ssr => self.sar = s & 31,
            O::Ssl => self.sar = 32 - (s & 31),
            O::Ssa8l => self.sar = (s & 3) << 3,
            O::Ssa8b => self.sar = 32 - ((s & 3) << 3),
            O::Ssai => self.sar = i.immediate,

            O::L32i | O::L32iN => {
                return self.load(bus, i, i.t, s.wrapping_add(i.immediate), Width::Word);
            }
            O::L16ui | O::L16si => {
                return self.load(bus, i, i.t, s.wrapping_add(i.immediate), Width::Half);
            }
            O::L8ui => return self.load(bus, i, i.t, s.wrapping_add(i.immediate), Width::Byte),
            O::L32r => {
                let address = if self.litbase & 1 == 0 { i.immediate } else { self.literal(i.immediate) };
                return self.load(bus, i, i.t, address, Width::Word);
            }
            O::S32i | O::S32iN => {
                return self.store(bus, i, s.wrapping_add(i.immediate), Width::Word, t);
            }
            O::S16i => return self.store(bus, i, s.wrapping_add(i.immediate), Width::Half, t & 0xFFFF),
            O::S8i => return self.store(bus, i, s.wrapping_add(i.immediate), Width::Byte, t & 0xFF),

            O::Beq => return self.branch(i, s == t),
            O::Bne => return self.branch(i, s != t),
            O::Blt => return self.branch(i, s.cast_signed() < t.cast_signed()),
            O::Bltu => return self.branch(i, s < t),
            O::Bge => return self.branch(i, s.cast_signed() >= t.cast_signed()),
            O::Bgeu => return self.branch(i, s >= t),
            O::Beqz | O::BeqzN => return self.branch(i, s == 0),
            O::Bnez | O::BnezN => return self.branch(i, s != 0),
            O::Bltz => return self.branch(i, s.cast_signed() < 0),
            O::Bgez => return self.branch(i, s.cast_signed() >= 0),
            O::Beqi => return self.branch(i, s == i.immediate),
            O::Bnei => return self.branch(i, s != i.immediate),
            O::Blti => return self.branch(i, s.cast_signed() < i.immediate.cast_signed()),
            O::Bgei => return self.branch(i, s.cast_signed() >= i.immediate.cast_signed()),
            O::Bltui => return self.branch(i, s < i.immediate),
            O::Bgeui => return self.branch(i, s >= i.immediate),
            O::Bnone => return self.branch(i, s & t == 0),
            O::Bany => return self.branch(i, s & t != 0),
            O::Ball => return self.branch(i, !s & t == 0),
            O::Bnall => return self.branch(i, !s & t != 0),
            O::Bbc => return self.branch(i, s >> (t & 31) & 1 == 0),
            O::Bbs => return self.branch(i, s >> (t & 31) & 1 != 0),
            O::Bbci => return self.branch(i, s >> (i.amount & 31) & 1 == 0),
            O::Bbsi => return self.branch(i, s >> (i.amount & 31) & 1 != 0),

            O::J => return self.jump(i.immediate),
            O::Jx => return self.jump(s),
            O::Ret | O::RetN => return self.jump(self.a[0]),
            O::Call0 => {
                self.a[0] = self.pc.wrapping_add(3);
                return self.jump(i.immediate);
            }
            O::Callx0 => {
                self.a[0] = self.pc.wrapping_add(3);
                return self.jump(s);
            }

            O::Nop
            | O::NopN
            | O::Isync
            | O::Rsync
            | O::Esync
            | O::Dsync
            | O::Excw
            | O::Extw
            | O::Memw
            | O::Iitlb
            | O::Idtlb
            | O::Wer => {}
            _ => return self.execute_system(i, s, t),
        }
        self.advance(i);
    }

    /// The rare ones: exceptions, special registers, TLB.
    #[inline(never)]
    fn execute_system(&mut self, i: Instruction, s: u32, t: u32) {
        use Operation as O;
        match i.operation {
            O::Rsr => {
                let Some(register) = special(i) else { return self.illegal() };
                if register == SpecialRegister::Ccount {
                    self.watch.disturb();
                }
                self.set(i.t, self.special(register));
            }
            O::Wsr => {
                let Some(register) = special(i) else { return self.illegal() };
                self.set_special(register, t);
            }
            O::Xsr => {
                let Some(register) = special(i) else { return self.illegal() };
                self.set(i.t, self.special(register));
                self.set_special(register, t);
            }
            O::Rsil => {
                let before = self.ps;
                self.ps = (self.ps & !PS_INTLEVEL) | u32::from(i.s & 15);
                self.set(i.t, before);
                self.attend_soon();
            }
            O::Waiti => {
                self.ps = (self.ps & !PS_INTLEVEL) | u32::from(i.s & 15);
                self.waiting = true;
                self.watch.disturb();
                self.attend_soon();
            }
            O::Rfe => {
                self.ps &= !PS_EXCM;
                return self.return_to(self.epc[0]);
            }
            O::Rfde => return self.return_to(self.depc),
            O::Rfi => {
                let (pc, ps) = match i.s {
                    2 => (self.epc[1], self.eps[0]),
                    3 => (self.epc[2], self.eps[1]),
                    _ => return self.illegal(),
                };
                self.set_special(SpecialRegister::Ps, ps);
                return self.return_to(pc);
            }
            O::Break | O::BreakN => {
                let cause = if i.operation == O::Break { DEBUG_BREAK } else { DEBUG_BREAK_N };
                if self.debug_break(cause) {
                    return;
                }
            }
            O::Syscall => return self.raise(Cause::SystemCall, self.pc),
            O::Simcall => {
                self.simulator = true;
                self.attend_soon();
            }
            O::Rer => self.set(i.t, 0),
            O::Ritlb0 | O::Rdtlb0 => self.set(i.t, s & REGION),
            O::Ritlb1 => self.set(i.t, self.attribute(0, s)),
            O::Rdtlb1 => self.set(i.t, self.attribute(1, s)),
            O::Pitlb | O::Pdtlb => self.set(i.t, s & REGION | 1),
            O::Witlb => self.set_attribute(0, s, t),
            O::Wdtlb => self.set_attribute(1, s, t),
            _ => return self.illegal(),
        }
        self.advance(i);
    }

    #[inline(always)]
    fn advance(&mut self, i: Instruction) {
        self.pc = self.pc.wrapping_add(u32::from(i.length));
    }

    #[inline(always)]
    fn set_if(&mut self, condition: bool, number: u8, value: u32) {
        if condition {
            self.set(number, value);
        }
    }

    fn illegal(&mut self) {
        self.raise(Cause::IllegalInstruction, self.pc);
    }

    /// The end of an exception or interrupt: the next instruction may be interrupted.
    fn return_to(&mut self, pc: u32) {
        self.pc = pc;
        self.watch.disturb();
        self.attend_soon();
    }

    /// The address of a literal with extended L32R: the offset counts from LITBASE.
    #[cold]
    fn literal(&self, address: u32) -> u32 {
        let offset = address.wrapping_sub(self.pc.wrapping_add(3) & !3);
        (self.litbase & 0xFFFF_F000).wrapping_add(offset)
    }

    #[inline(always)]
    fn branch(&mut self, i: Instruction, taken: bool) {
        if taken {
            self.jump(self.pc.wrapping_add_signed(i32::from(i.offset)));
        } else {
            self.advance(i);
        }
    }

    #[inline(always)]
    fn jump(&mut self, target: u32) {
        if target <= self.pc && self.watch.is_due(self.cycles) {
            self.jump_back(target);
        }
        self.pc = target;
    }

    #[cold]
    fn jump_back(&mut self, head: u32) {
        let now = Snapshot { head, a: self.a, sar: self.sar, ps: self.ps };
        if self.watch.jump(now, self.cycles.saturating_add(1)) {
            self.attend_soon();
        }
    }

    #[inline(always)]
    fn load<B: Bus>(&mut self, bus: &mut B, i: Instruction, register: u8, address: u32, width: Width) {
        if address & (width.bytes() - 1) != 0 {
            return self.raise(Cause::Unaligned, address);
        }
        match bus.load(address, width, self.cycles) {
            Ok(value) => {
                if bus.is_device(address) {
                    self.poll_due = true;
                    self.attend_soon();
                    if !bus.is_idle_read(address) {
                        self.watch.disturb();
                    }
                }
                let value = if i.operation == Operation::L16si { half(value).cast_unsigned() } else { value };
                self.set(register, value);
                self.advance(i);
            }
            Err(fault) => self.raise(fault.cause(), address),
        }
    }

    #[inline(always)]
    fn store<B: Bus>(&mut self, bus: &mut B, i: Instruction, address: u32, width: Width, value: u32) {
        if address & (width.bytes() - 1) != 0 {
            return self.raise(Cause::Unaligned, address);
        }
        // Loops that wait often call functions, which put the same return address on the stack in each round.
        let kept = self.watch.is_comparing()
            && !bus.is_device(address)
            && bus.load(address, width, self.cycles) == Ok(low_bits(value, width));
        match bus.store(address, width, value, self.cycles) {
            Ok(()) => {
                if !kept {
                    self.watch.disturb();
                }
                self.code_written(address, width.bytes());
                if bus.is_device(address) {
                    self.poll_due = true;
                    self.attend_soon();
                }
                self.advance(i);
            }
            Err(fault) => self.raise(fault.cause(), address),
        }
    }

    fn attribute(&self, table: usize, address: u32) -> u32 {
        self.attributes
            .get(table)
            .and_then(|regions| regions.get((address >> 29) as usize))
            .copied()
            .unwrap_or(0)
            | address & REGION
    }

    fn set_attribute(&mut self, table: usize, address: u32, value: u32) {
        if let Some(region) =
            self.attributes.get_mut(table).and_then(|regions| regions.get_mut((address >> 29) as usize))
        {
            *region = value & 15;
        }
    }
}

/// The special register of RSR, WSR and XSR; the decoder has made sure that there is one.
fn special(i: Instruction) -> Option<SpecialRegister> {
    SpecialRegister::from_number(i.r << 4 | i.s & 15)
}

/// What a store of this width puts into memory, as a load gives it back.
const fn low_bits(value: u32, width: Width) -> u32 {
    match width {
        Width::Byte => value & 0xFF,
        Width::Half => value & 0xFFFF,
        Width::Word => value,
    }
}
