//! The server on loopback, for `kubectl` and whoever else speaks HTTP.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

use super::ApiServer;

/// A server that listens; it stops when this is dropped.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    _stop: DropGuard,
}

impl Listening {
    /// A kubeconfig for this server, as YAML, whose user may do everything.
    pub fn kubeconfig(&self) -> String {
        kubeconfig(&format!("http://{}", self.address))
    }

    /// A kubeconfig for the bearer of `token`.
    pub fn kubeconfig_with_token(&self, token: &str) -> String {
        kubeconfig(&format!("http://{}{BEARER_PATH}{token}", self.address))
    }
}

/// Clients keep their tokens to themselves where there is no TLS; so the server takes one from the path, too.
pub(super) const BEARER_PATH: &str = "/bearer/";

fn kubeconfig(url: &str) -> String {
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: double\n  cluster: {{server: \"{url}\"}}\n\
         users:\n\
         - name: user\n  user: {{}}\n\
         contexts:\n\
         - name: double\n  context: {{cluster: double, user: user, namespace: default}}\n\
         current-context: double\n"
    )
}

impl ApiServer {
    /// Listens on `address`, which must be a loopback one; port 0 takes any free port.
    pub async fn listen(&self, address: SocketAddr) -> io::Result<Listening> {
        if !address.ip().is_loopback() {
            let message =
                format!("{address} is not a loopback address; the double has no authentication to speak of");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
        }
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let token = CancellationToken::new();
        let stop = token.clone();
        let router = axum::Router::new().fallback_service(self.service());
        tokio::spawn(async move {
            let serve = axum::serve(listener, router);
            tokio::select! {
                () = stop.cancelled() => {}
                result = serve => {
                    if let Err(error) = result {
                        tracing::error!(%error, "the API server double stopped listening");
                    }
                }
            }
        });
        Ok(Listening { address, _stop: token.drop_guard() })
    }
}
