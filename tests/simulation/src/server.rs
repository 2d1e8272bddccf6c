//! Our server, made of its real parts on the simulated world.

use std::sync::{Arc, OnceLock};

use anyhow::Result;
use arc_swap::ArcSwap;
use directory::{Alias, Origin, StrictDomain};
use events::Events;
use mail::Domain;
use mail::srs::{Hash, Secret, Srs};
use mta::passwords::PasswordKey;
use mta::settings::{Delivery, Forward, Limits, Listener, ListenerKind, Reporting, Sending, Settings};
use mta::{LiveDirectory, Parts, Server};
use net::{ClientTls, Clock, Resolver};
use policy::{Schedule, Unauthenticated};
use store::{DirectoryChange, Store};

use crate::dns::Zone;
use crate::network::Network;
use crate::scenario::{OUR_ADDRESS, OURS, PORT, Scenario};
use crate::world::{TracedEvents, World};

/// Starts the server.
pub async fn start(world: &Arc<World>, store: &Store, clock: &Clock) -> Result<Server> {
    let settings = settings(&world.scenario)?;
    let live = LiveDirectory::open(store.clone(), &settings.delimiters, None).await?;
    Ok(Server::start(Parts {
        settings: Arc::new(ArcSwap::from_pointee(settings)),
        proxies: net::TrustedProxies::default(),
        node: mta::NodeSwitch::open(&world.data, store),
        listeners: vec![Listener { kind: ListenerKind::Mx, address: (OUR_ADDRESS, PORT).into() }],
        store: store.clone(),
        live: Arc::new(live),
        password_key: Arc::new(PasswordKey::new([7; 32])),
        tls: None,
        client_tls: client_tls()?,
        network: net::Network::simulated(Arc::new(Network(world.clone()))),
        resolver: Resolver::simulated(Arc::new(Zone(world.clone())))?,
        data: world.data.clone(),
        clock: clock.clone(),
        events: Events::new(vec![Arc::new(TracedEvents(world.clone()))]),
    })
    .await?)
}

/// Reading the machine's roots takes longer than a life.
fn client_tls() -> Result<ClientTls> {
    static TLS: OnceLock<ClientTls> = OnceLock::new();
    match TLS.get() {
        Some(tls) => Ok(tls.clone()),
        None => {
            let tls = ClientTls::new(None)?;
            Ok(TLS.get_or_init(|| tls).clone())
        }
    }
}

/// Hosts the domain and its aliases.
pub async fn populate(scenario: &Scenario, store: &Store) -> Result<()> {
    let alias = |source: &str, targets: &[String]| -> Result<DirectoryChange> {
        let parse = |text: &String| text.parse().map_err(|e| anyhow::anyhow!("{text}: {e}"));
        let alias = Alias {
            source: source.parse().map_err(|e| anyhow::anyhow!("{source}: {e}"))?,
            targets: targets.iter().map(parse).collect::<Result<_>>()?,
            enabled: true,
            origin: Origin::Database,
        };
        Ok(DirectoryChange::AddAlias { alias, replace: true })
    };
    let mut changes = vec![DirectoryChange::AddDomain(Domain::parse(OURS)?)];
    changes.push(alias(&format!("me@{OURS}"), &["owner@d0.test".to_owned()])?);
    for (source, targets) in &scenario.aliases {
        changes.push(alias(source, targets)?);
    }
    Ok(store.change_directory(changes).await?)
}

fn settings(scenario: &Scenario) -> Result<Settings> {
    let secrets = vec![Secret { hash: Hash::Sha256, key: b"a secret of the simulation".to_vec() }];
    Ok(Settings {
        hostname: Domain::parse("mx.ours.test")?,
        postmaster: None,
        delimiters: "+".into(),
        virtual_file: None,
        limits: Limits {
            message_bytes: 10 << 20,
            recipients: 100,
            content_memory_bytes: 64 << 20,
            // What the process really uses differs from run to run.
            memory_bytes: u64::MAX,
            sessions: 200,
            sessions_per_client: 50,
            command_timeout_s: 300,
            content_timeout_s: 180,
            handshake_timeout_s: 60,
            failed_logins_per_client: 10,
            failed_logins_per_account: 20,
            greet_delay_ms: 0,
            recipient_delay_ms: 0,
        },
        forward: Forward {
            srs: Srs { domain: Domain::parse("fwd.ours.test")?, secrets, mac: net::srs_mac },
            source: None,
            hello: None,
            extend_dkim2: true,
            seal_arc: false,
            cut_through: scenario.cut_through,
            deadline_s: scenario.deadline_s,
            unauthenticated: Unauthenticated::Reject,
            strict_domain: StrictDomain::Rewrite,
            hold_s: 30 * 86_400,
            held_bytes: 1 << 30,
            notice_s: 3_600,
            reports_per_sender: 1_000,
        },
        filtering: None,
        delivery: Delivery {
            port: PORT,
            policy_port: 443,
            ipv6: false,
            check_ipv6: false,
            loopback: false,
            connections_per_host: scenario.connections,
            messages_per_connection: scenario.messages_per_connection,
            connect_timeout_s: 30,
            keep_s: 5,
            host_pause_s: 60,
            shutdown_grace_s: 30,
            source: None,
            routes: Vec::new(),
        },
        reporting: Reporting { tls: false, dmarc: false, contact: None, every_s: 86_400 },
        schedule: Schedule { lifetime_s: scenario.lifetime_s, delay_report_s: scenario.delay_report_s, ..Schedule::default() },
        submission: Sending { per_hour: 100_000, new_per_day: 100_000 },
        sign_dkim2: false,
        channel_binding: false,
        login_domain: None,
        local_users: Vec::new(),
        introspection: None,
        log_targets: true,
        history_subjects: false,
    })
}
