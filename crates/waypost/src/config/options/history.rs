//! Options about the history.

use serde::Deserialize;

use super::super::option_row::{OptionInForce, OptionPart, OptionRow};
use super::super::values::{Int, OptionKind};
use super::section;

section!("[history]", "The history: what happened to each message, for `waypost trace`, `waypost log` and the page. A change needs a restart.", HistoryOptions, [], {
    /// Whether a history is kept, in history.db in data_dir. Without it, `waypost trace` finds nothing.
    enabled: bool = true;
    /// How long events are kept, in days; the oldest are removed in steps of a fifteenth of this.
    days: Int<1, 3650> = Int(30);
    /// Maximum size of the history, in MiB; beyond it the oldest events are removed earlier. An event takes about 350 octets. At most a quarter of it is
    /// used for refused connections, recipients and logins.
    max_mib: Int<16, 1_000_000> = Int(512);
    /// Whether the subjects of messages are kept, so that they can be found by them.
    subjects: bool = false;
});
