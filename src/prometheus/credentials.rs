//! Files with credentials and certificates, read anew when they change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretSlice, SecretString};
use tokio::io::AsyncReadExt as _;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::{Auth, ServerConfig, Tls};
use super::failure::{Failure, FailureKind};
use super::transport::{self, Identity};

/// How long what was read is used before the files are looked at again.
const FRESH_FOR: Duration = Duration::from_secs(1);
/// The largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What a query goes out with.
pub(super) struct Session {
    pub(super) client: reqwest::Client,
    /// Marked as sensitive, so that no log shows them.
    pub(super) headers: HeaderMap,
    secrets: Vec<SecretString>,
}

impl Session {
    /// `words` without any of this session's secrets.
    pub(super) fn redact(&self, words: &str) -> String {
        self.secrets
            .iter()
            .filter(|secret| secret.expose_secret().len() >= 4)
            .fold(words.to_owned(), |words, secret| words.replace(secret.expose_secret(), "[secret]"))
    }
}

/// One server's credentials and client.
pub(super) struct Credentials {
    config: ServerConfig,
    current: Mutex<Current>,
}

#[derive(Default)]
struct Current {
    looked: Option<Instant>,
    files: Option<Files>,
    session: Option<Result<Arc<Session>, Failure>>,
}

/// The content of every file that the configuration names.
struct Files {
    auth: Option<SecretString>,
    headers: Vec<(String, SecretString)>,
    authorities: Option<SecretSlice<u8>>,
    certificate: Option<SecretSlice<u8>>,
    key: Option<SecretSlice<u8>>,
}

impl Credentials {
    pub(super) fn new(config: ServerConfig) -> Self {
        Self { config, current: Mutex::default() }
    }

    /// The session to use now. Looks at the files at most once a second, and makes a new client, with new connections,
    /// when a certificate changed.
    pub(super) async fn session(&self) -> Result<Arc<Session>, Failure> {
        let mut current = self.current.lock().await;
        if let (Some(looked), Some(session)) = (current.looked, &current.session)
            && (looked.elapsed() < FRESH_FOR || self.needs_no_files())
        {
            return session.clone();
        }
        let session = match self.read_files().await {
            Ok(files) => {
                let client = current.reusable_client(&files);
                let session = self.make_session(&files, client).map(Arc::new);
                current.files = Some(files);
                session
            }
            Err(failure) => Err(failure),
        };
        current.looked = Some(Instant::now());
        current.session = Some(session.clone());
        session
    }

    fn needs_no_files(&self) -> bool {
        let tls =
            self.config.tls.as_ref().is_some_and(|tls| tls.ca_file.is_some() || tls.cert_file.is_some());
        self.config.auth == Auth::None && self.config.header_files.is_empty() && !tls
    }

    async fn read_files(&self) -> Result<Files, Failure> {
        let tls = self.config.tls.clone().unwrap_or_default();
        let auth = match &self.config.auth {
            Auth::None => None,
            Auth::BearerTokenFile(path) => Some(self.read_text("auth.bearerTokenFile", path).await?),
            Auth::BasicAuth(basic) => {
                Some(self.read_text("auth.basicAuth.passwordFile", &basic.password_file).await?)
            }
        };
        let mut headers = Vec::new();
        for (name, path) in &self.config.header_files {
            headers.push((name.clone(), self.read_text(&format!("headerFiles.{name}"), path).await?));
        }
        Ok(Files {
            auth,
            headers,
            authorities: self.read_optional("tls.caFile", tls.ca_file).await?,
            certificate: self.read_optional("tls.certFile", tls.cert_file).await?,
            key: self.read_optional("tls.keyFile", tls.key_file).await?,
        })
    }

    async fn read_optional(
        &self,
        field: &str,
        path: Option<PathBuf>,
    ) -> Result<Option<SecretSlice<u8>>, Failure> {
        match path {
            Some(path) => self.read(field, &path).await.map(|content| Some(content.into())),
            None => Ok(None),
        }
    }

    async fn read_text(&self, field: &str, path: &Path) -> Result<SecretString, Failure> {
        let content = String::from_utf8(self.read(field, path).await?)
            .map_err(|_| self.fault(&format!("{field} {} is not text", path.display())))?;
        if content.trim().is_empty() {
            return Err(self.fault(&format!("{field} {} is empty", path.display())));
        }
        Ok(content.into())
    }

    async fn read(&self, field: &str, path: &Path) -> Result<Vec<u8>, Failure> {
        let unreadable = |error: std::io::Error| {
            self.fault(&format!("{field} {} cannot be read: {error}", path.display()))
        };
        // Opening a pipe would wait for its writer.
        let about = tokio::fs::metadata(path).await.map_err(unreadable)?;
        if !about.is_file() {
            return Err(self.fault(&format!("{field} {} is not a file", path.display())));
        }
        let file = tokio::fs::File::open(path).await.map_err(unreadable)?;
        let mut content = Vec::new();
        let length = file.take(MAX_FILE_BYTES + 1).read_to_end(&mut content).await.map_err(unreadable)?;
        if u64::try_from(length).is_ok_and(|length| length <= MAX_FILE_BYTES) {
            Ok(content)
        } else {
            Err(self.fault(&format!("{field} {} is larger than 1 MiB", path.display())))
        }
    }

    fn make_session(&self, files: &Files, client: Option<reqwest::Client>) -> Result<Session, Failure> {
        let tls = self.config.tls.clone().unwrap_or_default();
        let client = match client {
            Some(client) => client,
            None => transport::client(&self.config, files.authorities(&tls), files.identity(&tls).as_ref())
                .map_err(|fault| self.fault(&fault))?,
        };
        let mut session = Session { client, headers: HeaderMap::new(), secrets: Vec::new() };
        for (name, value) in &self.config.headers {
            self.put(&mut session, name, value)?;
        }
        for (name, value) in &files.headers {
            self.put(&mut session, name, value.expose_secret().trim())?;
            session.secrets.push(value.expose_secret().trim().into());
        }
        match (&self.config.auth, &files.auth) {
            (Auth::BearerTokenFile(_), Some(token)) => {
                let token = token.expose_secret().trim();
                self.put(&mut session, AUTHORIZATION.as_str(), &format!("Bearer {token}"))?;
                session.secrets.push(token.into());
            }
            (Auth::BasicAuth(basic), Some(password)) => {
                let password = password.expose_secret().trim_end_matches(['\r', '\n']);
                let value = self.basic_authorization(&session.client, &basic.username, password)?;
                let encoded = value.to_str().ok().and_then(|value| value.strip_prefix("Basic "));
                session
                    .secrets
                    .extend([Some(password), encoded].into_iter().flatten().map(SecretString::from));
                session.headers.insert(AUTHORIZATION, value);
            }
            _ => {}
        }
        Ok(session)
    }

    /// As the client itself would write it.
    fn basic_authorization(
        &self,
        client: &reqwest::Client,
        username: &str,
        password: &str,
    ) -> Result<HeaderValue, Failure> {
        let request = client.get(&self.config.url).basic_auth(username, Some(password)).build();
        let value = request.ok().and_then(|mut request| request.headers_mut().remove(AUTHORIZATION));
        value.ok_or_else(|| self.fault("auth.basicAuth cannot be written as a header"))
    }

    fn put(&self, session: &mut Session, name: &str, value: &str) -> Result<(), Failure> {
        let carried = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (header, mut value) = carried.ok_or_else(|| {
            self.fault(&format!(
                "the value for the header {name} has signs that no header can carry, such as a line break"
            ))
        })?;
        value.set_sensitive(true);
        session.headers.insert(header, value);
        Ok(())
    }

    fn fault(&self, fault: &str) -> Failure {
        Failure::new(FailureKind::Credentials, format!("Prometheus server {:?}: {fault}", self.config.name))
    }
}

impl Current {
    /// The client in use, unless the certificates in `files` are others than those it was made with.
    fn reusable_client(&self, files: &Files) -> Option<reqwest::Client> {
        let before = self.files.as_ref()?;
        let Some(Ok(session)) = &self.session else { return None };
        let same = |one: &Option<SecretSlice<u8>>, other: &Option<SecretSlice<u8>>| {
            one.as_ref().map(ExposeSecret::expose_secret) == other.as_ref().map(ExposeSecret::expose_secret)
        };
        let unchanged = same(&before.authorities, &files.authorities)
            && same(&before.certificate, &files.certificate)
            && same(&before.key, &files.key);
        unchanged.then(|| session.client.clone())
    }
}

impl Files {
    fn authorities<'a>(&'a self, tls: &'a Tls) -> Option<(&'a Path, &'a [u8])> {
        tls.ca_file.as_deref().zip(self.authorities.as_ref().map(ExposeSecret::expose_secret))
    }

    fn identity<'a>(&'a self, tls: &'a Tls) -> Option<Identity<'a>> {
        Some(Identity {
            certificate_path: tls.cert_file.as_deref()?,
            certificate: self.certificate.as_ref()?.expose_secret(),
            key_path: tls.key_file.as_deref()?,
            key: self.key.as_ref()?.expose_secret(),
        })
    }
}
