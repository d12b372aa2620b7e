//! `plimsoll crd`.

use std::io::{self, Write};

use clap::Args;

use crate::api::{definition_yaml, definitions};

/// What to print.
#[derive(Debug, Args)]
pub(super) struct Crd {
    /// Only the definition of this name or kind, for example scalingpolicies.plimsoll.dev or ScalingPolicy
    #[arg(long)]
    name: Option<String>,
}

impl Crd {
    pub(super) fn execute(self) -> Result<(), String> {
        let text = self.text()?;
        match io::stdout().write_all(text.as_bytes()) {
            // As with `plimsoll crd | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            written => written.map_err(|error| format!("the definitions cannot be printed: {error}")),
        }
    }

    fn text(&self) -> Result<String, String> {
        let all = definitions();
        let chosen: Vec<_> = all
            .iter()
            .filter(|definition| {
                let names = [definition.metadata.name.as_deref(), Some(definition.spec.names.kind.as_str())];
                self.name.is_none() || names.contains(&self.name.as_deref())
            })
            .collect();
        if chosen.is_empty() {
            let names: Vec<_> =
                all.iter().filter_map(|definition| definition.metadata.name.as_deref()).collect();
            let wanted = self.name.as_deref().unwrap_or_default();
            return Err(format!("there is no definition {wanted:?}: write one of {}", names.join(", ")));
        }
        let texts: Result<Vec<_>, _> = chosen.into_iter().map(definition_yaml).collect();
        texts
            .map(|texts| texts.join("---\n"))
            .map_err(|error| format!("the definitions cannot be written as YAML: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

    use super::*;

    fn text(name: Option<&str>) -> Result<String, String> {
        Crd { name: name.map(str::to_owned) }.text()
    }

    #[test]
    fn the_printed_definition_is_one_that_kubernetes_reads() {
        for (name, expected) in [
            (Some("ScalingPolicy"), "scalingpolicies.plimsoll.dev"),
            (Some("scalingpolicies.plimsoll.dev"), "scalingpolicies.plimsoll.dev"),
            (Some("ConnectionBudget"), "connectionbudgets.plimsoll.dev"),
        ] {
            let definition: CustomResourceDefinition = serde_saphyr::from_str(&text(name).unwrap()).unwrap();
            assert_eq!(definition.metadata.name.as_deref(), Some(expected));
            assert!(text(None).unwrap().contains(&text(name).unwrap()), "all are printed");
            assert!(definition.spec.versions.iter().all(|version| {
                version.subresources.as_ref().is_some_and(|subresources| subresources.status.is_some())
            }));
        }
    }

    #[test]
    fn an_unknown_definition_is_refused_with_the_known_ones() {
        let fault = text(Some("Deployment")).unwrap_err();
        assert!(fault.contains("scalingpolicies.plimsoll.dev"), "{fault}");
    }
}
