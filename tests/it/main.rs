//! The integration tests, one binary: the whole, over real sockets, beside real peers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::disallowed_methods,
    missing_docs
)]

mod account_import;
mod alias_targets;
mod api_schema;
mod backup;
mod browser;
mod certificate_files;
mod certificates;
mod circuits;
mod client_config;
mod clients;
mod clock;
mod cluster;
mod cluster_commands;
mod cluster_database;
mod cluster_dns;
mod cluster_faults;
mod cluster_identity;
mod cluster_limits;
mod cluster_notices;
mod cluster_page;
mod cluster_shared;
mod cluster_upgrade;
mod commands;
mod configuration;
mod crowds;
mod cut_through;
mod cut_through_large;
mod delivery;
mod disk_faults;
mod dkim2;
mod dns_records;
mod doctor;
mod doctor_worlds;
mod door;
mod events;
mod explain;
mod explain_trust;
mod filter;
mod forwarding;
mod from_field;
mod full_disk;
mod goldens;
mod held;
mod history;
mod hostile_content;
mod hostile_dns;
mod hostile_in;
mod hostile_out;
mod identities;
mod kills;
mod leak;
mod logins;
mod mailbox;
mod main_job;
mod many_aliases;
mod mechanisms;
mod metrics;
mod next_host;
mod nodes;
mod notices;
mod outbound_tls;
mod own_checks;
mod owner;
mod owners_words;
mod paused;
mod postfix;
mod proxies;
mod rare_screens;
mod reports;
mod reports_in;
mod reports_out;
mod reports_written;
mod requiretls;
mod resources;
mod responders;
mod returns;
mod routes;
mod sandbox;
mod send_as;
mod senders;
mod sendmail;
mod shutdown;
mod signatures;
mod srs;
mod store_faults;
mod strict_domain;
mod submitted;
mod syncs;
mod tidy;
mod tls;
mod tls_reports;
mod top;
mod validation;
mod virtual_file;
mod virtual_map;
mod whole_domain;
