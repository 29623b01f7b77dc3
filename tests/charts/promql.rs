//! What a PromQL expression asks for.

/// A metric with the labels by which it is selected, each with operator and value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    pub(crate) metric: String,
    pub(crate) labels: Vec<(String, String, String)>,
}

/// The metrics of an expression, and all labels that it groups by.
pub(crate) fn parse(expression: &str) -> (Vec<Selected>, Vec<String>) {
    const LISTS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];
    const WORDS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
    let tokens = tokens(expression);
    let (mut selected, mut grouped, mut index) = (Vec::new(), Vec::new(), 0);
    let until = |from: usize, end: &str| {
        from + tokens[from..]
            .iter()
            .position(|token| token == end)
            .unwrap_or_else(|| panic!("no {end} in {expression}"))
    };
    while let Some(token) = tokens.get(index) {
        let next = tokens.get(index + 1).map(String::as_str);
        index += 1;
        if token == "[" {
            index = until(index, "]");
        } else if LISTS.contains(&token.as_str()) && next == Some("(") {
            let end = until(index, ")");
            grouped.extend(tokens[index + 1..end].iter().filter(|token| *token != ",").cloned());
            index = end;
        } else if token.starts_with(is_name)
            && ![&WORDS[..], &LISTS].concat().contains(&token.as_str())
            && !next.is_some_and(|next| next == "(" || ["by", "without"].contains(&next))
        {
            let mut labels = Vec::new();
            if next == Some("{") {
                let end = until(index, "}");
                for matcher in tokens[index + 1..end].split(|token| token == ",") {
                    let [label, operator, value] = matcher else { panic!("{matcher:?} in {expression}") };
                    labels.push((label.clone(), operator.clone(), value.trim_matches('"').to_owned()));
                }
                index = end;
            }
            selected.push(Selected { metric: token.clone(), labels });
        }
    }
    (selected, grouped)
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_'
}

/// Names, numbers, strings with their quotes, operators and brackets.
fn tokens(expression: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_name(first) {
            rest.find(|letter: char| !is_name(letter) && !letter.is_ascii_digit() && letter != ':')
                .unwrap_or(rest.len())
        } else if first.is_ascii_digit() {
            rest.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '.').unwrap_or(rest.len())
        } else if first == '"' {
            2 + rest[1..].find('"').expect("the end of a string")
        } else if ["=~", "!~", "!=", "==", ">=", "<="].iter().any(|operator| rest.starts_with(operator)) {
            2
        } else {
            first.len_utf8()
        };
        tokens.push(rest[..length].to_owned());
        rest = rest[length..].trim_start();
    }
    tokens
}

#[test]
fn metrics_and_labels_are_found() {
    let (selected, grouped) = parse(
        "histogram_quantile(0.5, sum by (le, a) (rate(x_bucket{j=~\"$j|.*\",k!=\"\"}[5m]))) / on (b) group_left y > 3600000 and z offset 5m",
    );
    let label =
        |name: &str, operator: &str, value: &str| (name.to_owned(), operator.to_owned(), value.to_owned());
    let expected =
        [("x_bucket", vec![label("j", "=~", "$j|.*"), label("k", "!=", "")]), ("y", vec![]), ("z", vec![])];
    assert_eq!(selected, expected.map(|(metric, labels)| Selected { metric: metric.to_owned(), labels }));
    assert_eq!(grouped, ["le", "a", "b"]);
}
