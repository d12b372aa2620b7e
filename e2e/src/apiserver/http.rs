//! From HTTP to the core and back.

use std::sync::{Arc, PoisonError};

use axum::body::{Body, Bytes};
use futures::StreamExt as _;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use super::ApiServer;
use super::authorization::Act;
use super::cluster::{Cluster, is_served_as_stored, served};
use super::delete::{DeleteOptions, Deleted};
use super::discovery;
use super::kinds::Kind;
use super::openapi;
use super::patch::{Patch, json_body, yaml_body};
use super::read::Page;
use super::representation::Representation;
use super::request::{ResourceRequest, Verb};
use super::status::{Cause, Failure, Subject};
use super::store::Object;
use super::subresources;
use super::watch::Watch;
use super::write::{Door, WriteOptions, Written};

/// What a request is answered with.
enum Answer {
    Json { code: StatusCode, text: String, warnings: Vec<String> },
    Watch(Box<Watch>),
}

impl Answer {
    fn of(code: StatusCode, value: &Value) -> Self {
        Self::Json { code, text: value.to_string(), warnings: Vec::new() }
    }
}

/// Answers one request.
pub(crate) fn respond(server: &ApiServer, request: Request<Bytes>) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Some(resource) = ResourceRequest::parse(&head.method, &head.uri) else {
        return non_resource(server, &head.method, &head.uri, &head.headers);
    };
    if server
        .lock()
        .kinds
        .groups()
        .get(resource.group.as_str())
        .is_none_or(|v| !v.contains(&resource.version.as_str()))
    {
        return page_not_found();
    }
    let call = Call { server, request: &resource, headers: &head.headers, body: &body };
    match call.answer() {
        Ok(Answer::Json { code, text, warnings }) => json_response(code, text, &warnings),
        Ok(Answer::Watch(watch)) => {
            let lines = watch
                .lines(server.shared_cluster())
                .map(|line| Ok::<_, std::convert::Infallible>(Bytes::from(line)));
            with_header(Response::new(Body::from_stream(lines)), CONTENT_TYPE, "application/json")
        }
        Err(failure) => failure_response(&failure),
    }
}

/// A request together with what it is about.
struct Call<'a> {
    server: &'a ApiServer,
    request: &'a ResourceRequest,
    headers: &'a HeaderMap,
    body: &'a Bytes,
}

impl Call<'_> {
    fn answer(&self) -> Result<Answer, Failure> {
        let token = bearer(self.headers);
        let request = self.request;
        let mut cluster = self.server.lock();
        let kind = cluster.kind(&request.group, &request.version, &request.resource)?;
        // Anybody may ask what they may do.
        if kind.storage == subresources::ACCESS_REVIEWS {
            let review = subresources::review_access(&self.server.authorization(), token, self.json()?);
            return Ok(Answer::of(StatusCode::CREATED, &review));
        }
        self.server.authorization().check(token, &Act::of(request))?;
        if !kind.allows(request.verb.name()) {
            return Err(Failure::method_not_allowed());
        }
        match request.verb {
            Verb::Get => self.get(&cluster, &kind),
            Verb::List => self.list(&cluster, &kind),
            Verb::Watch => {
                let watch = Watch::begin(&mut cluster, &kind, request, self.representation())?;
                Ok(Answer::Watch(Box::new(watch)))
            }
            Verb::Create | Verb::Update | Verb::Patch => self.write(&mut cluster, &kind),
            Verb::Delete => self.delete(&mut cluster, &kind),
            Verb::DeleteCollection => self.delete_collection(&mut cluster, &kind),
        }
    }

    fn key(&self) -> (&str, &str) {
        (&self.request.namespace, &self.request.name)
    }

    fn get(&self, cluster: &Cluster, kind: &Kind) -> Result<Answer, Failure> {
        let (namespace, name) = self.key();
        match self.door(kind)? {
            Door::Scale => Ok(Answer::of(StatusCode::OK, &cluster.scale(kind, namespace, name)?)),
            Door::Main | Door::Status => {
                let stored = cluster.stored(kind, namespace, name)?;
                let text = self.text_of(kind, &stored);
                Ok(Answer::Json { code: StatusCode::OK, text, warnings: Vec::new() })
            }
        }
    }

    fn list(&self, cluster: &Cluster, kind: &Kind) -> Result<Answer, Failure> {
        let page = cluster.list(kind, self.request)?;
        let mut metadata = json!({"resourceVersion": page.revision.to_string()});
        if kind.is_custom() {
            // As a real server's lists of custom resources do, be it empty.
            super::object::set(&mut metadata, &["continue"], "");
        }
        if !page.next.is_empty() {
            super::object::set(&mut metadata, &["continue"], page.next.as_str());
            if let Some(remaining) = page.remaining {
                super::object::set(&mut metadata, &["remainingItemCount"], remaining);
            }
        }
        let representation = self.representation();
        let as_stored = page.objects.iter().all(|object| is_served_as_stored(kind, &object.value));
        let text = if representation.is_whole() && as_stored {
            list_text(kind, &page, &metadata)
        } else {
            let objects: Vec<Value> = page.objects.iter().map(|object| served(kind, &object.value)).collect();
            representation.of_list(kind, &objects, &metadata).to_string()
        };
        Ok(Answer::Json { code: StatusCode::OK, text, warnings: Vec::new() })
    }

    fn write(&self, cluster: &mut Cluster, kind: &Kind) -> Result<Answer, Failure> {
        let (namespace, name) = self.key();
        let options = self.write_options()?;
        let request = self.request;
        if request.verb == Verb::Create && !name.is_empty() {
            let created = subresources::create(cluster, kind, request, &self.json()?, &options)?;
            return Ok(Answer::of(StatusCode::CREATED, &created));
        }
        let door = self.door(kind)?;
        let written = match (request.verb, door) {
            (Verb::Create, _) => cluster.create(kind, namespace, self.json()?, &options),
            (Verb::Update, Door::Scale) => cluster.update_scale(kind, self.key(), &self.json()?, &options),
            (Verb::Update, door) => cluster.update(kind, door, self.key(), self.json()?, &options),
            (_, door) => {
                let patch = Patch::read(header(self.headers, &CONTENT_TYPE), self.body, kind)?;
                self.check_patch_options(&patch, &options)?;
                match door {
                    Door::Scale => cluster.patch_scale(kind, self.key(), &patch, &options),
                    door => cluster.patch(kind, door, self.key(), &patch, &options),
                }
            }
        }?;
        let Written { object, created, warnings } = written;
        let code = if created { StatusCode::CREATED } else { StatusCode::OK };
        let text = if door == Door::Scale { object.json().to_owned() } else { self.text_of(kind, &object) };
        Ok(Answer::Json { code, text, warnings })
    }

    fn delete(&self, cluster: &mut Cluster, kind: &Kind) -> Result<Answer, Failure> {
        let (namespace, name) = self.key();
        if self.door(kind)? != Door::Main {
            return Err(Failure::method_not_allowed());
        }
        match cluster.delete(kind, namespace, name, &self.delete_options()?)? {
            Deleted::Terminating(object) => Ok(Answer::of(StatusCode::OK, &object)),
            Deleted::Gone { uid } => {
                let details = json!({"name": name, "group": kind.group, "kind": kind.plural, "uid": uid});
                let status = json!({
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Success",
                    "details": details,
                });
                Ok(Answer::of(StatusCode::OK, &status))
            }
        }
    }

    fn delete_collection(&self, cluster: &mut Cluster, kind: &Kind) -> Result<Answer, Failure> {
        let options = self.delete_options()?;
        let page = cluster.list(kind, self.request)?;
        for object in &page.objects {
            let (namespace, name) =
                (super::object::namespace(&object.value), super::object::name(&object.value));
            cluster.delete(kind, namespace, name, &options)?;
        }
        let metadata = json!({"resourceVersion": cluster.store.revision().to_string()});
        Ok(Answer::Json {
            code: StatusCode::OK,
            text: list_text(kind, &page, &metadata),
            warnings: Vec::new(),
        })
    }

    /// The part of the object that the URL names.
    fn door(&self, kind: &Kind) -> Result<Door, Failure> {
        match self.request.subresource.as_str() {
            "" => Ok(Door::Main),
            "status" if kind.status => Ok(Door::Status),
            "scale" if kind.scale.is_some() => Ok(Door::Scale),
            _ => Err(Failure::no_such_resource()),
        }
    }

    /// An object in the form that the client accepts.
    fn text_of(&self, kind: &Kind, object: &Object) -> String {
        let representation = self.representation();
        if representation.is_whole() && is_served_as_stored(kind, &object.value) {
            return object.json().to_owned();
        }
        representation.of_one(kind, served(kind, &object.value)).to_string()
    }

    fn representation(&self) -> Representation {
        let include = self.request.parameter("includeObject");
        Representation::accepted(header(self.headers, &ACCEPT), include, self.server.clock())
    }

    fn json(&self) -> Result<Value, Failure> {
        let media = header(self.headers, &CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
        match media {
            "" | "application/json" => json_body(self.body),
            "application/yaml" => yaml_body(self.body),
            other => {
                let message = format!(
                    "the body of the request was in an unknown format - accepted media types include: \
                     application/json, application/yaml (sent was {other}; `kubectl apply -f` sends JSON)"
                );
                Err(Failure::new(415, "UnsupportedMediaType", message))
            }
        }
    }

    fn write_options(&self) -> Result<WriteOptions, Failure> {
        if !matches!(self.request.parameter("dryRun"), "" | "All") {
            return Err(option_failure(Cause::not_supported(
                "dryRun",
                &json!([self.request.parameter("dryRun")]),
                &[json!("All")],
            )));
        }
        Ok(WriteOptions {
            manager: self.manager(),
            dry_run: self.request.is_dry_run(),
            field_validation: self.request.field_validation(),
            force: self.request.flag("force"),
            now: self.server.clock().now(),
        })
    }

    /// The field manager: the one named, or else what the client calls itself.
    fn manager(&self) -> String {
        match self.request.parameter("fieldManager") {
            "" => {
                let agent = header(self.headers, &USER_AGENT).split('/').next().unwrap_or_default();
                if agent.is_empty() { "unknown".to_owned() } else { agent.to_owned() }
            }
            named => named.to_owned(),
        }
    }

    fn check_patch_options(&self, patch: &Patch, options: &WriteOptions) -> Result<(), Failure> {
        match patch {
            Patch::Apply(_) if self.request.parameter("fieldManager").is_empty() => {
                Err(option_failure(Cause::required("fieldManager", "is required for apply patch")))
            }
            Patch::Apply(_) => Ok(()),
            _ if options.force => {
                Err(option_failure(Cause::forbidden("force", "may not be specified for non-apply patch")))
            }
            _ => Ok(()),
        }
    }

    fn delete_options(&self) -> Result<DeleteOptions, Failure> {
        let body = if self.body.is_empty() { Value::Null } else { self.json()? };
        let grace = self.request.query.get("gracePeriodSeconds").map(String::as_str);
        let propagation = self.request.parameter("propagationPolicy");
        Ok(DeleteOptions::read(
            &body,
            self.request.is_dry_run(),
            grace,
            propagation,
            self.server.clock().now(),
        ))
    }
}

fn option_failure(cause: Cause) -> Failure {
    let subject = Subject { group: "meta.k8s.io", kind: "PatchOptions", name: "" };
    Failure::invalid(subject, &[cause])
}

const OPENAPI_V2: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A list made of the objects' own texts.
fn list_text(kind: &Kind, page: &Page, metadata: &Value) -> String {
    let items: Vec<&str> = page.objects.iter().map(|object| object.json()).collect();
    format!(
        "{{\"kind\":\"{}List\",\"apiVersion\":\"{}\",\"metadata\":{metadata},\"items\":[{}]}}",
        kind.kind,
        kind.api_version(),
        items.join(",")
    )
}

fn non_resource(server: &ApiServer, method: &Method, uri: &http::Uri, headers: &HeaderMap) -> Response<Body> {
    let path = uri.path().trim_end_matches('/');
    if method != Method::GET {
        return failure_response(&Failure::method_not_allowed());
    }
    if matches!(path, "/healthz" | "/readyz" | "/livez") {
        return with_header(Response::new(Body::from("ok")), CONTENT_TYPE, "text/plain; charset=utf-8");
    }
    if path == "/openapi/v2" {
        // An empty document of the older form, in protobuf: clients then turn to version 3 or to the server itself.
        return with_header(Response::new(Body::empty()), CONTENT_TYPE, OPENAPI_V2);
    }
    let cluster = server.lock();
    let found = match path {
        "/version" => Some((discovery::version(), "application/json")),
        _ => discovery::answer(&cluster.kinds, path, header(headers, &ACCEPT))
            .or_else(|| openapi::answer(&cluster.kinds, path).map(|document| (document, "application/json"))),
    };
    match found {
        Some((value, content_type)) => {
            with_header(Response::new(Body::from(value.to_string())), CONTENT_TYPE, content_type)
        }
        None => page_not_found(),
    }
}

/// What is said of URLs that no API group answers for.
fn page_not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("404 page not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    with_header(response, CONTENT_TYPE, "text/plain; charset=utf-8")
}

fn json_response(code: StatusCode, text: String, warnings: &[String]) -> Response<Body> {
    let mut response = with_header(Response::new(Body::from(text)), CONTENT_TYPE, "application/json");
    *response.status_mut() = code;
    for warning in warnings {
        let escaped = warning.replace('\\', "\\\\").replace('"', "\\\"");
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{escaped}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

/// A failure as HTTP.
pub(crate) fn failure_response(failure: &Failure) -> Response<Body> {
    let code = StatusCode::from_u16(failure.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let response = json_response(code, failure.to_status().to_string(), &[]);
    match failure.retry_after_seconds() {
        Some(seconds) => with_header(response, RETRY_AFTER, &seconds.to_string()),
        None => response,
    }
}

fn with_header(mut response: Response<Body>, name: HeaderName, value: &str) -> Response<Body> {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
    response
}

fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn bearer(headers: &HeaderMap) -> &str {
    header(headers, &AUTHORIZATION).strip_prefix("Bearer ").unwrap_or_default()
}

impl ApiServer {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Cluster> {
        self.shared.cluster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shared_cluster(&self) -> Arc<std::sync::Mutex<Cluster>> {
        Arc::clone(&self.shared.cluster)
    }
}
