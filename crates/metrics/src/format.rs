//! The format of a scrape, as its Accept field asks for it.
//!
//! RFC 9110 s.12.5.1. Invariant: a client that names neither format gets Prometheus text.

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus text, version 0.0.4.
    Prometheus,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Exposition {
    /// Returns the format that an Accept field prefers.
    pub fn preferred(accept: &str) -> Self {
        let quality_of = |wanted: fn(&str, &str) -> bool| {
            let ranges = accept.split(',').map(|range| {
                let mut parts = range.split(';').map(str::trim);
                let name = parts.next().unwrap_or_default();
                let (mut quality, mut version) = (1.0, "");
                for (key, value) in parts.filter_map(|part| part.split_once('=')) {
                    match key.trim().to_ascii_lowercase().as_str() {
                        "q" => quality = value.trim().parse().unwrap_or(0.0),
                        "version" => version = value.trim().trim_matches('"'),
                        _ => {}
                    }
                }
                if wanted(&name.to_ascii_lowercase(), version) { quality } else { 0.0 }
            });
            ranges.fold(0.0_f32, f32::max)
        };
        let open = quality_of(|name, version| name == "application/openmetrics-text" && matches!(version, "" | "1.0.0" | "0.0.1"));
        let text = quality_of(|name, _| matches!(name, "text/plain" | "text/*"));
        if open > 0.0 && open >= text { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// Returns its Content-Type.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Prometheus => prometheus_client::encoding::prometheus_text::CONTENT_TYPE,
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_accept_field_decides() {
        // As Prometheus 2.42, Prometheus 3, curl, a browser and nothing send it.
        for (accept, format) in [
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.3,*/*;q=0.1",
                Exposition::OpenMetrics,
            ),
            ("text/plain;version=0.0.4;q=0.9,application/openmetrics-text;q=0.1", Exposition::Prometheus),
            ("application/openmetrics-text; version=2.0.0, text/plain", Exposition::Prometheus),
            ("application/openmetrics-text;q=0", Exposition::Prometheus),
            ("application/openmetrics-text;q=x", Exposition::Prometheus),
            ("text/html,*/*;q=0.8", Exposition::Prometheus),
            ("*/*", Exposition::Prometheus),
            ("", Exposition::Prometheus),
        ] {
            assert_eq!(Exposition::preferred(accept), format, "{accept}");
        }
    }
}
