//! What code generators need of a schema, beyond what schemars writes of a type.
//!
//! schemars tells the variants of an enum apart by a `const` each, so as to keep their descriptions, and a field that may be left out of a
//! reply from one that may be null not at all. Generators make types of `enum`s, defaults that hold and fields that are what they say.

use serde_json::{Map, Value};

/// Numbers up to which a format reaches.
const LARGEST: [(&str, u64); 4] = [("uint16", u16::MAX as u64), ("uint32", u32::MAX as u64), ("uint64", u64::MAX), ("uint", u64::MAX)];

/// Makes schemas plain: one `enum` of several texts, arrays of one kind of item, no default of null, formats that are registered, with the bound that each means.
pub(super) fn make_plain(schema: &mut Value) {
    visit(schema, &mut |fields| {
        if fields.get("default").is_some_and(Value::is_null) {
            fields.remove("default");
        }
        if let Some(largest) = fields.get("format").and_then(|format| LARGEST.iter().find(|(name, _)| format == name)) {
            fields.insert("format".to_owned(), if largest.0 == "uint" { "uint64" } else { largest.0 }.into());
            fields.entry("maximum").or_insert(largest.1.into());
        }
        if let Some(items) = fields.get("prefixItems").and_then(Value::as_array)
            && let [first, rest @ ..] = items.as_slice()
            && rest.iter().all(|item| item == first)
        {
            let first = first.clone();
            fields.remove("prefixItems");
            fields.insert("items".to_owned(), first);
        }
        join_texts(fields);
    });
}

/// Says of a reply's fields that may be left out that they are never null: what is none is left out.
pub(super) fn make_absent(schema: &mut Value) {
    visit(schema, &mut |fields| {
        let required: Vec<String> =
            fields.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
        for (_, property) in properties.into_iter().flatten().filter(|(name, _)| !required.contains(name)) {
            never_null(property);
        }
    });
}

/// Takes null out of what a schema allows.
pub(super) fn never_null(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else { return };
    if let Some(types) = fields.get_mut("type").and_then(Value::as_array_mut) {
        types.retain(|kind| kind != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            fields.insert("type".to_owned(), only);
        }
    }
    if let Some(variants) = fields.get_mut("anyOf").and_then(Value::as_array_mut) {
        variants.retain(|variant| variant["type"] != "null");
        if let [Value::Object(only)] = variants.as_slice() {
            let only = only.clone();
            fields.remove("anyOf");
            for (name, value) in only {
                fields.entry(name).or_insert(value);
            }
        }
    }
}

/// Gives variants that are objects a name of their own: that of the type with that of the variant, by which generators call what they make.
pub(super) fn name_variants(schemas: &mut Map<String, Value>) {
    let mut named = Map::new();
    for (name, schema) in schemas.iter_mut() {
        let Some(variants) = schema.get_mut("oneOf").and_then(Value::as_array_mut) else { continue };
        for variant in variants {
            let Some(properties) = variant["properties"].as_object() else { continue };
            // Told apart by a field that says the kind, or by the only field.
            let kind = properties.values().find_map(|property| property["const"].as_str());
            let Some(word) = kind.or_else(|| properties.keys().next().map(String::as_str)) else { continue };
            let own = format!("{name}{}", capitalised(word));
            let reference = serde_json::json!({ "$ref": format!("#/components/schemas/{own}") });
            named.insert(own, std::mem::replace(variant, reference));
        }
    }
    for (name, schema) in named {
        schemas.entry(name).or_insert(schema);
    }
}

/// `two_words` as `TwoWords`.
fn capitalised(words: &str) -> String {
    words.split('_').flat_map(|word| word.chars().take(1).flat_map(char::to_uppercase).chain(word.chars().skip(1))).collect()
}

/// Calls `change` for every object of a schema, the outer ones first.
fn visit(schema: &mut Value, change: &mut impl FnMut(&mut Map<String, Value>)) {
    match schema {
        Value::Object(fields) => {
            change(fields);
            fields.values_mut().for_each(|value| visit(value, change));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| visit(item, change)),
        _ => {}
    }
}

/// Joins the variants that are one text each into an `enum`, and their descriptions into its own.
fn join_texts(fields: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = fields.get("oneOf") else { return };
    let (texts, others): (Vec<Value>, Vec<Value>) = variants.iter().cloned().partition(|variant| variant["const"].is_string());
    if texts.is_empty() {
        return;
    }
    let line = |variant: &Value| {
        let text = variant["const"].as_str().unwrap_or_default();
        variant["description"].as_str().map(|description| format!("\n* `{text}`: {description}"))
    };
    let lines: String = texts.iter().filter_map(line).collect();
    let names: Vec<Value> = texts.iter().map(|variant| variant["const"].clone()).collect();
    let mut joined = Map::new();
    joined.insert("type".to_owned(), "string".into());
    joined.insert("enum".to_owned(), names.into());
    if others.is_empty() {
        let described = fields.get("description").and_then(Value::as_str).unwrap_or_default();
        joined.insert("description".to_owned(), format!("{described}\n{lines}").trim().into());
        fields.remove("oneOf");
        fields.extend(joined);
    } else {
        joined.insert("description".to_owned(), lines.trim().into());
        let variants: Vec<Value> = std::iter::once(Value::Object(joined)).chain(others).collect();
        fields.insert("oneOf".to_owned(), variants.into());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plain(mut schema: Value) -> Value {
        make_plain(&mut schema);
        schema
    }

    #[test]
    fn variants_that_are_texts_become_one_enum_with_their_descriptions() {
        let text = |name: &str| json!({ "const": name, "type": "string", "description": format!("Is {name}.") });
        let all = plain(json!({ "description": "A word.", "oneOf": [text("a"), text("b")] }));
        assert_eq!(all, json!({ "description": "A word.\n\n* `a`: Is a.\n* `b`: Is b.", "type": "string", "enum": ["a", "b"] }));
        let object = json!({ "type": "object", "properties": { "c": { "type": "integer" } } });
        let some = plain(json!({ "oneOf": [text("a"), object, text("b")] }));
        let joined = json!({ "type": "string", "enum": ["a", "b"], "description": "* `a`: Is a.\n* `b`: Is b." });
        assert_eq!(some, json!({ "oneOf": [joined, object] }));
    }

    #[test]
    fn no_default_is_null_and_a_format_has_its_bound() {
        assert_eq!(plain(json!({ "type": ["string", "null"], "default": null })), json!({ "type": ["string", "null"] }));
        assert_eq!(plain(json!({ "default": 0, "format": "uint32" })), json!({ "default": 0, "format": "uint32", "maximum": u32::MAX }));
        assert_eq!(plain(json!({ "format": "uint32", "maximum": 14 })), json!({ "format": "uint32", "maximum": 14 }));
        assert_eq!(plain(json!({ "format": "uint" })), json!({ "format": "uint64", "maximum": u64::MAX }));
    }

    #[test]
    fn a_pair_of_one_kind_is_an_array_of_two() {
        let number = json!({ "type": "number" });
        let pair = json!({ "prefixItems": [number, number], "minItems": 2, "maxItems": 2 });
        assert_eq!(plain(pair), json!({ "items": number, "minItems": 2, "maxItems": 2 }));
        let mixed = json!({ "prefixItems": [number, { "type": "string" }] });
        assert_eq!(plain(mixed.clone()), mixed);
    }

    #[test]
    fn variants_that_are_objects_are_named_after_the_type_and_their_kind() {
        let by_kind = json!({ "type": "object", "properties": { "kind": { "const": "wait" }, "minutes": { "type": "integer" } } });
        let by_field = json!({ "type": "object", "properties": { "two_words": { "type": "string" } } });
        let mut schemas = Map::from_iter([("Remedy".to_owned(), json!({ "oneOf": [by_kind, by_field, { "type": "string" }] }))]);
        name_variants(&mut schemas);
        let named = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
        assert_eq!(schemas["Remedy"], json!({ "oneOf": [named("RemedyWait"), named("RemedyTwoWords"), { "type": "string" }] }));
        assert_eq!((&schemas["RemedyWait"], &schemas["RemedyTwoWords"]), (&by_kind, &by_field));
    }

    #[test]
    fn what_may_be_left_out_is_never_null_and_what_may_not_may_be() {
        let may = |also: Value| json!({ "anyOf": [{ "$ref": "#/x" }, also], "description": "It." });
        let mut schema = json!({
            "required": ["there"],
            "properties": {
                "there": { "type": ["number", "null"] },
                "perhaps": { "type": ["number", "null"] },
                "other": may(json!({ "type": "null" })),
                "several": may(json!({ "type": "string" }))
            }
        });
        make_absent(&mut schema);
        assert_eq!(schema["properties"]["there"], json!({ "type": ["number", "null"] }));
        assert_eq!(schema["properties"]["perhaps"], json!({ "type": "number" }));
        assert_eq!(schema["properties"]["other"], json!({ "$ref": "#/x", "description": "It." }));
        assert_eq!(schema["properties"]["several"], may(json!({ "type": "string" })));
    }
}
