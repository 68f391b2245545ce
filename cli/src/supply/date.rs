//! Days of the calendar, for releases and for the end of keys: `2027-01-31`, in UTC.

use std::{
    fmt,
    str::FromStr,
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

const SECONDS_PER_DAY: u64 = 86_400;

/// A day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Date {
    year: u16,
    month: u8,
    day: u8,
}

/// Why a text is no day.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a day as YYYY-MM-DD: `{0}`")]
pub(crate) struct DateError(String);

const fn is_leap(year: u16) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_in(year: u16, month: u8) -> u8 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

impl Date {
    /// Today, as this computer's clock says.
    pub(crate) fn today() -> Self {
        // A clock before 1970 is as wrong as one in 1970.
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Self::from_unix_day(seconds / SECONDS_PER_DAY)
    }

    /// The day that is `day` days after 1970-01-01; the last day of 9999 for all that come later.
    fn from_unix_day(mut day: u64) -> Self {
        for year in 1970..=9999 {
            for month in 1..=12 {
                let days = days_in(year, month);
                if let Ok(rest) = u8::try_from(day)
                    && rest < days
                {
                    return Self { year, month, day: rest + 1 };
                }
                day -= u64::from(days);
            }
        }
        Self { year: 9999, month: 12, day: 31 }
    }
}

impl FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Self, DateError> {
        let error = || DateError(text.to_owned());
        let mut fields = text.split('-');
        let mut number = |length: usize| {
            let field = fields.next().filter(|field| field.len() == length)?;
            field.bytes().all(|byte| byte.is_ascii_digit()).then(|| field.parse::<u16>().ok())?
        };
        let year = number(4).ok_or_else(error)?;
        let month = number(2).and_then(|month| u8::try_from(month).ok()).ok_or_else(error)?;
        let day = number(2).and_then(|day| u8::try_from(day).ok()).ok_or_else(error)?;
        let is_day = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if is_day && fields.next().is_none() { Ok(Self { year, month, day }) } else { Err(error()) }
    }
}

impl fmt::Display for Date {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_counted_across_leap_years_and_to_the_end_of_time() {
        for (day, text) in [
            (0, "1970-01-01"),
            (59, "1970-03-01"),
            (789, "1972-02-29"),
            (11_016, "2000-02-29"),
            (20_000, "2024-10-04"),
            (u64::MAX, "9999-12-31"),
        ] {
            assert_eq!(Date::from_unix_day(day).to_string(), text);
        }
    }

    #[test]
    fn only_days_that_exist_are_read() {
        for text in ["2024-02-29", "2027-12-31", "0001-01-01"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in
            ["2023-02-29", "2024-13-01", "2024-00-10", "2024-1-1", "2024-01-01-", "+024-01-01", "", "2024-01"]
        {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        assert!("2026-12-31".parse::<Date>().unwrap() < "2027-01-01".parse::<Date>().unwrap());
    }
}
