//! Certificates made for a test, and a directory to keep them in.
#![allow(dead_code, reason = "each test program uses its part")]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use otlp_core::transport::tls::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Signs certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    text: String,
}

/// A certificate and its key, in PEM.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let text = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), text }
    }

    pub(crate) fn text(&self) -> String {
        self.text.clone()
    }

    pub(crate) fn pem(&self) -> Pem {
        Pem::text(self.text())
    }

    /// A certificate for loopback, of a server or a client.
    pub(crate) fn issue(&self) -> Issued {
        self.issue_for(&["localhost", "127.0.0.1"], |_| {})
    }

    pub(crate) fn expired(&self) -> Issued {
        self.issue_for(&["localhost", "127.0.0.1"], |params| {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        })
    }

    pub(crate) fn issue_for(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Issued {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name.push(DnType::CommonName, "leaf");
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Issued { certificate, key: key.serialize_pem() }
    }
}

impl Issued {
    pub(crate) fn pems(&self) -> (Pem, Pem) {
        (Pem::text(self.certificate.clone()), Pem::text(self.key.clone()))
    }
}

/// A directory of its own, removed at the end.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("otlp-core-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Puts a file in the place of the one before, in one step.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let next = self.path("next");
        std::fs::write(&next, text).expect("room");
        std::fs::rename(&next, self.path(name)).expect("the same directory");
        self.path(name)
    }

    /// Writes certificate and key; returns where they are.
    pub(crate) fn write_pair(&self, name: &str, issued: &Issued) -> (PathBuf, PathBuf) {
        let certificate = self.write(&format!("{name}.pem"), &issued.certificate);
        (certificate, self.write(&format!("{name}-key.pem"), &issued.key))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _removed = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("text")
}
