//! Message authentication against public suites and against a name server that answers, lies and keeps silent.

mod arc;
mod dkim;
mod evaluate;
mod name_server;
mod spf;
mod suite;
