//! Key of an object in this process.

use std::fmt;
use std::sync::Arc;

use kube::Resource;
use kube::api::ObjectMeta;
use kube::runtime::reflector::{Lookup, ObjectRef};

/// Namespace and name of an object. The process holds several keys per object: a key is small, and its clones share the text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// Creates the key of the object `name` in `namespace`.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self([namespace, "/", name].concat().into())
    }

    /// Returns the key of `object`.
    pub fn of(object: &impl Resource) -> Self {
        object.meta().into()
    }

    // Neither a namespace nor a name contains a slash.
    fn parts(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or_default()
    }

    /// Returns the namespace.
    pub fn namespace(&self) -> &str {
        self.parts().0
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// Returns kube's reference to the object.
    pub(crate) fn reference<K: Lookup<DynamicType: Default>>(&self) -> ObjectRef<K> {
        ObjectRef::new(self.name()).within(self.namespace())
    }
}

impl From<&ObjectMeta> for Key {
    fn from(metadata: &ObjectMeta) -> Self {
        Self::new(
            metadata.namespace.as_deref().unwrap_or_default(),
            metadata.name.as_deref().unwrap_or_default(),
        )
    }
}

impl<K: Lookup> From<&ObjectRef<K>> for Key {
    fn from(reference: &ObjectRef<K>) -> Self {
        Self::new(reference.namespace.as_deref().unwrap_or_default(), &reference.name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;
    use kube::core::DynamicObject;

    use super::*;

    #[test]
    fn it_has_a_namespace_and_a_name() {
        let key = Key::new("team", "etl");
        assert_eq!((key.namespace(), key.name(), key.to_string().as_str()), ("team", "etl", "team/etl"));
        let object =
            DynamicObject::new("etl", &ApiResource::erase::<crate::api::AthenaSession>(&())).within("team");
        assert_eq!(Key::of(&object), key);
        let reference: ObjectRef<crate::api::AthenaSession> = key.reference();
        assert_eq!((reference.namespace.as_deref(), reference.name.as_str()), (Some("team"), "etl"));
        assert_eq!(Key::from(&reference), key);
    }
}
