//! The options of an alias, as a merge patch (RFC 7396).
//!
//! Invariant: its schema has the members of [`AliasOptions`], with the words that it accepts.

use directory::{NOTE_MAX, SENDERS_MAX, StrictDomain};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::{PartialSchema, ToSchema};

/// Options of an alias to change: a value sets one, null unsets it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AliasPatch(pub Map<String, Value>);

impl PartialSchema for AliasPatch {
    fn schema() -> RefOr<Schema> {
        let text_or_null = || ObjectBuilder::new().schema_type(SchemaType::from_iter([Type::String, Type::Null]));
        let words = StrictDomain::WORDS.iter().map(|(_, word)| Value::from(*word)).chain([Value::Null]);
        let strict = text_or_null().enum_values(Some(words)).description(Some(
            "What to do with mail of a domain with a strict DMARC policy that would fail at the target; null: as configured.",
        ));
        let note = text_or_null()
            .max_length(Some(NOTE_MAX))
            .pattern(Some("^[^\\u0000-\\u001f\\u007f-\\u009f]*$"))
            .description(Some("What the owner notes about it, on one line."));
        let senders = |what| {
            let sender = ObjectBuilder::new().schema_type(Type::String).pattern(Some("@"));
            ArrayBuilder::new()
                .items(sender)
                .max_items(Some(SENDERS_MAX))
                .schema_type(SchemaType::from_iter([Type::Array, Type::Null]))
                .description(Some(what))
        };
        let blocked = senders("Senders whose mail is refused: addresses, or @ and a domain.");
        let allowed = senders("Senders of the From field whose mail is never held.");
        let texts = ObjectBuilder::new().property("strict_domain", strict).property("note", note);
        texts.property("blocked", blocked).property("allowed", allowed).into()
    }
}

impl ToSchema for AliasPatch {}

#[cfg(test)]
mod tests {
    use directory::AliasOptions;

    use super::*;

    #[test]
    fn the_schema_has_every_option() {
        let senders = directory::SenderList::try_from(vec!["@x.test".to_owned()]);
        let all = AliasOptions {
            strict_domain: Some(StrictDomain::Hold),
            note: Some("a shop".into()),
            blocked: senders.clone().ok(),
            allowed: senders.ok(),
        };
        let schema = serde_json::to_value(AliasPatch::schema()).unwrap();
        let described: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        let mut members: Vec<String> = all.members().keys().cloned().collect();
        members.sort_by_key(|name| described.iter().position(|known| *known == name));
        assert_eq!(described, members.iter().collect::<Vec<_>>());
    }
}
