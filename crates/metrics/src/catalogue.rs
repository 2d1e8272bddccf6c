//! The metrics, once: name, kind, unit, labels, meaning. docs/metrics.md is generated from this list.
//!
//! Invariant: a metric that is not here is not exposed; units are base units (seconds, bytes).

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A number that only grows, until the server restarts.
    Counter,
    /// A number that goes up and down.
    Gauge,
    /// The distribution of a number.
    Histogram,
    /// Facts as labels; the value is 1.
    Info,
}

/// A metric.
#[derive(Debug, PartialEq, Eq)]
pub struct MetricRow {
    pub(crate) base: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its unit; "" is a plain number.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// Its meaning.
    pub help: &'static str,
}

impl MetricRow {
    /// Returns its name in queries: `waypost_accept_seconds`, `waypost_messages_accepted_total`.
    pub fn name(&self) -> String {
        let unit = if self.unit.is_empty() { String::new() } else { format!("_{}", self.unit) };
        let suffix = match self.kind {
            MetricKind::Counter => "_total",
            MetricKind::Info => "_info",
            MetricKind::Gauge | MetricKind::Histogram => "",
        };
        format!("{}{unit}{suffix}", self.base)
    }
}

impl MetricKind {
    /// Returns its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
            Self::Info => "info",
        }
    }
}

/// Defines the metrics.
macro_rules! metrics {
    ($($name:ident $kind:ident $base:literal $unit:literal [$($label:literal),*] $help:literal;)+) => {
        $(
            pub(crate) const $name: MetricRow =
                MetricRow { base: $base, kind: MetricKind::$kind, unit: $unit, labels: &[$($label),*], help: $help };
        )+

        /// All metrics, in the order in which they are exposed.
        pub const CATALOGUE: &[MetricRow] = &[$($name),+];
    };
}

metrics! {
    BUILD Info "waypost_build" "" ["version"] "The version of the server.";
    READY Gauge "waypost_ready" "" [] "Whether the server should get new connections, as GET /health/ready says: 1, or 0 while it starts, stops, is drained, has no room on its disk or commits nothing.";
    DRAINED Gauge "waypost_drained" "" [] "Whether an operator has drained the server (waypost node drain): 1 or 0.";
    EVENTS Counter "waypost_events" "" ["kind"] "Events by kind; docs/events.md lists the kinds.";
    CONNECTIONS_REFUSED Counter "waypost_connections_refused" "" ["cause"] "Clients refused before their first command.";
    TLS_FAILED Counter "waypost_tls_handshakes_failed" "" [] "Failed TLS handshakes with clients.";
    LOGINS Counter "waypost_logins" "" ["result"] "Logins of mail programs.";
    SENDERS_REFUSED Counter "waypost_senders_refused" "" ["cause"] "MAIL commands that were refused.";
    RECIPIENTS_REFUSED Counter "waypost_recipients_refused" "" ["cause"] "RCPT commands that were refused.";
    CONTENT_DEFERRED Counter "waypost_content_deferred" "" ["cause"] "DATA and BDAT commands that were refused for lack of room.";
    ACCEPTED Counter "waypost_messages_accepted" "" ["how", "flow"] "Messages whose sender got 250: stored in the queue, handed over while the sender waited, held, or read and dropped.";
    REFUSED Counter "waypost_messages_refused" "" ["cause"] "Messages refused after their content.";
    RECEIVED_TLS Counter "waypost_messages_received_tls" "" ["version"] "Accepted messages by the TLS version of the client's connection.";
    SIZE Histogram "waypost_message_size" "bytes" [] "Size of accepted messages.";
    SPF Counter "waypost_spf" "" ["result"] "Results of SPF for accepted and refused messages.";
    DKIM Counter "waypost_dkim" "" ["result"] "Results of DKIM for accepted and refused messages; of several signatures the first that is named.";
    DMARC Counter "waypost_dmarc" "" ["result"] "Results of DMARC for accepted and refused messages.";
    ARC Counter "waypost_arc" "" ["result"] "Results of ARC for accepted and refused messages.";
    ACCEPT Histogram "waypost_accept" "seconds" [] "Time from the end of the content to 250, for messages that were stored in the queue.";
    HAND_OVER Histogram "waypost_hand_over" "seconds" [] "Time from the end of the content to 250, for messages that every target accepted while the sender waited.";
    DELIVERIES Counter "waypost_deliveries" "" ["result", "flow"] "Attempts by recipient: delivered, deferred, failed, held-back (the host or mailbox is paused, no attempt), not-taken (refused while the sender waited).";
    TROUBLES Counter "waypost_delivery_troubles" "" ["result", "cause"] "Attempts that did not deliver, by the cause in the host's reply.";
    REMOTE_REPLIES Counter "waypost_remote_replies" "" ["meaning"] "Replies of other hosts that did not take a recipient, by the row of the table of remote replies.";
    SENT_TLS Counter "waypost_deliveries_tls" "" ["version", "verified"] "Deliveries by TLS version, and how the host's certificate was verified.";
    FIRST_ATTEMPT Histogram "waypost_first_attempt" "seconds" [] "Time from arrival to the outcome of the first attempt.";
    DELIVERY Histogram "waypost_delivery" "seconds" [] "Time from arrival to delivery.";
    SESSIONS Gauge "waypost_sessions" "" ["listener"] "Open sessions with clients.";
    QUEUE_MESSAGES Gauge "waypost_queue_messages" "" [] "Messages in the queue.";
    QUEUE_HELD Gauge "waypost_queue_held_recipients" "" [] "Recipients whose message is held for the owner to look at.";
    QUEUE_HELD_BYTES Gauge "waypost_queue_held" "bytes" [] "Size of the held messages.";
    QUEUE_SET_ASIDE Gauge "waypost_queue_set_aside_recipients" "" [] "Recipients whose record is unreadable; they need the operator.";
    QUEUE_RECIPIENTS Gauge "waypost_queue_recipients" "" ["lane"] "Recipients that wait or are being delivered, by domain: the 20 largest, then other.";
    QUEUE_OLDEST Gauge "waypost_queue_oldest" "seconds" ["lane"] "Age of the oldest message of these lanes, since its queue ID was made.";
    QUEUE_AGE Gauge "waypost_queue_recipients_by_age" "" ["age"] "Recipients that wait or are being delivered, by the age of their message.";
    IN_FLIGHT Gauge "waypost_in_flight_recipients" "" [] "Recipients in memory, on their way to a host.";
    WORKERS Gauge "waypost_delivery_workers" "" [] "Delivery workers.";
    OUTGOING Gauge "waypost_outgoing_connections" "" [] "Connections to other servers.";
    PAUSED Gauge "waypost_paused" "" ["what"] "Paused deliveries (open circuit breakers): to mailboxes, and to hosts and providers.";
    CERTIFICATE Gauge "waypost_certificate_expiry_timestamp" "seconds" ["name"] "When a certificate in use expires, in Unix time, by its first name.";
    DISK_FREE Gauge "waypost_disk_free" "bytes" [] "Free space on the disk of the data directory.";
    DISK_SIZE Gauge "waypost_disk_size" "bytes" [] "Size of the disk of the data directory.";
    DNS_LOOKUPS Counter "waypost_dns_lookups" "" ["result"] "DNS lookups of deliveries, checks and reports, cached ones included; answered includes the answer that nothing exists. Those of SPF, DKIM and DMARC are not among them: their failures are temperror results.";
    DNS_SECONDS Counter "waypost_dns_lookup" "seconds" [] "Total duration of these lookups.";
    COMMITS Counter "waypost_store_commits" "" ["result"] "Transactions of the store: one sync each.";
    COMMIT_SECONDS Counter "waypost_store_commit" "seconds" [] "Total duration of these transactions.";
    BATCH Histogram "waypost_store_batch_operations" "" [] "Operations in a transaction.";
    HISTORY_DROPPED Counter "waypost_history_events_dropped" "" [] "Events that the history lost, because its disk or its queue could not keep up.";
    STS_TESTING Counter "waypost_mta_sts_testing_failures" "" [] "Deliveries that an MTA-STS policy in testing mode would have stopped.";
    SIGNATURES_BROKEN Counter "waypost_signatures_broken" "" [] "Messages refused because forwarding would have broken a signature; please report any.";
    BUGS Counter "waypost_bugs_caught" "" [] "Bugs caught at a task's edge; please report any.";
    CPU Counter "process_cpu" "seconds" [] "CPU time of the process.";
    RESIDENT Gauge "process_resident_memory" "bytes" [] "Resident memory of the process.";
    OPEN_FDS Gauge "process_open_fds" "" [] "Open files and connections of the process.";
    MAX_FDS Gauge "process_max_fds" "" [] "Maximum open files and connections of the process.";
    START Gauge "process_start_time" "seconds" [] "When the server started, in Unix time.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_of_valid_characters() {
        for (n, row) in CATALOGUE.iter().enumerate() {
            assert!(row.name().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", row.name());
            assert!(CATALOGUE[n + 1..].iter().all(|other| other.name() != row.name()), "{}", row.name());
            assert!(row.help.ends_with('.') && !row.help.contains(['\n', '\\', '"']), "{}", row.name());
        }
    }

    #[test]
    fn the_document_lists_every_metric() {
        let page = include_str!("../../../docs/metrics.md");
        let line = |row: &MetricRow| format!("| `{}` | {} | {} | {} |", row.name(), row.kind.word(), row.labels.join(", "), row.help);
        let table: Vec<String> = ["| metric | kind | labels | meaning |".to_owned(), "|---|---|---|---|".to_owned()]
            .into_iter()
            .chain(CATALOGUE.iter().map(line))
            .collect();
        let found: Vec<&str> = page.lines().skip_while(|line| *line != table[0]).take_while(|line| line.starts_with('|')).collect();
        assert_eq!(found, table, "replace the table in docs/metrics.md by:\n{}\n", table.join("\n"));
        let causes = policy::Cause::NAMES.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        assert!(page.replace('\n', " ").contains(&causes), "docs/metrics.md lists the causes: {causes}");
    }

    #[test]
    fn the_examples_name_metrics_that_exist() {
        let texts = [include_str!("../../../examples/prometheus/alerts.yml"), include_str!("../../../examples/grafana/waypost.json")];
        let mut known: Vec<String> = CATALOGUE.iter().map(MetricRow::name).collect();
        for row in CATALOGUE.iter().filter(|row| row.kind == MetricKind::Histogram) {
            known.extend(["bucket", "sum", "count"].map(|part| format!("{}_{part}", row.name())));
        }
        let is_name = |c: char| c.is_ascii_lowercase() || c == '_';
        for word in texts.iter().flat_map(|text| text.split(|c: char| !is_name(c))) {
            let is_metric = word.starts_with("waypost_") || word.starts_with("process_");
            assert!(!is_metric || known.iter().any(|name| name == word), "{word}");
        }
    }
}
