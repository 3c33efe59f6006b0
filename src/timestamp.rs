//! Times as RFC 3339 writes them, in UTC with milliseconds. Pure.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY: i64 = 24 * 3600;

/// A time, such as `2024-02-29T12:00:00.000Z`.
pub fn rfc_3339(time: SystemTime) -> String {
    let milliseconds = match time.duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
        // Rounded down, so that the time before 1970 counts on like the one after it.
        Err(before) => -i64::try_from(before.duration().as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX),
    };
    let (seconds, milliseconds) = (milliseconds.div_euclid(1000), milliseconds.rem_euclid(1000));
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{milliseconds:03}Z")
}

/// Year, month and day of the Gregorian calendar, from days since 1970. The year is taken to begin in March, so that
/// the day that only some years have is the last; the lengths of the months then follow one line, 153 days for five.
fn date(days: i64) -> (i64, i64, i64) {
    /// Days in 400, 100, 4 and 1 years, leap days included where there always are.
    const YEARS: [i64; 4] = [146_097, 36_524, 1461, 365];
    // From 1 March of the year 0.
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(YEARS[0]), days.rem_euclid(YEARS[0]));
    let year = (day - day / (YEARS[2] - 1) + day / YEARS[1] - day / (YEARS[0] - 1)) / YEARS[3];
    let day_of_year = day - (YEARS[3] * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, next_year) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (400 * era + year + next_year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_those_of_date() {
        // Each as `date -u -d @SECONDS +%FT%TZ` says.
        for (milliseconds, wanted) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (999, "1970-01-01T00:00:00.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_799_999, "2000-02-29T23:59:59.999Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_208_000_001, "2024-02-29T12:00:00.001Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (1_735_689_600_000, "2025-01-01T00:00:00.000Z"),
            (1_772_323_199_000, "2026-02-28T23:59:59.000Z"),
            (1_772_323_200_000, "2026-03-01T00:00:00.000Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
            (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(rfc_3339(UNIX_EPOCH + Duration::from_millis(milliseconds)), wanted);
        }
        assert_eq!(rfc_3339(UNIX_EPOCH - Duration::from_nanos(1)), "1969-12-31T23:59:59.999Z");
        assert_eq!(rfc_3339(UNIX_EPOCH - Duration::from_secs(86_400 * 366)), "1968-12-31T00:00:00.000Z");
    }

    #[test]
    fn days_follow_each_other_for_a_thousand_years() {
        let length = |year: i64, month| match month {
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let mut expected = (1970, 1, 1);
        for days in 0..366_000 {
            assert_eq!(date(days), expected);
            let (year, month, day) = expected;
            expected = match (month, day) {
                (12, 31) => (year + 1, 1, 1),
                (_, day) if day == length(year, month) => (year, month + 1, 1),
                _ => (year, month, day + 1),
            };
        }
    }
}
