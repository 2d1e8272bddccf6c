//! `/api/v1/openapi.json`: the OpenAPI 3.1 document, made from the table of routes and the types of the handlers.
//!
//! Invariant: it is the same in every build of one version, so that the committed copy (docs/openapi.json) can be compared.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::api::Failure;
use crate::context::ApiState;
use crate::describe::OperationFacts;
use crate::error::PROBLEM;
use crate::routes::{RouteRow, Routes};
use crate::server::BASE;
use crate::table;

/// The document of these routes.
#[derive(Debug, Clone, serde::Serialize, ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct OpenApiDocument(Value);

/// Returns the document of all routes as JSON text, as it is committed.
pub fn openapi() -> String {
    format!("{:#}\n", document(&table::all()))
}

pub(crate) async fn show(State(_): State<ApiState>) -> Json<OpenApiDocument> {
    Json(OpenApiDocument(document(&table::all())))
}

fn document(routes: &Routes) -> Value {
    let mut schemas: BTreeMap<String, Value> = BTreeMap::new();
    schemas.insert("Failure".into(), serde_json::to_value(<Failure as utoipa::PartialSchema>::schema()).unwrap_or_default());
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for row in routes.rows() {
        let mut facts = OperationFacts::default();
        (row.describe)(&mut facts);
        schemas.append(&mut facts.schemas);
        paths.entry(format!("{BASE}{}", row.path)).or_default().insert(row.method.into(), operation(row, &facts));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waypost",
            "version": "1",
            "description": "The API of a Waypost mail server. Requests need a token (`waypost token add`); errors are problems of RFC 9457 with the \
                            remedy as `hint`. Times are Unix milliseconds, sizes octets, addresses as operators write them.",
            "license": { "name": "Apache-2.0 OR MIT", "identifier": "Apache-2.0 OR MIT" },
        },
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer", "bearerFormat": "wpt_..." } },
        },
    })
}

fn operation(row: &RouteRow, facts: &OperationFacts) -> Value {
    let mut operation = Map::new();
    let words: Vec<&str> = row.path.split(['/', '{', '}', '-', '.']).filter(|word| !word.is_empty()).collect();
    operation.insert("operationId".into(), format!("{}_{}", row.method, words.join("_")).into());
    operation.insert("tags".into(), json!([words.first().copied().unwrap_or_default()]));
    operation.insert("summary".into(), row.summary.into());
    operation.insert("description".into(), who_may(row).into());
    let mut parameters: Vec<Value> = names_in(row.path).map(path_parameter).collect();
    parameters.extend(facts.query.iter().cloned());
    if row.method == "post" {
        parameters.push(idempotency_key());
    }
    if !parameters.is_empty() {
        operation.insert("parameters".into(), parameters.into());
    }
    if let Some((kind, schema)) = &facts.body {
        operation.insert("requestBody".into(), json!({ "required": true, "content": { *kind: { "schema": schema } } }));
    }
    operation.insert("responses".into(), responses(row, facts));
    Value::Object(operation)
}

fn who_may(row: &RouteRow) -> String {
    let scopes = row.access.scopes.names();
    match scopes.as_slice() {
        [] => "Only over the server's Unix socket.".into(),
        scopes => format!("Scope: {}.", scopes.join(" or ")),
    }
}

/// Returns the names of the parameters in a path.
fn names_in(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split('}').next())
}

fn path_parameter(name: &str) -> Value {
    let (meaning, example) = match name {
        "source" => ("The address of the alias, or @example.com for a catch-all.", "me@example.com"),
        "login" => ("The login of the account.", "me@example.com"),
        "domain" => ("The domain.", "example.com"),
        "id" => ("The number or queue ID.", "01jz8k3m5p7q9"),
        _ => ("The name.", "phone"),
    };
    json!({ "name": name, "in": "path", "required": true, "description": meaning, "schema": { "type": "string", "minLength": 1 }, "example": example })
}

fn idempotency_key() -> Value {
    json!({
        "name": "Idempotency-Key",
        "in": "header",
        "required": false,
        "description": "A text of the client's choice, unique for the request. A repetition within 24 hours gets the first answer and changes nothing.",
        "schema": { "type": "string", "minLength": 1, "maxLength": 200, "pattern": "^[!-~]+$" },
    })
}

fn responses(row: &RouteRow, facts: &OperationFacts) -> Value {
    let mut responses = Map::new();
    if let Some((status, kind, schema)) = &facts.answer {
        responses.insert((*status).into(), json!({ "description": "Done.", "content": { *kind: { "schema": schema } } }));
    }
    let has_input = facts.body.is_some() || !facts.query.is_empty() || row.path.contains('{');
    let statuses = [
        ("400", "The request is invalid.", has_input || row.method == "post"),
        ("401", "The request has no valid token.", true),
        ("403", "The token may not do this.", true),
        ("404", "The object does not exist, or the token may not know of it.", row.path.contains('{') || row.method != "get"),
        ("409", "The request contradicts the present state.", row.method != "get"),
        ("413", "The body is too large.", facts.body.is_some()),
        ("415", "The body is not JSON.", facts.body.is_some()),
        (
            "422",
            "The body does not have this form, or the Idempotency-Key belongs to another request.",
            row.method == "post" || facts.body.is_some(),
        ),
        ("429", "Too many requests with wrong tokens; Retry-After says when to try again.", true),
    ];
    let problem = json!({ PROBLEM: { "schema": { "$ref": "#/components/schemas/Failure" } } });
    for (status, meaning, _) in statuses.iter().filter(|(_, _, applies)| *applies) {
        responses.insert((*status).into(), json!({ "description": meaning, "content": problem }));
    }
    responses.insert("default".into(), json!({ "description": "The server failed, or cannot do this now.", "content": problem }));
    Value::Object(responses)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns all references in a value.
    fn references(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| match value.as_str().filter(|_| name == "$ref") {
                Some(reference) => into.push(reference.to_owned()),
                None => references(value, into),
            }),
            Value::Array(items) => items.iter().for_each(|item| references(item, into)),
            _ => {}
        }
    }

    #[test]
    fn every_route_is_described_and_every_reference_leads_somewhere() {
        let routes = table::all();
        let document = document(&routes);
        let mut ids = std::collections::BTreeSet::new();
        for row in routes.rows() {
            let operation = &document["paths"][format!("{BASE}{}", row.path)][row.method];
            assert!(ids.insert(operation["operationId"].to_string()), "two operations {}", operation["operationId"]);
            assert!(operation["responses"].get("401").is_some(), "{} {}", row.method, row.path);
            assert!(row.summary.chars().next().is_some_and(char::is_uppercase) && !row.summary.ends_with('.'), "{}", row.summary);
        }
        let mut found = Vec::new();
        references(&document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(document.pointer(pointer).is_some(), "nothing at {reference}");
        }
    }

    #[test]
    fn the_document_is_the_same_every_time() {
        assert_eq!(openapi(), openapi());
    }
}
