//! Whether a JSON value is what a schema of `/openapi.json` says, as far as ours go.

use serde_json::{Map, Value};

/// What is wrong with `value`, each with its place; nothing if it fits. A field that the schema does
/// not name is wrong too: it would be missing in the description.
pub(crate) fn misfits(description: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    check(description, schema, value, "", &mut found);
    found
}

/// Follows a reference.
pub(crate) fn resolve<'a>(description: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => {
            let pointer = reference.strip_prefix('#').expect("a reference within");
            let target = description.pointer(pointer);
            resolve(
                description,
                target.unwrap_or_else(|| panic!("{reference} leads nowhere")),
            )
        }
        None => schema,
    }
}

fn check(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let schema = resolve(root, schema);
    for choice in ["oneOf", "anyOf"] {
        if let Some(choices) = schema.get(choice).and_then(Value::as_array) {
            let tried = choices.iter().map(|choice| {
                let mut wrong = Vec::new();
                check(root, choice, value, at, &mut wrong);
                wrong
            });
            let best = tried.min_by_key(Vec::len).unwrap_or_default();
            found.extend(best);
            return;
        }
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(several) => several.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    if !types.is_empty() && !types.iter().any(|name| is(name, value)) {
        found.push(format!("{at}: {value} is no {types:?}"));
        return;
    }
    if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
        && !allowed.contains(value)
    {
        found.push(format!("{at}: {value} is none of {allowed:?}"));
    }
    match value {
        Value::Array(values) => {
            if let Some(items) = schema.get("items") {
                for (n, value) in values.iter().enumerate() {
                    check(root, items, value, &format!("{at}[{n}]"), found);
                }
            }
        }
        Value::Object(fields) => check_fields(root, schema, fields, at, found),
        _ => {}
    }
}

fn check_fields(
    root: &Value,
    schema: &Value,
    fields: &Map<String, Value>,
    at: &str,
    found: &mut Vec<String>,
) {
    let (mut properties, mut required) = (Map::new(), Vec::new());
    gather(root, schema, &mut properties, &mut required);
    for name in required.iter().filter(|name| !fields.contains_key(*name)) {
        found.push(format!("{at}.{name} is missing"));
    }
    for (name, value) in fields {
        let further = schema.get("additionalProperties").filter(|f| f.is_object());
        match properties.get(name).or(further) {
            Some(schema) => check(root, schema, value, &format!("{at}.{name}"), found),
            // An object about which nothing is said.
            None if properties.is_empty() => {}
            None => found.push(format!("{at}.{name} is not described")),
        }
    }
}

/// The fields of an object that is made of several.
fn gather(
    root: &Value,
    schema: &Value,
    properties: &mut Map<String, Value>,
    required: &mut Vec<String>,
) {
    let schema = resolve(root, schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(root, part, properties, required);
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        properties.insert(name.clone(), schema.clone());
    }
    let names = schema["required"].as_array().into_iter().flatten();
    required.extend(names.filter_map(Value::as_str).map(str::to_owned));
}

fn is(name: &str, value: &Value) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

#[test]
fn what_does_not_fit_is_found() {
    let schema = serde_json::json!({
        "type": "object", "required": ["a"],
        "properties": {
            "a": {"type": ["integer", "null"]},
            "b": {"oneOf": [{"type": "null"}, {"$ref": "#/c"}]},
        },
    });
    let root = serde_json::json!({"c": {"type": "array", "items": {"type": "string"}}});
    let wrong = |value: Value| misfits(&root, &schema, &value);
    for good in [
        r#"{"a":1}"#,
        r#"{"a":null,"b":null}"#,
        r#"{"a":1,"b":["x"]}"#,
    ] {
        assert_eq!(
            wrong(serde_json::from_str(good).unwrap()),
            Vec::<String>::new()
        );
    }
    for bad in [
        "[]",
        "{}",
        r#"{"a":1.5}"#,
        r#"{"a":1,"b":[1]}"#,
        r#"{"a":1,"b":"x"}"#,
        r#"{"a":1,"z":1}"#,
    ] {
        assert_eq!(wrong(serde_json::from_str(bad).unwrap()).len(), 1, "{bad}");
    }
}
