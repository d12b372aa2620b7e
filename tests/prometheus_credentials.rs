//! Who the operator says it is, and whom it believes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    reason = "a test stops where its premises fail"
)]

mod prometheus_support;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll::prometheus::{Auth, BasicAuth, FailureKind, ServerConfig, Servers, Tls};
use plimsoll::signal::Answer;
use plimsoll::time::{Span, Time};
use prometheus_support::certificates::{Authority, Leaf, acceptor};
use prometheus_support::{Act, NOON, Rogue, ask, ask_at, config, response, sentence, servers, values};

/// Longer than the room goes without looking at its files.
const UNTIL_FILES_ARE_READ_AGAIN: Duration = Duration::from_millis(1100);

fn file(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, content).unwrap();
    path
}

fn minute(number: u64) -> Time {
    NOON + Span::from_seconds(60 * number)
}

#[tokio::test]
async fn a_token_is_read_again_when_its_file_changes() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let directory = tempfile::tempdir().unwrap();
    let token = file(directory.path(), "token", " first\n");
    let servers =
        servers([ServerConfig { auth: Auth::BearerTokenFile(token.clone()), ..config(&rogue.url()) }]);
    ask_at(&servers, minute(0)).await;
    // Of the same length, so that neither length nor a coarse time of change would tell.
    file(directory.path(), "token", "second");
    tokio::time::sleep(UNTIL_FILES_ARE_READ_AGAIN).await;
    ask_at(&servers, minute(1)).await;
    // As Kubernetes does it: a new file under the same name.
    fs::rename(file(directory.path(), "new", "third"), &token).unwrap();
    tokio::time::sleep(UNTIL_FILES_ARE_READ_AGAIN).await;
    ask_at(&servers, minute(2)).await;
    let tokens: Vec<_> =
        rogue.requests().iter().map(|request| request.headers["authorization"].clone()).collect();
    assert_eq!(tokens, ["Bearer first", "Bearer second", "Bearer third"]);
    assert_eq!(
        rogue.connections.load(std::sync::atomic::Ordering::SeqCst),
        1,
        "a token needs no new connection"
    );
}

#[tokio::test]
async fn passwords_and_secret_headers_come_from_files() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let directory = tempfile::tempdir().unwrap();
    let basic = BasicAuth {
        username: "plimsoll".into(),
        password_file: file(directory.path(), "password", "pass word\n"),
    };
    let server = ServerConfig {
        auth: Auth::BasicAuth(basic),
        header_files: [("X-Api-Key".to_owned(), file(directory.path(), "key", "k1\n"))].into(),
        ..config(&rogue.url())
    };
    ask(&servers([server])).await;
    let request = &rogue.requests()[0];
    assert_eq!(request.headers["authorization"], "Basic cGxpbXNvbGw6cGFzcyB3b3Jk");
    assert_eq!(request.headers["x-api-key"], "k1");
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_named_and_its_content_is_not() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    let large = file(directory.path(), "large", &"x".repeat(1024 * 1024 + 1));
    let binary = directory.path().join("binary");
    fs::write(&binary, b"\xff\xfe").unwrap();
    for (path, fault) in [
        (missing, "cannot be read: No such file or directory (os error 2)"),
        (directory.path().to_owned(), "is not a file"),
        (PathBuf::from("/dev/zero"), "is not a file"),
        (file(directory.path(), "empty", " \n"), "is empty"),
        (large, "is larger than 1 MiB"),
        (binary, "is not text"),
    ] {
        let servers =
            servers([ServerConfig { auth: Auth::BearerTokenFile(path.clone()), ..config(&rogue.url()) }]);
        let reading = ask(&servers).await;
        assert_eq!(
            sentence(&reading),
            format!("Prometheus server \"main\": auth.bearerTokenFile {} {fault}", path.display())
        );
        assert_eq!(servers.statistics().servers["main"].failures[&FailureKind::Credentials], 1);
    }
    let two_lines = file(directory.path(), "lines", "hunter2\nhunter3");
    let servers = servers([ServerConfig { auth: Auth::BearerTokenFile(two_lines), ..config(&rogue.url()) }]);
    let reading = ask(&servers).await;
    assert!(sentence(&reading).contains("header authorization"), "{}", sentence(&reading));
    assert!(!sentence(&reading).contains("hunter"), "{}", sentence(&reading));
    assert_eq!(rogue.requests().len(), 0, "nothing goes out without its credentials");
}

#[tokio::test]
async fn a_missing_file_heals_when_it_comes() {
    let rogue = Rogue::start(|_| Act::Send(values(&["1"]))).await;
    let directory = tempfile::tempdir().unwrap();
    let token = directory.path().join("token");
    let servers =
        servers([ServerConfig { auth: Auth::BearerTokenFile(token.clone()), ..config(&rogue.url()) }]);
    assert!(sentence(&ask_at(&servers, minute(0)).await).contains("cannot be read"));
    fs::write(&token, "late").unwrap();
    tokio::time::sleep(UNTIL_FILES_ARE_READ_AGAIN).await;
    assert_eq!(ask_at(&servers, minute(1)).await.answer, Answer::Value(1.0));
}

#[tokio::test]
async fn a_secret_that_the_server_echoes_is_not_shown() {
    let directory = tempfile::tempdir().unwrap();
    let token = file(directory.path(), "token", "hunter2hunter2");
    for (status, kind, body) in [
        ("401 Unauthorized", "text/plain", "bad token hunter2hunter2"),
        (
            "200 OK",
            "application/json",
            r#"{"status":"error","errorType":"bad_data","error":"token hunter2hunter2"}"#,
        ),
    ] {
        let rogue = Rogue::start(move |_| Act::Send(response(status, kind, body))).await;
        let auth = Auth::BearerTokenFile(token.clone());
        let reading = ask(&servers([ServerConfig { auth, ..config(&rogue.url()) }])).await;
        assert!(sentence(&reading).contains("token [secret]"), "{}", sentence(&reading));
    }
}

/// A server that speaks TLS as `leaf`, and the room's view of it.
async fn secured(leaf: &Leaf, clients: Option<&Authority>, tls: Tls) -> (Rogue, Servers) {
    let rogue = Rogue::start_with(Some(acceptor(leaf, clients)), |_| Act::Send(values(&["1"]))).await;
    let url = format!("https://{}", rogue.address);
    let servers = servers([ServerConfig { tls: Some(tls), ..config(&url) }]);
    (rogue, servers)
}

#[tokio::test]
async fn only_a_certificate_that_fits_is_trusted() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let ca_file = file(directory.path(), "ca.crt", &authority.pem());
    let trusting = Tls { ca_file: Some(ca_file.clone()), ..Tls::default() };
    let named = Tls { server_name: Some("prometheus.example.com".into()), ..trusting.clone() };
    let here = ["127.0.0.1"];

    for (leaf, tls) in [
        (authority.leaf(&here), trusting.clone()),
        (authority.leaf(&["prometheus.example.com"]), named.clone()),
    ] {
        let (_rogue, servers) = secured(&leaf, None, tls).await;
        assert_eq!(ask(&servers).await.answer, Answer::Value(1.0));
    }

    let ours = format!("tls.caFile ({})", ca_file.display());
    for (leaf, tls, words) in [
        (
            stranger.leaf(&here),
            trusting.clone(),
            format!("no trusted authority signed its certificate; put the authority's certificate into {ours}"),
        ),
        (
            stranger.leaf(&here),
            Tls::default(),
            "no trusted authority signed its certificate; put the authority's certificate into tls.caFile".into(),
        ),
        (
            authority.expired_leaf(&here),
            trusting.clone(),
            format!(
                "its certificate, or its authority's, has expired; renew it on the server, and check {ours} and the clock"
            ),
        ),
        (
            authority.self_signed_leaf(),
            trusting.clone(),
            "its certificate is an authority's own (CA:TRUE); give it a server's certificate, signed by that authority".into(),
        ),
        (
            authority.leaf(&["other.example.com"]),
            trusting.clone(),
            "its certificate is for another name (DnsName(\"other.example.com\")); correct url, or set tls.serverName to a name \
             it is for (tls.caFile says whom to trust, not which name)"
                .into(),
        ),
        (
            authority.leaf(&here),
            named,
            "its certificate is for another name (IpAddress(127.0.0.1)); correct url, or set tls.serverName to a name it is for \
             (tls.caFile says whom to trust, not which name)"
                .into(),
        ),
    ] {
        let (rogue, servers) = secured(&leaf, None, tls).await;
        let reading = ask(&servers).await;
        assert_eq!(
            sentence(&reading),
            format!("Prometheus server \"main\" ({}): no trusted connection: {words}", rogue.address)
        );
        assert_eq!(servers.statistics().servers["main"].failures[&FailureKind::Tls], 1);
        assert_eq!(rogue.requests().len(), 0);
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_a_missing_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (authority, stranger) = (Authority::new("ours"), Authority::new("another"));
    let leaf = authority.leaf(&["127.0.0.1"]);
    let ca_file = file(directory.path(), "ca.crt", &authority.pem());
    let shown = |client: &Leaf| Tls {
        ca_file: Some(ca_file.clone()),
        cert_file: Some(file(directory.path(), "tls.crt", &client.certificate)),
        key_file: Some(file(directory.path(), "tls.key", &client.key)),
        server_name: None,
    };
    let (_rogue, servers) = secured(&leaf, Some(&authority), shown(&authority.leaf(&["client"]))).await;
    assert_eq!(ask(&servers).await.answer, Answer::Value(1.0));

    let nothing = Tls { ca_file: Some(ca_file.clone()), ..Tls::default() };
    for tls in [nothing, shown(&stranger.leaf(&["client"]))] {
        let (_rogue, servers) = secured(&leaf, Some(&authority), tls).await;
        let reading = ask(&servers).await;
        let sentence = sentence(&reading);
        assert!(sentence.contains("it does not accept the operator's own certificate"), "{sentence}");
        assert!(sentence.ends_with("set tls.certFile and tls.keyFile to one it trusts"), "{sentence}");
    }
}

#[tokio::test]
async fn certificate_files_of_the_wrong_kind_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let (leaf, other) = (authority.leaf(&["127.0.0.1"]), authority.leaf(&["127.0.0.1"]));
    let written = |name: &str, content: &str| {
        let own = tempfile::tempdir_in(directory.path()).unwrap().keep();
        Some(file(&own, name, content))
    };
    let ca = |content: &str| Tls { ca_file: written("ca.crt", content), ..Tls::default() };
    let pair = |certificate: &str, key: &str| Tls {
        cert_file: written("tls.crt", certificate),
        key_file: written("tls.key", key),
        ..ca(&authority.pem())
    };
    for (tls, words) in [
        (ca("nothing"), "ca.crt holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        (ca(&leaf.key), "ca.crt holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        (
            ca("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "ca.crt holds a certificate that cannot be read",
        ),
        (pair(&leaf.key, &leaf.key), "tls.crt holds no certificate in PEM (-----BEGIN CERTIFICATE-----)"),
        (
            pair(&leaf.certificate, &leaf.certificate),
            "tls.key holds no unencrypted private key in PEM (-----BEGIN PRIVATE KEY-----)",
        ),
        (pair(&leaf.certificate, &other.key), "tls.key is not the key of the certificate in tls.certFile"),
    ] {
        let (_rogue, servers) = secured(&leaf, None, tls).await;
        let reading = ask(&servers).await;
        assert!(sentence(&reading).contains(words), "{} should say: {words}", sentence(&reading));
        assert_eq!(servers.statistics().servers["main"].failures[&FailureKind::Credentials], 1);
    }
}

#[tokio::test]
async fn a_new_authority_is_trusted_once_its_file_has_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (before, after) = (Authority::new("before"), Authority::new("after"));
    let ca_file = file(directory.path(), "ca.crt", &before.pem());
    let tls = Tls { ca_file: Some(ca_file), ..Tls::default() };
    let (_rogue, servers) = secured(&after.leaf(&["127.0.0.1"]), None, tls).await;
    assert!(sentence(&ask_at(&servers, minute(0)).await).contains("no trusted authority"));
    file(directory.path(), "ca.crt", &after.pem());
    tokio::time::sleep(UNTIL_FILES_ARE_READ_AGAIN).await;
    assert_eq!(ask_at(&servers, minute(1)).await.answer, Answer::Value(1.0));
}

#[tokio::test]
async fn http_and_https_taken_for_one_another_are_told_apart() {
    let plain = Rogue::start(|_| Act::Hang).await;
    let reading = ask(&servers([config(&format!("https://{}", plain.address))])).await;
    assert!(sentence(&reading).ends_with("is url to begin with http:// instead?"), "{}", sentence(&reading));
    let authority = Authority::new("ours");
    let leaf = authority.leaf(&["127.0.0.1"]);
    let tls = Rogue::start_with(Some(acceptor(&leaf, None)), |_| Act::Send(values(&["1"]))).await;
    let reading = ask(&servers([config(&tls.url())])).await;
    assert!(sentence(&reading).ends_with("does it speak https?"), "{}", sentence(&reading));
}
