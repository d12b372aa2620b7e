//! The server as a `tower::Service`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Limited};

use super::ApiServer;
use super::http::{failure_response, respond};
use super::listen::BEARER_PATH;
use super::status::Failure;

/// The largest body that the server reads: as much as a real one does.
const BODY_LIMIT: usize = 3 * 1024 * 1024;

/// Answers requests of any body type.
#[derive(Clone, Debug)]
pub struct ApiService {
    server: ApiServer,
    token: Option<HeaderValue>,
}

impl ApiService {
    pub(super) fn new(server: ApiServer) -> Self {
        Self { server, token: None }
    }

    /// The same service for a client that bears `token`.
    #[must_use]
    pub fn bearing(self, token: &str) -> Self {
        Self { token: HeaderValue::from_str(&format!("Bearer {token}")).ok(), ..self }
    }
}

impl<B> tower::Service<Request<B>> for ApiService
where
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let server = self.server.clone();
        if let Some(token) = &self.token {
            request.headers_mut().entry(AUTHORIZATION).or_insert_with(|| token.clone());
        }
        take_token_from_path(&mut request);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            Ok(match read(body).await {
                Ok(body) => respond(&server, Request::from_parts(head, body)),
                Err(failure) => failure_response(&failure),
            })
        })
    }
}

/// Turns `/bearer/TOKEN/api/…` into `/api/…` with the token in its header.
fn take_token_from_path<B>(request: &mut Request<B>) {
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let Some((token, rest)) = target.strip_prefix(BEARER_PATH).and_then(|rest| rest.split_once('/')) else {
        return;
    };
    let header = HeaderValue::from_str(&format!("Bearer {token}"));
    let uri = format!("/{rest}").parse::<Uri>();
    if let (Ok(header), Ok(uri)) = (header, uri) {
        request.headers_mut().insert(AUTHORIZATION, header);
        *request.uri_mut() = uri;
    }
}

async fn read<B>(body: B) -> Result<Bytes, Failure>
where
    B: http_body::Body,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match Limited::new(body, BODY_LIMIT).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let message = format!("Request entity too large: limit is {BODY_LIMIT}");
            Err(Failure::new(413, "RequestEntityTooLarge", message))
        }
        Err(error) => Err(Failure::bad_request(format!("the request's body broke off: {error}"))),
    }
}
