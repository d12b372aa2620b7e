//! The operator's configuration: which Prometheus servers there are, and who may use them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use http::header::{self, HeaderName, HeaderValue};
use reqwest::Url;
use serde::Deserialize;

use super::promql::is_label_name;

/// The operator's configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The servers that policies may name.
    #[serde(rename = "prometheusServers", default)]
    pub prometheus: Vec<ServerConfig>,
}

/// One server that speaks Prometheus's query API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ServerConfig {
    /// What policies call the server: a DNS label.
    pub name: String,
    /// Where it is: http or https, with a path prefix where it has one. The operator dials it directly; proxies named
    /// in the environment are not used.
    pub url: String,
    /// How the operator proves who it is.
    #[serde(default)]
    pub auth: Auth,
    /// Whom to trust and what to show, for https.
    pub tls: Option<Tls>,
    /// Headers sent with every query, for example a tenant's `X-Scope-OrgID`.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Headers whose values are read from files, for those that are secret.
    #[serde(default)]
    pub header_files: BTreeMap<String, PathBuf>,
    /// How long one evaluation may take, in seconds, from waiting for a slot to the last byte: 1 to 60.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u32,
    /// How many queries may be under way at once: 1 to 1000. More wait, and their wait counts as time taken.
    #[serde(default = "default_max_concurrent_queries")]
    pub max_concurrent_queries: u32,
    /// The namespaces whose policies may use this server; all of them if absent.
    pub allowed_namespaces: Option<Vec<String>>,
    /// If set, every selector of every query gets the matcher `<label>="<the policy's namespace>"`.
    pub namespace_label: Option<String>,
}

/// How the operator proves who it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Auth {
    /// It does not.
    #[default]
    None,
    /// By the bearer token in this file, without surrounding white space.
    BearerTokenFile(PathBuf),
    /// By user name and password.
    BasicAuth(BasicAuth),
}

/// A user name and where its password is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BasicAuth {
    /// The user name; without a colon.
    pub username: String,
    /// The file that holds the password; a line break at its end is no part of it.
    pub password_file: PathBuf,
}

/// Whom to trust and what to show. There is no switch to trust anybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Tls {
    /// The certificates of the authorities to trust, in PEM, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// The client certificate and its chain, in PEM; together with `key_file`.
    pub cert_file: Option<PathBuf>,
    /// The client certificate's private key, in PEM.
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must be valid for, if it is not the URL's host; also sent as SNI and as
    /// the request's host.
    pub server_name: Option<String>,
}

/// What is wrong with the configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The text is not YAML, or holds fields that are unknown or of the wrong type.
    #[error("the configuration is not valid: {0}")]
    Malformed(String),
    /// One server's entry contradicts itself or the others.
    #[error("prometheusServers[{index}] ({name:?}): {fault}")]
    Server {
        /// Its place in the list, from 0.
        index: usize,
        /// Its name as given.
        name: String,
        /// What is wrong and what to write instead.
        fault: String,
    },
}

const fn default_timeout_seconds() -> u32 {
    5
}

const fn default_max_concurrent_queries() -> u32 {
    16
}

impl Config {
    /// One server named `main` at `url`, without credentials; what `--prometheus-url` stands for.
    pub fn single(url: &str) -> Self {
        Self { prometheus: vec![ServerConfig::new("main", url)] }
    }

    /// Reads the configuration from a YAML text and checks it.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        // Without the excerpt that would quote the lines around the fault: they may hold tenants' names.
        let options = serde_saphyr::options! { with_snippet: false };
        let config: Self = serde_saphyr::from_str_with_options(text, options)
            .map_err(|error| ConfigError::Malformed(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// Reads the configuration from a YAML file and checks it.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::from_yaml(&text)
    }

    /// Checks what the types alone cannot hold.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut names = BTreeSet::new();
        for (index, server) in self.prometheus.iter().enumerate() {
            server
                .check()
                .and_then(|()| {
                    require(names.insert(&server.name), || {
                        "this name is used twice; every server needs its own".into()
                    })
                })
                .map_err(|fault| ConfigError::Server { index, name: server.name.clone(), fault })?;
        }
        Ok(())
    }
}

impl ServerConfig {
    /// A server with defaults for everything but its name and URL.
    pub fn new(name: &str, url: &str) -> Self {
        Self {
            name: name.to_owned(),
            url: url.to_owned(),
            auth: Auth::None,
            tls: None,
            headers: BTreeMap::new(),
            header_files: BTreeMap::new(),
            timeout_seconds: default_timeout_seconds(),
            max_concurrent_queries: default_max_concurrent_queries(),
            allowed_namespaces: None,
            namespace_label: None,
        }
    }

    /// The URL, checked.
    pub(super) fn base_url(&self) -> Result<Url, String> {
        // What parses a URL drops some of them without a word, so that it would not ask what is written.
        require(!self.url.contains(|sign: char| sign.is_whitespace() || sign.is_control()), || {
            "url holds a space, a tab or a line break; write it as http://prometheus.monitoring:9090".into()
        })?;
        let url = Url::parse(&self.url).map_err(|error| {
            format!("url cannot be read ({error}); write it as http://prometheus.monitoring:9090")
        })?;
        // `http:host` would be read as `http://host`.
        let written = self.url.to_ascii_lowercase();
        require(written.starts_with("http://") || written.starts_with("https://"), || {
            "url must begin with http:// or https://, such as http://prometheus.monitoring:9090".into()
        })?;
        require(url.has_host(), || {
            "url names no host; write it as http://prometheus.monitoring:9090".into()
        })?;
        require(url.username().is_empty() && url.password().is_none(), || {
            "url holds a user name or password; put them into auth.basicAuth".into()
        })?;
        require(url.query().is_none(), || {
            "url has a query (after ?); what is constant belongs into headers".into()
        })?;
        require(url.fragment().is_none(), || "url has a fragment (after #); leave it out".into())?;
        Ok(url)
    }

    fn check(&self) -> Result<(), String> {
        require(is_dns_label(&self.name), || {
            "name must be a DNS label: lower-case letters, digits and '-', at most 63, such as \"main\""
                .into()
        })?;
        let url = self.base_url()?;
        self.check_auth()?;
        self.check_tls(url.scheme() == "https")?;
        self.check_headers()?;
        require((1..=60).contains(&self.timeout_seconds), || {
            format!("timeoutSeconds is {}; it must be from 1 to 60", self.timeout_seconds)
        })?;
        require((1..=1000).contains(&self.max_concurrent_queries), || {
            format!("maxConcurrentQueries is {}; it must be from 1 to 1000", self.max_concurrent_queries)
        })?;
        self.check_tenancy()
    }

    fn check_auth(&self) -> Result<(), String> {
        match &self.auth {
            Auth::None => Ok(()),
            Auth::BearerTokenFile(path) => require_path("auth.bearerTokenFile", path),
            Auth::BasicAuth(basic) => {
                let fits = !basic.username.is_empty()
                    && !basic.username.contains(|sign: char| sign == ':' || sign.is_control());
                require(fits, || {
                    "auth.basicAuth.username is empty, or has a colon or control character, which basic authentication cannot carry"
                        .into()
                })?;
                require_path("auth.basicAuth.passwordFile", &basic.password_file)
            }
        }
    }

    fn check_tls(&self, https: bool) -> Result<(), String> {
        let Some(tls) = &self.tls else { return Ok(()) };
        require(https, || "tls is set but url is not https; correct one of them".into())?;
        require(tls.cert_file.is_some() == tls.key_file.is_some(), || {
            "tls.certFile and tls.keyFile belong together; set both or neither".into()
        })?;
        for (field, path) in
            [("caFile", &tls.ca_file), ("certFile", &tls.cert_file), ("keyFile", &tls.key_file)]
        {
            if let Some(path) = path {
                require_path(&format!("tls.{field}"), path)?;
            }
        }
        match &tls.server_name {
            Some(name) => require(is_dns_name(name), || {
                "tls.serverName must be a DNS name such as prometheus.example.com; for an address put it into url".into()
            }),
            None => Ok(()),
        }
    }

    fn check_headers(&self) -> Result<(), String> {
        let mut seen = BTreeSet::new();
        for name in self.headers.keys().chain(self.header_files.keys()) {
            let parsed = HeaderName::try_from(name.as_str())
                .map_err(|_| format!("{name:?} is not a header's name"))?;
            require(parsed != header::AUTHORIZATION, || {
                "the header Authorization is set by auth; use auth.bearerTokenFile or auth.basicAuth".into()
            })?;
            require(!OWN_HEADERS.contains(&parsed), || {
                format!("the header {name} is set by the operator itself")
            })?;
            require(seen.insert(parsed.to_string()), || format!("the header {name} is set twice"))?;
        }
        for (name, value) in &self.headers {
            require(HeaderValue::try_from(value.as_str()).is_ok(), || {
                format!("the value of the header {name} has signs that no header can carry")
            })?;
        }
        for (name, path) in &self.header_files {
            require_path(&format!("headerFiles.{name}"), path)?;
        }
        Ok(())
    }

    fn check_tenancy(&self) -> Result<(), String> {
        if let Some(namespaces) = &self.allowed_namespaces {
            require(!namespaces.is_empty(), || {
                "allowedNamespaces is empty, so nobody could use this server; leave it out to allow all"
                    .into()
            })?;
            for namespace in namespaces {
                require(is_dns_label(namespace), || {
                    format!("allowedNamespaces: {namespace:?} is not a namespace's name")
                })?;
            }
        }
        match self.namespace_label.as_deref() {
            Some(label) => require(is_label_name(label) && label != "__name__", || {
                format!("namespaceLabel: {label:?} is not a label's name; write for example namespace")
            }),
            None => Ok(()),
        }
    }
}

const OWN_HEADERS: [HeaderName; 8] = [
    header::HOST,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::USER_AGENT,
];

fn require(holds: bool, fault: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(fault()) }
}

fn require_path(field: &str, path: &Path) -> Result<(), String> {
    require(!path.as_os_str().is_empty(), || format!("{field} is empty; name a file or leave the field out"))
}

fn is_dns_label(text: &str) -> bool {
    let sign_fits = |sign: u8| sign.is_ascii_lowercase() || sign.is_ascii_digit() || sign == b'-';
    (1..=63).contains(&text.len())
        && text.bytes().all(sign_fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_dns_name(text: &str) -> bool {
    text.len() <= 253
        && text.to_ascii_lowercase().split('.').all(is_dns_label)
        && text.parse::<std::net::IpAddr>().is_err()
}

#[cfg(test)]
mod tests;
