//! The JSON Schema of the config, and the few questions that the other outputs ask of it.
//!
//! Source: JSON Schema draft 2020-12.

use gateway_core::config::Config;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value};

/// The schema of a whole config. Filters are a union that `use` tells apart.
pub fn of_config() -> Value {
    let generator = SchemaSettings::draft2020_12().into_generator();
    let mut schema = generator.into_root_schema_for::<Config>().to_value();
    drop_widths(&mut schema);
    schema["title"] = "Ironsluice config".into();
    schema
}

/// The same for editors, which see a file before variables are filled in: `${NAME}` may stand for a text of
/// any form, and alone for a number or a boolean. (The words of a choice are listed, and no variable is.)
pub fn with_variables(mut schema: Value) -> Value {
    admit_variables(&mut schema);
    schema
}

fn admit_variables(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let scalar = matches!(
                kind(&Value::Object(map.clone())),
                Some("integer" | "number" | "boolean")
            );
            if let Some(Value::String(pattern)) = map.get_mut("pattern") {
                pattern.push_str(r"|\$\{");
            } else if scalar {
                let kinds = match map.remove("type") {
                    Some(Value::Array(kinds)) => kinds,
                    one => one.into_iter().collect(),
                };
                let kinds = kinds.into_iter().chain(["string".into()]).collect();
                map.insert("type".into(), Value::Array(kinds));
                map.insert("pattern".into(), r"^\$\{.*\}$".into());
            }
            map.values_mut().for_each(admit_variables);
        }
        Value::Array(items) => items.iter_mut().for_each(admit_variables),
        _ => {}
    }
}

/// The definitions, by name.
pub fn definitions(schema: &Value) -> &Map<String, Value> {
    static NONE: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
    schema
        .get("$defs")
        .and_then(Value::as_object)
        .unwrap_or_else(|| NONE.get_or_init(Map::new))
}

/// The name of the definition that `schema` is a link to.
pub fn link(schema: &Value) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

/// What `schema` says, through links.
pub fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match link(schema).and_then(|name| definitions(root).get(name)) {
        Some(there) => resolve(root, there),
        None => schema,
    }
}

/// The alternatives of a union, without "nothing": a key that may be left out need not say it.
pub fn alternatives(schema: &Value) -> Option<Vec<&Value>> {
    let any = schema
        .get("anyOf")
        .or_else(|| schema.get("oneOf"))?
        .as_array()?;
    Some(
        any.iter()
            .filter(|s| s.get("type").and_then(Value::as_str) != Some("null"))
            .collect(),
    )
}

/// The one type of a schema, without "nothing".
pub fn kind(schema: &Value) -> Option<&str> {
    match schema.get("type")? {
        Value::String(kind) => Some(kind),
        Value::Array(kinds) => kinds
            .iter()
            .filter_map(Value::as_str)
            .find(|kind| *kind != "null"),
        _ => None,
    }
}

/// The words that a value is chosen from.
pub fn choices(schema: &Value) -> Option<Vec<(&Value, &str)>> {
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return Some(words.iter().map(|word| (word, "")).collect());
    }
    let any = schema
        .get("oneOf")
        .or_else(|| schema.get("anyOf"))?
        .as_array()?;
    let word = |s: &'_ Value| s.get("const").is_some();
    if !any.iter().all(word) {
        return None;
    }
    Some(
        any.iter()
            .filter_map(|s| Some((s.get("const")?, text(s))))
            .collect(),
    )
}

/// The keys of an object: required ones first, then in the order of the alphabet.
pub fn keys(schema: &Value) -> Vec<(&str, &Value, bool)> {
    let required = |key: &str| {
        let all = schema.get("required").and_then(Value::as_array);
        all.is_some_and(|all| all.iter().any(|r| r.as_str() == Some(key)))
    };
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return Vec::new();
    };
    let mut keys: Vec<_> = properties
        .iter()
        .map(|(key, value)| (key.as_str(), value, required(key)))
        .collect();
    keys.sort_by_key(|(key, _, required)| (!required, *key != "use", *key != "name", *key));
    keys
}

/// What the values of an object with names of the user's own are; none if any value will do.
pub fn values_of_map(schema: &Value) -> Option<&Value> {
    let patterns = schema.get("patternProperties").and_then(Value::as_object);
    let of_pattern = patterns.and_then(|all| all.values().next());
    of_pattern.or_else(|| schema.get("additionalProperties").filter(|s| s.is_object()))
}

/// The description, or nothing.
pub fn text(schema: &Value) -> &str {
    schema
        .get("description")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// `uint32` and the like say how Rust holds a number: nothing to the writer of a config.
fn drop_widths(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            let width = |f: &Value| {
                f.as_str()
                    .is_some_and(|f| f.starts_with("uint") || f.starts_with("int"))
            };
            if map.get("format").is_some_and(width) {
                map.remove("format");
            }
            map.values_mut().for_each(drop_widths);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_widths),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_variable_may_stand_for_text_numbers_and_booleans() {
        let schema = json!({ "properties": {
            "type": { "type": "string", "pattern": "^a$" },
            "n": { "type": ["integer", "null"], "minimum": 1 },
            "b": { "type": "boolean" },
            "s": { "type": "string" },
        } });
        let wanted = json!({ "properties": {
            "type": { "type": "string", "pattern": r"^a$|\$\{" },
            "n": { "type": ["integer", "null", "string"], "minimum": 1, "pattern": r"^\$\{.*\}$" },
            "b": { "type": ["boolean", "string"], "pattern": r"^\$\{.*\}$" },
            "s": { "type": "string" },
        } });
        assert_eq!(with_variables(schema), wanted);
    }
}
