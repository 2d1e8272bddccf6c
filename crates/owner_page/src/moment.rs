//! Times, spans and sizes in words, by language. Times are shown in UTC; a script replaces them by the time of the visitor's zone.
//!
//! Invariant: every relative time carries its exact time.

use maud::{Markup, html};
use time::OffsetDateTime;

use crate::catalogue::Text;
use crate::language::Language;

const MINUTE_S: i64 = 60;
const HOUR_S: i64 = 60 * MINUTE_S;
const DAY_S: i64 = 24 * HOUR_S;

/// From this distance on, a date says more than a number of days.
const RELATIVE_MAX_S: i64 = 30 * DAY_S;

/// Returns a relative time ("4 min ago"), with the exact one as its tooltip.
pub(crate) fn relative(text: Text, at_ms: i64, now_ms: i64) -> Markup {
    html! { time datetime=(machine(at_ms)) title=(exact_text(text, at_ms)) data-relative { (relative_text(text, at_ms, now_ms)) } }
}

/// Returns when something is due: relative, or that it is due now.
pub(crate) fn due(text: Text, at_ms: i64, now_ms: i64) -> Markup {
    if at_ms > now_ms {
        relative(text, at_ms, now_ms)
    } else {
        html! { (text.say("time-due")) }
    }
}

/// Returns an exact time with its zone.
pub(crate) fn exact(text: Text, at_ms: i64) -> Markup {
    html! { time datetime=(machine(at_ms)) data-exact { (exact_text(text, at_ms)) } }
}

/// Returns the clock time of a moment with seconds, for the lines of a timeline.
pub(crate) fn clock_time(text: Text, at_ms: i64) -> Markup {
    let words = of_ms(at_ms).map(|at| format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second())).unwrap_or_default();
    html! { time datetime=(machine(at_ms)) title=(exact_text(text, at_ms)) data-clock { (words) } }
}

/// Returns a relative time as text.
pub(crate) fn relative_text(text: Text, at_ms: i64, now_ms: i64) -> String {
    let distance_s = (now_ms - at_ms).abs() / 1000;
    if distance_s >= RELATIVE_MAX_S {
        return date(text, at_ms);
    }
    if distance_s < MINUTE_S {
        let key = if at_ms > now_ms { "time-soon" } else { "time-now" };
        return text.say(key).into_owned();
    }
    let span = span(text, distance_s);
    if at_ms > now_ms { text.plain("time-in", [("span", span.into())]) } else { text.plain("time-ago", [("span", span.into())]) }
}

/// Returns a duration in its largest whole unit.
pub(crate) fn span(text: Text, seconds: i64) -> String {
    let in_unit = |unit: i64| ("n", (seconds / unit).into());
    match seconds {
        ..MINUTE_S => text.plain("span-seconds", [in_unit(1)]),
        MINUTE_S..HOUR_S => text.plain("span-minutes", [in_unit(MINUTE_S)]),
        HOUR_S..DAY_S => text.plain("span-hours", [in_unit(HOUR_S)]),
        _ => text.plain("span-days", [in_unit(DAY_S)]),
    }
}

/// Returns the duration of a step, from milliseconds.
pub(crate) fn step(text: Text, took_ms: i64) -> String {
    match took_ms {
        ..1000 => text.plain("span-milliseconds", [("n", took_ms.max(0).into())]),
        1000..60_000 => text.plain("span-tenths", [("n", format!("{}.{}", took_ms / 1000, took_ms % 1000 / 100).into())]),
        _ => span(text, took_ms / 1000),
    }
}

/// Returns the date.
pub(crate) fn date(text: Text, at_ms: i64) -> String {
    let Some(at) = of_ms(at_ms) else { return "-".to_owned() };
    match text.0 {
        Language::English => {
            let month = text.say(month_key(u8::from(at.month())));
            format!("{} {month} {}", at.day(), at.year())
        }
        Language::Chinese => format!("{}年{}月{}日", at.year(), u8::from(at.month()), at.day()),
    }
}

/// Returns date, time and zone.
pub(crate) fn exact_text(text: Text, at_ms: i64) -> String {
    let Some(at) = of_ms(at_ms) else { return "-".to_owned() };
    let date = date(text, at_ms);
    format!("{date} {:02}:{:02}:{:02} UTC", at.hour(), at.minute(), at.second())
}

fn month_key(month: u8) -> &'static str {
    const KEYS: [&str; 12] = [
        "month-1", "month-2", "month-3", "month-4", "month-5", "month-6", "month-7", "month-8", "month-9", "month-10", "month-11",
        "month-12",
    ];
    KEYS.get(usize::from(month).wrapping_sub(1)).copied().unwrap_or("month-1")
}

/// Returns a time for programs (RFC 3339), in UTC.
fn machine(at_ms: i64) -> String {
    let Some(at) = of_ms(at_ms) else { return String::new() };
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second(),
        at.millisecond()
    )
}

fn of_ms(at_ms: i64) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(at_ms) * 1_000_000).ok()
}

/// Returns a size in its largest unit of 1024.
pub(crate) fn size(text: Text, bytes: u64) -> String {
    let tenths = |unit: u64| ("n", format!("{}.{}", bytes / unit, bytes % unit * 10 / unit).into());
    match bytes {
        ..1024 => text.plain("size-bytes", [("n", bytes.into())]),
        1024..1_048_576 => text.plain("size-kib", [tenths(1024)]),
        1_048_576..1_073_741_824 => text.plain("size-mib", [tenths(1_048_576)]),
        _ => text.plain("size-gib", [tenths(1_073_741_824)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 28 November 2026, 18:00:00 UTC.
    const NOW_MS: i64 = 1_795_888_800_000;

    #[test]
    fn times_are_relative_for_a_month_and_then_dates() {
        let english = Text(Language::English);
        for (before_s, words) in
            [(0, "just now"), (59, "just now"), (240, "4 min ago"), (7200, "2 hr ago"), (86_400, "1 day ago"), (-180, "in 3 min")]
        {
            assert_eq!(relative_text(english, NOW_MS - before_s * 1000, NOW_MS), words);
        }
        assert_eq!(relative_text(english, NOW_MS - 40 * DAY_S * 1000, NOW_MS), "19 Oct 2026");
        assert_eq!(relative_text(Text(Language::Chinese), NOW_MS - 240_000, NOW_MS), "4 分钟前");
    }

    #[test]
    fn exact_times_have_their_zone_and_bad_ones_do_not_fail() {
        assert_eq!(exact_text(Text(Language::English), NOW_MS), "28 Nov 2026 18:00:00 UTC");
        assert_eq!(exact_text(Text(Language::Chinese), NOW_MS), "2026年11月28日 18:00:00 UTC");
        assert_eq!(machine(NOW_MS + 5), "2026-11-28T18:00:00.005Z");
        for bad in [i64::MAX, i64::MIN + 1] {
            assert_eq!(exact_text(Text(Language::English), bad), "-");
        }
    }

    #[test]
    fn sizes_and_steps_have_their_unit() {
        let english = Text(Language::English);
        assert_eq!(size(english, 900), "900 B");
        assert_eq!(size(english, 1536), "1.5 KiB");
        assert_eq!(step(english, 250), "250 ms");
        assert_eq!(step(english, 1_250), "1.2 s");
    }
}
