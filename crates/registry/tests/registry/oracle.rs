//! A second opinion: oci-client, the field's own client, reads what we push.

use oci_client::Reference;
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::manifest::OciManifest;
use oci_client::secrets::RegistryAuth;

use crate::kit::{Layout, Memory, References, Server, client, digest_of, pull};

#[test]
fn another_client_reads_what_we_push() {
    let server = Server::open();
    server.fill(&Layout::single().source(), "theirs:1", &[]);
    let sink = Memory::default();
    let pulled = pull(&server.reference("theirs:1"), &sink).unwrap();
    let target = server.reference("ours:1");
    client()
        .push(&target, &pulled.manifest, &sink, &model::event::Silent)
        .unwrap();

    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let other = Client::new(ClientConfig {
            protocol: ClientProtocol::Http,
            ..ClientConfig::default()
        });
        let reference: Reference = target.to_string().parse().unwrap();
        let read = other.pull_manifest(&reference, &RegistryAuth::Anonymous);
        let (manifest, digest) = read.await.unwrap();
        assert_eq!(digest, pulled.resolved.as_str());
        let OciManifest::Image(manifest) = manifest else {
            panic!("an index came for an image");
        };
        for layer in &manifest.layers {
            let mut bytes = Vec::new();
            other
                .pull_blob(&reference, layer, &mut bytes)
                .await
                .unwrap();
            assert_eq!(digest_of(&bytes).as_str(), layer.digest);
        }
        assert!(!manifest.layers.is_empty());
    });
}
