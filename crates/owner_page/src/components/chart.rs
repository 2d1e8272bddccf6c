//! A day of mail as stacked bars, in SVG made here, with the same numbers as a table.
//!
//! Invariant: the drawing has nothing that the table lacks.

use maud::{Markup, html};

use crate::catalogue::{Text, grouped};

const BAR_WIDTH: u64 = 20;
const GAP: u64 = 4;
const HEIGHT: u64 = 72;

/// The numbers of one hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Bar {
    /// Its hour, as text.
    pub label: String,
    /// Forwarded, own, refused, failed.
    pub counts: [u64; 4],
}

/// The classes of the parts of a bar, from the bottom; the style sheet colours them.
const PARTS: [&str; 4] = ["forwarded", "own", "refused", "failed"];

/// Returns the drawing of these bars, and the table behind it.
pub(crate) fn day_chart(text: Text, bars: &[Bar]) -> Markup {
    let names = [text.say("flow-forwarded"), text.say("flow-own"), text.say("flow-refused"), text.say("flow-failed")];
    let most = bars.iter().map(|bar| bar.counts.iter().sum::<u64>()).max().unwrap_or(0).max(1);
    let width = bars.len() as u64 * (BAR_WIDTH + GAP);
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (width) " " (HEIGHT + 1) } role="img" aria-label=(text.say("flow-day")) preserveAspectRatio="none" {
                line.axis x1="0" x2=(width) y1=(HEIGHT) y2=(HEIGHT) {}
                @for (n, bar) in bars.iter().enumerate() {
                    g {
                        title { (bar.label) @for (name, count) in names.iter().zip(bar.counts) { @if count > 0 { ", " (name) " " (grouped(count as i64)) } } }
                        rect.hover x=(n as u64 * (BAR_WIDTH + GAP)) y="0" width=(BAR_WIDTH + GAP) height=(HEIGHT) {}
                        @for (class, y, height) in parts(bar, most) {
                            rect class=(class) x=(n as u64 * (BAR_WIDTH + GAP) + GAP / 2) y=(y) width=(BAR_WIDTH) height=(height) {}
                        }
                    }
                }
            }
            figcaption {
                @for (class, name) in PARTS.iter().zip(&names) { span.key.(class) { (name) } }
            }
            details {
                summary { (text.say("flow-numbers")) }
                div.table { table {
                    thead { tr { th scope="col" { (text.say("flow-hour")) } @for name in &names { th.number scope="col" { (name) } } } }
                    tbody { @for bar in bars.iter().filter(|bar| bar.counts.iter().any(|n| *n > 0)) {
                        tr {
                            td data-head=(text.say("flow-hour")) { (bar.label) }
                            @for (name, count) in names.iter().zip(bar.counts) { td.number data-head=(name) { (grouped(count as i64)) } }
                        }
                    } }
                } }
            }
        }
    }
}

/// Returns class, top and height of the parts of a bar; a part that is not 0 is at least 2 high.
fn parts(bar: &Bar, most: u64) -> Vec<(&'static str, u64, u64)> {
    let mut bottom = HEIGHT;
    let mut found = Vec::new();
    for (class, count) in PARTS.into_iter().zip(bar.counts).filter(|(_, count)| *count > 0) {
        let height = (count * HEIGHT / most).max(2).min(bottom);
        bottom -= height;
        found.push((class, bottom, height));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_stacked_and_small_numbers_are_seen() {
        let bar = Bar { label: "13:00".into(), counts: [1000, 0, 1, 0] };
        let parts = parts(&bar, 1001);
        assert_eq!(parts, [("forwarded", 1, 71), ("refused", 0, 1)]);
        assert!(super::parts(&Bar::default(), 1).is_empty());
    }
}
