//! `NO_PROXY` as kubectl reads it: by the rules of Go's [`httpproxy`](https://pkg.go.dev/golang.org/x/net/http/httpproxy#Config), in which a host of
//! the own machine never has a proxy, and a port or a leading dot counts. The AWS SDK has other rules: `docs/operating.md` has both.

use std::net::IpAddr;

use ipnet::IpNet;

/// Returns whether `host` is reached without a proxy on `port`: as a loopback address, or as an entry of `no_proxy`, which commas separate.
pub(super) fn is_direct(no_proxy: &str, host: &str, port: u16) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
    let address = host.parse::<IpAddr>().ok().map(|address| address.to_canonical());
    let is_own = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    is_own
        || no_proxy.split(',').any(|entry| matches(&entry.trim().to_ascii_lowercase(), &host, address, port))
}

/// Returns whether `entry` names a host, which is either a name or an `address`.
fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (name, own_port) = split_port(entry);
    if name.is_empty() || own_port.is_some_and(|own| own != port.to_string()) {
        return false;
    }
    if let Ok(named) = name.parse::<IpAddr>() {
        return address == Some(named.to_canonical());
    }
    let below = |domain: &str| host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'));
    match name.strip_prefix("*.").or(name.strip_prefix('.')) {
        _ if address.is_some() => false,
        Some(domain) => below(domain),
        None => host == name || below(name),
    }
}

/// Splits `host:port` and `[address]:port`. An IPv6 address without brackets has no port.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    let split = match entry.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("]:"),
        None => entry.split_once(':').filter(|(_, port)| !port.contains(':')),
    };
    split.map_or((entry, None), |(host, port)| (host, Some(port).filter(|port| !port.is_empty())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test data of golang.org/x/net/http/httpproxy: `NO_PROXY`, and hosts with whether they have a proxy on port 80.
    const LIST: &str = "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, 2001:db8::52:0:1, \
        [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64";
    const HOSTS: [(&str, bool); 28] = [
        ("localhost", false),
        ("127.0.0.1", false),
        ("127.0.0.2", false),
        ("[::1]", false),
        ("[::2]", true),
        ("192.168.1.1", false),
        ("192.168.1.2", true),
        ("192.168.1.3", false),
        ("192.168.1.4", true),
        ("10.0.0.2", false),
        ("[2001:db8::52:0:1]", false),
        ("[2001:db8::52:0:2]", true),
        ("[2001:db8::52:0:3]", false),
        ("[2002:db8:a::123]", false),
        ("[fe80::424b:c8be:1643:a1b6]", true),
        ("barbaz.net", true),
        ("www.barbaz.net", false),
        ("foobar.com", false),
        ("www.foobar.com", false),
        ("foofoobar.com", true),
        ("baz.com", true),
        ("localhost.net", true),
        ("local.localhost", true),
        ("barbarbaz.net", true),
        ("wildcard.io", true),
        ("nested.wildcard.io", false),
        ("awildcard.io", true),
        ("[::ffff:127.0.0.1]", false),
    ];

    #[test]
    fn hosts_have_a_proxy_where_they_have_one_for_kubectl() {
        for (host, has_proxy) in HOSTS {
            assert_eq!(is_direct(LIST, host, 80), !has_proxy, "{host}");
            assert!(is_direct("*", host, 80), "{host}");
            assert!(is_direct("other, *", host, 80), "{host}");
        }
    }

    #[test]
    fn entries_that_name_nothing_have_every_host_keep_its_proxy() {
        for entry in [
            "",
            " ",
            ",,",
            ":1",
            ":443",
            "[",
            "[]",
            "[]:443",
            "*.",
            ".",
            "10.0.0.0/33",
            "169.254.*",
            "169.254.",
            "[10.0.0.1]",
            "example.org example.com",
        ] {
            for host in ["example.com", "10.0.0.1", "169.254.0.1", "[fd00::1]"] {
                assert!(!is_direct(entry, host, 443), "{entry}: {host}");
            }
        }
    }

    #[test]
    fn a_port_counts() {
        assert!(is_direct("api.example.com:6443", "api.example.com", 6443));
        assert!(!is_direct("api.example.com:6443", "api.example.com", 443));
        assert!(is_direct(".example.com:6443", "API.Example.com", 6443));
        assert!(is_direct("10.0.0.1:6443", "10.0.0.1", 6443));
    }
}
