//! The API's documentation as a page, from the OpenAPI document: readable without a network, and without a script.

use std::sync::LazyLock;

use axum::response::Response;
use maud::{Markup, html};
use serde_json::Value;

use super::super::frame::page;
use super::super::openapi::openapi_document;
use super::super::representation::TextDocument;

/// Schemas are shown so deep within each other; what is deeper is a link.
const DEPTH: usize = 2;

static PAGE: LazyLock<String> = LazyLock::new(|| page("API", None, &document(&openapi_document())));

/// The documentation of the API, for a browser.
pub(crate) async fn docs() -> Response {
    TextDocument::page(PAGE.clone()).into_response()
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn entries(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn document(api: &Value) -> Markup {
    html! {
        h1 { (text(&api["info"], "title")) " API" }
        (prose(text(&api["info"], "description")))
        p { "The same as a document for tools: " a href="/openapi.json" { "/openapi.json" } "." }
        @for tag in list(&api["tags"]) {
            h2 id=(text(tag, "name")) { (text(tag, "description")) }
            @for (path, methods) in entries(&api["paths"]) {
                @for (method, operation) in entries(methods) {
                    @if list(&operation["tags"]).iter().any(|one| one.as_str() == Some(text(tag, "name"))) { (route(path, method, operation)) }
                }
            }
        }
        h2 id="schemas" { "Schemas" }
        @for (name, schema) in entries(&api["components"]["schemas"]) {
            h3 id={ "schema-" (name) } { (name) }
            (described(schema))
            (shape(schema, DEPTH))
        }
    }
}

fn route(path: &str, method: &str, operation: &Value) -> Markup {
    html! {
        h3 id=(text(operation, "operationId")) { code { (method.to_uppercase()) " " (path) } }
        p { strong { (text(operation, "summary")) } }
        (prose(text(operation, "description")))
        @if !list(&operation["parameters"]).is_empty() {
            dl {
                @for parameter in list(&operation["parameters"]) {
                    dt { code { (text(parameter, "name")) } " " span.dim { (text(parameter, "in")) } }
                    dd { (line(text(parameter, "description"))) }
                }
            }
        }
        @if let Some((media, content)) = entries(&operation["requestBody"]["content"]).next() {
            p { "Body, " code { (media) } ": " (reference(&content["schema"])) }
            @for (name, example) in entries(&content["examples"]) {
                details { summary { "Example: " (text(example, "summary")) @if text(example, "summary").is_empty() { (name) } } pre { (pretty(&example["value"])) } }
            }
        }
        dl {
            @for (status, response) in entries(&operation["responses"]) {
                dt { code { (status) } }
                dd {
                    (line(text(response, "description")))
                    @for (media, content) in entries(&response["content"]) { " " span.dim { code { (media) } " " (reference(&content["schema"])) } }
                }
            }
        }
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_default()
}

fn described(schema: &Value) -> Markup {
    prose(text(schema, "description"))
}

/// A link to a schema, or its type in a word.
fn reference(schema: &Value) -> Markup {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str).and_then(|target| target.rsplit('/').next()) {
        return html! { a href={ "#schema-" (name) } { (name) } };
    }
    for field in ["anyOf", "oneOf", "allOf"] {
        if let Some(variants) = schema.get(field).and_then(Value::as_array) {
            return html! { @for (i, variant) in variants.iter().enumerate() { @if i > 0 { " or " } (reference(variant)) } };
        }
    }
    if let Some(items) = schema.get("items") {
        return html! { "list of " (reference(items)) };
    }
    if let Some(values) = schema.get("additionalProperties").filter(|values| values.is_object()) {
        return html! { "object of " (reference(values)) };
    }
    if let Some(constant) = schema.get("const") {
        return html! { code { (constant.to_string()) } };
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return html! { @for (i, value) in values.iter().enumerate() { @if i > 0 { ", " } code { (value.to_string()) } } };
    }
    match schema.get("type") {
        Some(Value::String(name)) => html! { (name) },
        Some(Value::Array(names)) => html! { (names.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")) },
        _ => html! { "any value" },
    }
}

/// The fields of an object, or the variants of a choice.
fn shape(schema: &Value, depth: usize) -> Markup {
    if depth == 0 {
        return html! {};
    }
    let required = |name: &str| list(&schema["required"]).iter().any(|one| one.as_str() == Some(name));
    html! {
        @if schema["properties"].is_object() {
            dl {
                @for (name, field) in entries(&schema["properties"]) {
                    dt { code { (name) } @if required(name) { " " span.dim { "required" } } }
                    dd { (reference(field)) @if !text(field, "description").is_empty() { ": " (line(text(field, "description"))) } (shape(field, depth - 1)) }
                }
            }
        } @else if !list(&schema["oneOf"]).is_empty() {
            ul { @for variant in list(&schema["oneOf"]) { li { (reference(variant)) @if !text(variant, "description").is_empty() { ": " (line(text(variant, "description"))) } (shape(variant, depth - 1)) } } }
        } @else if !list(&schema["enum"]).is_empty() {
            p { (reference(schema)) }
        }
    }
}

/// Paragraphs and blocks of code.
fn prose(text: &str) -> Markup {
    html! {
        @for (i, block) in text.split("```").enumerate() {
            @if i % 2 == 1 { pre { (block.split_once('\n').map_or(block, |(_, code)| code)) } }
            @else { @for paragraph in block.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) { p { (line(paragraph)) } } }
        }
    }
}

/// Text whose names stand between backticks.
fn line(text: &str) -> Markup {
    html! { @for (i, part) in text.split('`').enumerate() { @if i % 2 == 1 { code { (part) } } @else { (part) } } }
}
