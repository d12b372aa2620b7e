//! Who may do what. First form: everybody may do everything but what is denied, and a token may be bound to rules.

use std::collections::BTreeMap;

use super::request::{ResourceRequest, Verb};
use super::status::{Failure, Subject};

/// One permission, as a row of an RBAC rule; `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Verbs, e.g. `get`.
    pub verbs: Vec<String>,
    /// API groups; empty for core.
    pub groups: Vec<String>,
    /// Resources and `resource/subresource`.
    pub resources: Vec<String>,
    /// The only namespace in which the rule holds; none for all.
    pub namespace: Option<String>,
}

impl Rule {
    /// A rule for all namespaces.
    pub fn new(verbs: &[&str], groups: &[&str], resources: &[&str]) -> Self {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self { verbs: owned(verbs), groups: owned(groups), resources: owned(resources), namespace: None }
    }

    /// The same rule for one namespace.
    #[must_use]
    pub fn in_namespace(self, namespace: &str) -> Self {
        Self { namespace: Some(namespace.to_owned()), ..self }
    }

    fn allows(&self, act: &Act<'_>) -> bool {
        let has = |words: &[String], wanted: &str| words.iter().any(|word| word == "*" || word == wanted);
        has(&self.verbs, act.verb)
            && has(&self.groups, act.group)
            && has(&self.resources, &act.full_resource())
            && self.namespace.as_deref().is_none_or(|namespace| namespace == act.namespace)
    }
}

/// What somebody wants to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> Act<'a> {
    pub(crate) fn of(request: &'a ResourceRequest) -> Self {
        Self {
            verb: request.verb.name(),
            group: &request.group,
            resource: &request.resource,
            subresource: &request.subresource,
            namespace: &request.namespace,
            name: &request.name,
        }
    }

    fn full_resource(&self) -> String {
        if self.subresource.is_empty() {
            self.resource.to_owned()
        } else {
            format!("{}/{}", self.resource, self.subresource)
        }
    }
}

#[derive(Clone, Debug)]
struct Account {
    user: String,
    rules: Vec<Rule>,
}

/// The accounts and what is denied to all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Authorization {
    accounts: BTreeMap<String, Account>,
    denied: Vec<(Verb, String)>,
}

/// The user whose token belongs to no account.
pub(crate) const ADMIN: &str = "system:admin";

impl Authorization {
    pub(crate) fn deny(&mut self, verb: Verb, resource: &str) {
        self.denied.push((verb, resource.to_owned()));
    }

    pub(crate) fn allow_again(&mut self, verb: Verb, resource: &str) {
        self.denied.retain(|denied| *denied != (verb, resource.to_owned()));
    }

    pub(crate) fn bind(&mut self, token: &str, user: &str, rules: Vec<Rule>) {
        self.accounts.insert(token.to_owned(), Account { user: user.to_owned(), rules });
    }

    pub(crate) fn user(&self, token: &str) -> &str {
        self.accounts.get(token).map_or(ADMIN, |account| &account.user)
    }

    /// Whether the bearer of `token` may do `act`.
    pub(crate) fn allows(&self, token: &str, act: &Act<'_>) -> bool {
        let resource = act.full_resource();
        let is_denied =
            self.denied.iter().any(|(verb, denied)| verb.name() == act.verb && *denied == resource);
        let account = self.accounts.get(token);
        !is_denied && account.is_none_or(|account| account.rules.iter().any(|rule| rule.allows(act)))
    }

    /// Refuses with 403 what `token` may not do.
    pub(crate) fn check(&self, token: &str, act: &Act<'_>) -> Result<(), Failure> {
        if self.allows(token, act) {
            return Ok(());
        }
        let scope = if act.namespace.is_empty() {
            "at the cluster scope".to_owned()
        } else {
            format!("in the namespace {:?}", act.namespace)
        };
        let why = format!(
            "User {:?} cannot {} resource {:?} in API group {:?} {scope}",
            self.user(token),
            act.verb,
            act.full_resource(),
            act.group
        );
        Err(Failure::forbidden(Subject { group: act.group, kind: act.resource, name: act.name }, &why))
    }
}
