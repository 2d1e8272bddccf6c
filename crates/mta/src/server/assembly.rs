//! Puts the parts of the server together: what deliveries use, what sessions use, and the tasks in the background.

use std::sync::Arc;

use events::{Event, EventKind, Fact};
use net::random_u32;
use store::{DailyKind, StoreError};
use tokio::task::JoinHandle;

use crate::accept::filter;
use crate::accept::hourly_limit::HourlyLimit;
use crate::accept::over_limit::SendLimits;
use crate::accept::pipeline::{Outlet, Pipeline, Verifier};
use crate::accept::send_limit::SendCounts;
use crate::context::Shared;
use crate::deliver::breaker_file;
use crate::deliver::breakers::Breakers;
use crate::deliver::clock_step::{self, ClockSteps};
use crate::deliver::connection_limit::ConnectionLimits;
use crate::deliver::ipv6::Ipv6Fitness;
use crate::deliver::lane::Lanes;
use crate::deliver::mta_sts::{self, StsPolicies};
use crate::deliver::outbound::{Connector, Outbound};
use crate::deliver::tls_history::{self, TlsHistory};
use crate::deliver::window::Window;
use crate::notify::outbox::Outbox;
use crate::notify::postmaster;
use crate::queue::dispatch::Dispatch;
use crate::queue::news;
use crate::receive::auth::authenticator::Authenticator;
use crate::receive::auth::sealed_passwords;
use crate::receive::content_quota::ContentQuota;
use crate::receive::inbound::Inbound;
use crate::receive::known_networks::KnownNetworks;
use crate::receive::own_checks::OwnChecks;
use crate::receive::pressure::Pressure;
use crate::reporting::schedule::{self, Reporter};
use crate::reporting::tally;
use crate::server::Parts;
use crate::server::handles::pauses_of;
use crate::support::panic_edge::watch_bugs;
use crate::support::shutdown::Closing;
use crate::support::usage_log;
use crate::support::wake::Wake;

/// What deliveries use.
pub(super) fn outbound(parts: &Parts, own_ports: Vec<u16>) -> Outbound {
    let Parts { settings, store, live, client_tls, network, resolver, data, clock, events, .. } = parts;
    let shared =
        Shared { settings: settings.clone(), store: store.clone(), clock: clock.clone(), directory: live.clone(), events: events.clone() };
    let wake = Wake::default();
    Outbound {
        outbox: Outbox { shared: shared.clone(), signing: Arc::default(), wake: wake.clone() },
        lanes: Lanes::default(),
        window: Window::new(wake),
        large: Arc::default(),
        clock_steps: ClockSteps::open(data, clock),
        closing: Closing::default(),
        doubts: Arc::default(),
        connector: Connector {
            network: network.clone(),
            resolver: resolver.clone(),
            tls: client_tls.clone(),
            own_ports,
            connection_limits: ConnectionLimits::default(),
            breakers: Arc::new(Breakers::open(data, clock)),
            ipv6: Ipv6Fitness::default(),
            sts: StsPolicies::open(data),
            tls_history: TlsHistory::open(data),
            results: tally::start(store.clone(), clock.clone()),
            spread: random_u32(),
            shared,
        },
    }
}

/// What sessions use.
pub(super) async fn inbound(parts: Parts, outbound: &Outbound, dispatch: &Dispatch) -> Result<Inbound, StoreError> {
    let Parts { store, password_key, tls, proxies, node, client_tls, resolver, data, .. } = parts;
    let Outbound { outbox, connector, large, closing, .. } = outbound;
    let shared = connector.shared.clone();
    let habits = usage_log::start(store.clone());
    let counts = SendCounts::new(store, habits.clone());
    let known = KnownNetworks::open(&data);
    let logins = Authenticator::start(shared.clone(), password_key, habits, known.clone(), client_tls).await?;
    let pipeline = Pipeline {
        large: large.clone(),
        signing: outbox.signing.clone(),
        ..Pipeline::new(shared.clone(), Outlet::Dispatch(dispatch.clone()), closing.clone())
    };
    Ok(Inbound {
        pipeline: Arc::new(pipeline),
        verifier: Verifier { resolver, results: connector.results.clone() },
        logins: Arc::new(logins),
        send_limits: Arc::new(SendLimits { counts, outbox: outbox.clone() }),
        tls,
        proxies,
        node,
        arriving: ContentQuota::default(),
        pressure: Pressure::default(),
        known,
        own_checks: OwnChecks::new(shared.clock.clone()),
        bounces: HourlyLimit::default(),
        breakers: connector.breakers.clone(),
        closing: closing.clone(),
        shared,
    })
}

/// The background tasks.
pub(super) fn tasks(dispatch: &Dispatch, outbound: &Arc<Outbound>, inbound: &Arc<Inbound>) -> Vec<JoinHandle<()>> {
    let Connector { shared, resolver, tls, .. } = &outbound.connector;
    let probed = shared.clone();
    let probe = async move {
        if let Some(filtering) = &probed.settings.load_full().filtering {
            filter::probe(&probed, filtering).await;
        }
    };
    let pauses = pauses_of(outbound);
    let reporter = Reporter { outbox: outbound.outbox.clone(), resolver: resolver.clone(), tls: tls.clone() };
    vec![
        tokio::spawn(probe),
        tokio::spawn(record_bugs(shared.clone())),
        tokio::spawn(sealed_passwords::run(inbound.logins.clone())),
        tokio::spawn(dispatch.clone().run()),
        tokio::spawn(news::run(shared.clone(), outbound.outbox.wake.clone(), pauses)),
        tokio::spawn(postmaster::run(outbound.outbox.clone())),
        tokio::spawn(clock_step::run(outbound.clone())),
        tokio::spawn(mta_sts::run(outbound.clone())),
        tokio::spawn(tls_history::run(outbound.clone())),
        tokio::spawn(breaker_file::run(outbound.clone())),
        tokio::spawn(schedule::run(reporter.clone(), DailyKind::Tls)),
        tokio::spawn(schedule::run(reporter, DailyKind::Dmarc)),
    ]
}

/// Records each caught panic as an event; the log has its lines.
async fn record_bugs(shared: Shared) {
    let mut caught = watch_bugs();
    while caught.changed().await.is_ok() {
        let times = *caught.borrow_and_update();
        shared.events.record(Event::new(EventKind::BugCaught, shared.clock.now_ms()).fact(Fact::Times, times));
    }
}
