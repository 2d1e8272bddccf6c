//! What a handler takes and answers, read from its types for the OpenAPI document.
//!
//! Invariant: the document cannot say another thing than the code: a route compiles only if each argument and the result describe themselves.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{ConnectInfo, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::schema::Schema;
use utoipa::{IntoParams, ToSchema};

use crate::actor::Actor;
use crate::error::ApiError;
use crate::extract::{Body, Params};

/// What is known of an operation.
#[derive(Debug, Default)]
pub(crate) struct OperationFacts {
    /// The parameters of the query.
    pub query: Vec<Value>,
    /// The request body: media type and schema.
    pub body: Option<(&'static str, Value)>,
    /// The answer when all is well: status, media type and schema.
    pub answer: Option<(&'static str, &'static str, Value)>,
    /// The schemas that it refers to.
    pub schemas: BTreeMap<String, Value>,
}

impl OperationFacts {
    /// Returns a reference to the schema of a type, and keeps the schema.
    fn schema_of<T: ToSchema>(&mut self) -> Value {
        let mut schemas: Vec<(String, RefOr<Schema>)> = Vec::new();
        T::schemas(&mut schemas);
        let name = T::name().into_owned();
        schemas.push((name.clone(), T::schema()));
        self.schemas.extend(schemas.into_iter().map(|(name, schema)| (name, serde_json::to_value(schema).unwrap_or_default())));
        json!({ "$ref": format!("#/components/schemas/{name}") })
    }
}

/// A handler that describes itself; `T` is the tuple of its arguments, as in [`axum::handler::Handler`].
pub(crate) trait Described<T> {
    /// Adds what it takes and answers.
    fn describe(facts: &mut OperationFacts);
}

/// An argument of a handler.
pub(crate) trait Argument {
    /// Adds what it takes.
    fn describe(facts: &mut OperationFacts);
}

/// A result of a handler.
pub(crate) trait Answer {
    /// Adds what it answers.
    fn describe(facts: &mut OperationFacts);
}

macro_rules! described {
    ($($argument:ident),*) => {
        impl<F, Fut, M, $($argument,)*> Described<(M, $($argument,)*)> for F
        where
            F: Fn($($argument),*) -> Fut,
            Fut: Future<Output: Answer>,
            $($argument: Argument,)*
        {
            fn describe(_facts: &mut OperationFacts) {
                $($argument::describe(_facts);)*
                <Fut::Output as Answer>::describe(_facts);
            }
        }
    };
}

impl<F, Fut> Described<((),)> for F
where
    F: Fn() -> Fut,
    Fut: Future<Output: Answer>,
{
    fn describe(facts: &mut OperationFacts) {
        <Fut::Output as Answer>::describe(facts);
    }
}

described!(A);
described!(A, B);
described!(A, B, C);
described!(A, B, C, D);
described!(A, B, C, D, E);
described!(A, B, C, D, E, G);
described!(A, B, C, D, E, G, H);
described!(A, B, C, D, E, G, H, I);

/// Clients do not send it.
impl<T> Argument for State<T> {
    fn describe(_: &mut OperationFacts) {}
}

/// The path of the row names its parameters.
impl<T> Argument for Path<T> {
    fn describe(_: &mut OperationFacts) {}
}

/// Clients do not send it.
impl<T> Argument for ConnectInfo<T> {
    fn describe(_: &mut OperationFacts) {}
}

/// Clients do not send it.
impl Argument for Actor {
    fn describe(_: &mut OperationFacts) {}
}

impl<T: IntoParams> Argument for Params<T> {
    fn describe(facts: &mut OperationFacts) {
        let parameters = T::into_params(|| Some(ParameterIn::Query));
        facts.query.extend(parameters.iter().map(|parameter| serde_json::to_value(parameter).unwrap_or_default()));
    }
}

impl<T: ToSchema> Argument for Body<T> {
    fn describe(facts: &mut OperationFacts) {
        let schema = facts.schema_of::<T>();
        facts.body = Some(("application/json", schema));
    }
}

/// Fields of the header that the handler reads itself.
impl Argument for HeaderMap {
    fn describe(_: &mut OperationFacts) {}
}

/// A body that the handler reads itself.
impl Argument for Request {
    fn describe(facts: &mut OperationFacts) {
        facts.body = Some(("application/octet-stream", json!({})));
    }
}

impl<T: ToSchema> Answer for Json<T> {
    fn describe(facts: &mut OperationFacts) {
        let schema = facts.schema_of::<T>();
        facts.answer = Some(("200", "application/json", schema));
    }
}

/// An answer with a status of its own.
impl<T: ToSchema> Answer for (StatusCode, Json<T>) {
    fn describe(facts: &mut OperationFacts) {
        let schema = facts.schema_of::<T>();
        facts.answer = Some(("2XX", "application/json", schema));
    }
}

/// An answer of another form, such as server-sent events.
impl Answer for Response {
    fn describe(facts: &mut OperationFacts) {
        facts.answer = Some(("200", "*/*", json!({})));
    }
}

impl<T: Answer> Answer for Result<T, ApiError> {
    fn describe(facts: &mut OperationFacts) {
        T::describe(facts);
    }
}
