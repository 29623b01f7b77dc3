//! Problems of a kubeconfig, without the secrets in it.

use kube::config::{AuthInfo, KubeconfigError};
use secrecy::ExposeSecret;

use crate::env_vars::Kind;

/// Returns the reason for which a kubeconfig cannot be used, without the lines that kube cannot read and shows: they may contain a token.
pub(super) fn message(error: &KubeconfigError) -> String {
    let text = error.to_string();
    let text = without_excerpt(&text);
    plugin_failure(text).unwrap_or_else(|| text.to_owned())
}

/// Returns an error's `text`, if it is about the credential plugin of the kubeconfig, without what kube shows of it: command line, environment and output.
pub(super) fn plugin_failure(text: &str) -> Option<String> {
    let (before, _) = text.split_once("auth exec")?;
    Some(format!(
        "{before}the `exec` credential plugin of the kubeconfig's user fails: run its command by itself to see why"
    ))
}

fn without_excerpt(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Returns the problem of the user's token: kube ends the process for a token that is not valid in a header.
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
        assert_eq!(
            without_excerpt(shown),
            "failed to parse kubeconfig YAML: error: line 7 column 4: did not find expected key"
        );
        assert_eq!(without_excerpt("one line"), "one line");
    }

    #[test]
    fn nothing_that_a_credential_plugin_prints_is_shown() {
        let shown = plugin_failure(
            "no client: auth exec command '\"plugin\" \"--password=a\"' failed with status 3: Output { stderr: \"secret\" }",
        );
        let expected = "no client: the `exec` credential plugin of the kubeconfig's user fails: run its command by itself to see why";
        assert_eq!(shown.as_deref(), Some(expected));
        assert_eq!(plugin_failure("another error"), None);
    }

    #[test]
    fn a_token_that_cannot_be_sent_is_named_without_its_value() {
        let user = |token: &str| AuthInfo { token: Some(token.to_owned().into()), ..AuthInfo::default() };
        assert_eq!(problem(&user("a.b.c")), None);
        assert_eq!(problem(&AuthInfo::default()), None);
        let problem = problem(&user("canary\n")).expect("it ends in a newline");
        assert!(
            problem.starts_with("the token of the kubeconfig's user ends in a newline")
                && !problem.contains("canary"),
            "{problem}"
        );
    }
}
