//! Dates of times.

/// A time in seconds since 1970 as date and time of day, UTC.
pub(crate) fn utc(at: f64) -> String {
    let seconds = at.clamp(0.0, 2e11) as i64;
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days to a date in the calendar that starts in March, where the day that comes every four years is the last:
    // Howard Hinnant, chrono-Compatible Low-Level Date Algorithms, civil_from_days.
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year}-{month:02}-{day:02} {:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

#[cfg(test)]
mod tests {
    use super::utc;

    /// As `date -u -d @…` prints them.
    #[test]
    fn times_are_dates_of_the_usual_calendar() {
        assert_eq!(utc(0.0), "1970-01-01 00:00:00Z");
        assert_eq!(utc(951_782_399.9), "2000-02-28 23:59:59Z");
        assert_eq!(utc(951_782_400.0), "2000-02-29 00:00:00Z");
        assert_eq!(utc(1_735_689_599.0), "2024-12-31 23:59:59Z");
        assert_eq!(utc(4_107_542_400.0), "2100-03-01 00:00:00Z");
    }
}
