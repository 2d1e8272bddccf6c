//! The registration of routes: method, path, access, handler and summary in one row.
//!
//! Invariant: each handler is behind the access of its row.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodFilter, on};

use crate::actor::{Access, authorize};
use crate::context::ApiState;

/// Routes, with their access.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<ApiState>,
}

impl Routes {
    /// Adds a route for GET.
    pub fn get<T: 'static>(self, path: &str, access: Access, handler: impl Handler<T, ApiState>, summary: &str) -> Self {
        self.add(MethodFilter::GET, path, access, handler, summary)
    }

    /// Adds a route for POST.
    pub fn post<T: 'static>(self, path: &str, access: Access, handler: impl Handler<T, ApiState>, summary: &str) -> Self {
        self.add(MethodFilter::POST, path, access, handler, summary)
    }

    /// Adds a route for PATCH.
    pub fn patch<T: 'static>(self, path: &str, access: Access, handler: impl Handler<T, ApiState>, summary: &str) -> Self {
        self.add(MethodFilter::PATCH, path, access, handler, summary)
    }

    /// Adds a route for DELETE.
    pub fn delete<T: 'static>(self, path: &str, access: Access, handler: impl Handler<T, ApiState>, summary: &str) -> Self {
        self.add(MethodFilter::DELETE, path, access, handler, summary)
    }

    fn add<T: 'static>(self, method: MethodFilter, path: &str, access: Access, handler: impl Handler<T, ApiState>, _summary: &str) -> Self {
        let route = on(method, handler).route_layer(from_fn_with_state(access, authorize));
        Self { router: self.router.route(path, route) }
    }

    /// Adds a route for POST that takes a message, whose handler limits its body itself.
    pub fn message<T: 'static>(self, path: &str, access: Access, handler: impl Handler<T, ApiState>, _summary: &str) -> Self {
        let limits = (from_fn_with_state(access, authorize), DefaultBodyLimit::disable());
        let route = on(MethodFilter::POST, handler).route_layer(limits.1).route_layer(limits.0);
        Self { router: self.router.route(path, route) }
    }

    /// Adds the submission of local mail, whose handler limits its body itself.
    pub fn submission<T: 'static>(self, path: &str, handler: impl Handler<T, ApiState>) -> Self {
        self.message(path, Access::LOCAL, handler, "")
    }

    /// Returns the router, without its prefix.
    pub fn into_router(self) -> Router<ApiState> {
        self.router
    }
}
