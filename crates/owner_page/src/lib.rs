//! The owner's page: HTML over HTTPS, a client of the control API.
//!
//! Invariant: what came from mail is text; each action is a form that works without JavaScript.
