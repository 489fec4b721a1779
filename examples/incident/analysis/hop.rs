//! Who speaks what with whom.

use std::collections::BTreeMap;
use std::sync::Arc;

use otlp_core::record::Span;
use otlp_core::semconv;

use super::text;

/// Pairs of caller and service that are remembered; the shop has six.
const MAX_HOPS: usize = 1_000;

/// The protocol of each hop, by service and caller; the caller is empty where it is none of the services.
#[derive(Debug, Default)]
pub(crate) struct Hops(BTreeMap<(Arc<str>, Arc<str>), &'static str>);

impl Hops {
    /// Takes note of a span of `service`.
    pub(crate) fn observe(&mut self, service: &Arc<str>, span: &Span) {
        let Some(protocol) = protocol(span) else { return };
        let caller = text(span, semconv::SERVICE_PEER_NAME).unwrap_or_default();
        let hop = (Arc::clone(service), Arc::from(caller));
        if self.0.len() < MAX_HOPS || self.0.contains_key(&hop) {
            self.0.insert(hop, protocol);
        }
    }

    /// What `caller` speaks with `service`; none where no such call was seen.
    pub(crate) fn between(&self, caller: &str, service: &str) -> Option<&'static str> {
        self.0.get(&(Arc::from(service), Arc::from(caller))).copied()
    }

    /// All that is spoken with `service`, each protocol once; none where nothing was seen.
    pub(crate) fn spoken_with(&self, service: &str) -> Option<String> {
        let met = self.0.iter().filter(|((of, _), _)| &**of == service).map(|(_, protocol)| *protocol);
        let mut names: Vec<&str> = met.collect();
        names.sort_unstable();
        names.dedup();
        (!names.is_empty()).then(|| names.join(", "))
    }
}

/// The protocol of a span as people call it.
fn protocol(span: &Span) -> Option<&'static str> {
    if let Some(system) = text(span, semconv::DB_SYSTEM_NAME) {
        return Some(match system {
            "postgresql" => "PostgreSQL",
            "mysql" => "MySQL",
            "mariadb" => "MariaDB",
            "redis" => "Redis",
            _ => return None,
        });
    }
    if text(span, semconv::RPC_SYSTEM_NAME) == Some("grpc") {
        return Some("gRPC");
    }
    match (text(span, semconv::NETWORK_PROTOCOL_NAME)?, text(span, semconv::NETWORK_PROTOCOL_VERSION)?) {
        ("http", "1.0") => Some("HTTP/1.0"),
        ("http", "1.1") => Some("HTTP/1.1"),
        ("http", "2") => Some("HTTP/2"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use otlp_core::record::KeyValue;

    use super::*;

    fn span(attributes: &[(&'static str, &str)]) -> Span {
        let attributes = attributes.iter().map(|(key, value)| KeyValue::new(*key, *value)).collect();
        Span { attributes, ..Span::default() }
    }

    #[test]
    fn each_hop_has_the_protocol_that_its_spans_tell() {
        let mut hops = Hops::default();
        let http = [(semconv::NETWORK_PROTOCOL_NAME, "http"), (semconv::NETWORK_PROTOCOL_VERSION, "1.1")];
        hops.observe(&"gateway".into(), &span(&http));
        for caller in ["order", "gateway"] {
            let peer = (semconv::SERVICE_PEER_NAME, caller);
            let grpc = [(semconv::RPC_SYSTEM_NAME, "grpc"), (semconv::NETWORK_PROTOCOL_NAME, "http"), peer];
            hops.observe(&"payment".into(), &span(&grpc));
        }
        let sql = [(semconv::DB_SYSTEM_NAME, "postgresql"), (semconv::SERVICE_PEER_NAME, "payment")];
        hops.observe(&"db".into(), &span(&sql));
        hops.observe(&"db".into(), &span(&[(semconv::DB_SYSTEM_NAME, "mysql")]));
        hops.observe(&"mail".into(), &span(&[("x", "y")]));
        assert_eq!(hops.between("payment", "db"), Some("PostgreSQL"));
        assert_eq!((hops.between("", "gateway"), hops.between("db", "payment")), (Some("HTTP/1.1"), None));
        assert_eq!(hops.spoken_with("payment").as_deref(), Some("gRPC"));
        assert_eq!(hops.spoken_with("db").as_deref(), Some("MySQL, PostgreSQL"));
        assert_eq!(hops.spoken_with("mail"), None);
    }
}
