use super::*;

const FULL: &str = r#"
prometheusServers:
- name: main
  url: https://prometheus.monitoring:9090/prom/
  auth: {bearerTokenFile: /var/run/token}
  tls: {caFile: /tls/ca.crt, certFile: /tls/tls.crt, keyFile: /tls/tls.key, serverName: prometheus.example.com}
  headers: {X-Scope-OrgID: shop}
  headerFiles: {X-Api-Key: /keys/api}
  timeoutSeconds: 3
  maxConcurrentQueries: 4
  allowedNamespaces: [shop, pay]
  namespaceLabel: namespace
- name: other
  url: http://10.0.0.7
  auth: {basicAuth: {username: plimsoll, passwordFile: /pw}}
- {name: plain, url: "http://[::1]:9090", auth: none}
"#;

#[test]
fn a_full_configuration_is_read() {
    let config = Config::from_yaml(FULL).unwrap();
    let [main, other, plain] = config.prometheus.as_slice() else { panic!("{config:?}") };
    assert_eq!(main.auth, Auth::BearerTokenFile("/var/run/token".into()));
    assert_eq!(main.tls.as_ref().unwrap().server_name.as_deref(), Some("prometheus.example.com"));
    assert_eq!(main.headers["X-Scope-OrgID"], "shop");
    assert_eq!(main.header_files["X-Api-Key"], Path::new("/keys/api"));
    assert_eq!((main.timeout_seconds, main.max_concurrent_queries), (3, 4));
    assert_eq!(main.allowed_namespaces.as_deref(), Some(["shop".to_owned(), "pay".to_owned()].as_slice()));
    assert_eq!(main.namespace_label.as_deref(), Some("namespace"));
    assert_eq!(
        other.auth,
        Auth::BasicAuth(BasicAuth { username: "plimsoll".into(), password_file: "/pw".into() })
    );
    assert_eq!((other.timeout_seconds, other.max_concurrent_queries), (5, 16));
    assert_eq!(plain, &ServerConfig::new("plain", "http://[::1]:9090"));
}

#[test]
fn one_address_makes_a_server_named_main() {
    let config = Config::single("http://localhost:9090");
    config.check().unwrap();
    assert_eq!(config.prometheus, [ServerConfig::new("main", "http://localhost:9090")]);
    assert!(Config::single("localhost:9090").check().is_err());
}

#[test]
fn what_contradicts_itself_is_refused_with_what_to_write_instead() {
    let name_fault =
        "name must be a DNS label: lower-case letters, digits and '-', at most 63, such as \"main\"";
    for (entry, fault) in [
        ("{name: Main, url: 'http://p'}", name_fault),
        ("{name: '', url: 'http://p'}", name_fault),
        (
            "{name: a, url: 'p:9090'}",
            "url must begin with http:// or https://, such as http://prometheus.monitoring:9090",
        ),
        (
            "{name: a, url: 'ftp://p'}",
            "url must begin with http:// or https://, such as http://prometheus.monitoring:9090",
        ),
        (
            "{name: a, url: 'http:p'}",
            "url must begin with http:// or https://, such as http://prometheus.monitoring:9090",
        ),
        (
            "{name: a, url: ' http://p'}",
            "url holds a space, a tab or a line break; write it as http://prometheus.monitoring:9090",
        ),
        (
            "{name: a, url: \"h\\tttp://p\"}",
            "url holds a space, a tab or a line break; write it as http://prometheus.monitoring:9090",
        ),
        (
            "{name: a, url: '/metrics'}",
            "url cannot be read (relative URL without a base); write it as http://prometheus.monitoring:9090",
        ),
        (
            "{name: a, url: 'http://user:pw@p'}",
            "url holds a user name or password; put them into auth.basicAuth",
        ),
        (
            "{name: a, url: 'http://p?x=1'}",
            "url has a query (after ?); what is constant belongs into headers",
        ),
        ("{name: a, url: 'http://p#x'}", "url has a fragment (after #); leave it out"),
        (
            "{name: a, url: 'http://p', auth: {bearerTokenFile: ''}}",
            "auth.bearerTokenFile is empty; name a file or leave the field out",
        ),
        (
            "{name: a, url: 'http://p', auth: {basicAuth: {username: 'a:b', passwordFile: /p}}}",
            "auth.basicAuth.username is empty, or has a colon or control character, which basic authentication cannot carry",
        ),
        (
            "{name: a, url: 'http://p', tls: {caFile: /ca}}",
            "tls is set but url is not https; correct one of them",
        ),
        (
            "{name: a, url: 'https://p', tls: {certFile: /crt}}",
            "tls.certFile and tls.keyFile belong together; set both or neither",
        ),
        (
            "{name: a, url: 'https://p', tls: {serverName: 10.0.0.1}}",
            "tls.serverName must be a DNS name such as prometheus.example.com; for an address put it into url",
        ),
        (
            "{name: a, url: 'http://p', headers: {Authorization: x}}",
            "the header Authorization is set by auth; use auth.bearerTokenFile or auth.basicAuth",
        ),
        ("{name: a, url: 'http://p', headers: {host: x}}", "the header host is set by the operator itself"),
        ("{name: a, url: 'http://p', headers: {'a b': x}}", "\"a b\" is not a header's name"),
        (
            "{name: a, url: 'http://p', headers: {A: \"x\\ny\"}}",
            "the value of the header A has signs that no header can carry",
        ),
        (
            "{name: a, url: 'http://p', headers: {X-A: x}, headerFiles: {x-a: /f}}",
            "the header x-a is set twice",
        ),
        ("{name: a, url: 'http://p', timeoutSeconds: 0}", "timeoutSeconds is 0; it must be from 1 to 60"),
        ("{name: a, url: 'http://p', timeoutSeconds: 61}", "timeoutSeconds is 61; it must be from 1 to 60"),
        (
            "{name: a, url: 'http://p', maxConcurrentQueries: 0}",
            "maxConcurrentQueries is 0; it must be from 1 to 1000",
        ),
        (
            "{name: a, url: 'http://p', allowedNamespaces: []}",
            "allowedNamespaces is empty, so nobody could use this server; leave it out to allow all",
        ),
        (
            "{name: a, url: 'http://p', allowedNamespaces: ['*']}",
            "allowedNamespaces: \"*\" is not a namespace's name",
        ),
        (
            "{name: a, url: 'http://p', namespaceLabel: __name__}",
            "namespaceLabel: \"__name__\" is not a label's name; write for example namespace",
        ),
    ] {
        match Config::from_yaml(&format!("prometheusServers:\n- {entry}")) {
            Err(ConfigError::Server { index: 0, fault: found, .. }) => assert_eq!(found, fault, "{entry}"),
            other => panic!("{entry}: {other:?}"),
        }
    }
}

#[test]
fn a_name_used_twice_is_refused_with_its_place() {
    let twice =
        Config::from_yaml("prometheusServers: [{name: a, url: 'http://p'}, {name: a, url: 'http://q'}]");
    assert_eq!(
        twice.unwrap_err().to_string(),
        "prometheusServers[1] (\"a\"): this name is used twice; every server needs its own"
    );
}

#[test]
fn unknown_fields_and_broken_yaml_are_refused_where_they_are() {
    for (text, words) in [
        ("servers: []", "unknown field `servers`"),
        (
            "prometheusServers:\n- {name: a, url: 'http://p', insecureSkipVerify: true}",
            "unknown field `insecureSkipVerify`",
        ),
        (
            "prometheusServers:\n- {name: a, url: 'https://p', tls: {insecure: true}}",
            "unknown field `insecure`",
        ),
        (
            "prometheusServers:\n- {name: a, url: 'http://p', auth: {bearerToken: hunter2}}",
            "unknown variant `bearerToken`",
        ),
        ("prometheusServers:\n- {name: a}", "missing field `url`"),
        ("prometheusServers:\n- {name: a, url: 'http://p', timeoutSeconds: -1}", "line 2"),
        ("prometheusServers: [", "line 1"),
    ] {
        let fault = Config::from_yaml(text).unwrap_err().to_string();
        assert!(fault.contains(words) && fault.contains("line"), "{text}: {fault}");
        assert!(!fault.contains("hunter2"), "{fault}");
    }
    let missing = Config::read(Path::new("/nonexistent/plimsoll.yaml")).unwrap_err().to_string();
    assert!(
        missing.starts_with("the configuration /nonexistent/plimsoll.yaml cannot be read: "),
        "{missing}"
    );
}

#[test]
fn no_servers_at_all_is_a_configuration() {
    for text in ["prometheusServers: []", "{}"] {
        assert_eq!(Config::from_yaml(text).unwrap(), Config::default(), "{text}");
    }
}
