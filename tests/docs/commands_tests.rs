//! Which commands are found in a page.

use crate::commands::{commands, matches};

#[test]
fn commands_are_the_lines_after_a_prompt_with_what_continues_them() {
    let page = "# A page\n\n```console\n$ kubectl get pods\nNAME\n$ a b \\\n    | c\n```\n\n```promql\n$ no\n```\n\n```yaml\n`kubectl get x`\n```\n";
    assert_eq!(commands(page), [(4, "kubectl get pods".to_owned()), (6, "a b \\\n    | c".to_owned())]);
}

#[test]
fn commands_in_a_row_of_a_table_are_as_they_are_shown() {
    let page = "| a | `kubectl logs x \\| grep 'y\\|z'` | see `b`, `helm rollback x` |\n";
    assert_eq!(
        commands(page),
        [(1, "kubectl logs x | grep 'y|z'".to_owned()), (1, "helm rollback x".to_owned())]
    );
}

#[test]
fn commands_in_a_text_keep_what_looks_like_an_escape_and_are_more_than_a_name() {
    let page = "Run `aws x y \\| z`; `kubectl apply` says so, `kubectl` too, and `check -w x` is of another program.\n";
    assert_eq!(commands(page), [(1, "aws x y \\| z".to_owned())]);
}

#[test]
fn a_star_stands_for_any_text() {
    for (pattern, text, expected) in [
        ("a b", "a b", true),
        ("a b", "a bc", false),
        ("a*", "a", true),
        ("a*", "abc", true),
        ("a*c", "abcd", false),
        ("a*c*", "abcd", true),
        ("*d", "abcd", true),
        ("a*b*d", "a[*]b.d", true),
        ("a*é", "aßé", true),
        ("b*", "ab", false),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
