//! From PEM to what rustls works with.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use super::fresh::Recipe;
use super::{ClientTls, Identity, Pem, Place, ServerTls};
use crate::error::{Error, ErrorKind, Result};

/// Bytes of one file; the certificates of a whole system have a few hundred thousand.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// A PEM text and what it is for.
#[derive(Clone, Copy)]
pub(super) struct Named<'a> {
    role: &'static str,
    pem: &'a Pem,
}

impl<'a> Named<'a> {
    const fn new(role: &'static str, pem: &'a Pem) -> Self {
        Self { role, pem }
    }

    pub(super) const fn is_file(self) -> bool {
        matches!(self.pem.0, Place::File(_))
    }

    /// An error that names the file and never what is in it.
    fn wrong(self, what: &str) -> Error {
        let Self { role, pem } = self;
        let message = match &pem.0 {
            Place::File(path) => format!("tls: {role} file {path:?}: {what}"),
            Place::Memory(_) => format!("tls: {role}: {what}"),
        };
        Error::new(ErrorKind::Config, message)
    }

    pub(super) fn read(self) -> Result<Bytes> {
        let path = match &self.pem.0 {
            Place::File(path) => path,
            Place::Memory(text) => return Ok(text.clone()),
        };
        let mut text = Vec::new();
        let read = File::open(path).and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut text));
        match read {
            Err(source) => Err(self.wrong("cannot be read").with_source(source)),
            Ok(_) if text.len() as u64 > MAX_FILE_BYTES => {
                Err(self.wrong(&format!("has more than {MAX_FILE_BYTES} bytes")))
            }
            Ok(_) => Ok(text.into()),
        }
    }

    fn certificates(self, text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
        let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
        match certificates {
            // The reason would quote the text.
            Err(_) => Err(self.wrong("not valid pem")),
            Ok(certificates) if certificates.is_empty() => Err(self.wrong("has no certificate")),
            Ok(certificates) => Ok(certificates),
        }
    }

    fn roots(self, text: &[u8]) -> Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        for certificate in self.certificates(text)? {
            roots
                .add(certificate)
                .map_err(|source| self.wrong("has what is no certificate").with_source(source))?;
        }
        Ok(roots)
    }

    fn key(self, text: &[u8]) -> Result<PrivateKeyDer<'static>> {
        // The reason would quote the text.
        PrivateKeyDer::from_pem_slice(text).map_err(|_| self.wrong("has no private key in pem"))
    }
}

impl Identity {
    const fn names(&self) -> [Named<'_>; 2] {
        [Named::new("certificate", &self.certificate), Named::new("key", &self.key)]
    }

    /// Reads chain and key, and hands them to `take`, which checks that they belong together.
    fn read<T>(
        &self,
        texts: &mut impl Iterator<Item = Bytes>,
        take: impl FnOnce(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) -> Result<T, rustls::Error>,
    ) -> Result<T> {
        let [certificate, key] = self.names();
        let chain = certificate.certificates(&texts.next().unwrap_or_default())?;
        let private = key.key(&texts.next().unwrap_or_default())?;
        take(chain, private)
            .map_err(|source| key.wrong("does not work with the certificate").with_source(source))
    }
}

/// What a client's sessions are made with.
pub(super) struct ClientRecipe {
    tls: ClientTls,
    /// The system's certificates; empty where others were named.
    system: Arc<RootCertStore>,
    alpn: &'static [u8],
}

impl ClientRecipe {
    pub(super) fn new(tls: ClientTls, alpn: &'static [u8]) -> Result<Self> {
        let system = if tls.ca.is_none() { system_roots()? } else { RootCertStore::empty() };
        Ok(Self { tls, system: Arc::new(system), alpn })
    }
}

impl Recipe for ClientRecipe {
    type Made = ClientConfig;

    fn sources(&self) -> Vec<Named<'_>> {
        let ca = self.tls.ca.iter().map(|pem| Named::new("ca", pem));
        ca.chain(self.tls.identity.iter().flat_map(Identity::names)).collect()
    }

    fn make(&self, texts: Vec<Bytes>) -> Result<ClientConfig> {
        let mut texts = texts.into_iter();
        let roots = match &self.tls.ca {
            Some(pem) => Arc::new(Named::new("ca", pem).roots(&texts.next().unwrap_or_default())?),
            None => Arc::clone(&self.system),
        };
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_root_certificates(roots);
        let mut config = match &self.tls.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                identity.read(&mut texts, |chain, key| builder.with_client_auth_cert(chain, key))?
            }
        };
        config.alpn_protocols = vec![self.alpn.to_vec()];
        Ok(config)
    }
}

/// What a receiver's sessions are made with.
pub(super) struct ServerRecipe(pub(super) ServerTls);

impl Recipe for ServerRecipe {
    type Made = ServerConfig;

    fn sources(&self) -> Vec<Named<'_>> {
        let ca = self.0.client_ca.iter().map(|pem| Named::new("client ca", pem));
        self.0.identity.names().into_iter().chain(ca).collect()
    }

    fn make(&self, texts: Vec<Bytes>) -> Result<ServerConfig> {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(unusable)?;
        let builder = match &self.0.client_ca {
            None => builder.with_no_client_auth(),
            Some(pem) => {
                let named = Named::new("client ca", pem);
                let roots = named.roots(texts.get(2).map_or(&[], |text| text))?;
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
                let verifier = verifier
                    .build()
                    .map_err(|source| named.wrong("cannot be used to check clients").with_source(source))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut texts = texts.into_iter();
        let mut config =
            self.0.identity.read(&mut texts, |chain, key| builder.with_single_cert(chain, key))?;
        config.alpn_protocols = alpn_of_the_receiver();
        Ok(config)
    }
}

/// The first of these that the client has too is spoken.
fn alpn_of_the_receiver() -> Vec<Vec<u8>> {
    let http2 = cfg!(feature = "grpc").then(|| b"h2".to_vec());
    http2.into_iter().chain([b"http/1.1".to_vec()]).collect()
}

fn system_roots() -> Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _broken) = roots.add_parsable_certificates(found.certs);
    if added > 0 {
        return Ok(roots);
    }
    let error = Error::new(ErrorKind::Config, "tls: the system has no root certificates, so a ca is needed");
    Err(match found.errors.into_iter().next() {
        Some(source) => error.with_source(source),
        None => error,
    })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn unusable(source: rustls::Error) -> Error {
    Error::new(ErrorKind::Config, "tls: no version of the protocol can be used").with_source(source)
}
