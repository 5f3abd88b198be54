//! Whom we trust: the machine's own bundle of CA certificates, read at run time.

use std::path::{Path, PathBuf};

use reqwest::Certificate;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::{Error, Result};

/// Chooses ring as the one provider of cryptography in this process.
pub(super) fn install_crypto() {
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
        .filter_map(|der| Certificate::from_der(&der).ok())
        .collect())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::process::Command;
    use std::sync::Arc;

    use model::Reference;
    use rustls::pki_types::PrivateKeyDer;

    use super::super::{Access, Transport, Wire};
    use super::*;
    use crate::{Client, Config};

    /// A CA, and a certificate for 127.0.0.1 that it has signed.
    fn authority(dir: &Path) {
        let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
             -keyout ca.key -out ca.pem -subj /CN=ca -days 2 && \
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes \
             -keyout key.pem -out csr.pem -subj /CN=registry && \
             echo subjectAltName=IP:127.0.0.1 > ext && \
             openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial \
             -extfile ext -out cert.pem -days 2";
        let output = Command::new("sh")
            .args(["-c", script])
            .current_dir(dir)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// A server that answers every request over TLS with an empty object.
    fn serve(dir: &Path) -> Reference {
        let certificate = CertificateDer::from_pem_file(dir.join("cert.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
                let mut stream = rustls::StreamOwned::new(connection, socket);
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}";
                if stream.read(&mut [0; 4096]).is_ok() {
                    let _ = stream.write_all(answer);
                    stream.conn.send_close_notify();
                    let _ = stream.flush();
                }
            }
        });
        format!("{address}/a:1").parse().unwrap()
    }

    fn reach(bundle: PathBuf, reference: &Reference, transport: Transport) -> Result<()> {
        let config = Config {
            ca_bundles: vec![bundle],
            retries: 0,
            ..Config::default()
        };
        let wire = Wire::prepare(&config, reference, Access::Pull, transport, None)?;
        Client::new(config.clone()).block_on(wire.probe_login())
    }

    #[test]
    fn only_a_trusted_registry_is_spoken_to() {
        install_crypto();
        let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        authority(ours.path());
        authority(theirs.path());
        let reference = serve(ours.path());
        let (right, wrong) = (ours.path().join("ca.pem"), theirs.path().join("ca.pem"));
        reach(right, &reference, Transport::Https).unwrap();
        let error = reach(wrong.clone(), &reference, Transport::Https).unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("--tls-verify=false"));
        reach(wrong.clone(), &reference, Transport::HttpsUnverified).unwrap();

        let error = reach(wrong.join("none"), &reference, Transport::Https).unwrap_err();
        assert!(matches!(error, Error::NoCertificates { .. }), "{error:?}");
    }

    #[test]
    fn a_loopback_registry_may_speak_tls_with_any_certificate() {
        install_crypto();
        let dir = tempfile::tempdir().unwrap();
        authority(dir.path());
        let reference = serve(dir.path());
        let config = Config::default();
        let open = Wire::open(&config, &reference, Access::Login);
        let client = Client::new(config.clone());
        client
            .block_on(async { open.await?.probe_login().await })
            .unwrap();
    }

    #[test]
    fn plain_http_where_tls_is_expected_is_named() {
        let dir = tempfile::tempdir().unwrap();
        authority(dir.path());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let reference = format!("{}/a:1", listener.local_addr().unwrap())
            .parse()
            .unwrap();
        std::thread::spawn(move || {
            for mut socket in listener.incoming().flatten() {
                let _ = socket.read(&mut [0; 4096]);
                let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            }
        });
        let error = reach(dir.path().join("ca.pem"), &reference, Transport::Https).unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    }

    #[test]
    fn a_bundle_survives_a_certificate_that_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        authority(dir.path());
        let mut bundle = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
        bundle.extend(std::fs::read(dir.path().join("ca.pem")).unwrap());
        let path = dir.path().join("bundle.pem");
        std::fs::write(&path, bundle).unwrap();
        assert_eq!(
            trusted(&[dir.path().join("none"), path], "x")
                .unwrap()
                .len(),
            1
        );
    }
}
