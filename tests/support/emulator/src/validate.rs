//! Holds an input against its shape, in the words of AWS's validation.

use serde_json::{Map, Value};

use crate::refusal::Refusal;
use crate::shapes::{Member, Shape, Text};

/// Checks an input against the members of its structure. Unknown members are ignored, null is absence.
pub(crate) fn validate(input: &Map<String, Value>, members: &[Member]) -> Result<(), Refusal> {
    let mut violations = Vec::new();
    structure(input, members, "", &mut violations)?;
    if violations.is_empty() {
        return Ok(());
    }
    let (count, noun) = (violations.len(), if violations.len() == 1 { "error" } else { "errors" });
    Err(Refusal::invalid_input(format!("{count} validation {noun} detected: {}", violations.join("; "))))
}

fn structure(
    input: &Map<String, Value>,
    members: &[Member],
    path: &str,
    violations: &mut Vec<String>,
) -> Result<(), Refusal> {
    for member in members {
        let path = join(path, &lower_camel(member.name));
        match input.get(member.name) {
            None | Some(Value::Null) if member.required => {
                violations.push(violation(&path, "Member must not be null"));
            }
            None | Some(Value::Null) => {}
            Some(found) => value(found, member.shape, &path, violations)?,
        }
    }
    Ok(())
}

fn value(found: &Value, shape: &Shape, path: &str, violations: &mut Vec<String>) -> Result<(), Refusal> {
    match (shape, found) {
        (Shape::Text(bounds), Value::String(text)) => {
            violations.extend(broken(text, bounds).map(|constraint| violation(path, &constraint)));
        }
        (Shape::Integer { min, max }, Value::Number(number)) => {
            let number = number.as_i64().ok_or_else(|| wrong_type(found, "an Integer"))?;
            if number > *max {
                violations
                    .push(violation(path, &format!("Member must have value less than or equal to {max}")));
            }
            if number < *min {
                violations
                    .push(violation(path, &format!("Member must have value greater than or equal to {min}")));
            }
        }
        (Shape::Boolean, Value::Bool(_)) => {}
        (Shape::List(element), Value::Array(elements)) => {
            for (index, found) in elements.iter().enumerate() {
                value(found, element, &format!("{path}.{}.member", index + 1), violations)?;
            }
        }
        (Shape::Map { key, value: element }, Value::Object(entries)) => {
            if entries.keys().any(|name| broken(name, key).next().is_some()) {
                violations
                    .push(violation(path, &format!("Map keys must satisfy constraint: [{}]", all(key))));
            }
            map_values(entries, element, path, violations)?;
        }
        (Shape::Structure(members), Value::Object(input)) => structure(input, members, path, violations)?,
        (Shape::Text(_), _) => return Err(wrong_type(found, "a String")),
        (Shape::Integer { .. }, _) => return Err(wrong_type(found, "an Integer")),
        (Shape::Boolean, _) => return Err(wrong_type(found, "a Boolean")),
        (Shape::List(_), _) => return Err(wrong_type(found, "a List")),
        (Shape::Map { .. }, _) => return Err(wrong_type(found, "a Map")),
        (Shape::Structure(_), _) => return Err(wrong_type(found, "a Structure")),
    }
    Ok(())
}

fn map_values(
    entries: &Map<String, Value>,
    shape: &Shape,
    path: &str,
    violations: &mut Vec<String>,
) -> Result<(), Refusal> {
    let mut inner = Vec::new();
    for (name, found) in entries {
        value(found, shape, &join(path, name), &mut inner)?;
    }
    match shape {
        Shape::Text(bounds) if !inner.is_empty() => {
            violations
                .push(violation(path, &format!("Map value must satisfy constraint: [{}]", all(bounds))));
        }
        _ => violations.append(&mut inner),
    }
    Ok(())
}

/// The constraints a text does not satisfy.
fn broken<'a>(text: &'a str, bounds: &'a Text) -> impl Iterator<Item = String> + 'a {
    let length = text.chars().count();
    let checks = [
        length > bounds.max,
        length < bounds.min,
        bounds.pattern.is_some_and(|pattern| !pattern.matches(text)),
        !bounds.values.is_empty() && !bounds.values.contains(&text),
    ];
    constraints(bounds)
        .into_iter()
        .zip(checks)
        .filter_map(|(constraint, broken)| constraint.filter(|_| broken))
}

fn all(bounds: &Text) -> String {
    constraints(bounds).into_iter().flatten().collect::<Vec<_>>().join(", ")
}

fn constraints(bounds: &Text) -> [Option<String>; 4] {
    let Text { min, max, pattern, values } = bounds;
    [
        (*max < usize::MAX).then(|| format!("Member must have length less than or equal to {max}")),
        (*min > 0).then(|| format!("Member must have length greater than or equal to {min}")),
        pattern.map(|pattern| format!("Member must satisfy regular expression pattern: {}", pattern.model)),
        (!values.is_empty()).then(|| format!("Member must satisfy enum value set: [{}]", values.join(", "))),
    ]
}

fn violation(path: &str, constraint: &str) -> String {
    format!("Value at '{path}' failed to satisfy constraint: {constraint}")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn lower_camel(name: &str) -> String {
    let mut characters = name.chars();
    characters
        .next()
        .map(|first| first.to_ascii_lowercase().to_string() + characters.as_str())
        .unwrap_or_default()
}

fn wrong_type(found: &Value, expected: &str) -> Refusal {
    let found = match found {
        Value::Null => "NULL_VALUE",
        Value::Bool(true) => "TRUE_VALUE",
        Value::Bool(false) => "FALSE_VALUE",
        Value::Number(number) if number.is_f64() => "DECIMAL_VALUE",
        Value::Number(_) => "NUMBER_VALUE",
        Value::String(_) => "STRING_VALUE",
        Value::Array(_) => "START_ARRAY",
        Value::Object(_) => "START_OBJECT",
    };
    Refusal::new("SerializationException", format!("{found} can not be converted to {expected}"))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
