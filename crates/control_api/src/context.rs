//! The state of the routes. A handler names the part that it needs as its `State`.
//!
//! Invariant: nothing here differs between a running server and a command without one, except behind [`Control`].

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::FromRef;
use door::Door;
use events::Events;
use history::History;
use mta::LiveDirectory;
use mta::passwords::PasswordKey;
use net::{Clock, Resolver};
use store::Store;
use tokio::sync::Mutex;

use crate::accounts::PasswordMaker;
use crate::changes::DirectoryEditor;
use crate::control::Control;
use crate::idempotency::Answers;
use crate::message_room::MessageRoom;
use crate::recorder::Recorder;
use crate::reports::{ReportFacts, ReportReader};
use crate::targets::TargetChecker;
use crate::tokens::{TokenMaker, Tokens};
use crate::web::PageUrl;

/// What the API is built from.
#[derive(Clone)]
pub struct ApiContext {
    /// The queue and the directory on disk.
    pub store: Store,
    /// The directory in effect.
    pub live: Arc<LiveDirectory>,
    /// The key that seals passwords.
    pub password_key: Arc<PasswordKey>,
    /// The time.
    pub clock: Clock,
    /// DNS; `None` if it cannot be used.
    pub resolver: Option<Resolver>,
    /// Facts that classify reports by other servers.
    pub report_facts: ReportFacts,
    /// The directory of issued certificates and the state of their orders.
    pub certificates: PathBuf,
    /// Where changes are recorded.
    pub events: Events,
    /// What has happened; `None` if the history is off.
    pub history: Option<History>,
    /// Sessions, links and second steps of the owner's page.
    pub door: Door,
    /// The address of the owner's page, without a slash at its end; `None` if it is off.
    pub page_url: Option<String>,
    /// The process behind the API.
    pub control: Arc<dyn Control>,
    /// What all routers over this context share: `ApiShared::default()`.
    pub shared: ApiShared,
}

/// What all routers of one server share. Clones share it.
#[derive(Clone, Default)]
pub struct ApiShared {
    pub(crate) changing: Arc<Mutex<()>>,
    pub(crate) tokens: Tokens,
    pub(crate) answers: Answers,
    room: MessageRoom,
}

impl std::fmt::Debug for ApiContext {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiContext").finish_non_exhaustive()
    }
}

/// The context, and what the handlers share among themselves.
#[derive(Clone)]
pub(crate) struct ApiState {
    context: ApiContext,
    editor: DirectoryEditor,
}

impl ApiState {
    pub fn new(context: ApiContext) -> Self {
        let recorder = Recorder { events: context.events.clone(), clock: context.clock.clone() };
        let editor = DirectoryEditor::new(context.store.clone(), context.live.clone(), recorder, context.shared.changing.clone());
        Self { context, editor }
    }
}

/// The directory of issued certificates.
#[derive(Clone)]
pub(crate) struct CertificateDir(pub PathBuf);

macro_rules! parts {
    ($($part:ty = |$state:ident| $value:expr;)+) => {
        $(impl FromRef<ApiState> for $part {
            fn from_ref($state: &ApiState) -> Self { $value }
        })+
    };
}

parts! {
    Store = |state| state.context.store.clone();
    Arc<LiveDirectory> = |state| state.context.live.clone();
    Option<History> = |state| state.context.history.clone();
    Clock = |state| state.context.clock.clone();
    Option<Resolver> = |state| state.context.resolver.clone();
    ReportFacts = |state| state.context.report_facts.clone();
    CertificateDir = |state| CertificateDir(state.context.certificates.clone());
    Arc<dyn Control> = |state| state.context.control.clone();
    Door = |state| state.context.door.clone();
    PageUrl = |state| PageUrl(state.context.page_url.clone());
    Recorder = |state| Recorder { events: state.context.events.clone(), clock: state.context.clock.clone() };
    DirectoryEditor = |state| state.editor.clone();
    MessageRoom = |state| state.context.shared.room.clone();
    Tokens = |state| state.context.shared.tokens.clone();
    ReportReader = |state| ReportReader {
        store: state.context.store.clone(),
        live: state.context.live.clone(),
        facts: state.context.report_facts.clone(),
    };
    TokenMaker = |state| TokenMaker {
        store: state.context.store.clone(),
        tokens: state.context.shared.tokens.clone(),
        live: state.context.live.clone(),
        clock: state.context.clock.clone(),
    };
    PasswordMaker = |state| PasswordMaker { key: state.context.password_key.clone(), clock: state.context.clock.clone() };
    TargetChecker = |state| TargetChecker {
        live: state.context.live.clone(),
        resolver: state.context.resolver.clone(),
        control: state.context.control.clone(),
    };
}
