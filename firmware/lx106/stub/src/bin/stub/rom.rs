//! Functions of the boot ROM, at the addresses of the vendor SDK's linker script `eagle.rom.addr.v6.ld` (`stub.ld`).

/// The ROM's MD5 context: state, length in bits, block.
#[repr(C)]
pub(crate) struct Md5([u32; 22]);

mod functions {
    use super::Md5;

    // Names of the SDK's linker script.
    #[allow(non_snake_case)]
    unsafe extern "C" {
        pub(super) safe fn ets_delay_us(microseconds: u32);
        pub(super) safe fn ets_isr_attach(number: u32, handler: extern "C" fn(), argument: *const ());
        pub(super) safe fn ets_isr_mask(mask: u32) -> u32;
        pub(super) safe fn ets_isr_unmask(mask: u32) -> u32;
        pub(super) safe fn ets_set_user_start(start: u32);
        pub(super) safe fn software_reset();
        pub(super) safe fn spi_flash_attach();
        pub(super) safe fn uart_div_modify(uart: u32, divider: u32);
        pub(super) safe fn xthal_get_ccount() -> u32;
        pub(super) safe fn MD5Init(context: &mut Md5);
        pub(super) fn MD5Update(context: &mut Md5, bytes: *const u32, length: usize);
        pub(super) safe fn MD5Final(digest: &mut [u8; 16], context: &mut Md5);
    }
}

impl Md5 {
    pub(crate) fn new() -> Self {
        let mut context = Self([0; 22]);
        functions::MD5Init(&mut context);
        context
    }

    pub(crate) fn update(&mut self, words: &[u32], length: usize) {
        let length = length.min(size_of_val(words));
        // SAFETY: so many bytes are behind the pointer, in data RAM, which can be read by the byte.
        unsafe { functions::MD5Update(self, words.as_ptr(), length) }
    }

    pub(crate) fn finish(&mut self) -> [u8; 16] {
        let mut digest = [0; 16];
        functions::MD5Final(&mut digest, self);
        digest
    }
}

/// Lets the ROM's dispatcher call a function at an interrupt.
pub(crate) fn attach_interrupt(number: u32, handler: extern "C" fn()) {
    functions::ets_isr_attach(number, handler, core::ptr::null());
}

pub(crate) fn mask_interrupts(mask: u32) {
    functions::ets_isr_mask(mask);
}

pub(crate) fn unmask_interrupts(mask: u32) {
    functions::ets_isr_unmask(mask);
}

/// What the ROM would call in place of the program in flash: nothing.
pub(crate) fn forget_user_start() {
    functions::ets_set_user_start(0);
}

pub(crate) fn restart() -> ! {
    functions::software_reset();
    // It takes some cycles.
    loop {
        core::hint::spin_loop();
    }
}

pub(crate) fn attach_flash() {
    functions::spi_flash_attach();
}

/// Sets UART0's divider and empties both its queues.
pub(crate) fn set_divider(divider: u32) {
    functions::uart_div_modify(0, divider);
}

pub(crate) fn cycles() -> u32 {
    functions::xthal_get_ccount()
}

pub(crate) fn delay(microseconds: u32) {
    functions::ets_delay_us(microseconds);
}
