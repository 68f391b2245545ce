//! Addresses as people write them: IPv4 with prefix, BSSID.

use super::SettingsError;
use crate::hex;

fn form(field: &str, problem: &'static str, value: &str) -> SettingsError {
    SettingsError::Form { field: field.to_owned(), problem, value: value.to_owned() }
}

/// `192.168.1.5`
pub(super) fn ipv4(field: &str, text: &str) -> Result<[u8; 4], SettingsError> {
    text.parse::<std::net::Ipv4Addr>()
        .map(|address| address.octets())
        .map_err(|_| form(field, "must be an IPv4 address such as 192.168.1.5", text))
}

/// `192.168.1.5/24`
pub(super) fn ipv4_with_prefix(field: &str, text: &str) -> Result<([u8; 4], u8), SettingsError> {
    let problem = "must be an IPv4 address with prefix such as 192.168.1.5/24";
    let (address, prefix) = text.split_once('/').ok_or_else(|| form(field, problem, text))?;
    let prefix = prefix.parse().map_err(|_| form(field, problem, text))?;
    ipv4(field, address).map(|address| (address, prefix)).map_err(|_| form(field, problem, text))
}

/// `5c:cf:7f:01:02:03`
pub(crate) fn mac(field: &str, text: &str) -> Result<[u8; 6], SettingsError> {
    let problem = "must be six hex pairs such as 5c:cf:7f:01:02:03";
    let digits: String = text.split([':', '-']).collect();
    hex::array::<6>(&digits).ok_or_else(|| form(field, problem, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_faulty_ones_name_field_and_form() {
        assert_eq!(ipv4_with_prefix("x", "10.0.0.9/8").unwrap(), ([10, 0, 0, 9], 8));
        assert_eq!(mac("x", "5c:cf:7f:01:02:03").unwrap(), [0x5c, 0xcf, 0x7f, 1, 2, 3]);
        assert_eq!(
            ipv4_with_prefix("wifi.ipv4.address", "10.0.0.9").unwrap_err().to_string(),
            "wifi.ipv4.address must be an IPv4 address with prefix such as 192.168.1.5/24: `10.0.0.9`"
        );
        assert!(mac("x", "5c:cf:7f:01:02").is_err() && mac("x", "zz:cf:7f:01:02:03").is_err());
    }
}
