//! One JSON object to one Rust struct, with every fault of the object named.
//!
//! `serde` stops at its first error. So the object is read again without the part that was at
//! fault, until it reads clean; what is missing is looked up in the struct's own schema.
//! Bounds: [`MAX_FAULTS`] rounds, each linear in the object; a clean object is read once.

use schemars::generate::SchemaSettings;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::fault::{quote, Fault, MAX_FAULTS};
use super::walk::{child, find, join, prune, Kind, Step, Walk};

/// Reads the object at path `at` as a `T`. Unknown keys, missing keys and wrong values are all
/// added to `faults`; with any of them there is no `T`.
pub fn object<T: DeserializeOwned + JsonSchema>(
    map: &Map<String, Value>,
    at: &str,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let before = faults.len();
    let value = Value::Object(map.clone());
    salvage(&value, at, faults).filter(|_| faults.len() == before)
}

/// As [`object`], but what could be read in spite of faults is handed back, so that later checks
/// can look at the rest of it.
pub(super) fn salvage<T: DeserializeOwned + JsonSchema>(
    value: &Value,
    at: &str,
    faults: &mut Vec<Fault>,
) -> Option<T> {
    let mut error = match T::deserialize(Walk(value)) {
        Ok(clean) => return Some(clean),
        Err(error) => error,
    };
    let mut rest = value.clone();
    let mut pruned: Vec<Vec<Step>> = Vec::new();
    for _ in 0..MAX_FAULTS {
        let (kind, path) = error.parts();
        match kind {
            Kind::Unknown { fix } => faults.push(unknown(at, &path, fix)),
            Kind::Value(why) => faults.push(Fault::new(join(at, &path), why.why, why.fix)),
            Kind::Missing(key) => missing::<T>(key, &rest, at, &path, &pruned, faults),
        }
        if path.is_empty() {
            return None;
        }
        prune(&mut rest, &path);
        pruned.push(path);
        error = match T::deserialize(Walk(&rest)) {
            Ok(salvaged) => return Some(salvaged),
            Err(error) => error,
        };
    }
    None
}

fn unknown(at: &str, path: &[Step], fix: String) -> Fault {
    let why = match path.last() {
        Some(Step::Key(key)) => format!("no key is called {} here", quote(key)),
        _ => "no such key".to_owned(),
    };
    Fault::on_key(join(at, path), why, fix)
}

/// Names every required key that the object at `path` lacks, not only the one `serde` met first.
/// A key that is gone because it was at fault itself is not missing.
fn missing<T: JsonSchema>(
    key: &'static str,
    value: &Value,
    at: &str,
    path: &[Step],
    pruned: &[Vec<Step>],
    faults: &mut Vec<Fault>,
) {
    let schema = schema_of::<T>();
    let place = place(&schema, path);
    let mut keys: Vec<&str> = place
        .and_then(|s| s.get("required"))
        .and_then(Value::as_array)
        .map(|all| all.iter().filter_map(Value::as_str).collect())
        .unwrap_or_default();
    if !keys.contains(&key) {
        keys.push(key);
    }
    let object = find(value, path);
    for key in keys {
        let there = object.is_some_and(|o| o.contains_key(key));
        let reported = pruned.iter().any(|p| {
            p.len() == path.len() + 1
                && p.starts_with(path)
                && p.last() == Some(&Step::Key(key.to_owned()))
        });
        if there || reported {
            continue;
        }
        let what = place
            .and_then(|s| s.get("properties")?.get(key)?.get("description")?.as_str())
            .and_then(|text| text.split(['.', ';', ':']).next())
            .map(|text| format!(": {}", text.trim().replace('\n', " ")))
            .unwrap_or_default();
        let path = child(&join(at, path), key);
        faults.push(Fault::on_key(
            path,
            format!("{key} is missing"),
            format!("add {key}{what}"),
        ));
    }
}

fn schema_of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true);
    settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value()
}

/// The schema of the object at `path`, through lists and alternatives.
fn place<'a>(schema: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let Some((step, rest)) = path.split_first() else {
        return match schema.get("anyOf") {
            Some(Value::Array(any)) => any.iter().find(|s| s.get("properties").is_some()),
            _ => Some(schema),
        };
    };
    let below = match step {
        Step::Key(key) => schema.get("properties").and_then(|p| p.get(key)),
        Step::Index(_) => schema.get("items"),
    };
    let below = below.and_then(|s| place(s, rest));
    below.or_else(|| {
        schema
            .get("anyOf")?
            .as_array()?
            .iter()
            .find_map(|s| place(s, path))
    })
}

#[cfg(test)]
mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[allow(dead_code, reason = "read by the schema only")]
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        name: String,
        count: u32,
        #[serde(default)]
        inner: Vec<Inner>,
        on: Option<bool>,
    }

    #[allow(dead_code, reason = "read by the schema only")]
    #[derive(Debug, Deserialize, JsonSchema)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        a: u32,
        b: u32,
    }

    fn faults(value: Value) -> Vec<(String, bool)> {
        let mut faults = Vec::new();
        let map = value.as_object().expect("an object");
        let read = object::<Outer>(map, "x[0]", &mut faults);
        assert_eq!(read.is_some(), faults.is_empty());
        let mut places: Vec<_> = faults.into_iter().map(|f| (f.path, f.on_key)).collect();
        places.sort();
        places
    }

    #[test]
    fn every_fault_of_an_object_is_named_once() {
        let key = |path: &str| (path.to_owned(), true);
        let value = |path: &str| (path.to_owned(), false);
        for (given, want) in [
            (json!({"name": "n", "count": 1}), vec![]),
            (
                json!({"name": "n", "count": 1, "on": null, "inner": [{"a": 1, "b": 2}]}),
                vec![],
            ),
            (json!({}), vec![key("x[0].count"), key("x[0].name")]),
            (
                json!({"nmae": "n", "count": 1, "b c": 0}),
                vec![key("x[0].name"), key("x[0].nmae"), key("x[0][\"b c\"]")],
            ),
            (
                json!({"name": 5, "count": "x", "on": 1}),
                vec![value("x[0].count"), value("x[0].name"), value("x[0].on")],
            ),
            (
                json!({"name": "n", "count": 1, "inner": [{"a": "x"}, {"a": 1, "b": 2}, {}, 7]}),
                vec![
                    value("x[0].inner[0].a"),
                    key("x[0].inner[0].b"),
                    key("x[0].inner[2].a"),
                    key("x[0].inner[2].b"),
                    value("x[0].inner[3]"),
                ],
            ),
            (
                json!({"name": "n", "count": -1, "inner": {}}),
                vec![value("x[0].count"), value("x[0].inner")],
            ),
        ] {
            let mut want = want;
            want.sort();
            assert_eq!(faults(given.clone()), want, "{given}");
        }
    }
}
