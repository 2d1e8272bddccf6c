//! The components that all screens are made of. A component takes text and gives HTML; whatever came from mail goes through [`hostile`].
//!
//! Invariant: no component makes a link or an image of a text from mail.

mod chart;
mod form;
mod hostile;
mod list;
mod mark;

pub(crate) use chart::{Bar, day_chart};
pub(crate) use form::{Field, action, button_form, careful, copyable, field, hidden};
pub(crate) use hostile::{address, cut, mono, visible, whole};
pub(crate) use list::{Column, chips, empty, live_search, pager, search_box, table};
pub(crate) use mark::{Mark, badge, card, facts, icon, icon_of, notice};
