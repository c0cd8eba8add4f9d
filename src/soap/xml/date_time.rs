//! `xsd:dateTime`, the format of the times that servers send.

/// An `xsd:dateTime` as milliseconds since 1970, UTC. A time without a zone counts as UTC.
pub(crate) fn to_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let (date, rest) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let mut time = time.splitn(3, ':');
    let hour = time.next()?.parse::<i64>().ok()?;
    let minute = time.next()?.parse::<i64>().ok()?;
    let seconds = time.next()?.parse::<f64>().ok()?;
    let offset_minutes = match zone.chars().next() {
        None | Some('Z') => 0,
        Some(sign) => {
            let (hours, minutes) = zone[1..].split_once(':')?;
            let total = i64::from(hours.parse::<u8>().ok()?) * 60 + i64::from(minutes.parse::<u8>().ok()?);
            if sign == '-' { -total } else { total }
        }
    };
    let last_year = if planted!("year-of-five-digits") { 99_999 } else { 9_999 };
    let in_range = (1..=last_year).contains(&year)
        && (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..=24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&seconds)
        && offset_minutes.abs() <= 14 * 60;
    if !in_range {
        return None;
    }
    // Days since 1970. Years begin in March, so that the leap day is the last day of a year.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    let minutes = days * 1440 + hour * 60 + minute - offset_minutes;
    Some(minutes * 60_000 + (seconds * 1000.0).round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_with_zone_and_fraction() {
        assert_eq!(to_ms("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(to_ms("2024-02-29T12:34:56.789Z"), Some(1_709_210_096_789));
        assert_eq!(to_ms("2024-02-29T14:34:56.789+02:00"), Some(1_709_210_096_789));
        assert_eq!(to_ms("2024-02-29T10:04:56.789012-02:30"), Some(1_709_210_096_789));
        for bad in [
            "",
            "2024-02-29",
            "2024-13-01T00:00:00Z",
            "x-y-zT1:2:3",
            "2024-01-01T99:00:00Z",
            "2024-01-01T00:00:00+9223372036854775807:00",
            "2024-01-01T00:00:00+00:-9223372036854775808",
            "2024-01-01T00:00:00+0\u{e9}",
        ] {
            assert_eq!(to_ms(bad), None, "{bad}");
        }
    }
}
