//! The memory map: which accesses reach what, and which fault.
//!
//! Data RAM takes every width, instruction RAM, ROM and the flash window aligned words only. What no data sheet tells is
//! marked: narrow accesses to registers, holes in the map, fetching from data RAM.

use espbroker_lx106::{Bus, Fault, Poll, Width};

use crate::machine::Board;
use crate::machine::memory::{FLASH_WINDOW, IRAM, ROM};
use crate::machine::registers::{
    GPIO, PARAVIRTUAL, PERIPHERALS, RTC_MEMORY, SPI0, SPI1, SYSTEM, SYSTEM_REGISTERS, UART_INTERRUPTS, UART0,
    UART1, WATCHDOG,
};
use crate::machine::time;

impl Bus for Board {
    fn fetch(&mut self, address: u32) -> Result<u32, Fault> {
        if IRAM.contains(&address) && !self.dport.is_cache(address) {
            return self.memory.code(address).ok_or(Fault::FetchError);
        }
        match address {
            0..0x2000_0000 => Err(Fault::FetchProhibited),
            _ if FLASH_WINDOW.contains(&address) => Ok(self.flash_word(address)),
            _ => Err(Fault::FetchError),
        }
    }

    #[inline]
    fn load(&mut self, address: u32, width: Width, at: u64) -> Result<u32, Fault> {
        if let Some(value) = self.memory.load_data(address, width) {
            return Ok(value);
        }
        if width == Width::Word
            && let Some(word) = self.window.word(address.wrapping_sub(FLASH_WINDOW.start))
        {
            return Ok(word);
        }
        self.load_elsewhere(address, width, at)
    }

    #[inline]
    fn store(&mut self, address: u32, width: Width, value: u32, at: u64) -> Result<(), Fault> {
        if self.memory.store_data(address, width, value).is_some() {
            return Ok(());
        }
        self.store_elsewhere(address, width, value, at)
    }

    #[inline]
    fn is_device(&self, address: u32) -> bool {
        SYSTEM.contains(&address) || PERIPHERALS.contains(&address) || PARAVIRTUAL.contains(&address)
    }

    fn poll(&mut self, at: u64) -> Poll {
        if self.touched || at >= self.due {
            self.settle(at);
        }
        Poll { levels: self.levels, edges: std::mem::take(&mut self.edges), next: self.due }
    }

    fn is_native(&self, pc: u32) -> bool {
        ROM.contains(&pc)
    }

    fn is_idle_read(&self, address: u32) -> bool {
        match address & !0xFF {
            UART0 | UART1 => address & 0xFF != 0,
            SPI0 | SPI1 | GPIO | WATCHDOG | SYSTEM_REGISTERS => true,
            _ => RTC_MEMORY.contains(&address) || address == UART_INTERRUPTS,
        }
    }
}

impl Board {
    fn flash_word(&mut self, address: u32) -> u32 {
        let offset = address.wrapping_sub(FLASH_WINDOW.start);
        if let Some(word) = self.window.word(offset) {
            return word;
        }
        self.window.read(offset, &self.nor.lock());
        self.window.word(offset).unwrap_or(0)
    }

    fn load_elsewhere(&mut self, address: u32, width: Width, at: u64) -> Result<u32, Fault> {
        if self.is_device(address) {
            if self.reset.is_some() {
                return Ok(0);
            }
            if self.touched || at >= self.due {
                self.settle(at);
            }
            let tick = self.time.tick(at);
            let word = self.read_device(address & !3, time::duration(tick), tick);
            // Narrow accesses to registers are not documented; they give a part of the word here.
            let part = word >> (8 * (address & 3));
            return Ok(match width {
                Width::Word => word,
                Width::Half => part & 0xFFFF,
                Width::Byte => part & 0xFF,
            });
        }
        let word = match address {
            0..0x2000_0000 => return Err(Fault::LoadProhibited),
            _ if IRAM.contains(&address) => {
                // RAM that serves as cache is not mapped and is said to read as 0.
                if self.dport.is_cache(address) { 0 } else { self.memory.code(address).unwrap_or(0) }
            }
            _ if ROM.contains(&address) => self.memory.rom(address),
            _ if FLASH_WINDOW.contains(&address) => self.flash_word(address),
            // Holes in the map are not documented.
            _ => return Err(Fault::LoadStoreError),
        };
        if width == Width::Word { Ok(word) } else { Err(Fault::LoadStoreError) }
    }

    fn store_elsewhere(&mut self, address: u32, width: Width, value: u32, at: u64) -> Result<(), Fault> {
        if self.is_device(address) {
            if self.reset.is_some() {
                return Ok(());
            }
            if self.touched || at >= self.due {
                self.settle(at);
            }
            let tick = self.time.tick(at);
            self.write_device(address & !3, value, time::duration(tick), tick);
            let cycles_per_tick = self.dport.cycles_per_tick();
            if self.time.cycles_per_tick() != cycles_per_tick {
                self.time.change_speed(at, cycles_per_tick);
            }
            return Ok(());
        }
        match address {
            0..0x2000_0000 => Err(Fault::StoreProhibited),
            _ if IRAM.contains(&address) && width == Width::Word => {
                if !self.dport.is_cache(address) {
                    self.memory.store_code(address, value);
                }
                Ok(())
            }
            _ => Err(Fault::LoadStoreError),
        }
    }
}
