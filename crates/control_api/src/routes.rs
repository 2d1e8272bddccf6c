//! The registration of routes: method, path, access, handler and summary in one row.
//!
//! Invariant: each handler is behind the access of its row.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodFilter, MethodRouter, on};

use crate::actor::{Access, authorize};
use crate::context::ApiState;
use crate::describe::{Described, OperationFacts};
use crate::idempotency::replay;

/// Routes, with their access and description.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<ApiState>,
    rows: Vec<RouteRow>,
}

/// What is known of a route.
pub(crate) struct RouteRow {
    /// The method, in lower case.
    pub method: &'static str,
    /// The path, without the prefix.
    pub path: &'static str,
    /// Who may use it.
    pub access: Access,
    /// What it does, in words.
    pub summary: &'static str,
    /// Describes what it takes and answers.
    pub describe: fn(&mut OperationFacts),
}

macro_rules! methods {
    ($($name:ident $filter:ident $method:literal;)+) => {
        $(
            #[doc = concat!("Adds a route for ", $method, ".")]
            pub fn $name<T, H>(self, path: &'static str, access: Access, handler: H, summary: &'static str) -> Self
            where
                T: 'static,
                H: Handler<T, ApiState> + Described<T>,
            {
                let route = on(MethodFilter::$filter, handler);
                let route = if $method == "post" { route.route_layer(from_fn(replay)) } else { route };
                let row = RouteRow { method: $method, path, access, summary, describe: <H as Described<T>>::describe };
                self.with(route, row)
            }
        )+
    };
}

impl Routes {
    methods! {
        get GET "get";
        post POST "post";
        patch PATCH "patch";
        delete DELETE "delete";
    }

    /// Adds a route for POST that takes a message, whose handler limits its body itself.
    pub fn message<T, H>(self, path: &'static str, access: Access, handler: H, summary: &'static str) -> Self
    where
        T: 'static,
        H: Handler<T, ApiState> + Described<T>,
    {
        let route = on(MethodFilter::POST, handler).route_layer(DefaultBodyLimit::disable());
        self.with(route, RouteRow { method: "post", path, access, summary, describe: <H as Described<T>>::describe })
    }

    fn with(mut self, route: MethodRouter<ApiState>, row: RouteRow) -> Self {
        // The last layer is the first to see a request.
        self.router = self.router.route(row.path, route.route_layer(from_fn_with_state(row.access, authorize)));
        self.rows.push(row);
        self
    }

    /// Returns the rows, in the order of the table.
    pub fn rows(&self) -> &[RouteRow] {
        &self.rows
    }

    /// Returns the router, without its prefix.
    pub fn into_router(self) -> Router<ApiState> {
        self.router
    }
}
