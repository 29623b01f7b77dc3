//! Tests of the choice of the proxy between the operator and the API server of a kubeconfig.

use std::collections::HashMap;

use super::*;

/// Returns the proxy to the server of a kubeconfig under these variables, as messages name it.
fn proxy(
    server: &str,
    proxy_url: Option<&str>,
    variables: &[(&str, &str)],
) -> Result<Option<String>, String> {
    let cluster = Cluster {
        server: Some(server.into()),
        proxy_url: proxy_url.map(str::to_owned),
        ..Cluster::default()
    };
    let variables: HashMap<&str, &str> = variables.iter().copied().collect();
    let found = Proxy::of(&cluster, |name| variables.get(name).map(|value| (*value).to_owned()));
    found.map(|proxy| proxy.map(|proxy| proxy.to_string())).map_err(|error| error.to_string())
}

#[test]
fn proxy_url_comes_before_variables_and_holds_for_every_server() {
    for server in ["https://api.example:6443", "https://127.0.0.1:6443", "http://localhost:8001"] {
        let variables = [("HTTPS_PROXY", "http://other:1"), ("NO_PROXY", "*")];
        for (url, named) in [
            ("http://proxy:3128", "proxy:3128"),
            ("https://proxy", "proxy"),
            ("socks5://user:secret@proxy:1080/", "proxy:1080"),
        ] {
            let expected = format!("the proxy {named} of proxy-url in the kubeconfig");
            assert_eq!(proxy(server, Some(url), &variables), Ok(Some(expected)), "{server} {url}");
        }
        assert_eq!(proxy(server, Some(""), &[]), Ok(None));
    }
}

#[test]
fn without_proxy_url_the_variable_of_the_servers_scheme_counts_less_no_proxy() {
    let (https, http) = ("https://api.example:6443", "http://api.example");
    for (server, variables, expected) in [
        (https, &[][..], None),
        (https, &[("HTTPS_PROXY", "http://proxy:3128")], Some("the proxy proxy:3128 of HTTPS_PROXY")),
        (https, &[("HTTPS_PROXY", "proxy:3128")], Some("the proxy proxy:3128 of HTTPS_PROXY")),
        (
            https,
            &[("HTTPS_PROXY", ""), ("https_proxy", "http://lower:1")],
            Some("the proxy lower:1 of https_proxy"),
        ),
        (
            https,
            &[("HTTPS_PROXY", "http://upper:1"), ("https_proxy", "http://lower:1")],
            Some("the proxy upper:1 of HTTPS_PROXY"),
        ),
        (https, &[("HTTP_PROXY", "http://proxy:3128"), ("ALL_PROXY", "http://proxy:3128")], None),
        (http, &[("HTTPS_PROXY", "http://proxy:3128")], None),
        (http, &[("HTTP_PROXY", "http://proxy:3128")], Some("the proxy proxy:3128 of HTTP_PROXY")),
        (
            https,
            &[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "api.example:443")],
            Some("the proxy proxy:3128 of HTTPS_PROXY"),
        ),
        (https, &[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "api.example:6443")], None),
        (https, &[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", ""), ("no_proxy", "example")], None),
        // A proxy that NO_PROXY names is used all the same: NO_PROXY names servers.
        (
            https,
            &[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "proxy")],
            Some("the proxy proxy:3128 of HTTPS_PROXY"),
        ),
        (http, &[("HTTP_PROXY", "http://proxy:3128"), ("NO_PROXY", "api.example:80")], None),
        ("https://127.0.0.1:6443", &[("HTTPS_PROXY", "http://proxy:3128")], None),
        ("https://[::1]:6443", &[("HTTPS_PROXY", "http://proxy:3128")], None),
        ("https://localhost", &[("HTTPS_PROXY", "http://proxy:3128")], None),
        ("https://10.0.0.1", &[("HTTPS_PROXY", "http://proxy:3128"), ("NO_PROXY", "10.0.0.0/8")], None),
    ] {
        assert_eq!(proxy(server, None, variables), Ok(expected.map(str::to_owned)), "{server} {variables:?}");
    }
}

#[test]
fn what_is_not_the_url_of_a_proxy_is_an_error_that_names_the_setting_and_not_the_value() {
    let server = "https://127.0.0.1:6443";
    for url in [
        "ftp://user:secret@proxy",
        "socks4://proxy",
        "http://",
        "://proxy",
        "http://proxy:port",
        "http://proxy:70000",
        "http://user:sec@ret@proxy",
        "http://user:12#ret@proxy",
        "http://user:12/ret@proxy",
        "http://user:12?ret@proxy",
        "not a URL",
    ] {
        for (error, setting) in [
            (proxy(server, None, &[("HTTPS_PROXY", url)]), "HTTPS_PROXY"),
            (proxy(server, None, &[("https_proxy", url)]), "https_proxy"),
            (proxy(server, Some(url), &[]), "proxy-url in the kubeconfig"),
        ] {
            let error = error.expect_err(url);
            assert!(
                error.starts_with(&format!("{setting} is not the URL of a proxy: "))
                    && !error.contains("ret")
                    && !error.contains("12"),
                "{error}"
            );
        }
    }
    // As in kubectl, only a variable may leave out the scheme.
    assert!(proxy(server, Some("proxy:3128"), &[]).is_err());
}

#[test]
fn user_and_password_are_decoded_and_in_no_text() {
    let of = |url: &str| Proxy::new("HTTPS_PROXY", url).expect("a proxy");
    let http = of("http://us%40er:pass%3Aword@proxy:3128");
    // base64 of `us@er:pass:word`
    assert_eq!(http.intercept.basic_auth().expect("a header"), "Basic dXNAZXI6cGFzczp3b3Jk");
    let socks = of("socks5://us%40er:pass%3Aword@proxy");
    assert_eq!(socks.intercept.raw_auth(), Some(("us@er", "pass:word")));
    for text in [format!("{http:?} {http}"), format!("{socks:?} {socks}")] {
        assert!(text.contains("proxy") && !text.contains("us@er") && !text.contains("pass"), "{text}");
    }
}

#[test]
fn a_server_without_a_port_is_asked_for_by_the_port_of_its_scheme() {
    for (url, expected) in [
        ("https://api.example/", "https://api.example:443/"),
        ("http://api.example/", "http://api.example:80/"),
        ("https://[fd00::1]/x", "https://[fd00::1]:443/x"),
        ("https://api.example:6443/", "https://api.example:6443/"),
    ] {
        let server: Uri = url.parse().expect("a URL");
        let port = port(&server);
        assert_eq!(with_port(server, port).to_string(), expected);
    }
}
