//! What is read of a `go.mod`.

/// The text of a `go.mod`.
#[derive(Clone, Copy, Debug)]
pub struct GoMod<'a>(pub &'a str);

impl<'a> GoMod<'a> {
    /// The oldest Go that may build the module, such as `1.26.0`.
    pub fn go(self) -> Option<&'a str> {
        self.value_of("go")
    }

    /// The version that a module is required in, such as `v1.36.3`.
    pub fn version(self, module: &str) -> Option<&'a str> {
        self.value_of(module)
    }

    /// The version of the required module that has this package.
    pub fn version_of_package(self, package: &str) -> Option<&'a str> {
        let is_in = |module: &str| {
            package.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let modules = self.required().filter(|(module, _)| module.contains('.') && is_in(module));
        modules.max_by_key(|(module, _)| module.len()).map(|(_, version)| version)
    }

    fn value_of(self, name: &str) -> Option<&'a str> {
        self.required().find_map(|(found, value)| (found == name).then_some(value))
    }

    fn required(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0.lines().filter_map(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word == "require");
            Some((words.next()?, words.next()?))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GO_MOD: GoMod<'_> = GoMod(
        "module m.test/m\n\ngo 1.30.1\n\nreplace k8s.io/api => k8s.io/api v0.2.0\n\ntool (\n\tk8s.io/kubernetes/cmd/kubectl\n)\n\n\
         require k8s.io/kubernetes v1.2.3\n\nrequire (\n\tgo.etcd.io/etcd/server/v3 v3.4.5 // indirect\n\tgo.etcd.io/etcd v0.0.1\n)\n",
    );

    #[test]
    fn versions_are_those_required() {
        assert_eq!(GO_MOD.go(), Some("1.30.1"));
        assert_eq!(GO_MOD.version("k8s.io/kubernetes"), Some("v1.2.3"));
        assert_eq!(GO_MOD.version("go.etcd.io/etcd/server/v3"), Some("v3.4.5"));
        assert_eq!(GO_MOD.version("k8s.io"), None);
    }

    #[test]
    fn a_package_has_the_version_of_the_innermost_module_around_it() {
        assert_eq!(GO_MOD.version_of_package("k8s.io/kubernetes/cmd/kubectl"), Some("v1.2.3"));
        assert_eq!(GO_MOD.version_of_package("go.etcd.io/etcd/server/v3"), Some("v3.4.5"));
        assert_eq!(GO_MOD.version_of_package("go.etcd.io/etcd/server/v31"), Some("v0.0.1"));
        assert_eq!(GO_MOD.version_of_package("."), None);
    }
}
