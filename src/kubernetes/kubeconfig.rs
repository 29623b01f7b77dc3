//! What is wrong with a kubeconfig, without the secrets in it.

use kube::config::{AuthInfo, KubeconfigError};
use secrecy::ExposeSecret;

use crate::environment::Kind;

/// Returns why a kubeconfig cannot be used. kube shows the lines that it cannot read, which may have a token in them: they are left out.
pub(super) fn message(error: &KubeconfigError) -> String {
    without_plugin(without_excerpt(&error.to_string()))
}

/// `text` without the command line, the environment and the output of the program that gives the credentials, all of which kube shows when it fails.
pub(super) fn without_plugin(text: &str) -> String {
    match text.split_once("auth exec") {
        Some((before, _)) => format!("{before}the `exec` program of the kubeconfig's user gives no credentials: run it by itself to see why"),
        None => text.to_owned(),
    }
}

fn without_excerpt(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Returns what is wrong with the token of the user: kube ends the process for one that cannot stand in a header.
pub(super) fn problem(user: &AuthInfo) -> Option<String> {
    let token = user.token.as_ref()?.expose_secret();
    Kind::SecretHeader.problem(token).map(|problem| format!("the token of the kubeconfig's user {problem}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_kubeconfig_are_not_shown() {
        let shown = "failed to parse kubeconfig YAML: error: line 7 column 4: did not find expected key\n --> <input>:7:4\n6 | token: secret\n";
        assert_eq!(without_excerpt(shown), "failed to parse kubeconfig YAML: error: line 7 column 4: did not find expected key");
        assert_eq!(without_excerpt("one line"), "one line");
    }

    #[test]
    fn nothing_of_a_program_that_gives_credentials_is_shown() {
        let shown = without_plugin("no client: auth exec command '\"plugin\" \"--password=a\"' failed with status 3: Output { stderr: \"secret\" }");
        assert_eq!(shown, "no client: the `exec` program of the kubeconfig's user gives no credentials: run it by itself to see why");
        assert_eq!(without_plugin("as it is"), "as it is");
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_named_without_its_value() {
        let user = |token: &str| AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        assert_eq!(problem(&user("a.b.c")), None);
        assert_eq!(problem(&AuthInfo::default()), None);
        let problem = problem(&user("canary\n")).expect("it ends in a newline");
        assert!(problem.starts_with("the token of the kubeconfig's user ends in a newline") && !problem.contains("canary"), "{problem}");
    }
}
