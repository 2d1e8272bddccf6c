//! The process behind the API, for targets: it has no server, and what it is asked to do is not done.

use control_api::api::{DnsView, HealthView, NoticeAnswer, ServerView, SubmissionFacts};
use control_api::{Control, ControlError, ControlFuture, DnsInputs, ReloadFault};
use mail::{Domain, Mailbox, QueueId, Reply};
use mta::{Confirmation, ExplainRequest, Explanation, Pauses, Submission, Submitted};
use serde_json::{Value, json};
use store::StoreError;

/// No server.
pub(crate) struct IdleControl;

impl Control for IdleControl {
    fn status(&self) -> Value {
        json!({ "running": false })
    }
    fn retry(&self) {}
    fn release(&self, id: QueueId, _: bool) -> ControlFuture<'_, Result<QueueId, StoreError>> {
        Box::pin(async move { Ok(id) })
    }
    fn submit(&self, _: Submission) -> ControlFuture<'_, Result<Submitted, Reply>> {
        Box::pin(async { Err(Reply::new(451, (4, 3, 0), "not here")) })
    }
    fn message_max_bytes(&self) -> u64 {
        1 << 20
    }
    fn has_route(&self, _: &Domain) -> bool {
        false
    }
    fn confirmations(&self, _: &Mailbox, _: i64) -> Vec<Confirmation> {
        Vec::new()
    }
    fn pauses(&self) -> Option<&Pauses> {
        None
    }
    fn nodes(&self) -> ControlFuture<'_, Result<Vec<control_api::api::NodeView>, store::StoreError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn change_node<'a>(&'a self, _: &'a str, _: control_api::NodeChange) -> ControlFuture<'a, Result<bool, control_api::NodeFault>> {
        Box::pin(async { Err(control_api::NodeFault::Unknown) })
    }

    fn explain(&self, _: ExplainRequest) -> ControlFuture<'_, Result<Explanation, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn test_notices(&self, _: Option<String>) -> ControlFuture<'_, Result<Vec<NoticeAnswer>, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn reload(&self) -> ControlFuture<'_, Result<String, ReloadFault>> {
        Box::pin(async { Err(ReloadFault::NotRunning) })
    }
    fn certificates(&self) -> Result<Vec<net::CertificateInUse>, String> {
        Ok(Vec::new())
    }
    fn renew(&self, _: Option<String>, _: bool) -> ControlFuture<'_, Result<Vec<net::acme::RenewalResult>, ControlError>> {
        Box::pin(async { Err(ControlError::NotRunning) })
    }
    fn health(&self) -> Option<HealthView> {
        None
    }
    fn check_health(&self) -> bool {
        false
    }
    fn dns(&self, inputs: DnsInputs) -> ControlFuture<'_, Result<DnsView, String>> {
        let addresses = inputs.domains.iter().map(ToString::to_string).collect();
        Box::pin(async move { Ok(DnsView { addresses, ..DnsView::default() }) })
    }
    fn server(&self) -> ServerView {
        ServerView::default()
    }
    fn submission(&self) -> SubmissionFacts {
        SubmissionFacts { host: "mx.x.test".into(), starttls_port: Some(587), tls_port: Some(465) }
    }
}
