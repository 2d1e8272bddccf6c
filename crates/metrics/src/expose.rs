//! Writes all metrics in one of the formats.
//!
//! Invariant: both formats come from the same values; a metric whose value is unknown is left out with its description.

use std::fmt::{self, Error};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use events::EventKind;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, prometheus_text, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use store::{LaneLoad, QueueLoad, QueueTotals};

use crate::catalogue::*;
use crate::cells::{Counts, HistogramValues, float, values};
use crate::format::Exposition;
use crate::measure::Metrics;
use crate::state::ServerState;

/// Returns all metrics as text.
pub fn expose(metrics: Arc<Metrics>, state: ServerState, format: Exposition) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape { metrics, state }));
    let mut out = String::new();
    let written = match format {
        Exposition::Prometheus => prometheus_text::encode(&mut out, &registry),
        Exposition::OpenMetrics => text::encode(&mut out, &registry),
    };
    // Writing to a string cannot fail.
    debug_assert!(written.is_ok());
    out
}

/// The values of one scrape.
struct Scrape {
    metrics: Arc<Metrics>,
    state: ServerState,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Writer(&mut encoder);
        self.received(&mut out)?;
        self.sent(&mut out)?;
        if let Some(totals) = self.state.totals {
            write_totals(&mut out, totals)?;
        }
        if let Some(load) = &self.state.load {
            write_load(&mut out, load)?;
        }
        self.server(&mut out)?;
        self.parts(&mut out)?;
        self.process(&mut out)
    }
}

impl Scrape {
    fn received(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let metrics = &*self.metrics;
        out.info(&BUILD, &[self.state.version])?;
        out.gauge(&READY, f64::from(u8::from(self.state.is_ready)))?;
        out.gauge(&DRAINED, f64::from(u8::from(self.state.is_drained)))?;
        let kinds = EventKind::ALL.iter().zip(&metrics.events);
        out.counters(&EVENTS, kinds.map(|(kind, count)| (vec![kind.name()], count.load(Ordering::Relaxed))))?;
        let failed = EventKind::ALL.iter().zip(&metrics.events).find(|(kind, _)| **kind == EventKind::TlsFailed);
        out.counters(&CONNECTIONS_REFUSED, metrics.connections_refused.read())?;
        out.counter(&TLS_FAILED, failed.map_or(0, |(_, count)| count.load(Ordering::Relaxed)))?;
        for (row, counts) in [
            (&LOGINS, &metrics.logins),
            (&SENDERS_REFUSED, &metrics.senders_refused),
            (&RECIPIENTS_REFUSED, &metrics.recipients_refused),
            (&CONTENT_DEFERRED, &metrics.content_deferred),
            (&ACCEPTED, &metrics.accepted),
            (&REFUSED, &metrics.refused),
            (&RECEIVED_TLS, &metrics.received_tls),
        ] {
            out.counts(row, counts)?;
        }
        out.histogram(&SIZE, &metrics.size.read(1))?;
        for (row, counts) in [(&SPF, &metrics.spf), (&DKIM, &metrics.dkim), (&DMARC, &metrics.dmarc), (&ARC, &metrics.arc)] {
            out.counts(row, counts)?;
        }
        out.histogram(&ACCEPT, &metrics.accept.read(1000))?;
        out.histogram(&HAND_OVER, &metrics.hand_over.read(1000))
    }

    fn sent(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let metrics = &*self.metrics;
        out.counts(&DELIVERIES, &metrics.deliveries)?;
        out.counts(&TROUBLES, &metrics.troubles)?;
        let meanings = metrics.meanings.iter().map(|(row, count)| (vec![*row], count.load(Ordering::Relaxed)));
        out.counters(&REMOTE_REPLIES, meanings.filter(|(_, count)| *count > 0))?;
        out.counts(&SENT_TLS, &metrics.sent_tls)?;
        out.histogram(&FIRST_ATTEMPT, &metrics.first_attempt.read(1000))?;
        out.histogram(&DELIVERY, &metrics.delivery.read(1000))?;
        out.gauges(&SESSIONS, self.state.sessions.iter().map(|(listener, count)| (vec![*listener], float(*count))))
    }

    fn server(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let state = &self.state;
        out.gauge(&IN_FLIGHT, float(state.in_flight))?;
        out.gauge(&WORKERS, float(state.workers))?;
        out.gauge(&OUTGOING, float(state.connections))?;
        let [mailboxes, hosts] = state.paused;
        out.gauges(&PAUSED, [(vec!["mailbox"], float(mailboxes)), (vec!["host"], float(hosts))].into_iter())?;
        let expiry = |(name, expires_s): &(String, i64)| (vec![name.clone()], whole(*expires_s));
        out.gauges(&CERTIFICATE, state.certificates.iter().map(expiry))?;
        if let Some([free, size]) = state.disk {
            out.gauge(&DISK_FREE, float(free))?;
            out.gauge(&DISK_SIZE, float(size))?;
        }
        Ok(())
    }

    fn parts(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        let ServerState { dns, batches, .. } = &self.state;
        out.counters(&DNS_LOOKUPS, [(vec!["answered"], dns.answered), (vec!["failed"], dns.failed)].into_iter())?;
        out.seconds(&DNS_SECONDS, dns.total_ms, 1000)?;
        out.counters(&COMMITS, [(vec!["committed"], batches.committed), (vec!["failed"], batches.failed)].into_iter())?;
        out.seconds(&COMMIT_SECONDS, batches.total_us, 1_000_000)?;
        let bounds: Vec<u64> = (0..batches.sizes.len().saturating_sub(1)).map(|power| 1 << power).collect();
        out.histogram(&BATCH, &values(&bounds, batches.sizes.iter().copied(), batches.operations, 1))?;
        if let Some(dropped) = self.state.history_dropped {
            out.counter(&HISTORY_DROPPED, dropped)?;
        }
        out.counter(&STS_TESTING, self.state.sts_testing_failures)?;
        out.counter(&SIGNATURES_BROKEN, self.state.signatures_broken)?;
        out.counter(&BUGS, self.state.bugs)
    }

    fn process(&self, out: &mut Writer<'_, '_>) -> fmt::Result {
        if let Some(process) = self.state.process {
            out.seconds(&CPU, process.cpu_ms, 1000)?;
            out.gauge(&RESIDENT, float(process.resident_bytes))?;
            out.gauge(&OPEN_FDS, float(process.open_fds))?;
            out.gauge(&MAX_FDS, float(process.max_fds))?;
        }
        out.gauge(&START, whole(self.state.started_s))
    }
}

fn write_totals(out: &mut Writer<'_, '_>, totals: QueueTotals) -> fmt::Result {
    out.gauge(&QUEUE_MESSAGES, float(totals.messages))?;
    out.gauge(&QUEUE_HELD, float(totals.held))?;
    out.gauge(&QUEUE_HELD_BYTES, float(totals.held_bytes))?;
    out.gauge(&QUEUE_SET_ASIDE, float(totals.set_aside))
}

fn write_load(out: &mut Writer<'_, '_>, load: &QueueLoad) -> fmt::Result {
    let name = |lane: &LaneLoad| vec![lane.lane.clone().unwrap_or_else(|| "other".to_owned())];
    out.gauges(&QUEUE_RECIPIENTS, load.lanes.iter().map(|lane| (name(lane), float(lane.recipients))))?;
    out.gauges(&QUEUE_OLDEST, load.lanes.iter().map(|lane| (name(lane), whole(lane.oldest_ms) / 1000.0)))?;
    out.gauges(&QUEUE_AGE, load.by_age.iter().map(|(age, count)| (vec![*age], float(*count))))
}

#[allow(clippy::cast_precision_loss)] // a time is far below 2^53
fn whole(time: i64) -> f64 {
    time as f64
}

/// Writes metrics by their rows of the catalogue.
struct Writer<'a, 'b>(&'a mut DescriptorEncoder<'b>);

impl Writer<'_, '_> {
    fn family(&mut self, row: &MetricRow, kind: MetricType, write: impl FnOnce(&mut MetricEncoder<'_>) -> fmt::Result) -> fmt::Result {
        let unit = match row.unit {
            "" => None,
            "seconds" => Some(Unit::Seconds),
            "bytes" => Some(Unit::Bytes),
            _ => return Err(Error),
        };
        write(&mut self.0.encode_descriptor(row.base, row.help, unit.as_ref(), kind)?)
    }

    fn counter(&mut self, row: &MetricRow, value: u64) -> fmt::Result {
        self.family(row, MetricType::Counter, |metric| metric.encode_counter::<NoLabelSet, _, u64>(&value, None))
    }

    /// A counter of time; `value` divided by `unit` is seconds.
    fn seconds(&mut self, row: &MetricRow, value: u64, unit: u32) -> fmt::Result {
        let seconds = float(value) / f64::from(unit);
        self.family(row, MetricType::Counter, |metric| metric.encode_counter::<NoLabelSet, _, u64>(&seconds, None))
    }

    fn counts(&mut self, row: &MetricRow, counts: &Counts) -> fmt::Result {
        self.counters(row, counts.read())
    }

    fn counters(&mut self, row: &MetricRow, samples: impl Iterator<Item = (Vec<&'static str>, u64)>) -> fmt::Result {
        self.family(row, MetricType::Counter, |metric| {
            for (words, value) in samples {
                metric.encode_family(&labelled(row, words))?.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
            }
            Ok(())
        })
    }

    fn gauge(&mut self, row: &MetricRow, value: f64) -> fmt::Result {
        self.family(row, MetricType::Gauge, |metric| metric.encode_gauge(&value))
    }

    fn gauges<W: prometheus_client::encoding::EncodeLabelValue>(
        &mut self,
        row: &MetricRow,
        samples: impl Iterator<Item = (Vec<W>, f64)>,
    ) -> fmt::Result {
        self.family(row, MetricType::Gauge, |metric| {
            for (words, value) in samples {
                metric.encode_family(&labelled(row, words))?.encode_gauge(&value)?;
            }
            Ok(())
        })
    }

    fn info(&mut self, row: &MetricRow, words: &[&str]) -> fmt::Result {
        self.family(row, MetricType::Info, |metric| metric.encode_info(&labelled(row, words.to_vec())))
    }

    fn histogram(&mut self, row: &MetricRow, values: &HistogramValues) -> fmt::Result {
        self.family(row, MetricType::Histogram, |metric| {
            metric.encode_histogram::<NoLabelSet>(values.sum, values.count, &values.buckets, None)
        })
    }
}

/// Returns the labels of a row with their words.
fn labelled<W>(row: &MetricRow, words: Vec<W>) -> Vec<(&'static str, W)> {
    row.labels.iter().copied().zip(words).collect()
}

#[cfg(test)]
mod tests;
