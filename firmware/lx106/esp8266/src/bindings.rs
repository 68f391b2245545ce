//! What is used of the SDK as its headers have it: `user_interface.h`, `osapi.h`, `mem.h`, `spi_flash.h`, `espconn.h`.
//!
//! An `enum` is a word, a C `bool` a byte. The names are those of `sdk-symbols.txt`.

use core::ffi::{c_char, c_void};

/// `ETSEvent`: a message to a task.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Event {
    pub(crate) signal: u32,
    pub(crate) parameter: u32,
}

/// `ETSTimer`, of which only the SDK knows the inside.
#[repr(C)]
pub(crate) struct Timer {
    pub(crate) opaque: [usize; 5],
}

/// `partition_item_t`.
#[repr(C)]
pub(crate) struct Partition {
    pub(crate) kind: u32,
    pub(crate) address: u32,
    pub(crate) size: u32,
}

/// `struct rst_info`.
#[repr(C)]
pub(crate) struct ResetInfo {
    pub(crate) reason: u32,
    pub(crate) exception_cause: u32,
    pub(crate) epc1: u32,
    pub(crate) epc2: u32,
    pub(crate) epc3: u32,
    pub(crate) exception_address: u32,
    pub(crate) depc: u32,
}

/// `struct station_config`.
#[repr(C)]
pub(crate) struct StationConfig {
    pub(crate) ssid: [u8; 32],
    pub(crate) password: [u8; 64],
    pub(crate) channel: u8,
    pub(crate) bssid_set: u8,
    pub(crate) bssid: [u8; 6],
    pub(crate) threshold_rssi: i8,
    pub(crate) threshold_authentication: u32,
    pub(crate) secured_only: u8,
    pub(crate) all_channels: u8,
}

/// `struct softap_config`.
#[repr(C)]
pub(crate) struct AccessPointConfig {
    pub(crate) ssid: [u8; 32],
    pub(crate) password: [u8; 64],
    pub(crate) ssid_length: u8,
    pub(crate) channel: u8,
    pub(crate) authentication: u32,
    pub(crate) hidden: u8,
    pub(crate) stations: u8,
    pub(crate) beacon_interval: u16,
}

/// `struct ip_info`: addresses in the order of their bytes on the wire.
#[repr(C, align(4))]
#[derive(Clone, Copy, Default)]
pub(crate) struct IpInfo {
    pub(crate) address: [u8; 4],
    pub(crate) mask: [u8; 4],
    pub(crate) gateway: [u8; 4],
}

/// `ip_addr_t`.
#[repr(C, align(4))]
pub(crate) struct Address(pub(crate) [u8; 4]);

/// `System_Event_t`: what it is, and a union as long as its longest member.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct RadioEvent {
    pub(crate) kind: u32,
    pub(crate) body: [u8; 40],
}

pub(crate) const NULL_MODE: u8 = 0;
pub(crate) const STATION_MODE: u8 = 1;
pub(crate) const ACCESS_POINT_MODE: u8 = 2;

/// `STATION_IF`, `SOFTAP_IF`.
pub(crate) const STATION: u8 = 0;
pub(crate) const ACCESS_POINT: u8 = 1;

pub(crate) const AUTHENTICATION_OPEN: u32 = 0;
pub(crate) const AUTHENTICATION_WPA2: u32 = 3;

/// `NONE_SLEEP_T`.
pub(crate) const SLEEP_NEVER: u32 = 0;

pub(crate) const EVENT_CONNECTED: u32 = 0;
pub(crate) const EVENT_DISCONNECTED: u32 = 1;
pub(crate) const EVENT_ADDRESS: u32 = 3;

unsafe extern "C" {
    pub(crate) fn system_partition_table_regist(table: *const Partition, count: u32, map: u32) -> bool;
    pub(crate) fn system_init_done_cb(done: extern "C" fn());
    pub(crate) fn system_os_task(
        task: extern "C" fn(*mut Event),
        priority: u8,
        queue: *mut Event,
        length: u8,
    ) -> bool;
    pub(crate) safe fn system_os_post(priority: u8, signal: u32, parameter: u32) -> bool;
    pub(crate) fn ets_timer_setfn(
        timer: *mut Timer,
        function: extern "C" fn(*mut c_void),
        argument: *mut c_void,
    );
    pub(crate) fn ets_timer_arm_new(timer: *mut Timer, time: u32, repeat: bool, milliseconds: bool);
    pub(crate) fn ets_timer_disarm(timer: *mut Timer);

    pub(crate) safe fn system_get_time() -> u32;
    pub(crate) safe fn system_get_free_heap_size() -> u32;
    pub(crate) safe fn system_get_rst_info() -> *const ResetInfo;
    pub(crate) fn system_rtc_mem_read(block: u8, bytes: *mut c_void, length: u16) -> bool;
    pub(crate) fn system_rtc_mem_write(block: u8, bytes: *const c_void, length: u16) -> bool;
    pub(crate) safe fn system_restart();
    pub(crate) safe fn system_set_os_print(on: u8);
    pub(crate) safe fn system_soft_wdt_feed();
    pub(crate) safe fn os_random() -> u32;
    pub(crate) safe fn uart_div_modify(uart: u8, divisor: u32);

    pub(crate) fn pvPortMalloc(
        size: usize,
        file: *const c_char,
        line: u32,
        instruction_memory: bool,
    ) -> *mut c_void;
    pub(crate) fn vPortFree(pointer: *mut c_void, file: *const c_char, line: u32);

    pub(crate) fn spi_flash_read(address: u32, words: *mut u32, length: u32) -> u32;
    pub(crate) fn spi_flash_write(address: u32, words: *const u32, length: u32) -> u32;
    pub(crate) safe fn spi_flash_erase_sector(sector: u16) -> u32;

    pub(crate) safe fn wifi_set_opmode_current(mode: u8) -> bool;
    pub(crate) safe fn wifi_get_opmode() -> u8;
    pub(crate) safe fn wifi_set_sleep_type(kind: u32) -> bool;
    pub(crate) fn wifi_set_event_handler_cb(event: extern "C" fn(*const RadioEvent));
    pub(crate) fn wifi_station_set_config_current(config: *const StationConfig) -> bool;
    pub(crate) safe fn wifi_station_set_reconnect_policy(on: bool) -> bool;
    pub(crate) safe fn wifi_station_connect() -> bool;
    pub(crate) safe fn wifi_station_disconnect() -> bool;
    pub(crate) safe fn wifi_station_dhcpc_start() -> bool;
    pub(crate) safe fn wifi_station_dhcpc_stop() -> bool;
    pub(crate) safe fn wifi_station_get_rssi() -> i8;
    pub(crate) fn wifi_softap_set_config_current(config: *const AccessPointConfig) -> bool;
    pub(crate) fn wifi_get_ip_info(interface: u8, info: *mut IpInfo) -> bool;
    pub(crate) fn wifi_set_ip_info(interface: u8, info: *const IpInfo) -> bool;
    pub(crate) fn wifi_get_macaddr(interface: u8, address: *mut [u8; 6]) -> bool;
    pub(crate) fn espconn_dns_setserver(number: u8, server: *const Address);

    /// `c/runtime.c`: raises an exception, which the SDK reports and answers with a restart.
    pub(crate) safe fn abort() -> !;
}
