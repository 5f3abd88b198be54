//! The container's side of the connection to the gateway.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use model::NetworkPlan;
use model::network::{Ready, Reply, Request};

use crate::launch::StartError;

/// Longer than any answer: a link and some ports each.
const MAX_REPLY: usize = 256 << 10;

/// A connection over which a container was attached.
#[derive(Debug)]
pub struct Attached {
    /// The gateway's answer.
    pub ready: Ready,
    /// The connection; its end is the gateway's death notice.
    pub connection: OwnedFd,
    /// The router's network namespace.
    pub router_netns: Option<OwnedFd>,
}

/// Attaches a container's network namespace and waits for the answer. `router_netns` is
/// given when a dead gateway's successor is to take over what exists.
pub fn attach(
    socket: &Path,
    plan: &NetworkPlan,
    netns: BorrowedFd<'_>,
    router_netns: Option<BorrowedFd<'_>>,
) -> Result<Attached, StartError> {
    let connection = sys::unix::connect(socket)?;
    let request = Request::Attach {
        plan: plan.clone(),
        adopt: router_netns.is_some(),
    };
    let bytes = serde_json::to_vec(&request).expect("a plan of plain data is always JSON");
    let fds: Vec<_> = [netns].into_iter().chain(router_netns).collect();
    sys::unix::send(connection.as_fd(), &bytes, &fds)?;
    let Some(mut packet) = sys::unix::recv(connection.as_fd(), MAX_REPLY)? else {
        return Err(failed("the network gateway ended before it answered"));
    };
    match serde_json::from_slice(&packet.bytes) {
        Ok(Reply::Ready(ready)) => {
            let router_netns = packet.fds.drain(..).next();
            Ok(Attached {
                ready,
                connection,
                router_netns,
            })
        }
        Ok(Reply::Failed { message, hint }) => Err(StartError::Network { message, hint }),
        Err(_) => Err(failed(
            "the network gateway gave an answer that makes no sense",
        )),
    }
}

fn failed(message: &str) -> StartError {
    StartError::Network {
        message: message.to_owned(),
        hint: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ContainerId;
    use model::network::Request;

    fn plan() -> NetworkPlan {
        NetworkPlan {
            container: ContainerId::from_random([7; 32]),
            name: "web".into(),
            attachments: Vec::new(),
            published: Vec::new(),
            host_loopback: false,
            servers: Vec::new(),
        }
    }

    /// A gateway that gives one answer, with `fds` descriptors of its own.
    fn gateway(reply: Option<Reply>, fds: usize) -> Result<Attached, StartError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gateway");
        let listener = sys::unix::listen(&path, 1).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                let connection = sys::unix::accept(&listener).unwrap();
                let packet = sys::unix::recv(&connection, 64 << 10).unwrap().unwrap();
                assert_eq!(packet.fds.len(), 1);
                let request: Request = serde_json::from_slice(&packet.bytes).unwrap();
                assert_eq!(
                    request,
                    Request::Attach {
                        plan: plan(),
                        adopt: false
                    }
                );
                let Some(reply) = reply else { return };
                let bytes = serde_json::to_vec(&reply).unwrap();
                let fds = vec![connection.as_fd(); fds];
                sys::unix::send(&connection, &bytes, &fds).unwrap();
            });
            let netns = std::fs::File::open("/proc/self/ns/net").unwrap();
            attach(&path, &plan(), netns.as_fd(), None)
        })
    }

    #[test]
    fn an_answer_brings_the_router_namespace() {
        let ready = Ready {
            links: Vec::new(),
            published: Vec::new(),
            nameserver: std::net::Ipv4Addr::new(10, 89, 0, 1),
            search: Vec::new(),
        };
        let attached = gateway(Some(Reply::Ready(ready.clone())), 1).unwrap();
        assert_eq!(attached.ready, ready);
        assert!(attached.router_netns.is_some());
    }

    #[test]
    fn a_refusal_keeps_its_words() {
        let hint = Some("stop nginx".to_owned());
        let refusal = Reply::Failed {
            message: "port 80/tcp is in use".into(),
            hint: hint.clone(),
        };
        let error = gateway(Some(refusal), 0).unwrap_err();
        assert_eq!(
            (error.to_string().as_str(), error.hint()),
            ("port 80/tcp is in use", hint)
        );
    }

    #[test]
    fn a_gateway_that_dies_is_an_error() {
        let error = gateway(None, 0).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the network gateway ended before it answered"
        );
    }
}
