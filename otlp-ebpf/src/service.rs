//! The service that is observed, and what its spans are made with.

use std::fmt;
use std::sync::Arc;

use otlp_core::record::{KeyValue, Resource};
use otlp_core::redact::Redactor;

use crate::finding::Findings;
use crate::id::IdSource;
use crate::join::{Exchanges, JoinTable};
use crate::limits::Limits;
use crate::redact::Redaction;

/// The service behind the connections, and what its spans are made with.
///
/// ```
/// use std::sync::Arc;
/// use otlp_core::record::KeyValue;
/// use otlp_ebpf::{IdSource, Service};
/// let cart = Service::new("cart", Arc::new(IdSource::seeded(7)))
///     .resource_attribute(KeyValue::new("service.version", "1.4.2"));
/// assert_eq!(cart.resource().service_name(), Some("cart"));
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct Service {
    name: Arc<str>,
    resource: Arc<Resource>,
    pub(crate) ids: Arc<IdSource>,
    pub(crate) join: Option<Arc<JoinTable>>,
    pub(crate) views: Option<Arc<Exchanges>>,
    pub(crate) findings: Option<Arc<Findings>>,
    pub(crate) redactor: Redaction,
    pub(crate) limits: Limits,
}

impl Service {
    /// A service of this name, whose spans get their identifiers from `ids`.
    #[must_use]
    pub fn new(name: &str, ids: Arc<IdSource>) -> Self {
        Self {
            name: name.into(),
            resource: Arc::new(Resource::service(name)),
            ids,
            join: None,
            views: None,
            findings: None,
            redactor: Redaction::default(),
            limits: Limits::default(),
        }
    }

    /// The same, with another resource; identifiers come from each connection's own source.
    #[cfg(feature = "replay")]
    pub(crate) fn with_resource(name: &str, resource: Resource) -> Self {
        let mut service = Self::new(name, Arc::new(IdSource::seeded(0)));
        service.resource = Arc::new(resource);
        service
    }

    /// The same, of another name, with nothing else in its resource.
    #[cfg(feature = "capture")]
    pub(crate) fn named(&self, name: &str) -> Self {
        Self { name: name.into(), resource: Arc::new(Resource::service(name)), ..self.clone() }
    }

    /// Adds an attribute to the resource.
    #[must_use]
    pub fn resource_attribute(mut self, attribute: KeyValue) -> Self {
        Arc::make_mut(&mut self.resource).attributes.push(attribute);
        self
    }

    /// Shares a table in which requests find the request that caused them; default none.
    #[must_use]
    pub fn join(mut self, table: Arc<JoinTable>) -> Self {
        self.join = Some(table);
        self
    }

    /// Shares a table in which the server's view of an exchange finds the client's; default none.
    #[must_use]
    pub fn exchanges(mut self, table: Arc<Exchanges>) -> Self {
        self.views = Some(table);
        self
    }

    /// Shows each command and span to what tells what is wrong; default nobody.
    #[must_use]
    pub fn findings(mut self, findings: Arc<Findings>) -> Self {
        self.findings = Some(findings);
        self
    }

    /// Sets what is masked in URL queries; default [`Redactor::default`].
    #[must_use]
    pub fn redactor(mut self, redactor: Redactor) -> Self {
        self.redactor = self.redactor.keys(redactor);
        self
    }

    /// Sets what may leave; default [`Redaction::default`].
    #[must_use]
    pub fn redaction(mut self, redaction: Redaction) -> Self {
        self.redactor = redaction;
        self
    }

    /// Sets the bounds of each connection; default [`Limits::DEFAULT`].
    #[must_use]
    pub const fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The resource of its spans.
    #[must_use]
    pub const fn resource(&self) -> &Arc<Resource> {
        &self.resource
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service").field("name", &self.name).finish_non_exhaustive()
    }
}
