//! Whom we trust: the machine's own bundle of CA certificates, read at run time.

use std::path::{Path, PathBuf};

use oci_client::client::{Certificate, CertificateEncoding};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{Error, Result};

/// Chooses ring as the one provider of cryptography in this process.
pub(crate) fn install_crypto() {
    // An error means that it was installed before, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// The certificates of the first bundle that exists.
pub(crate) fn trusted(bundles: &[PathBuf], registry: &str) -> Result<Vec<Certificate>> {
    let none = || Error::NoCertificates {
        registry: registry.into(),
        tried: bundles.to_vec(),
    };
    let path = bundles.iter().find(|path| path.exists()).ok_or_else(none)?;
    let certificates = read(path)?;
    if certificates.is_empty() {
        Err(none())
    } else {
        Ok(certificates)
    }
}

/// One certificate that cannot be used must not spoil the others: bundles of
/// distributions carry some that the verifier does not understand.
fn read(path: &Path) -> Result<Vec<Certificate>> {
    let fail = |source| Error::File {
        act: "read CA bundle",
        path: path.into(),
        source,
    };
    let pem = std::fs::read(path).map_err(|e| fail(e.into()))?;
    let mut store = RootCertStore::empty();
    Ok(CertificateDer::pem_slice_iter(&pem)
        .flatten()
        .filter(|der| store.add(der.clone()).is_ok())
        .map(|der| Certificate {
            encoding: CertificateEncoding::Der,
            data: der.to_vec(),
        })
        .collect())
}
