//! The tables, which every engine has under the same names: what operations and queries do with them.
//!
//! Invariant: every function here runs in a transaction of its caller, so that a batch is on disk as a whole or not at all; its SQL is what SQLite and
//! PostgreSQL share.

mod accounts;
mod api_token;
mod claim;
mod clock_step;
mod daily;
mod directory;
mod door;
mod list;
mod load;
mod logins;
mod nodes;
mod outcomes;
mod queue;
mod reports;
mod shared;

pub use accounts::AccountChange;
pub(crate) use api_token::{api_tokens, change_tokens};
pub use claim::LaneDue;
pub(crate) use claim::{RetryScope, claim_each, end_of_retry_step, lanes, read_message, read_recipient, release_claims, retry, set_aside};
pub(crate) use clock_step::step_clock;
pub(crate) use daily::{change_daily, count_daily, daily_counts, daily_reports_due};
pub use directory::DirectoryChange;
pub(crate) use directory::{change_directory, load_directory, load_directory_beside_aliases};
pub(crate) use door::{change_door, one_time_link, page_sessions, passkey, passkeys, second_step};
pub(crate) use list::{list, totals};
pub(crate) use load::load;
pub use load::{LaneLoad, QueueLoad};
pub use logins::{KnownRecipient, LoginUse};
pub(crate) use logins::{known_recipients, logins, record_logins, record_recipients};
pub(crate) use nodes::{duty_owner, nodes};
pub(crate) use outcomes::{expire_held, insert_srs_sender, list_failed, release, set_noticed, srs_sender, unnoticed};
#[cfg(test)]
pub(crate) use queue::SELECT_CONTENT;
pub(crate) use queue::{
    ContentRow, content_row, drop_message, enqueue_each, first_state, has_any, highest_id, load_content, orcpt_text, ret_word, settle,
    settle_rest, signed,
};
pub(crate) use reports::{keep_report, list_reports, report};
pub(crate) use shared::{offer_shared, put_shared, remove_shared, shared, shared_list};
