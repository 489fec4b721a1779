//! What produced the telemetry: the resource and the instrumentation scope.

use super::attribute::{AnyValue, KeyValue};
use crate::semconv;

/// The entity that telemetry is about: a service instance, a process, a host.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Resource {
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// Attributes dropped before encoding.
    pub dropped_attributes_count: u32,
    /// Which of the attributes identify which entity.
    pub entity_refs: Vec<EntityRef>,
}

impl Resource {
    /// A resource that is just a service's name.
    ///
    /// ```
    /// use otlp_core::record::Resource;
    /// assert_eq!(Resource::service("cart").service_name(), Some("cart"));
    /// ```
    pub fn service(name: impl Into<String>) -> Self {
        let name = KeyValue::new(semconv::SERVICE_NAME, name.into());
        Self { attributes: vec![name], ..Self::default() }
    }

    /// The value of `service.name`, where it is text.
    #[must_use]
    pub fn service_name(&self) -> Option<&str> {
        KeyValue::find(&self.attributes, semconv::SERVICE_NAME).and_then(AnyValue::as_str)
    }
}

/// A reference from a resource to an entity: which attributes identify it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EntityRef {
    /// Schema that the keys follow.
    pub schema_url: String,
    /// Entity type, such as `service` or `host`.
    pub kind: String,
    /// Attribute keys that identify the entity.
    pub id_keys: Vec<String>,
    /// Attribute keys that describe it.
    pub description_keys: Vec<String>,
}

/// The instrumentation scope: which library made the records.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scope {
    /// The library's name.
    pub name: String,
    /// The library's version.
    pub version: String,
    /// Its attributes.
    pub attributes: Vec<KeyValue>,
    /// Attributes dropped before encoding.
    pub dropped_attributes_count: u32,
}
