//! The operator's configuration and kubeconfigs.

use plimsoll::prometheus::{Auth, Config};

pub(crate) const WORDS: &[&str] = &[
    "prometheusServers:\n- name: main\n  url: http://prometheus:9090\n",
    "  auth: {bearerTokenFile: /token}\n",
    "  auth: {basicAuth: {username: a, passwordFile: /b}}\n",
    "  tls: {caFile: /a, certFile: /b, keyFile: /c, serverName: d}\n",
    "  headers: {X-Scope-OrgID: a}\n",
    "  headerFiles: {X-Key: /a}\n",
    "  timeoutSeconds: 5\n",
    "  allowedNamespaces: [a]\n",
    "  namespaceLabel: namespace\n",
    "https://user:secret@",
    "[::ffff:a9fe:a9fe]",
    "#",
    "?a=b",
    "file:///etc/passwd",
    "&a ",
    "*a",
    "!!binary ",
    "<<: *a",
    "---\n",
    "apiVersion: v1\nkind: Config\nclusters:\n- name: c\n  cluster: {server: 'https://127.0.0.1:6443'}\n",
    "users:\n- name: u\n  user: {token: t}\n",
];

pub(crate) fn check(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    // What is wrong with a kubeconfig is the client library's to say; it must not end the process.
    let _ = kube::config::Kubeconfig::from_yaml(text);
    let config = match Config::from_yaml(text) {
        Ok(config) => config,
        Err(error) => {
            let sentence = error.to_string();
            assert!(!sentence.is_empty());
            return;
        }
    };
    for server in &config.prometheus {
        let url = server.url.to_ascii_lowercase();
        assert!(url.starts_with("http://") || url.starts_with("https://"), "{url:?}");
        assert!(
            (1..=60).contains(&server.timeout_seconds) && (1..=1000).contains(&server.max_concurrent_queries)
        );
        for name in server.headers.keys().chain(server.header_files.keys()) {
            assert!(
                !name.eq_ignore_ascii_case("authorization") && !name.eq_ignore_ascii_case("host"),
                "{name}"
            );
        }
        for value in server.headers.values() {
            assert!(!value.contains(['\r', '\n', '\0']), "{value:?}");
        }
        if let Auth::BasicAuth(basic) = &server.auth {
            assert!(!basic.username.is_empty() && !basic.username.contains(':'));
        }
        assert!(server.allowed_namespaces.as_ref().is_none_or(|namespaces| !namespaces.is_empty()));
    }
}
