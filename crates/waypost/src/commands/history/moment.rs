//! Times of the history, as they are typed and shown. All are UTC.

use anyhow::{Result, bail};

const S: i64 = 1000;
const DAY_S: i64 = 86_400;

/// Returns a time as `2026-11-28 06:28:28`.
pub fn time(at_ms: i64) -> String {
    let (year, month, day) = mail::civil_date(at_ms.div_euclid(DAY_S * S));
    let second = at_ms.div_euclid(S).rem_euclid(DAY_S);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)
}

/// Returns the time of day as `06:28:28.120`.
pub fn clock(at_ms: i64) -> String {
    let all = time(at_ms);
    format!("{}.{:03}", all.get(11..).unwrap_or_default(), at_ms.rem_euclid(S))
}

/// Returns the day as `2026-11-28`.
pub fn day(at_ms: i64) -> String {
    time(at_ms).get(..10).unwrap_or_default().to_owned()
}

/// Reads a time: a span before now (`2h`, `3d`, `1w`), a day, or a day and a time.
pub fn since(text: &str, now_ms: i64) -> Result<i64> {
    let text = text.trim();
    if let Some(span_ms) = span(text) {
        return Ok(now_ms - span_ms);
    }
    if let Some(at_ms) = date(text) {
        return Ok(at_ms);
    }
    bail!(
        "`{text}` is not a time\n  hint: use a span before now such as 30m, 2h or 3d, or a time such as 2026-11-28 or 2026-11-28T06:30 (UTC)"
    )
}

fn span(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.find(|c: char| !c.is_ascii_digit())?)?;
    let unit_s = match unit {
        "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => DAY_S,
        "w" => 7 * DAY_S,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_s * S)
}

fn date(text: &str) -> Option<i64> {
    let text = text.trim_end_matches('Z');
    let (day, clock) = text.split_once(['T', ' ']).unwrap_or((text, "0:0"));
    let numbers = |text: &str, mark: char| text.split(mark).map(|part| part.parse::<i64>().ok()).collect::<Option<Vec<_>>>();
    let (day, clock) = (numbers(day, '-')?, numbers(clock, ':')?);
    let ([year, month, date], [hour, minute, rest @ ..]) = (day.as_slice(), clock.as_slice()) else { return None };
    let second = rest.first().copied().unwrap_or(0);
    let is_valid = (1970..10_000).contains(year)
        && (1..=12).contains(month)
        && (0..24).contains(hour)
        && (0..60).contains(minute)
        && (0..60).contains(&second)
        && rest.len() < 2;
    if !is_valid {
        return None;
    }
    // The days of a month differ, so the date is looked up instead of computed.
    let first = (year - 1970) * 365 + (month - 1) * 28;
    let days = (first..first + 60 + (year - 1970) / 4 + 30).find(|days| mail::civil_date(*days) == (*year, *month, *date))?;
    Some((days * DAY_S + hour * 3600 + minute * 60 + second) * S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_and_read() {
        let at_ms = 1_795_847_308_120;
        assert_eq!(time(at_ms), "2026-11-28 06:28:28");
        assert_eq!((clock(at_ms).as_str(), day(at_ms).as_str()), ("06:28:28.120", "2026-11-28"));
        for (text, want) in [
            ("2h", at_ms - 7_200_000),
            ("3d", at_ms - 259_200_000),
            ("2026-11-28", 1_795_824_000_000),
            ("2026-11-28T06:28:28Z", 1_795_847_308_000),
            ("2026-11-28 06:28", 1_795_847_280_000),
            ("2024-02-29", 1_709_164_800_000),
            ("1970-01-01", 0),
            ("2038-12-31", 2_177_366_400_000),
        ] {
            assert_eq!(since(text, at_ms).unwrap(), want, "{text}");
        }
        for text in
            ["", "soon", "5", "5 parsec", "2026-13-01", "2023-02-29", "2026-11-28T25:00", "2026-11-28T06:28:28:28", "99999999999999999999d"]
        {
            assert!(since(text, at_ms).is_err(), "{text}");
        }
    }
}
