//! Kinds of values of environment variables and profile keys, and the problems of wrong values.

use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;

use http::Uri;
use rustls::RootCertStore;
use rustls_native_certs::{CertificateResult, Error, ErrorKind, load_certs_from_paths};

/// Kind of value. Sentences about a wrong value never show it: it may be a secret, or stand in the place of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any value: each means something to its reader.
    Anything,
    /// Value that is neither checked nor removed, for the reason given: its reader does not run, or runs before this program.
    Unchecked(&'static str),
    /// No value, for the reason given.
    Never(&'static str),
    /// Value of a flag of this program. The parser of the command line reports its other problems.
    Flag,
    /// Text on one line, such as a path.
    Text,
    /// Text that goes into an HTTP header: ASCII.
    Header,
    /// Visible ASCII characters without a space, such as the id of an access key.
    Key,
    /// A secret [`Kind::Key`].
    SecretKey,
    /// A secret [`Kind::Header`].
    SecretHeader,
    /// `true` or `false`.
    Boolean,
    /// A whole number between two others, both included.
    Number(u64, u64),
    /// One of some words, case-insensitive.
    OneOf(&'static [&'static str]),
    /// Names of authentication schemes, separated by commas. A name may have its name space and `#` before it.
    Schemes(&'static [&'static str]),
    /// A number, with K, M or G after it if it is one of bytes, or a word such as on or off.
    NumberOrSwitch,
    /// The name of an AWS region.
    Region,
    /// Names of AWS regions, separated by commas, or `*`.
    Regions,
    /// The number of an AWS account.
    Account,
    /// The ARN of an IAM role.
    Role,
    /// The name of the session of a role.
    RoleSession,
    /// The name of an application in the user agent.
    AppName,
    /// The URL of an endpoint: http or https, without user, password and query.
    Endpoint,
    /// The URL where credentials come from: an [`Kind::Endpoint`] that may have a query.
    CredentialsUrl,
    /// The path of a URL, which begins with `/`.
    UrlPath,
    /// The URL of a proxy, an HTTP proxy if it has no scheme. It may have a password.
    Proxy,
    /// The name or the address of a host.
    Host,
    /// Files that can be read, separated by colons.
    Files,
    /// A file with certificates of authorities in PEM form.
    Certificates,
    /// Folders, separated by colons, with files of certificates of authorities in PEM form.
    CertificateFolders,
}

/// Problem of a value that ends in a newline, and its fix.
const WITHOUT_NEWLINE: &str = "ends in a newline: make its value without one, for example with `echo -n`";
const URL: &str = "is not a URL that begins with http:// or https://";

impl Kind {
    /// Returns whether values of this kind must not be printed.
    pub fn is_secret(self) -> bool {
        matches!(self, Self::SecretKey | Self::SecretHeader)
    }

    /// Returns the problem of a value that is not empty. The sentence begins with a verb: the name of the variable or key goes before it.
    pub fn problem(self, value: &str) -> Option<String> {
        match self {
            Self::Anything | Self::Unchecked(_) => return None,
            Self::Never(reason) => return Some(format!("must not be set: {reason}")),
            _ => {}
        }
        if value.ends_with('\n') {
            return Some(WITHOUT_NEWLINE.into());
        }
        if value.contains('\n') {
            return Some("has a newline in it".into());
        }
        if let Some(control) = value.chars().find(|letter| letter.is_control()) {
            return Some(format!("has a control character in it (U+{:04X})", u32::from(control)));
        }
        if value.trim() != value {
            return Some("begins or ends with a space".into());
        }
        self.problem_of_line(value)
    }

    /// Returns the problem of a value that is one line without spaces around it.
    fn problem_of_line(self, value: &str) -> Option<String> {
        let unless = |right: bool, problem: &str| (!right).then(|| problem.to_owned());
        match self {
            Self::Anything | Self::Unchecked(_) | Self::Never(_) | Self::Flag | Self::Text => None,
            Self::Header | Self::SecretHeader => {
                unless(value.is_ascii(), "has a character in it that is not ASCII")
            }
            Self::Key | Self::SecretKey => {
                unless(value.is_ascii(), "has a character in it that is not ASCII")
                    .or_else(|| unless(!value.contains(' '), "has a space in it"))
            }
            Self::Boolean => unless(is_one_of(value, &["true", "false"]), "must be true or false"),
            Self::Number(least, most) => {
                let right = value.parse().is_ok_and(|number| (least..=most).contains(&number));
                (!right).then(|| format!("must be a whole number of at least {least} and at most {most}"))
            }
            Self::OneOf(words) => {
                (!is_one_of(value, words)).then(|| format!("must be one of {}", words.join(", ")))
            }
            Self::Schemes(names) => {
                let is_known =
                    |scheme: &str| names.contains(&scheme.trim().rsplit('#').next().unwrap_or_default());
                (!value.split(',').all(is_known))
                    .then(|| format!("must be some of {}, separated by commas", names.join(", ")))
            }
            Self::NumberOrSwitch => {
                unless(is_number_or_switch(value), "must be a number, or a word such as on or off")
            }
            Self::Region => unless(is_label(value), "is not the name of an AWS region, such as eu-west-1"),
            Self::Regions => {
                let right = value.split(',').all(|region| region.trim() == "*" || is_label(region.trim()));
                unless(right, "must be names of AWS regions, separated by commas, or *")
            }
            Self::Account => unless(
                value.len() == 12 && value.bytes().all(|byte| byte.is_ascii_digit()),
                "is not the number of an AWS account: twelve digits",
            ),
            Self::Role => unless(
                is_role(value),
                "is not the ARN of a role, such as arn:aws:iam::123456789012:role/name",
            ),
            Self::RoleSession => {
                let right = (2..=64).contains(&value.len()) && has_only(value, b"_+=,.@-");
                unless(right, "must be 2 to 64 letters, digits and characters of _+=,.@-")
            }
            Self::AppName => {
                let right = has_only(value, b"!#$%&'*+-.^_`|~");
                unless(right, "must be letters, digits and characters of !#$%&'*+-.^_`|~")
            }
            Self::Endpoint => problem_of_url(value, false).map(str::to_owned),
            Self::CredentialsUrl => problem_of_url(value, true).map(str::to_owned),
            Self::UrlPath => unless(
                value.starts_with('/') && value.parse::<Uri>().is_ok(),
                "is not the path of a URL, which begins with /",
            ),
            Self::Proxy => {
                unless(is_proxy(value), "is not the URL of a proxy, such as http://proxy.example.com:3128")
            }
            Self::Host => unless(is_host(value), "is not the name or the address of a host"),
            Self::Files => paths(value).find_map(unreadable),
            Self::Certificates => {
                problem_of_certificates([load_certs_from_paths(Some(Path::new(value)), None)])
            }
            Self::CertificateFolders => problem_of_certificates(
                paths(value).map(|folder| load_certs_from_paths(None, Some(Path::new(folder)))),
            ),
        }
    }
}

/// Returns whether `text` is the ARN of an IAM role.
pub(crate) fn is_role(text: &str) -> bool {
    text.starts_with("arn:aws")
        && text.contains(":iam::")
        && text.contains(":role/")
        && (20..=2048).contains(&text.len())
}

fn is_one_of(value: &str, words: &[&str]) -> bool {
    words.iter().any(|word| value.eq_ignore_ascii_case(word))
}

fn is_number_or_switch(value: &str) -> bool {
    let number = value
        .trim_start_matches('-')
        .trim_end_matches(['K', 'M', 'G', 'T', 'i', 'B', 'k', 'm', 'g', 't', 'b']);
    is_one_of(value, &["true", "yes", "on", "false", "no", "off"]) || number.parse::<u32>().is_ok()
}

/// Returns whether `text` is a label of a domain name in lower case, such as the name of an AWS region or of a Kubernetes namespace.
pub(crate) fn is_label(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&text.len()) && text.bytes().all(allowed) && text.trim_matches('-') == text
}

/// Returns whether `value` has letters, digits and bytes of `others` only.
fn has_only(value: &str, others: &[u8]) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || others.contains(&byte))
}

fn is_host(value: &str) -> bool {
    let label = |label: &str| (1..=63).contains(&label.len()) && has_only(label, b"-_");
    // A name whose last label is a number is an IP address, or not valid.
    let is_numeric = |name: &str| {
        name.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let name = value.strip_suffix('.').unwrap_or(value);
    value.parse::<IpAddr>().is_ok() || (value.len() <= 253 && !is_numeric(name) && name.split('.').all(label))
}

fn problem_of_url(value: &str, may_have_query: bool) -> Option<&'static str> {
    let scheme = value.split_once("://").map(|(scheme, _)| scheme).unwrap_or_default();
    if !is_one_of(scheme, &["http", "https"]) {
        return Some(URL);
    }
    // The SDK parses a URL with both crates, one after the other.
    let (Ok(uri), Ok(_)) = (value.parse::<Uri>(), url::Url::parse(value)) else {
        return Some("is not a URL");
    };
    let Some(authority) = uri.authority() else { return Some("names no host") };
    if authority.as_str().contains('@') {
        return Some("has a user or a password in it, which would not be sent");
    }
    if !is_authority(authority.as_str(), authority.host()) {
        return Some("names no host, or no valid port");
    }
    (!may_have_query && uri.query().is_some()).then_some("has a query in it, which would not be sent")
}

/// Returns whether `authority` is a host, and a port where it has one.
fn is_authority(authority: &str, host: &str) -> bool {
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_valid = address.map_or_else(|| is_host(host), |address| address.parse::<Ipv6Addr>().is_ok());
    let rest = authority.strip_prefix(host).unwrap_or_default();
    is_valid && (rest.is_empty() || rest.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()))
}

fn is_proxy(value: &str) -> bool {
    let Ok(uri) = value.parse::<Uri>() else { return false };
    let is_known = uri
        .scheme_str()
        .is_none_or(|scheme| is_one_of(scheme, &["http", "https", "socks4", "socks4a", "socks5", "socks5h"]));
    let Some(authority) = uri.authority() else { return false };
    let place = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, place)| place);
    is_known && is_authority(place, authority.host())
}

/// Returns the paths that colons separate in `value`.
fn paths(value: &str) -> impl Iterator<Item = &str> {
    value.split(':').filter(|path| !path.is_empty())
}

fn unreadable(path: &str) -> Option<String> {
    let read = File::open(path).and_then(|mut file| file.read(&mut [0]));
    read.err().map(|error| format!("names a file that cannot be read: {error}"))
}

/// Returns the reason for which no certificate of an authority was found.
fn problem_of_certificates(found: impl IntoIterator<Item = CertificateResult>) -> Option<String> {
    let (certificates, errors): (Vec<_>, Vec<_>) =
        found.into_iter().map(|found| (found.certs, found.errors)).unzip();
    let (usable, _) = RootCertStore::empty().add_parsable_certificates(certificates.into_iter().flatten());
    let problem = || match errors.iter().flatten().next() {
        // The error's own text shows the path.
        Some(Error { context, kind: ErrorKind::Io { inner, .. } }) => {
            format!("gives no certificate of an authority: {context}: {inner}")
        }
        Some(Error { context, .. }) => format!("gives no certificate of an authority: {context}"),
        None => "gives no certificate of an authority in PEM form".into(),
    };
    (usable == 0).then(problem)
}
