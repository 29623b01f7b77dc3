//! Which environment variables and profile keys sources read.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// What sources read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Reads {
    pub(crate) variables: BTreeSet<String>,
    pub(crate) keys: BTreeSet<String>,
    /// Files that read a variable whose name they get from elsewhere.
    pub(crate) unknown: BTreeSet<String>,
}

/// Names of what the SDK reads variables from.
const ENVIRONMENTS: [&str; 4] = ["env", "environment", "env_var", "proc_env"];

/// What files in Rust of one package read: paths and texts. Tests and documentation are left out.
pub(crate) fn of_rust(files: &[(String, String)]) -> Reads {
    let mut reads = Reads::default();
    let package = Package { files, parsed: RefCell::default() };
    for (path, text) in files.iter().filter(|(_, text)| may_read(text)) {
        let tokens = package.tokens(path, text);
        let is_imported = text.contains("use std::env::var") || text.contains("use std::env::{");
        File { path, package: &package, tokens: &tokens, is_imported, reads: &mut reads }.look(&tokens);
    }
    reads
}

/// Returns whether a file may be one that reads, by words that such a file has.
fn may_read(text: &str) -> bool {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let is_of_sdk =
        has(&["os_shim_internal", "EnvConfigValue", "EnvConfigSections", "ProviderConfig", "ProfileSet"]);
    has(&["env::var", "env::{", "service_config_key("])
        || (is_of_sdk && has(&[".env(", ".get(", ".profile("]))
}

/// What files in C read.
pub(crate) fn of_c(files: &[(String, String)]) -> Reads {
    let mut reads = Reads::default();
    for (path, text) in files {
        // mimalloc makes the names of its variables from those of its options.
        let options = text.split("MI_OPTION").skip(1).filter_map(|rest| {
            rest.trim_start_matches("_LEGACY").strip_prefix('(')?.split([')', ',']).next()
        });
        reads.variables.extend(
            options
                .filter(|option| is_key(option))
                .map(|option| format!("MIMALLOC_{}", option.to_ascii_uppercase())),
        );
        let calls: Vec<&str> = text.split("getenv(").collect();
        for (before, after) in calls.iter().zip(calls.iter().skip(1)) {
            let is_call = !before.ends_with(|letter: char| letter.is_ascii_alphanumeric() || letter == '_')
                || before.ends_with("secure_");
            let is_comment = before.lines().next_back().is_some_and(|line| line.contains("//"));
            let name = after.strip_prefix('"').and_then(|rest| rest.split('"').next());
            if is_call && !is_comment {
                reads.variables.extend(name.map(str::to_owned));
                reads.unknown.extend(name.is_none().then(|| path.clone()));
            }
        }
    }
    reads
}

/// The tokens of a file but for attributes, documentation and tests.
fn tokens(text: &str) -> Vec<TokenTree> {
    let stream: TokenStream = text
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {}", text.chars().take(200).collect::<String>()));
    without_tests(stream)
}

fn without_tests(stream: TokenStream) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut rest = stream.into_iter().peekable();
    while let Some(token) = rest.next() {
        if !is_mark(&token, '#') {
            kept.push(match token {
                TokenTree::Group(group) => TokenTree::Group(Group::new(
                    group.delimiter(),
                    without_tests(group.stream()).into_iter().collect(),
                )),
                token => token,
            });
            continue;
        }
        let is_of_file = rest.next_if(|token| is_mark(token, '!')).is_some();
        let Some(TokenTree::Group(attribute)) = rest.next_if(|token| matches!(token, TokenTree::Group(_)))
        else {
            continue;
        };
        let attribute = attribute.stream().to_string().replace(' ', "");
        let is_test = attribute == "test"
            || attribute.split('(').next().is_some_and(|path| path.ends_with("::test"))
            || (attribute.starts_with("cfg(")
                && !attribute.contains("not(")
                && attribute.replace("test-util", "").contains("test"));
        if is_test && is_of_file {
            return Vec::new();
        }
        if is_test {
            // The item goes to the end of its body, or to a semicolon.
            let is_end = |token: &TokenTree| match token {
                TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                token => is_mark(token, ';'),
            };
            for token in rest.by_ref() {
                if is_end(&token) {
                    break;
                }
            }
        }
    }
    kept
}

fn is_mark(token: &TokenTree, mark: char) -> bool {
    matches!(token, TokenTree::Punct(own) if own.as_char() == mark)
}

fn literal(token: &TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    let text = literal.to_string();
    text.strip_prefix('"')?.strip_suffix('"').map(str::to_owned)
}

fn is_variable(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    (name.len() > 1 && name.bytes().all(allowed) && !name.as_bytes()[0].is_ascii_digit())
        || name.ends_with("_proxy")
}

fn is_key(name: &str) -> bool {
    !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The files of one package.
struct Package<'a> {
    files: &'a [(String, String)],
    parsed: RefCell<BTreeMap<&'a str, Rc<Vec<TokenTree>>>>,
}

impl<'a> Package<'a> {
    fn tokens(&self, path: &'a str, text: &str) -> Rc<Vec<TokenTree>> {
        self.parsed.borrow_mut().entry(path).or_insert_with(|| Rc::new(tokens(text))).clone()
    }

    /// The values that the constant `name` of `module`, if that is named, may have in the file at `path`. It may stand in another file.
    fn values(&self, path: &str, module: Option<&str>, name: &str) -> Vec<String> {
        let mut all = Vec::new();
        for (own, text) in self.files.iter().filter(|(_, text)| text.contains(&format!("const {name}:"))) {
            constants(&self.tokens(own, text), "", name, &mut |module, value| {
                all.push((own.as_str(), module.to_owned(), value));
            });
        }
        let choose = |in_file: bool, in_module: bool| {
            let chosen = all.iter().filter(|(own, own_module, _)| {
                (!in_file || *own == path)
                    && (!in_module || module.is_some_and(|module| module == own_module))
            });
            Some(chosen.map(|(_, _, value)| value.clone()).collect::<Vec<_>>())
                .filter(|values| !values.is_empty())
        };
        choose(true, true)
            .or_else(|| choose(false, true))
            .or_else(|| choose(true, false))
            .or_else(|| choose(false, false))
            .unwrap_or_default()
    }

    /// The names of variables in the functions of this name.
    fn variables_in(&self, function: &str) -> Vec<String> {
        let mut found = Vec::new();
        for (path, text) in self.files.iter().filter(|(_, text)| text.contains(&format!("fn {function}("))) {
            bodies(&self.tokens(path, text), function, &mut |body| found.extend(self.variables(path, &body)));
        }
        found
    }

    /// The names of variables in `tokens`, as texts and as constants.
    fn variables(&self, path: &str, tokens: &[TokenTree]) -> Vec<String> {
        let mut found = Vec::new();
        for token in tokens {
            match token {
                TokenTree::Group(group) => found.extend(self.variables(path, &list(group))),
                TokenTree::Ident(name) if is_variable(&name.to_string()) => {
                    found.extend(self.values(path, None, &name.to_string()));
                }
                token => found.extend(literal(token)),
            }
        }
        found.retain(|name| is_variable(name));
        found
    }
}

fn list(group: &Group) -> Vec<TokenTree> {
    group.stream().into_iter().collect()
}

/// Tells the module and the value of each constant `name` that is a text.
fn constants(tokens: &[TokenTree], module: &str, name: &str, told: &mut dyn FnMut(&str, String)) {
    for (number, token) in tokens.iter().enumerate() {
        let before = number.checked_sub(1).map(|number| tokens[number].to_string()).unwrap_or_default();
        match token {
            TokenTree::Ident(own) if before == "const" && own == name => {
                let rest: Vec<_> =
                    tokens[number + 1..].iter().take_while(|token| !is_mark(token, ';')).collect();
                if let [.., equals, value] = &rest[..]
                    && is_mark(equals, '=')
                    && let Some(value) = literal(value)
                {
                    told(module, value);
                }
            }
            TokenTree::Group(group) => {
                let is_module = number >= 2 && tokens[number - 2].to_string() == "mod";
                constants(&list(group), if is_module { &before } else { module }, name, told);
            }
            _ => {}
        }
    }
}

/// Tells the body of each function `name`.
fn bodies(tokens: &[TokenTree], name: &str, told: &mut dyn FnMut(Vec<TokenTree>)) {
    for (number, token) in tokens.iter().enumerate() {
        if let TokenTree::Group(group) = token {
            bodies(&list(group), name, told);
        } else if token.to_string() == name
            && number.checked_sub(1).is_some_and(|number| tokens[number].to_string() == "fn")
        {
            let body = |token: &TokenTree| match token {
                TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => Some(list(group)),
                _ => None,
            };
            tokens[number..].iter().find_map(body).into_iter().for_each(&mut *told);
        }
    }
}

struct File<'a, 'p> {
    path: &'a str,
    package: &'a Package<'p>,
    tokens: &'a [TokenTree],
    /// Whether the file may call `var` without saying where that is from.
    is_imported: bool,
    reads: &'a mut Reads,
}

impl File<'_, '_> {
    fn look(&mut self, tokens: &[TokenTree]) {
        let text = |number: Option<usize>| {
            number.and_then(|number| tokens.get(number)).map(ToString::to_string).unwrap_or_default()
        };
        for (number, token) in tokens.iter().enumerate() {
            if let TokenTree::Group(group) = token {
                self.look(&list(group));
                continue;
            }
            let TokenTree::Ident(name) = token else { continue };
            let arguments = match tokens.get(number + 1) {
                Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis => {
                    split(group.stream())
                }
                _ => Vec::new(),
            };
            let (before, owner) = (text(number.checked_sub(1)), text(number.checked_sub(2)));
            let is_of_env = before == ":" && text(number.checked_sub(3)) == "env";
            match (name.to_string().as_str(), &arguments[..]) {
                ("var" | "var_os", [argument])
                    if is_of_env || (self.is_imported && ![".", ":", "fn"].contains(&before.as_str())) =>
                {
                    self.variable(argument);
                }
                // Not the end of an import.
                ("var" | "var_os" | "vars" | "vars_os", _) if is_of_env && text(Some(number + 1)) != ";" => {
                    self.reads.unknown.insert(self.path.to_owned());
                }
                ("env", [argument]) if before == "." => {
                    let names = self.values(argument);
                    self.reads.variables.extend(names.into_iter().filter(|name| is_variable(name)));
                }
                ("profile", [argument]) if before == "." => {
                    let names = self.values(argument);
                    self.reads.keys.extend(names.into_iter().filter(|name| is_key(name)));
                }
                ("get", [argument]) if before == "." => {
                    let is_environment = ENVIRONMENTS.contains(&owner.as_str())
                        || (owner == "()" && ENVIRONMENTS.contains(&text(number.checked_sub(3)).as_str()));
                    self.got(argument, is_environment);
                }
                ("service_config_key", [service, variable, key]) => {
                    let (services, keys) = (self.values(service), self.values(key));
                    for variable in self.values(variable) {
                        let of_service = |service: &String| {
                            format!("{variable}_{}", service.to_uppercase().replace(' ', "_"))
                        };
                        self.reads.variables.extend(services.iter().map(of_service));
                        self.reads.variables.insert(variable);
                    }
                    self.reads.keys.extend(keys);
                }
                _ => {}
            }
        }
    }

    /// What `.get(argument)` reads: a variable, if its name says so, or a key of a profile where profiles are read.
    fn got(&mut self, argument: &[TokenTree], is_environment: bool) {
        let names = self.values(argument);
        if names.is_empty() && is_environment {
            return self.variable(argument);
        }
        let has_profiles = ["profile", "imds/", "env_config"].iter().any(|part| self.path.contains(part));
        for name in names {
            if is_variable(&name) {
                self.reads.variables.insert(name);
            } else if has_profiles && !is_environment && is_key(&name) {
                self.reads.keys.insert(name);
            }
        }
    }

    /// A variable that is surely read: where a function gives its name, it is one of those in there, and where that comes from elsewhere, one of those
    /// in the file.
    fn variable(&mut self, argument: &[TokenTree]) {
        let mut names = self.values(argument);
        if let [.., TokenTree::Ident(function), TokenTree::Group(_)] = argument {
            names.extend(self.package.variables_in(&function.to_string()));
        }
        if names.is_empty() {
            names = self.package.variables(self.path, self.tokens);
        }
        if names.is_empty() {
            self.reads.unknown.insert(self.path.to_owned());
        }
        self.reads.variables.extend(names);
    }

    /// The texts that an argument may be: a literal, or a constant.
    fn values(&self, argument: &[TokenTree]) -> Vec<String> {
        let path: Vec<_> =
            argument.iter().filter(|token| !is_mark(token, '&') && !is_mark(token, ':')).collect();
        match &path[..] {
            [only] if literal(only).is_some() => literal(only).into_iter().collect(),
            [.., TokenTree::Ident(name)] if path.iter().all(|token| matches!(token, TokenTree::Ident(_))) => {
                let module = path.len().checked_sub(2).map(|number| path[number].to_string());
                self.package.values(self.path, module.as_deref(), &name.to_string())
            }
            _ => Vec::new(),
        }
    }
}

/// The arguments of a call.
fn split(stream: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut arguments = vec![Vec::new()];
    for token in stream {
        if is_mark(&token, ',') {
            arguments.push(Vec::new());
        } else if let Some(argument) = arguments.last_mut() {
            argument.push(token);
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}
