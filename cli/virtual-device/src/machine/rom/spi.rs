//! Flash access through SPI0: reading, programming, erasing, status and read mode.
//!
//! Everything goes through the controller's registers, so the flash behaves as for machine code. Time: the bits of a
//! command on the wire at the controller's clock, the instructions around it (a word into or out of the buffer is 7 or
//! 9, polling the status about 20), and what the flash itself takes, which is polled with RDSR. A read or program
//! moves 32 bytes in a step; address, pointer and count in a2 to a4 say what is left.

use espbroker_lx106::Cause;

use super::Entry;
use super::call::{Call, Exception, Outcome, returned};
use super::data::FLASH_CHIP_POINTER;
use crate::machine::Step;

const BASE: u32 = 0x6000_0200;
const CMD: u32 = BASE;
const ADDR: u32 = BASE + 0x04;
const CTRL: u32 = BASE + 0x08;
const RD_STATUS: u32 = BASE + 0x10;
const USER: u32 = BASE + 0x1C;
const W0: u32 = BASE + 0x40;

const CMD_READ: u32 = 1 << 31;
const CMD_WREN: u32 = 1 << 30;
const CMD_RDSR: u32 = 1 << 27;
const CMD_WRSR: u32 = 1 << 26;
const CMD_PP: u32 = 1 << 25;
const CMD_SE: u32 = 1 << 24;
const CMD_BE: u32 = 1 << 23;
const CMD_CE: u32 = 1 << 22;
const CMD_HPM: u32 = 1 << 20;

const CTRL_QIO: u32 = 1 << 24;
const CTRL_DIO: u32 = 1 << 23;
const CTRL_TWO_BYTE_STATUS: u32 = 1 << 22;
const CTRL_QOUT: u32 = 1 << 20;
const CTRL_DOUT: u32 = 1 << 14;
const CTRL_FAST: u32 = 1 << 13;
const CTRL_SYSTEM_CLOCK: u32 = 1 << 12;
/// Bits that the ROM sets with every configuration; their meaning does not matter here.
const CTRL_ALWAYS: u32 = 0x0028_8000;
const CTRL_MODES: u32 = CTRL_QIO | CTRL_DIO | CTRL_QOUT | CTRL_DOUT | CTRL_FAST;
const USER_FLASH_MODE: u32 = 1 << 2;

const STATUS_BUSY: u32 = 1;
const STATUS_WRITE_ENABLED: u32 = 2;
const STATUS_PROTECTION: u32 = 0x1C;
const STATUS_QUAD: u32 = 0x200;

/// Bit 9: the cache is using the flash.
const CACHE: u32 = 0x3FF0_000C;
const CACHE_BUSY: u32 = 1 << 9;

const IOMUX_CONF: u32 = 0x6000_0800;
const IOMUX_SPI_SYSTEM_CLOCK: u32 = 1 << 8;
const IOMUX_SD: u32 = 0x6000_081C;
const IOMUX_FUNCTION: u32 = 0x130;
const IOMUX_PULL_UP: u32 = 1 << 7;
const IOMUX_FUNCTION_1: u32 = 1 << 4;
/// The ROM clears it; what it is, no source says.
const UNKNOWN: u32 = 0x6000_0D48;

/// Bytes in a command.
const CHUNK: u32 = 32;
const WORD: u32 = 4;
/// From so many whole pages behind the first on, the ROM's counter of 8 bits never reaches their number.
const PAGES: u32 = 256;
/// Peripheral clocks between two looks at a status that does not change by itself.
const HOPELESS_POLL: u64 = 5_000;

const WAIT_IDLE: u32 = 0x4000_448C;
const ERASE_BLOCK: u32 = 0x4000_49B4;
const ERASE_SECTOR: u32 = 0x4000_4A00;
const READ_MODE: u32 = 0x4000_48EC;
const SLOW: u32 = 5;
/// Places in `SPIEraseArea` behind its calls.
const AREA_UNLOCK: u32 = 0x4000_4B80;
const AREA_HEAD: u32 = 0x4000_4BD6;
const AREA_HEAD_ERASED: u32 = 0x4000_4BDD;
const AREA_BLOCKS: u32 = 0x4000_4BEF;
const AREA_BLOCK_ERASED: u32 = 0x4000_4BFC;
const AREA_TAIL: u32 = 0x4000_4C09;
const AREA_TAIL_ERASED: u32 = 0x4000_4C11;

pub(super) const FUNCTIONS: &[Entry] = &[
    (0x4000_3F58, "SelectSpiFunction", select_pins),
    (0x4000_43C8, "SPI_read_status", read_status),
    (0x4000_4400, "SPI_write_status", write_status),
    (0x4000_443C, "SPI_write_enable", write_enable),
    (WAIT_IDLE, "Wait_SPI_Idle", wait_idle),
    (0x4000_44C0, "Enable_QMode", enable_quad),
    (0x4000_4568, "SPIFlashCnfig", configure),
    (0x4000_4644, "spi_flash_attach", attach),
    (0x4000_4878, "SPIUnlock", unlock),
    (0x4000_48A8, "SPILock", lock),
    (READ_MODE, "SPIReadModeCnfig", read_mode),
    (0x4000_4984, "SPIEraseChip", erase_chip),
    (ERASE_BLOCK, "SPIEraseBlock", erase_block),
    (ERASE_SECTOR, "SPIEraseSector", erase_sector),
    (0x4000_4A4C, "SPIWrite", write),
    (0x4000_4B1C, "SPIRead", read),
    (0x4000_4B44, "SPIEraseArea", erase_area),
    (AREA_UNLOCK, "SPIEraseArea", area_unlock),
    (AREA_HEAD, "SPIEraseArea", area_head),
    (AREA_HEAD_ERASED, "SPIEraseArea", |call| area_sector_erased(call, area_head)),
    (AREA_BLOCKS, "SPIEraseArea", area_blocks),
    (AREA_BLOCK_ERASED, "SPIEraseArea", area_block_erased),
    (AREA_TAIL, "SPIEraseArea", area_tail),
    (AREA_TAIL_ERASED, "SPIEraseArea", |call| area_sector_erased(call, area_tail)),
    (0x4000_4C2C, "SPIParamCfg", set_sizes),
];

/// What the ROM knows about the flash chip.
struct Sizes {
    chip: u32,
    block: u32,
    sector: u32,
    page: u32,
    status_mask: u32,
}

fn sizes(call: &mut Call<'_>) -> Result<Sizes, Exception> {
    let at = call.word(FLASH_CHIP_POINTER)?;
    Ok(Sizes {
        chip: call.word(at.wrapping_add(4))?,
        block: call.word(at.wrapping_add(8))?,
        sector: call.word(at.wrapping_add(12))?,
        page: call.word(at.wrapping_add(16))?,
        status_mask: call.word(at.wrapping_add(20))?,
    })
}

/// Cycles that so many bytes take on the wire; dual and quad modes are counted as single.
fn wire(call: &mut Call<'_>, bytes: u32) -> Result<u64, Exception> {
    let control = call.word(CTRL)?;
    let divider = if control & CTRL_SYSTEM_CLOCK == 0 { (control >> 8 & 0xF) + 1 } else { 1 };
    Ok(u64::from(bytes) * 8 * u64::from(divider))
}

/// RDSR, masked as the caller's structure says.
fn status(call: &mut Call<'_>, mask: u32) -> Result<u32, Exception> {
    call.set_word(RD_STATUS, 0)?;
    call.set_word(CMD, CMD_RDSR)?;
    Ok(call.word(RD_STATUS)? & mask)
}

/// The step that waits until the flash is ready; `None` when it is.
fn busy(call: &mut Call<'_>, mask: u32) -> Result<Option<Step>, Exception> {
    if call.word(CACHE)? & CACHE_BUSY != 0 {
        return Ok(Some(call.poll(8)));
    }
    if status(call, mask)? & STATUS_BUSY == 0 {
        return Ok(None);
    }
    let ready = call.machine.bus.nor.lock().busy_until();
    if ready > call.now() {
        // The loop sees the end at its next RDSR: command and answer, and the instructions around them.
        let last = wire(call, 2)? + 20;
        let cycle = call.machine.bus.time.cycle_at(ready).saturating_add(last / 2);
        return Ok(Some(Step::Wait { until: call.machine.bus.time.at(cycle) }));
    }
    // A chip without supply looks busy for ever.
    Ok(Some(call.poll(HOPELESS_POLL)))
}

/// WREN; false when the flash does not confirm it, and then the ROM asks for ever.
fn enable(call: &mut Call<'_>, mask: u32) -> Result<bool, Exception> {
    call.set_word(CMD, CMD_WREN)?;
    Ok(status(call, mask)? & STATUS_WRITE_ENABLED != 0)
}

fn mask_of(call: &mut Call<'_>, chip: u32) -> Result<u32, Exception> {
    call.word(chip.wrapping_add(20))
}

fn select_pins(call: &mut Call<'_>) -> Outcome {
    for pin in (IOMUX_SD..).step_by(4).take(6) {
        call.modify(pin, IOMUX_PULL_UP | IOMUX_FUNCTION, IOMUX_FUNCTION_1)?;
    }
    call.set_word(UNKNOWN, 0)?;
    Ok(Step::Return { cycles: 130 })
}

fn read_status(call: &mut Call<'_>) -> Outcome {
    let [chip, target, ..] = call.arguments();
    let mask = mask_of(call, chip)?;
    let value = status(call, mask)?;
    if value & STATUS_BUSY != 0 {
        return Ok(busy(call, mask)?.unwrap_or_else(|| call.poll(1)));
    }
    call.set_word(target, value)?;
    let cycles = wire(call, 2)? + 20;
    returned(call, 0, cycles)
}

fn wait_idle(call: &mut Call<'_>) -> Outcome {
    let chip = call.a2();
    let mask = mask_of(call, chip)?;
    if let Some(step) = busy(call, mask)? {
        return Ok(step);
    }
    let cycles = wire(call, 2)? + 36;
    returned(call, 0, cycles)
}

fn write_status(call: &mut Call<'_>) -> Outcome {
    let [chip, value, ..] = call.arguments();
    let mask = mask_of(call, chip)?;
    if let Some(step) = busy(call, mask)? {
        return Ok(step);
    }
    set_status(call, value)?;
    let cycles = wire(call, 4)? + 60;
    returned(call, 0, cycles)
}

fn set_status(call: &mut Call<'_>, value: u32) -> Result<(), Exception> {
    call.set_word(RD_STATUS, value)?;
    call.set_word(CMD, CMD_WRSR)
}

fn write_enable(call: &mut Call<'_>) -> Outcome {
    let chip = call.a2();
    let mask = mask_of(call, chip)?;
    if let Some(step) = busy(call, mask)? {
        return Ok(step);
    }
    if !enable(call, mask)? {
        return Ok(call.poll(HOPELESS_POLL));
    }
    let cycles = wire(call, 5)? + 90;
    returned(call, 0, cycles)
}

/// WREN and WRSR, once the flash is ready.
fn with_status(call: &mut Call<'_>, value: u32) -> Outcome {
    let mask = sizes(call)?.status_mask;
    if let Some(step) = busy(call, mask)? {
        return Ok(step);
    }
    if !enable(call, mask)? {
        return Ok(call.poll(HOPELESS_POLL));
    }
    set_status(call, value)?;
    let cycles = wire(call, 9)? + 170;
    returned(call, 0, cycles)
}

/// The status register is being written when this returns.
fn unlock(call: &mut Call<'_>) -> Outcome {
    with_status(call, 0)
}

/// The same.
fn lock(call: &mut Call<'_>) -> Outcome {
    with_status(call, STATUS_PROTECTION)
}

fn enable_quad(call: &mut Call<'_>) -> Outcome {
    call.modify(CTRL, 0, CTRL_TWO_BYTE_STATUS)?;
    with_status(call, STATUS_QUAD)
}

/// CTRL bits of a read mode: 0 QIO, 1 QOUT, 2 DIO, 3 DOUT, 4 fast, the rest slow.
const fn mode_bits(mode: u32) -> u32 {
    match mode {
        0 => CTRL_QIO,
        1 => CTRL_QOUT,
        2 => CTRL_DIO,
        3 => CTRL_DOUT,
        4 => CTRL_FAST,
        _ => 0,
    }
}

/// Clock and mode: `divider` of the peripheral clock, below 2 the clock itself.
fn set_clock(call: &mut Call<'_>, mode: u32, divider: u32) -> Result<(), Exception> {
    call.modify(USER, 0, USER_FLASH_MODE)?;
    let fields = if divider < 2 {
        call.modify(CTRL, 0, CTRL_SYSTEM_CLOCK)?;
        call.modify(IOMUX_CONF, 0, IOMUX_SPI_SYSTEM_CLOCK)?;
        // The register is written with the divider's own value here.
        divider
    } else {
        call.modify(CTRL, CTRL_SYSTEM_CLOCK, 0)?;
        call.modify(IOMUX_CONF, IOMUX_SPI_SYSTEM_CLOCK, 0)?;
        ((divider - 1) << 8).wrapping_add((divider / 2).wrapping_sub(1) << 4).wrapping_add(divider - 1)
    };
    call.set_word(CTRL, fields | mode_bits(mode) | CTRL_ALWAYS)?;
    call.set_word(CMD, CMD_HPM)
}

fn configure(call: &mut Call<'_>) -> Outcome {
    let [mode, divider, ..] = call.arguments();
    set_clock(call, mode, divider)?;
    Ok(Step::Return { cycles: 70 })
}

fn attach(call: &mut Call<'_>) -> Outcome {
    select_pins(call)?;
    set_clock(call, SLOW, 4)?;
    call.set_a2(SLOW);
    Ok(call.go(READ_MODE, 215))
}

/// Sets a read mode. The status register is rewritten as it is (for quad modes with the quad bit), and that is still
/// going on when this returns.
fn read_mode(call: &mut Call<'_>) -> Outcome {
    let mode = call.a2();
    call.modify(CTRL, CTRL_MODES, 0)?;
    let mask = sizes(call)?.status_mask;
    if let Some(step) = busy(call, mask)? {
        return Ok(step);
    }
    call.modify(CTRL, 0, CTRL_TWO_BYTE_STATUS)?;
    if !enable(call, mask)? {
        return Ok(call.poll(HOPELESS_POLL));
    }
    let value = if mode < 2 { STATUS_QUAD } else { status(call, mask)? & 0xFF };
    set_status(call, value)?;
    let bits = mode_bits(mode);
    call.modify(CTRL, 0, if bits == 0 { 0 } else { bits | CTRL_FAST })?;
    let cycles = wire(call, 12)? + 220;
    returned(call, 0, cycles)
}

fn erase_chip(call: &mut Call<'_>) -> Outcome {
    erase(call, CMD_CE, None)
}

fn erase_block(call: &mut Call<'_>) -> Outcome {
    let (number, sizes) = (call.a2(), sizes(call)?);
    if number >= sizes.chip.checked_div(sizes.block).unwrap_or(0) {
        return returned(call, 1, 50);
    }
    erase(call, CMD_BE, Some(number.wrapping_mul(sizes.block)))
}

fn erase_sector(call: &mut Call<'_>) -> Outcome {
    let (number, sizes) = (call.a2(), sizes(call)?);
    if number >= sizes.chip.checked_div(sizes.sector).unwrap_or(0) {
        return returned(call, 1, 50);
    }
    erase(call, CMD_SE, Some(number.wrapping_mul(sizes.sector)))
}

/// Begins an erase and leaves the rest to `Wait_SPI_Idle`, which comes back to the caller.
fn erase(call: &mut Call<'_>, command: u32, address: Option<u32>) -> Outcome {
    let mask = sizes(call)?.status_mask;
    if let Some(step) = busy(call, mask)? {
        return Ok(step);
    }
    if !enable(call, mask)? {
        return Ok(call.poll(HOPELESS_POLL));
    }
    if let Some(address) = address {
        if command == CMD_SE && address & 0xFFF != 0 {
            return returned(call, 1, 60);
        }
        call.set_word(ADDR, address & 0xFF_FFFF)?;
    }
    call.set_word(CMD, command)?;
    let chip = call.word(FLASH_CHIP_POINTER)?;
    call.set_a2(chip);
    let cycles = wire(call, 9)? + 160;
    Ok(call.go(WAIT_IDLE, cycles))
}

fn write(call: &mut Call<'_>) -> Outcome {
    let [address, source, length, ..] = call.arguments();
    let sizes = sizes(call)?;
    if address.wrapping_add(length) > sizes.chip {
        return returned(call, 1, 15);
    }
    let Some(column) = address.checked_rem(sizes.page) else {
        call.machine.cpu.pc = 0x4000_E296;
        return Err(Exception { cause: Cause::IllegalInstruction, address: 0 });
    };
    // What is left of the page: the ROM refuses each page for itself if its length is odd.
    let page = length.min(sizes.page - column);
    if !page.is_multiple_of(WORD) {
        return returned(call, 1, 60);
    }
    if (length - page) / sizes.page >= PAGES {
        return Ok(Step::Stuck(format!("the boot ROM's SPIWrite never ends with {length} bytes")));
    }
    if let Some(step) = busy(call, sizes.status_mask)? {
        return Ok(step);
    }
    if length == 0 {
        let cycles = wire(call, 2)? + 40;
        return returned(call, 0, cycles);
    }
    let count = page.min(CHUNK);
    call.set_word(ADDR, address & 0xFF_FFFF | count << 24)?;
    for offset in (0..count).step_by(4) {
        let word = call.word(source.wrapping_add(offset))?;
        call.set_word(W0 + offset, word)?;
    }
    if !enable(call, sizes.status_mask)? {
        return Ok(call.poll(HOPELESS_POLL));
    }
    call.set_word(CMD, CMD_PP)?;
    call.set_a2(address.wrapping_add(count));
    call.set_a3(source.wrapping_add(count));
    call.set_a4(length - count);
    let pc = call.machine.cpu.pc;
    let cycles = wire(call, count + 9)? + u64::from(count / 4) * 7 + 120;
    Ok(call.go(pc, cycles))
}

fn read(call: &mut Call<'_>) -> Outcome {
    let [address, target, length, ..] = call.arguments();
    let sizes = sizes(call)?;
    if address.wrapping_add(length) > sizes.chip {
        return returned(call, 1, 25);
    }
    if let Some(step) = busy(call, sizes.status_mask)? {
        return Ok(step);
    }
    if length.cast_signed() <= 0 {
        return returned(call, 0, 40);
    }
    let count = length.min(CHUNK);
    call.set_word(ADDR, address | count << 24)?;
    call.set_word(CMD, CMD_READ)?;
    // Whole words are stored, also behind the end of an odd length.
    for offset in (0..count).step_by(4) {
        let word = call.word(W0 + offset)?;
        call.set_word(target.wrapping_add(offset), word)?;
    }
    call.set_a2(address.wrapping_add(count));
    call.set_a3(target.wrapping_add(count));
    call.set_a4(length - count);
    let pc = call.machine.cpu.pc;
    let cycles = wire(call, count + 4)? + u64::from(count.div_ceil(4)) * 9 + 20;
    Ok(call.go(pc, cycles))
}

fn set_sizes(call: &mut Call<'_>) -> Outcome {
    let [id, chip, block, sector, page, mask] = call.arguments();
    let at = call.word(FLASH_CHIP_POINTER)?;
    for (place, value) in (at..).step_by(4).zip([id, chip, block, sector, page, mask]) {
        call.set_word(place, value)?;
    }
    returned(call, 0, 10)
}

/// Frame of `SPIEraseArea`: length, return address, a12 (next sector) and a13 (sectors left).
fn erase_area(call: &mut Call<'_>) -> Outcome {
    let [address, length, ..] = call.arguments();
    let (sp, a0) = (call.sp().wrapping_sub(32), call.a0());
    let [a12, a13] = [call.machine.cpu.a[12], call.machine.cpu.a[13]];
    for (offset, value) in [(20, a0), (24, a12), (28, a13)] {
        call.set_word(sp.wrapping_add(offset), value)?;
    }
    call.set_sp(sp);
    call.machine.cpu.a[12] = address;
    call.machine.cpu.a[13] = length;
    call.set_a2(SLOW);
    Ok(call.call(READ_MODE, AREA_UNLOCK, 10))
}

fn area_done(call: &mut Call<'_>, result: u32) -> Outcome {
    let sp = call.sp();
    let [a0, a12, a13] =
        [call.word(sp.wrapping_add(20))?, call.word(sp.wrapping_add(24))?, call.word(sp.wrapping_add(28))?];
    call.set_a0(a0);
    call.machine.cpu.a[12] = a12;
    call.machine.cpu.a[13] = a13;
    call.set_sp(sp.wrapping_add(32));
    returned(call, result, 7)
}

fn area_unlock(call: &mut Call<'_>) -> Outcome {
    let [address, length] = [call.machine.cpu.a[12], call.machine.cpu.a[13]];
    let sizes = sizes(call)?;
    if address.wrapping_add(length) > sizes.chip || address.checked_rem(sizes.sector) != Some(0) {
        return area_done(call, 1);
    }
    if let Some(step) = busy(call, sizes.status_mask)? {
        return Ok(step);
    }
    if !enable(call, sizes.status_mask)? {
        return Ok(call.poll(HOPELESS_POLL));
    }
    set_status(call, 0)?;
    let total = length.div_ceil(sizes.sector);
    let sector = address / sizes.sector;
    let per_block = sizes.block / sizes.sector;
    let head = total.min(per_block.wrapping_sub(sector.checked_rem(per_block).unwrap_or(0)));
    let sp = call.sp();
    call.set_word(sp.wrapping_add(4), total)?;
    call.set_word(sp.wrapping_add(12), per_block)?;
    call.machine.cpu.a[12] = sector;
    call.machine.cpu.a[13] = head;
    let cycles = wire(call, 9)? + 400;
    Ok(call.go(AREA_HEAD, cycles))
}

fn area_sector_erased(call: &mut Call<'_>, next: fn(&mut Call<'_>) -> Outcome) -> Outcome {
    if call.a2() != 0 {
        return area_done(call, 1);
    }
    call.machine.cpu.a[12] = call.machine.cpu.a[12].wrapping_add(1);
    call.machine.cpu.a[13] = call.machine.cpu.a[13].wrapping_sub(1);
    next(call)
}

fn area_head(call: &mut Call<'_>) -> Outcome {
    if call.machine.cpu.a[13] != 0 {
        call.set_a2(call.machine.cpu.a[12]);
        return Ok(call.call(ERASE_SECTOR, AREA_HEAD_ERASED, 5));
    }
    // The sectors erased so far were meant to be taken off the total; what is taken off is the count that is 0 now.
    let total = call.word(call.sp().wrapping_add(4))?;
    call.machine.cpu.a[13] = total;
    area_blocks(call)
}

fn area_blocks(call: &mut Call<'_>) -> Outcome {
    let per_block = call.word(call.sp().wrapping_add(12))?;
    if call.machine.cpu.a[13] > per_block {
        call.set_a2(call.machine.cpu.a[12].checked_div(per_block).unwrap_or(0));
        return Ok(call.call(ERASE_BLOCK, AREA_BLOCK_ERASED, 30));
    }
    area_tail(call)
}

fn area_block_erased(call: &mut Call<'_>) -> Outcome {
    if call.a2() != 0 {
        return area_done(call, 1);
    }
    let per_block = call.word(call.sp().wrapping_add(12))?;
    call.machine.cpu.a[12] = call.machine.cpu.a[12].wrapping_add(per_block);
    call.machine.cpu.a[13] = call.machine.cpu.a[13].wrapping_sub(per_block);
    area_blocks(call)
}

fn area_tail(call: &mut Call<'_>) -> Outcome {
    if call.machine.cpu.a[13].cast_signed() < 1 {
        return area_done(call, 0);
    }
    call.set_a2(call.machine.cpu.a[12]);
    Ok(call.call(ERASE_SECTOR, AREA_TAIL_ERASED, 5))
}
