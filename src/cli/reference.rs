//! The reference of the canary config for people, made of its JSON Schema: every field, its type, and what it says.

use std::fmt::Write as _;

use serde_json::Value;

/// The reference in Markdown, of a schema whose types lie in `$defs`.
pub(super) fn markdown(schema: &Value) -> String {
    let mut page = String::from(
        "# The canary config, field by field\n\nMade of the JSON Schema by `haldane schema --markdown`. A running service serves the schema at \
         `/v1/schema/canary-config.json`.\n",
    );
    section(&mut page, "The config", schema);
    for (name, definition) in entries(&schema["$defs"]) {
        section(&mut page, name, definition);
    }
    page
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn section(page: &mut String, name: &str, schema: &Value) {
    // Writing to a string cannot fail.
    let _ = write!(page, "\n## {name}\n\n");
    if !text(schema, "description").is_empty() {
        let _ = write!(page, "{}\n\n", text(schema, "description"));
    }
    if schema["properties"].is_object() {
        fields(page, schema);
    }
    for choice in ["oneOf", "anyOf"].iter().flat_map(|choice| schema[choice].as_array().into_iter().flatten()) {
        let _ = writeln!(page, "* {}{}", kind(choice), said(choice));
        if choice["properties"].is_object() && entries(&choice["properties"]).count() > 1 {
            page.push('\n');
            fields(page, choice);
            page.push('\n');
        }
    }
    if let Some(values) = schema["enum"].as_array() {
        let values: Vec<String> = values.iter().map(|value| format!("`{}`", plain(value))).collect();
        let _ = writeln!(page, "{}", values.join(", "));
    } else if schema["properties"].is_null() && schema["oneOf"].is_null() && schema["anyOf"].is_null() {
        let _ = writeln!(page, "Type: {}", kind(schema));
    }
}

fn fields(page: &mut String, schema: &Value) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str("| field | type | default | what it says |\n|---|---|---|---|\n");
    for (name, field) in entries(&schema["properties"]) {
        let default = match field.get("default") {
            _ if required.contains(&name.as_str()) => "required".to_owned(),
            Some(Value::Null) | None => String::new(),
            Some(value) if value.as_object().is_some_and(serde_json::Map::is_empty) => String::new(),
            Some(value) => format!("`{}`", plain(value)),
        };
        let said = text(field, "description").split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|");
        let _ = writeln!(page, "| `{name}` | {} | {default} | {said} |", kind(field));
    }
}

fn said(schema: &Value) -> String {
    match text(schema, "description") {
        "" => String::new(),
        description => format!(": {}", description.split_whitespace().collect::<Vec<_>>().join(" ")),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// The type in words, with a link to a section of this page.
fn kind(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next()) {
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
            let kinds: Vec<String> = choices.iter().filter(|choice| choice["type"] != "null").map(kind).collect();
            return kinds.join(" or ");
        }
    }
    if let Some(constant) = schema.get("const") {
        return format!("`{}`", plain(constant));
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().filter(|value| !value.is_null()).map(|value| format!("`{}`", plain(value))).collect::<Vec<_>>().join(", ");
    }
    let names: Vec<&str> = match schema.get("type") {
        Some(Value::String(name)) => vec![name],
        Some(Value::Array(names)) => names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        _ => vec!["any value"],
    };
    let bounds = |name: &str| match (schema.get("minimum").or(schema.get("exclusiveMinimum")), schema.get("maximum")) {
        (Some(low), Some(high)) if matches!(name, "integer" | "number") => format!(" {low} to {high}"),
        _ => String::new(),
    };
    let one = |name: &&str| match *name {
        "array" => format!("list of {}", schema.get("items").map_or_else(|| "values".to_owned(), kind)),
        "object" => match schema.get("additionalProperties").filter(|values| values.is_object()) {
            Some(values) => format!("map to {}", kind(values)),
            None => "object".to_owned(),
        },
        name => format!("{name}{}", bounds(name)),
    };
    names.iter().map(one).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_that_of_the_schema_and_has_every_field() {
        let schema = schemars::schema_for!(haldane_judges::CanaryConfig).to_value();
        let page = markdown(&schema);
        for (name, _) in entries(&schema["properties"]).chain(entries(&schema["$defs"]["Metric"]["properties"])) {
            assert!(page.contains(&format!("| `{name}` |")), "{name}");
        }
        assert!(!page.contains("any value |"), "a field without a type");
        let written = include_str!("../../docs/config.md");
        assert!(page == written, "docs/config.md is of another schema: run `make docs`");
    }
}
