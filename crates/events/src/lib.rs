//! The events of the server: what happened to a message, a session, a login, the directory or the server itself, and the words for it.
//!
//! Log lines, history, metrics, notices and the owner's page all take their words from [`EventKind`]. Pure: no clock, files, sockets, runtime.
//! Invariant: recording an event waits for nothing, and a sink that fails loses events, never mail.

mod event;
mod evidence;
mod fact;
mod kind;
mod reference;
mod sink;
mod story;

pub use event::Event;
pub use evidence::authentication;
pub use fact::Fact;
pub use kind::{EventKind, Group, Level};
pub use reference::reference;
pub use sink::{EventSink, Events};
pub use story::{StoryEntry, StoryLine, duration, one_event, plain, tell};
