use std::time::Duration;

use fastrand::Rng;
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

use super::*;

fn with(properties: &serde_json::Value) -> AthenaSessionSpec {
    let spec = json!({ "workGroup": "etl", "engineConfiguration": { "sparkProperties": properties } });
    serde_json::from_value(spec).expect("a spec")
}

/// Returns `text` without the value of one property.
fn without(name: &str, value: &str, text: &str) -> String {
    redacted(text, &with(&json!({ name: value })))
}

fn shown(text: &str) -> String {
    let spec = json!({
        "workGroup": "etl",
        "engineConfiguration": {
            "sparkProperties": { "spark.password": "hunter2", "spark.longer": "hunter2-and-more", "spark.cores": "1" },
            "additionalConfigs": { "NotebookId": "a-notebook" },
            "classifications": [{ "name": "spark-defaults", "properties": { "spark.key": "AKIA/secret" } }],
        },
    });
    redacted(text, &serde_json::from_value(spec).expect("a spec"))
}

#[test]
fn what_validation_repeats_is_left_out() {
    for (text, expected) in [
        (
            "2 validation errors detected: Value '{spark.password=hunter2}' at 'engineConfiguration.sparkProperties' failed to satisfy constraint: \
             Map value must satisfy constraint: [x]; Value 'a tag' at 'tags.1.member.value' failed to satisfy constraint: y",
            "2 validation errors detected: Value '***' at 'engineConfiguration.sparkProperties' failed to satisfy constraint: \
             Map value must satisfy constraint: [x]; Value '***' at 'tags.1.member.value' failed to satisfy constraint: y",
        ),
        (
            "Value 'it' at 'a' at 'b' failed to satisfy constraint: x",
            "Value '***' at 'b' failed to satisfy constraint: x",
        ),
        ("1 validation error detected: Value 'cut off", "1 validation error detected: Value '***"),
        (
            "1 validation error detected: Value at 'x' failed",
            "1 validation error detected: Value at 'x' failed",
        ),
    ] {
        assert_eq!(shown(text), expected);
    }
}

#[test]
fn values_of_properties_are_hidden_wherever_they_stand() {
    assert_eq!(shown("spark.longer is hunter2-and-more, not HUNTER2"), "spark.longer is ***, not ***");
    assert_eq!(shown("a-notebook AKIA/secret"), "*** ***");
    assert_eq!(shown("1 error in work group etl"), "1 error in work group etl");
}

#[test]
fn a_value_is_hidden_as_a_whole_word_or_more() {
    for (value, text, expected) in [
        ("role", "the role is role.", "the *** is ***."),
        ("role", "iam:PassRole, etlrole, role_2 and roles", "iam:PassRole, etlrole, role_2 and roles"),
        ("role", "role", "***"),
        // A character that is no part of a word needs no border.
        ("-secret-", "x-secret-x", "x***x"),
        ("/a b/", "x/a b/x", "x***x"),
        ("word!", "a word!x, a sword!", "a ***x, a sword!"),
        // Not every script has spaces.
        ("hunter2", "値hunter2は", "値***は"),
        ("пароль", "парольный", "***ный"),
        // A word within an escape is not a part of the text after it.
        ("hunter2", r"\nhunter2\u000ahunter2%20hunter2%22", r"\n***\u000a***%20***%22"),
        ("hunter2", r"\\nhunter2", r"\\n***"),
        ("hunter2", "nhunter2 20hunter2", "nhunter2 20hunter2"),
        // A value that contains another, and one that overlaps it.
        ("abcabc", "abcabcabc-abcabc", "abcabcabc-***"),
        ("ab-ab-ab", "ab-ab-ab-ab", "***"),
    ] {
        assert_eq!(without("spark.x", value, text), expected, "{value} in {text}");
    }
    let spec = with(&json!({ "spark.a": "first-half", "spark.b": "half-second", "spark.c": "beside" }));
    assert_eq!(
        redacted("a first-half-second b, first-half/beside, /beside", &spec),
        "a *** b, ***/***, /***"
    );
}

#[test]
fn no_word_of_an_arn_is_hidden_and_a_whole_arn_is() {
    let text = "User: arn:aws:sts::123456789012:assumed-role/etl/run is not authorized to perform: iam:PassRole on resource: \
                arn:aws:iam::123456789012:role/etl because no identity-based policy allows it";
    for value in [
        "role",
        "etl/run",
        "assumed-role",
        "role/etl",
        "123456789012:role",
        "arn:aws:iam::123456789012",
        "etl/r",
    ] {
        assert_eq!(without("spark.secret", value, text), text, "{value}");
    }
    assert_eq!(without("spark.token", "123456789012", text), text);
    for (value, text, expected) in [
        // The value stands elsewhere too.
        ("role", "the role arn:aws:iam::1:role/role.", "the *** arn:aws:iam::1:role/role."),
        ("arn:aws:iam::1:role/etl", "on arn:aws:iam::1:role/etl.", "on ***."),
        ("arn:aws:iam::1:role/etl", "on arn:aws:iam::1:role/etl-2", "on arn:aws:iam::1:role/etl-2"),
        ("role=arn:aws:iam::1:role/etl;x", "on role=arn:aws:iam::1:role/etl;x", "on ***"),
        ("etl is", "arn:aws:iam::1:role/etl is no role", "arn:aws:iam::1:role/*** no role"),
        // A setting after an ARN is not a part of it.
        (
            "hunter2",
            "{role=arn:aws:iam::1:role/etl,password=hunter2}",
            "{role=arn:aws:iam::1:role/etl,password=***}",
        ),
        ("hunter2", "arn:x:hunter2", "arn:x:***"),
        ("role", "arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fetl role", "arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fetl ***"),
        ("role", r"arn:aws:iam::1:role\/etl", r"arn:aws:iam::1:role\/etl"),
    ] {
        assert_eq!(without("spark.x", value, text), expected, "{value}");
    }
}

#[test]
fn numbers_truths_and_short_values_are_no_secrets_unless_the_name_says_so() {
    let text = "true FALSE 8 4g 1024 -1.5 3.0 1e10 abc: a truth";
    for value in ["true", "FALSE", "8", "4g", "1024", "-1.5", "3.0", "1e10", "abc", " abc ", ""] {
        assert_eq!(without("spark.sql.adaptive.enabled", value, text), text, "{value}");
    }
    for value in [
        "4096m",
        "3600s",
        "3.5.6",
        "infinity",
        "0x1f",
        "truth",
        "12345678901234567890123456789012x",
        "1-2-3-4",
    ] {
        assert_eq!(without("spark.x", value, &format!("it is {value} now")), "it is *** now", "{value}");
    }
    for name in [
        "spark.PASSWORD",
        "spark.mySecretKey",
        "spark.x.token",
        "spark.keystore",
        "spark.credentials.provider",
    ] {
        for value in ["true", "8", "x", "1024", "-1.5", "abc", "e"] {
            assert_eq!(
                without(name, value, &format!("it is {value}, {value}a")),
                format!("it is ***, {value}a"),
                "{name}: {value}"
            );
        }
        assert_eq!(without(name, " ", "a b"), "a b");
    }
}

#[test]
fn what_the_object_says_of_its_work_group_and_role_is_shown() {
    let role = "arn:aws:iam::123456789012:role/etl";
    let spec = |name: &str, value: &str| {
        let spec = json!({ "workGroup": "nightly", "executionRole": role, "engineConfiguration": { "sparkProperties": { name: value } } });
        serde_json::from_value::<AthenaSessionSpec>(spec).expect("a spec")
    };
    let text = format!("work group nightly cannot pass {role}");
    assert_eq!(redacted(&text, &spec("spark.group", "nightly")), text);
    assert_eq!(redacted(&text, &spec("spark.role", role)), text);
    assert_eq!(
        redacted(&text, &spec("spark.password", "nightly")),
        format!("work group *** cannot pass {role}")
    );
}

#[test]
fn values_of_properties_are_hidden_however_they_are_written() {
    let value = "Sup3r\"S3cr\\et that/is+löng 🦀";
    for (text, expected) in [
        (r#"SUP3R"S3CR\ET THAT/IS+LöNG 🦀 is no good"#, "*** is no good"),
        (r#"no {"spark.x":"Sup3r\"S3cr\\et that/is+löng 🦀"}"#, r#"no {"spark.x":"***"}"#),
        (
            r#"no {"spark.x":"Sup3r\"S3cr\\et that\/is\u002bl\u00F6ng \ud83e\udd80"}"#,
            r#"no {"spark.x":"***"}"#,
        ),
        (
            r#"Invalid value: "{\"spark.x\":\"Sup3r\\\"S3cr\\\\et that/is+löng 🦀\"}""#,
            r#"Invalid value: "{\"spark.x\":\"***\"}""#,
        ),
        ("x?y=Sup3r%22S3cr%5Cet%20that%2Fis%2Bl%C3%B6ng%20%F0%9F%A6%80&z", "x?y=***&z"),
        ("x?y=Sup3r%22S3cr%5cet+that%2fis%2bl%c3%b6ng+%f0%9f%a6%80&z", "x?y=***&z"),
        (
            "x?y=%7B%22spark.x%22%3A%22Sup3r%5C%22S3cr%5C%5Cet+that/is%2Bl%C3%B6ng+%F0%9F%A6%80%22%7D",
            "x?y=%7B%22spark.x%22%3A%22***%22%7D",
        ),
        (r#""x?y=Sup3r%22S3cr%5Cet%20that\/is%2Bl\u00f6ng%20\ud83e\udd80""#, r#""x?y=***""#),
        ("Sup3r is another word", "Sup3r is another word"),
    ] {
        assert_eq!(without("spark.x", value, text), expected, "{text}");
    }
}

#[test]
fn a_value_is_hidden_where_the_text_was_cut_within_it() {
    for (text, expected) in [
        ("the value AKIA/sec", "the value ***"),
        ("the value hunter2-and-mo", "the value ***"),
        ("the value 'AKIA/sec'", "the value '***'"),
        ("the value AKI", "the value AKI"),
        ("AKIA/sec is cut", "AKIA/sec is cut"),
        ("no xAKIA/sec", "no xAKIA/sec"),
        ("arn:aws:iam::1:role/AKIA/sec", "arn:aws:iam::1:role/AKIA/sec"),
    ] {
        assert_eq!(shown(text), expected);
    }
    for (text, expected) in [
        (r#"bad: Sup3r"S3cr\et... (truncated)"#, "bad: ***... (truncated)"),
        ("bad: Sup3r\"S3cr\u{2026}", "bad: ***\u{2026}"),
        ("bad: Sup3r\"S3cr\\et l\u{fffd}", "bad: ***\u{fffd}"),
        (r"bad: Sup3r\", "bad: ***"),
        (r#"bad: "Sup3r\"""#, r#"bad: "***""#),
        (r"bad: Sup3r\u00", "bad: ***"),
        (r"bad: Sup3r\u00...", "bad: ***..."),
        (r"bad: Sup3r\\\", "bad: ***"),
        (r#"bad: Sup3r\"S3cr\\et l\u00f6ng \ud83e"#, "bad: ***"),
        (r#"bad: Sup3r\"S3cr\\et l\u00f6ng \ud83e\udd"#, "bad: ***"),
        ("bad: Sup3r%", "bad: ***"),
        ("bad: Sup3r%2", "bad: ***"),
        ("bad: Sup3r%22S3cr%5Cet+l%C3", "bad: ***"),
        ("bad: Sup3r%5C%22S3cr%5C%5", "bad: ***"),
        ("bad: Sup3r%2... or so", "bad: ***... or so"),
    ] {
        assert_eq!(without("spark.x", "Sup3r\"S3cr\\et löng 🦀", text), expected, "{text}");
    }
    // A beginning of a secret may be no secret.
    assert_eq!(without("spark.x", "1024m-and-more", "at most 1024"), "at most 1024");
    assert_eq!(without("spark.x", "true-or-false", "is true"), "is true");
    assert_eq!(without("spark.key", "1024m-and-more", "at most 1024"), "at most ***");
    let long = format!("{} hunter2", "x".repeat(MAX_TEXT_BYTES - 5));
    assert_eq!(shown(&long), format!("{} ***", "x".repeat(MAX_TEXT_BYTES - 5)));
}

#[test]
fn many_large_values_take_time_by_the_length_of_the_text() {
    // As many as the schema allows, and about as large as an object can be.
    let spec = |value: &dyn Fn(usize) -> String| {
        let properties = |map: usize| -> serde_json::Map<_, _> {
            (0..100).map(|number| (format!("spark.{number}"), json!(value(100 * map + number)))).collect()
        };
        let classifications: Vec<_> =
            (0..10).map(|map| json!({ "name": "x", "properties": properties(map) })).collect();
        let engine = json!({ "classifications": classifications, "sparkProperties": properties(10), "additionalConfigs": properties(11) });
        serde_json::from_value::<AthenaSessionSpec>(
            json!({ "workGroup": "etl", "engineConfiguration": engine }),
        )
        .expect("a spec")
    };
    // CPU time of this thread, since other tests run at the same time.
    let cpu_time = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("a part of a second"))
    };
    // A square of the lengths, or a list of all places, would take minutes or gigabytes. In a build without optimisations it takes some seconds.
    let timed = |spec: &AthenaSessionSpec, text: &str| {
        let begun = cpu_time();
        let told = redacted(text, spec);
        let taken = cpu_time().saturating_sub(begun);
        assert!(taken < Duration::from_secs(20), "{taken:?} for {}", &text[..20]);
        told
    };
    for piece in ["a", "-", r"\", "%2", "%25", "a...", "arn:aws:", r"\\u0061%2561"] {
        // Each beginning of each value stands at many places of the text, and its end at none.
        let spec = spec(&|number| format!("{}{number}", piece.repeat(1250 / piece.len())));
        let text = piece.repeat(MAX_TEXT_BYTES / piece.len());
        timed(&spec, &text);
        timed(&spec, &format!("{}x is whole", &text[..MAX_TEXT_BYTES / 2]));
    }
    assert_eq!(timed(&spec(&|number| "-".repeat(number + 4)), &format!("a{}a", "-".repeat(8000))), "a***a");
    assert_eq!(timed(&spec(&|number| format!("{}{number}", "a".repeat(1200))), &"a".repeat(1200)), "***");
    let whole = format!("{} is whole", "a".repeat(4000));
    assert_eq!(timed(&spec(&|number| format!("{}{number}", "a".repeat(8000))), &whole), whole);
}

#[test]
fn of_a_trimmed_spec_nothing_is_shown() {
    let spec = AthenaSessionSpec { trimmed: true, ..with(&json!({})) };
    assert_eq!(redacted("any", &spec), WITHHELD);
}

fn some(rng: &mut Rng, letters: &[&str], count: std::ops::Range<usize>) -> String {
    (0..rng.usize(count)).map(|_| *rng.choice(letters).expect("a letter")).collect()
}

/// Returns each character of `value` by itself, escaped as a service on the way would escape it.
fn written(rng: &mut Rng, value: &str) -> Vec<String> {
    let json = |rng: &mut Rng, character: char| {
        let units = character
            .encode_utf16(&mut [0; 2])
            .iter()
            .map(|unit| format!("\\u{unit:04x}"))
            .collect::<Vec<_>>()
            .concat();
        match character {
            '"' | '\\' => format!("\\{character}"),
            '/' if rng.bool() => "\\/".to_owned(),
            '\n' => "\\n".to_owned(),
            'é' | '🦀' if rng.bool() => units,
            _ if rng.u8(..16) == 0 => units.to_uppercase().replace("\\U", "\\u"),
            _ => character.to_string(),
        }
    };
    let url = |rng: &mut Rng, character: char| match character {
        ' ' if rng.bool() => "+".to_owned(),
        'a'..='z' | '0'..='9' => character.to_string(),
        '/' if rng.bool() => "/".to_owned(),
        _ => {
            let upper = rng.bool();
            let escape = |byte: &u8| if upper { format!("%{byte:02X}") } else { format!("%{byte:02x}") };
            character.to_string().as_bytes().iter().map(escape).collect()
        }
    };
    let form = rng.u8(..6);
    let mut escaped = |character: char| match form {
        0 => character.to_string(),
        1 => json(rng, character),
        2 => url(rng, character),
        3 => json(rng, character).chars().map(|character| json(rng, character)).collect(),
        4 => json(rng, character).chars().map(|character| url(rng, character)).collect(),
        // A space can be written as `+` only once.
        _ => url(rng, character)
            .chars()
            .map(|character| if character == '+' { "+".to_owned() } else { url(rng, character) })
            .collect(),
    };
    value.chars().map(&mut escaped).collect()
}

#[test]
fn a_value_is_hidden_in_any_writing_and_cut_anywhere() {
    const LETTERS: [&str; 15] =
        ["a", "b", "7", "\"", "\\", "%", "+", " ", "/", "é", "🦀", "\n", ".", "-", "u"];
    let mut rng = Rng::with_seed(16);
    let mut seen = [0; 2];
    for round in 0..20_000 {
        let value = format!("v{}w", some(&mut rng, &LETTERS, 3..12));
        let spec = with(&json!({ "spark.x": value }));
        let (before, after) = (
            *rng.choice(&["", "it is ", "{\"x\":\"", "x=", "\n", "(", "é"]).expect("one"),
            *rng.choice(&["", " or so", "\"}", "&y", ")", "é"]).expect("one"),
        );
        let parts = written(&mut rng, &value);
        let whole = parts.concat();
        let text = format!("{before}{whole}{after}");
        assert_eq!(
            redacted(&text, &spec),
            format!("{before}***{after}"),
            "round {round}: {value:?} in {text}"
        );
        seen[0] += 1;

        // A cut after four characters or more of the value, within an escape or not.
        let least = parts[..4].concat().len();
        let cut = whole.floor_char_boundary(rng.usize(least..=whole.len()));
        let dots = *rng.choice(&["", "...", "\u{2026}", "` "]).expect("one");
        let text = format!("{before}{}{dots}", &whole[..cut.max(least)]);
        let told = redacted(&text, &spec);
        // A text that is ignored at the end may be a part of the value.
        let is_told = told
            .strip_prefix(before)
            .and_then(|told| told.strip_prefix(LEFT_OUT))
            .is_some_and(|rest| dots.ends_with(rest));
        assert!(is_told, "round {round}: {value:?} in {text}: {told}");
        seen[1] += usize::from(cut < whole.len());
    }
    assert!(seen.into_iter().all(|count| count > 10_000), "{seen:?}");
}

#[test]
fn no_part_of_a_longer_word_or_an_arn_is_hidden() {
    const LETTERS: [&str; 6] = ["a", "b", "7", "R", "_", "x"];
    let mut rng = Rng::with_seed(22);
    for _ in 0..5_000 {
        let value = format!("k{}", some(&mut rng, &LETTERS, 3..8));
        let name = *rng.choice(&["spark.x", "spark.password"]).expect("one");
        let other = format!("{}{value}{}", some(&mut rng, &LETTERS, 1..4), some(&mut rng, &LETTERS, 0..4));
        let (left, right) = (
            *rng.choice(&["", "x/", "x-", "y:"]).expect("one"),
            *rng.choice(&["", "/x", "-x", ":y"]).expect("one"),
        );
        let text = format!("{other} on arn:aws:iam::123456789012:role/{left}{value}{right} is, says {other}");
        assert_eq!(without(name, &value, &text), text, "{value}");
    }
}

#[test]
fn any_text_can_be_searched_for_any_values() {
    const PIECES: [&str; 24] = [
        "\\",
        "\"",
        "%",
        "2",
        "u",
        "00",
        "\\u00e9",
        "\\ud83e",
        "\\udd80",
        "%C3",
        "%A9",
        "é",
        "🦀",
        "\u{fffd}",
        "...",
        "\u{2026}",
        "arn:aws:",
        "a:b:",
        "c",
        " ",
        "+",
        "Value '",
        "' at '",
        " failed to satisfy constraint",
    ];
    let mut rng = Rng::with_seed(7);
    for _ in 0..20_000 {
        let properties: serde_json::Map<_, _> = (0..rng.usize(0..5))
            .map(|number| {
                (
                    ["spark.x", "spark.key"][number % 2].to_owned() + &number.to_string(),
                    json!(some(&mut rng, &PIECES, 0..8)),
                )
            })
            .collect();
        let text = some(&mut rng, &PIECES, 0..30);
        let spec = with(&serde_json::Value::Object(properties));
        let once = redacted(&text, &spec);
        // Each `***` replaces at least one byte.
        assert!(once.len() <= text.len() * 3, "{text:?}: {once:?}");
        assert_eq!(redacted(&text, &with(&json!({}))), without_repeated(&text));
    }
}
