//! The HTTP client, and its errors in words for the person on call.

use std::error::Error;
use std::io;
use std::path::Path;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Url};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{AlertDescription, CertificateError, RootCertStore};

use futures::future::BoxFuture;

use super::config::ServerConfig;
use super::failure::{FailureKind, presentable};

/// Carries requests to servers in place of connections, for tests without a network. The request is the one that would
/// have gone out; the answer is bounded, timed and decoded like any other.
pub trait Transport: Send + Sync + 'static {
    /// Carries one request to its server and the answer back. May take for ever: whoever asks stops waiting.
    fn carry(&self, request: reqwest::Request) -> BoxFuture<'static, Result<reqwest::Response, Broken>>;

    /// What the operator's clock shows, for the comparison with the server's.
    fn now(&self) -> jiff::Timestamp;
}

/// Why there was no answer at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened, as the rest of a sentence that begins with the server.
    pub words: String,
}

/// A client certificate and where it came from.
pub(super) struct Identity<'a> {
    pub(super) certificate_path: &'a Path,
    pub(super) certificate: &'a [u8],
    pub(super) key_path: &'a Path,
    pub(super) key: &'a [u8],
}

/// A client for one server: keeps connections, follows no redirect, uses no proxy, unpacks nothing.
pub(super) fn client(
    config: &ServerConfig,
    authorities: Option<(&Path, &[u8])>,
    identity: Option<&Identity<'_>>,
) -> Result<Client, String> {
    // The builder would panic.
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err("the process has installed no TLS provider".into());
    }
    let url = config.base_url()?;
    let mut builder = Client::builder()
        .user_agent(concat!("plimsoll/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .http1_only()
        .connect_timeout(connect_timeout(config))
        .pool_idle_timeout(Duration::from_secs(90))
        .tcp_keepalive(Duration::from_secs(30));
    match authorities {
        Some((path, pem)) => builder = builder.tls_certs_only(certificates(path, pem)?),
        // Without TLS nobody needs the system's certificates, which may not be there.
        None if url.scheme() == "http" => builder = builder.tls_certs_only([]),
        None => {}
    }
    if let Some(identity) = identity {
        builder = builder.identity(identity.to_reqwest()?);
    }
    if let (Some(_), Some(host)) = (server_name(config), url.host_str()) {
        builder =
            builder.dns_resolver(std::sync::Arc::new(AlwaysHost(host.trim_matches(['[', ']']).to_owned())));
    }
    builder.build().map_err(|error| build_fault(&error, identity))
}

/// The address that the questions of one `endpoint` go to. Where another name is expected in the certificate, the
/// client dials the configured host under that name.
pub(super) fn endpoint_url(config: &ServerConfig, endpoint: &str) -> Result<Url, String> {
    let mut url = config.base_url()?;
    let path = format!("{}/api/v1/{endpoint}", url.path().trim_end_matches('/'));
    url.set_path(&path);
    if let Some(name) = server_name(config) {
        url.set_host(Some(name))
            .map_err(|error| format!("tls.serverName {name:?} is not a host's name: {error}"))?;
    }
    Ok(url)
}

fn server_name(config: &ServerConfig) -> Option<&str> {
    config.tls.as_ref()?.server_name.as_deref()
}

/// How long a connection may take: half of what an evaluation may, so that the words can tell the two apart.
pub(super) fn connect_timeout(config: &ServerConfig) -> Duration {
    Duration::from_millis(u64::from(config.timeout_seconds) * 500)
}

fn certificates(path: &Path, pem: &[u8]) -> Result<Vec<Certificate>, String> {
    let fault = |words: &str| format!("tls.caFile {} {words}", path.display());
    let mut store = RootCertStore::empty();
    let mut certificates = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem) {
        let der = der.map_err(|_| fault("is not valid PEM"))?;
        store.add(der.clone()).map_err(|_| fault("holds a certificate that cannot be read"))?;
        certificates
            .push(Certificate::from_der(&der).map_err(|_| fault("holds a certificate that cannot be read"))?);
    }
    if certificates.is_empty() {
        return Err(fault("holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates)
}

impl Identity<'_> {
    fn to_reqwest(&self) -> Result<reqwest::Identity, String> {
        let mut found = CertificateDer::pem_slice_iter(self.certificate);
        if !matches!(found.next(), Some(Ok(_))) {
            let path = self.certificate_path.display();
            return Err(format!(
                "tls.certFile {path} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"
            ));
        }
        if PrivateKeyDer::from_pem_slice(self.key).is_err() {
            let path = self.key_path.display();
            return Err(format!(
                "tls.keyFile {path} holds no unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)"
            ));
        }
        let both = [self.certificate, b"\n", self.key].concat();
        reqwest::Identity::from_pem(&both).map_err(|_| {
            format!(
                "tls.certFile {} and tls.keyFile {} cannot be read",
                self.certificate_path.display(),
                self.key_path.display()
            )
        })
    }
}

fn build_fault(error: &reqwest::Error, identity: Option<&Identity<'_>>) -> String {
    match (find::<rustls::Error>(error), identity) {
        (Some(rustls::Error::InconsistentKeys(_)), Some(identity)) => format!(
            "tls.keyFile {} is not the key of the certificate in tls.certFile {}",
            identity.key_path.display(),
            identity.certificate_path.display()
        ),
        (Some(fault), _) => {
            format!("TLS cannot be set up: {fault}; if the system trusts nobody, set tls.caFile")
        }
        (None, _) => format!("the connection cannot be set up: {}", innermost(error)),
    }
}

/// Dials one host, whatever name it is asked for.
struct AlwaysHost(String);

impl Resolve for AlwaysHost {
    fn resolve(&self, _: Name) -> Resolving {
        let host = self.0.clone();
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host((host, 0)).await?.collect();
            let addresses: Addrs = Box::new(addresses.into_iter());
            Ok(addresses)
        })
    }
}

/// What an error of the client means, as the rest of a sentence that begins with the server.
pub(super) fn explain(error: &reqwest::Error, config: &ServerConfig) -> (FailureKind, String) {
    if let Some(fault) = find::<rustls::Error>(error) {
        return (FailureKind::Tls, format!("no trusted connection: {}", tls_words(fault, config)));
    }
    let innermost = || presentable(&innermost(error), 200);
    match find::<io::Error>(error).map(io::Error::kind) {
        _ if error.is_connect() && error.is_timeout() => {
            let seconds = connect_timeout(config).as_secs_f64();
            let words =
                format!("no connection within {seconds} s; is a network policy or firewall in the way?");
            (FailureKind::Timeout, words)
        }
        Some(io::ErrorKind::ConnectionRefused) => {
            let words = "it refused the connection; is the server running, and the port right?";
            (FailureKind::Unreachable, words.into())
        }
        _ if error.is_connect() => (FailureKind::Unreachable, format!("no connection: {}", innermost())),
        // The client tells its parser's faults apart only in words.
        None if innermost().starts_with("invalid HTTP") => {
            let words = format!("it did not answer in HTTP ({}); does it speak https?", innermost());
            (FailureKind::NotPrometheus, words)
        }
        _ => (FailureKind::Unreachable, "it broke the connection off before it had answered".into()),
    }
}

fn tls_words(fault: &rustls::Error, config: &ServerConfig) -> String {
    let authority = match config.tls.as_ref().and_then(|tls| tls.ca_file.as_deref()) {
        Some(path) => format!("tls.caFile ({})", path.display()),
        None => "tls.caFile".to_owned(),
    };
    match fault {
        rustls::Error::InvalidCertificate(certificate) => match certificate {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                format!("no trusted authority signed its certificate; put the authority's certificate into {authority}")
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate, or its authority's, has expired; renew it on the server, and check {authority} and the clock"
                    .replace("{authority}", &authority)
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet; is one of the two clocks wrong?".into()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is for another name{}; correct url, or set tls.serverName to a name it is for \
                         (tls.caFile says whom to trust, not which name)", presented_names(certificate))
            }
            CertificateError::Other(fault) if format!("{fault:?}").contains("CaUsedAsEndEntity") => {
                "its certificate is an authority's own (CA:TRUE); give it a server's certificate, signed by that authority"
                    .into()
            }
            CertificateError::Revoked => "its certificate is revoked".into(),
            other => format!(
                "its certificate cannot be trusted: {}; check {authority} and the certificate itself",
                presentable(&other.to_string(), 200)
            ),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied => format!(
                "it does not accept the operator's own certificate ({alert:?}); set tls.certFile and tls.keyFile to one it trusts"
            ),
            other => format!("it refused the TLS handshake ({other:?})"),
        },
        rustls::Error::InvalidMessage(_) => "it does not speak TLS; is url to begin with http:// instead?".into(),
        other => presentable(&other.to_string(), 200),
    }
}

fn presented_names(certificate: &CertificateError) -> String {
    match certificate {
        CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
            format!(" ({})", presentable(&presented.join(", "), 200))
        }
        _ => String::new(),
    }
}

/// Host and port of the configured URL.
pub(super) fn address(config: &ServerConfig) -> String {
    config.base_url().map_or_else(
        |_| config.url.clone(),
        |url| {
            let port = url.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
            format!("{}{port}", url.host_str().unwrap_or_default())
        },
    )
}

/// The first error of type `E` behind `error`. An `io::Error` hides what it wraps from `source`.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    None
}

fn innermost(error: &(dyn Error + 'static)) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}
