//! Every parser of strangers' octets as a function of octets, with the property that must hold for any input.
//!
//! `tests/smoke.rs` runs each over its corpus and over seeded mutations of it; `fuzz/` runs the same functions under libFuzzer (docs/testing.md).
//! Invariant: a target depends on its octets alone, so that an input that fails once fails again.

#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::string_slice, clippy::unwrap_used)]

mod addresses;
mod checks;
#[cfg(feature = "server")]
mod configuration;
mod dns_records;
mod evidence;
mod files;
mod filters;
mod header_sections;
mod history_clues;
#[cfg(feature = "server")]
mod idle_control;
mod logins;
pub mod mutate;
mod name_server;
#[cfg(feature = "server")]
mod proxy_headers;
mod remote_replies;
mod report_documents;
mod smtp_client;
mod smtp_content;
mod smtp_server;
#[cfg(feature = "server")]
mod web_requests;
mod written_fields;

/// A target.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name: that of the function, of its folder in `corpus/` and of its file in `fuzz/fuzz_targets/`.
    pub name: &'static str,
    /// Panics if the property does not hold.
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($(#[$condition:meta])? $place:ident :: $name:ident;)+) => {
        $($(#[$condition])? pub use $place::$name;)+

        /// All targets.
        pub const TARGETS: &[Target] = &[$($(#[$condition])? Target { name: stringify!($name), run: $name }),+];
    };
}

targets! {
    addresses::addresses;
    addresses::address_lists;
    dns_records::dkim_keys;
    dns_records::dmarc_records;
    dns_records::mta_sts_policies;
    dns_records::spf_records;
    evidence::message_evidence;
    evidence::spf_evaluations;
    #[cfg(feature = "server")]
    configuration::configuration;
    #[cfg(feature = "server")]
    configuration::headlines;
    files::passwd_files;
    files::sasldb;
    files::virtual_files;
    filters::milter_packets;
    filters::rspamd_answers;
    header_sections::header_sections;
    logins::sasl_exchanges;
    logins::srs_addresses;
    history_clues::history_clues;
    #[cfg(feature = "server")]
    proxy_headers::proxy_headers;
    remote_replies::remote_replies;
    report_documents::dmarc_reports;
    report_documents::report_messages;
    report_documents::tls_reports;
    smtp_client::smtp_replies;
    smtp_content::smtp_content;
    smtp_server::smtp_commands;
    #[cfg(feature = "server")]
    web_requests::api_requests;
    #[cfg(feature = "server")]
    web_requests::client_settings;
    #[cfg(feature = "server")]
    web_requests::page_requests;
    written_fields::authentication_results;
    written_fields::delivery_reports;
}
