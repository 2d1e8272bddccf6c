//! The table of all routes: method, path under `/api/v1`, who may use it, handler, summary.
//!
//! A new route is one row here. Invariant: access is decided here and nowhere else; a row with `by_domain` has a handler that shows and changes only what
//! belongs to the actor's domains, and one with [`Scopes::OWN`] only what belongs to its account ([`crate::Actor::limited_to`]).

use crate::actor::{Access, Scopes};
use crate::routes::Routes;
use crate::{
    accounts, aliases, certificates, confirmations, dns, domains, explain, facts, health, held, history, history_follow, import, keys,
    messages, metrics, nodes, notices, openapi, pauses, queue, random_alias, reports, senders, server, targets, test_message, tokens, web,
};

/// Whatever can be read, except for aliases and the queue.
const READ: Access = Access::of(Scopes::READ);

/// Whatever no other scope allows.
const ADMIN: Access = Access::of(Scopes::ADMIN);

const SEE_DOMAINS: Access = Access::of(Scopes::READ.and(Scopes::ALIASES)).by_domain();
const SEE_ALIASES: Access = Access::of(Scopes::READ.and(Scopes::ALIASES).and(Scopes::OWN)).by_domain();
const ALL_ALIASES: Access = Access::of(Scopes::READ.and(Scopes::ALIASES));
const ADD_ALIASES: Access = Access::of(Scopes::ALIASES).by_domain();
const CHANGE_ALIASES: Access = Access::of(Scopes::ALIASES.and(Scopes::OWN)).by_domain();
const IMPORT_ALIASES: Access = Access::of(Scopes::ALIASES);

const SEE_ACCOUNT: Access = Access::of(Scopes::READ.and(Scopes::OWN)).by_domain();
const OWN_PASSWORDS: Access = Access::of(Scopes::OWN).by_domain();

/// Whoever has credentials.
const ANYONE: Access = Access::of(Scopes::READ.and(Scopes::ALIASES).and(Scopes::QUEUE).and(Scopes::OWN)).by_domain();

const SEE_QUEUE: Access = Access::of(Scopes::READ.and(Scopes::QUEUE));
const QUEUE: Access = Access::of(Scopes::QUEUE);

/// Returns all routes.
pub(crate) fn all() -> Routes {
    history_routes(server_routes(mail_routes(page_routes(account_routes(alias_routes(Routes::default()))))))
}

fn history_routes(routes: Routes) -> Routes {
    routes
        .get("/history", READ, history::list, "List events")
        .get("/history/messages", READ, history::messages, "Find messages by any clue")
        .get("/history/messages/{id}", READ, history::message, "Show the events of a message")
        .get("/history/totals", READ, history::totals, "Count events by hour or day")
        .get("/history/aliases", SEE_ALIASES, history::aliases, "Show how aliases are used")
        .get("/history/aliases/{source}", SEE_ALIASES, history::alias, "Show how an alias is used")
        .get("/history/follow", READ, history_follow::follow, "Follow events as they happen")
}

fn alias_routes(routes: Routes) -> Routes {
    routes
        .get("/domains", SEE_DOMAINS, domains::list, "List the hosted domains")
        .post("/domains", ADMIN, domains::add, "Host a domain")
        .delete("/domains/{name}", ADMIN, domains::remove, "Remove a domain")
        .get("/aliases", SEE_ALIASES, aliases::list, "List aliases")
        .post("/aliases", ADD_ALIASES, aliases::add, "Add or replace an alias")
        .get("/aliases/{source}", SEE_ALIASES, aliases::show, "Show an alias")
        .patch("/aliases/{source}", CHANGE_ALIASES, aliases::enable, "Enable or disable an alias")
        .delete("/aliases/{source}", ADD_ALIASES, aliases::remove, "Remove an alias")
        .patch("/aliases/{source}/options", CHANGE_ALIASES, aliases::set_options, "Change options of an alias")
        .post("/aliases/random", CHANGE_ALIASES, random_alias::add, "Make a throw-away address")
        .patch("/aliases/{source}/senders", CHANGE_ALIASES, senders::change, "Block senders of an alias, or never hold their mail")
        .get("/aliases/test", ALL_ALIASES, aliases::test, "Show where mail to an address goes")
        .get("/aliases/targets", ALL_ALIASES, targets::all, "Check the domains of all targets in DNS")
        .get("/aliases/virtual-file", ALL_ALIASES, aliases::virtual_file, "Show what is wrong in the virtual file")
        .post("/aliases/import", IMPORT_ALIASES, import::import, "Import aliases in the format of virtual(5)")
        .get("/aliases/export", ALL_ALIASES, import::export, "Export all aliases in the format of virtual(5)")
}

fn account_routes(routes: Routes) -> Routes {
    routes
        .get("/accounts", READ, accounts::list, "List accounts")
        .post("/accounts", ADMIN, accounts::add, "Add an account")
        .post("/accounts/import", ADMIN, accounts::import, "Import accounts of another server")
        .get("/accounts/{login}", SEE_ACCOUNT, accounts::show, "Show an account")
        .patch("/accounts/{login}", ADMIN, accounts::change, "Change an account")
        .delete("/accounts/{login}", ADMIN, accounts::remove, "Remove an account")
        .post("/accounts/{login}/passwords", OWN_PASSWORDS, accounts::set_password, "Set the password of a client")
        .delete("/accounts/{login}/passwords/{name}", OWN_PASSWORDS, accounts::remove_password, "Remove the password of a client")
        .post("/accounts/{login}/verify", ADMIN, accounts::verify, "Check a password")
        .post("/accounts/{login}/certificates", ADMIN, accounts::add_certificate, "Add a client certificate")
        .delete("/accounts/{login}/certificates/{name}", OWN_PASSWORDS, accounts::remove_certificate, "Remove a client certificate")
}

fn page_routes(routes: Routes) -> Routes {
    routes
        .get("/web", READ, web::show, "Show where the owner's page is")
        .post("/web/links", ADMIN, web::login_link, "Make a one-time link to log in to the owner's page")
        .get("/web/sessions", ADMIN, web::sessions, "List the sessions of the owner's page")
        .post("/accounts/{login}/invitations", ADMIN, web::invite, "Make a one-time link to choose the password of an account")
        .delete("/accounts/{login}/sessions", ADMIN, web::end_sessions, "End the sessions of an account on the owner's page")
        .delete("/accounts/{login}/second-step", ADMIN, web::remove_second_step, "Remove the second step of an account")
}

fn mail_routes(routes: Routes) -> Routes {
    routes
        .get("/queue", SEE_QUEUE, queue::list, "List queued messages")
        .get("/queue/totals", SEE_QUEUE, queue::totals, "Show the size of the queue")
        .get("/queue/lanes", SEE_QUEUE, queue::lanes, "Show what waits, by lane and by age")
        .post("/queue/retry", QUEUE, queue::retry, "Retry now")
        .get("/queue/{id}", SEE_QUEUE, queue::show, "Show a queued message")
        .delete("/queue/{id}", QUEUE, queue::remove, "Drop a message or one of its recipients")
        .get("/pauses", SEE_QUEUE, pauses::list, "List paused mailboxes and hosts")
        .post("/pauses/resume", QUEUE, pauses::resume, "End a pause")
        .message("/messages", Access::LOCAL, messages::submit, "Submit a message of a local user")
        .message("/explain", SEE_QUEUE, explain::explain, "Explain what would happen to a message")
        .get("/confirmations", READ, confirmations::list, "List the messages by which Gmail confirms an address")
        .get("/held", SEE_QUEUE, held::list, "List held messages")
        .get("/held/{id}", SEE_QUEUE, held::show, "Show a held message")
        .delete("/held/{id}", QUEUE, held::remove, "Drop a held message")
        .post("/held/{id}/release", QUEUE, held::release, "Release a held message")
        .get("/failed", SEE_QUEUE, held::failed, "List deliveries that failed without a DSN")
        .get("/reports", READ, reports::list, "List DMARC and TLS reports")
        .get("/reports/summary", READ, reports::summary, "Summarize reports")
        .get("/reports/{id}", READ, reports::show, "Show a report")
}

fn server_routes(routes: Routes) -> Routes {
    routes
        .get("/keys", READ, keys::list, "List DKIM keys")
        .post("/keys", ADMIN, keys::add, "Make the DKIM keys of a domain")
        .post("/keys/test", READ, keys::test, "Test the DKIM keys against DNS")
        .delete("/keys/{domain}", ADMIN, keys::remove, "Remove DKIM keys")
        .post("/keys/{domain}/rotate", ADMIN, keys::rotate, "Take the next step of a key rotation")
        .get("/certificates", READ, certificates::list, "List certificates")
        .post("/certificates/renew", ADMIN, certificates::renew, "Renew certificates")
        .get("/tokens", ADMIN, tokens::list, "List the tokens of the API")
        .post("/tokens", ADMIN, tokens::add, "Make a token")
        .delete("/tokens/{name}", ADMIN, tokens::remove, "Remove a token")
        .get("/openapi.json", ANYONE, openapi::show, "Show this document")
        .get("/health", READ, health::show, "Show what the last check of everything found")
        .post("/health/check", READ, health::check, "Check everything in the background")
        .get("/health/findings", ADMIN, health::run, "Run all checks now, and show each finding as it is found")
        .post("/health/names", Access::LOCAL, health::name, "Name the sessions of a check, which the history then leaves out")
        .get("/dns", READ, dns::show, "List the DNS records that are needed, with their states")
        .post("/dns/check", READ, dns::check, "Compare DNS with the records that are needed")
        .get("/server", READ, facts::server, "Show the server and the settings in force")
        .get("/send-as", READ, facts::send_as, "Show what to enter in Gmail's form")
        .post("/test-message", ADMIN, test_message::send, "Send a test message")
        .get("/status", READ, server::status, "Show the state of the server")
        .get("/metrics", READ, metrics::show, "Show the metrics, as Prometheus text or OpenMetrics")
        .get("/nodes", READ, nodes::list, "List the nodes of this server")
        .post("/nodes/{name}/drain", ADMIN, nodes::drain, "Stop a node taking new mail")
        .post("/nodes/{name}/resume", ADMIN, nodes::resume, "Let a node take new mail again")
        .delete("/nodes/{name}", ADMIN, nodes::remove, "Remove a node that is gone for good")
        .post("/notices/test", ADMIN, notices::test, "Send a test notice to the owner")
        .post("/reload", ADMIN, server::reload, "Read the configuration again")
}
