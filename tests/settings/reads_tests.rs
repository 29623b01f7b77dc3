//! What is found in sources, and what is left out.

use crate::reads::{Reads, of_c, of_rust};

fn reads_of(files: &[(&str, &str)]) -> Reads {
    of_rust(&files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect::<Vec<_>>())
}

/// What is read by `text` in a file of the SDK: variables and keys.
fn found(text: &str) -> (Vec<String>, Vec<String>) {
    let reads = reads_of(&[("src/profile/a.rs", &format!("use aws_types::os_shim_internal::Env;\n{text}"))]);
    assert!(reads.unknown.is_empty(), "{text}: {reads:?}");
    (reads.variables.into_iter().collect(), reads.keys.into_iter().collect())
}

#[test]
fn a_variable_is_found_however_it_is_read() {
    for text in [
        r#"fn a() { std::env::var("NEW_ONE"); }"#,
        r#"fn a() { env::var_os("NEW_ONE").unwrap_or_default(); }"#,
        r#"use std::env::var_os; fn a() { var_os("NEW_ONE"); }"#,
        r#"const NAME: &str = "NEW_ONE"; fn a() { env::var(NAME); }"#,
        r#"fn a() { macro_of_mine!(std::env::var("NEW_ONE")); }"#,
        r#"fn a() { for name in ["NEW_ONE"] { std::env::var(name); } }"#,
        r#"fn first(names: &[&str]) { names.iter().find_map(|name| std::env::var(name).ok()); } fn a() { first(&["NEW_ONE"]); }"#,
        r#"fn a(env: Env) { env.get("NEW_ONE"); }"#,
        r#"fn a(&self) { self.env.get("NEW_ONE").or_else(|_| None); }"#,
        r#"mod env { pub(super) const NAME: &str = "NEW_ONE"; } mod keys { const NAME: &str = "other"; } fn a() { EnvConfigValue::new().env(env::NAME); }"#,
        r#"fn name_of(&self) -> &'static str { match self { Kind::A => "NEW_ONE" } } fn a(environment: Env) { environment.get(kind.name_of()); }"#,
    ] {
        assert_eq!(found(text), (vec!["NEW_ONE".to_owned()], Vec::new()), "{text}");
    }
    assert_eq!(found(r#"fn a() { std::env::var("new_proxy"); }"#).0, ["new_proxy"]);
}

#[test]
fn a_constant_of_another_file_is_found() {
    let text = "use aws_types::os_shim_internal::Env; fn a(&self) { self.env.get(super::env::NAME); }";
    let reads = reads_of(&[
        ("src/a/b.rs", text),
        ("src/a/mod.rs", "mod env { pub const NAME: &str = \"NEW_ONE\"; }"),
    ]);
    assert_eq!(reads.variables.into_iter().collect::<Vec<_>>(), ["NEW_ONE"]);
}

#[test]
fn a_profile_key_is_found_however_it_is_read() {
    for text in [
        r#"fn a() { EnvConfigValue::new().profile("new_key"); }"#,
        r#"mod env { const NAME: &str = "OTHER"; } mod keys { const NAME: &str = "new_key"; } fn a() { value.profile(keys::NAME); }"#,
        r#"fn a(profile: &Profile) { profile.get("new_key"); }"#,
        r#"mod role { pub(super) const NAME: &str = "new_key"; } fn a(profile: &Profile) { profile.get(role::NAME)?; }"#,
    ] {
        assert_eq!(found(text), (Vec::new(), vec!["new_key".to_owned()]), "{text}");
    }
}

#[test]
fn the_endpoint_of_a_service_is_found() {
    let text = r#"fn a() { conf.load_config(service_config_key("New Service", "AWS_ENDPOINT_URL", "endpoint_url")); }"#;
    assert_eq!(
        found(text),
        (vec!["AWS_ENDPOINT_URL".into(), "AWS_ENDPOINT_URL_NEW_SERVICE".into()], vec!["endpoint_url".into()])
    );
}

#[test]
fn tests_and_documentation_read_nothing() {
    for text in [
        r#"/// `std::env::var("NEW_ONE")` reads."#,
        r#"// std::env::var("NEW_ONE")"#,
        r#"#[cfg(test)] mod tests { fn a() { std::env::var("NEW_ONE"); } }"#,
        r#"#[cfg(all(test, unix))] use x; #[test] fn a() { std::env::var("NEW_ONE"); }"#,
        r#"#[tokio::test] async fn a() { std::env::var("NEW_ONE"); }"#,
        r#"#![cfg(test)] fn a() { std::env::var("NEW_ONE"); }"#,
        r#"const TEXT: &str = "std::env::var(\"NEW_ONE\")"; fn a() { headers.get("NEW ONE"); }"#,
    ] {
        assert_eq!(found(text), (Vec::new(), Vec::new()), "{text}");
    }
    assert_eq!(found(r#"#[cfg(not(test))] fn a() { std::env::var("NEW_ONE"); }"#).0, ["NEW_ONE"]);
}

#[test]
fn a_file_that_gets_the_name_from_elsewhere_is_told() {
    for text in [
        "fn a(name: &str) { std::env::var(name); }",
        "fn a() { std::env::vars_os(); }",
        "fn a() { names.map(std::env::var); }",
    ] {
        assert_eq!(
            reads_of(&[("src/a.rs", text)]).unknown.into_iter().collect::<Vec<_>>(),
            ["src/a.rs"],
            "{text}"
        );
    }
}

#[test]
fn variables_of_c_are_found() {
    let text = "char *a = getenv(\"NEW_ONE\");\nb = secure_getenv(\"NEW_TWO\"); // getenv(\"OTHER\")\nc = my_getenv(\"OTHER\");\n{ 0, MI_OPTION(show_errors) }, MI_OPTION_LEGACY(purge_delay,old)";
    let reads = of_c(&[("a.c".into(), text.into()), ("b.c".into(), "getenv(name)".into())]);
    assert_eq!(
        reads.variables.into_iter().collect::<Vec<_>>(),
        ["MIMALLOC_PURGE_DELAY", "MIMALLOC_SHOW_ERRORS", "NEW_ONE", "NEW_TWO"]
    );
    assert_eq!(reads.unknown.into_iter().collect::<Vec<_>>(), ["b.c"]);
}
