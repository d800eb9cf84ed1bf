//! Keeps a notebook and a job that runs it as a service principal.

#![allow(
    clippy::result_large_err,
    reason = "the error is the contract's own, and half as large on wasm32"
)]

mod adopt;
mod bindings;
mod notebook;
mod settings;

use bindings::lockkeeper::databricks::{clusters, jobs, service_principals};
use bindings::{Cluster, Guest, Inputs, Outputs};
use lockkeeper_guest::types::{ApplicationId, Error, StepError};
use lockkeeper_guest::{Attempt, LONG, SHORT, progress, until};

struct Job;

/// The tag by which a job is known as ours; its value is the job's name.
const TAG: &str = "lockkeeper";

impl Guest for Job {
    fn run(inputs: Inputs) -> Result<Outputs, StepError> {
        in_workspace(&inputs.run_as)?;
        let mut changed = notebook::ensure(&inputs.notebook, &inputs.run_as)?;

        let found = jobs::find(&inputs.name, (TAG, &inputs.name))?;
        let present = found.as_ref().and_then(settings::cluster);
        let choice = choice(inputs.cluster.as_ref(), present)?;
        let settings = settings::settings(&inputs, choice, present);
        let created = match &found {
            None => {
                progress::report("creating the job");
                jobs::create(&settings).map_err(refusal)?;
                true
            }
            Some(job) => {
                let drift = settings::drift(job, &settings);
                if drift.is_empty() {
                    progress::note(&format!("job {} was already there", inputs.name));
                } else {
                    progress::report(&format!("putting right {}", drift.join(", ")));
                    jobs::update(&job.id, &settings).map_err(refusal)?;
                    changed.extend(drift);
                }
                false
            }
        };
        let job = read_back(&settings)?;
        Ok(Outputs {
            id: job.id,
            url: job.url,
            created,
            changed,
        })
    }

    fn adopt(inputs: Inputs, id: String) -> Result<(), StepError> {
        adopt::adopt(&inputs.name, id)
    }
}

/// Refuses a service principal that is not in the workspace before anything is made for it. The
/// refusals that would follow also mean "not yet", and would be waited for much longer.
fn in_workspace(id: &ApplicationId) -> Result<(), StepError> {
    let found = until("the workspace shows the service principal", SHORT, || {
        if service_principals::find(id)?.is_some() {
            return Ok(Attempt::Done(()));
        }
        let text = &id.application_id;
        let message = format!("the workspace has no service principal of application {text}");
        let operation = "databricks/service-principals.find";
        let error = Error::of(Error::NotFound, operation, "UNKNOWN", message);
        Ok(Attempt::Again(error))
    });
    found.map_err(|refused| match refused.error {
        error @ Error::NotFound(_) => error.because(
            "it was never added to the workspace; run_as takes an application id, never a display name or an object id",
            "let the import step run before, and give run_as its application id",
        ),
        _ => refused,
    })
}

/// Node type and Spark version: what was asked for, else what the job's cluster has, else the
/// smallest and the newest with long-term support. A choice once made stays when the offers change.
fn choice(
    wanted: Option<&Cluster>,
    present: Option<&jobs::NewCluster>,
) -> Result<(Option<String>, String), StepError> {
    let node_type = wanted.and_then(|cluster| cluster.node_type.clone());
    let node_type = match (node_type, present) {
        (Some(name), _) => Some(name),
        (None, Some(cluster)) => cluster.node_type.clone(),
        (None, None) => Some(first(
            clusters::list_node_types()?.into_iter().map(|node| node.id),
            "databricks/clusters.list-node-types",
        )?),
    };
    let spark_version = wanted
        .and_then(|cluster| cluster.spark_version.clone())
        .or_else(|| present.map(|cluster| cluster.spark_version.clone()));
    let spark_version = match spark_version {
        Some(name) => name,
        None => first(
            clusters::list_spark_versions()?.into_iter(),
            "databricks/clusters.list-spark-versions",
        )?,
    };
    Ok((node_type, spark_version))
}

fn first(mut offers: impl Iterator<Item = String>, operation: &str) -> Result<String, StepError> {
    offers.next().ok_or_else(|| {
        let message = "the workspace offers none".to_owned();
        Error::of(Error::NotFound, operation, "NONE", message).because(
            "the workspace has no classic compute, which a job cluster needs",
            "set cluster.node_type and cluster.spark_version, or use another workspace",
        )
    })
}

/// The job as the service has it, once it says that it runs as the service principal. A job
/// without that runs as its creator, and succeeds.
fn read_back(settings: &jobs::JobSettings) -> Result<jobs::Job, StepError> {
    const OPERATION: &str = "databricks/jobs.find";
    let wanted = &settings.run_as.application_id;
    let read = until("the workspace shows the job", LONG, || {
        let Some(job) = jobs::find(&settings.name, (TAG, &settings.name))? else {
            let message = format!("the workspace does not show job {}", settings.name);
            return Ok(Attempt::not_visible(OPERATION, message));
        };
        if job.run_as_user_name == *wanted {
            return Ok(Attempt::Done(job));
        }
        let message = format!(
            "job {} runs as {}, not as {wanted}",
            settings.name, job.run_as_user_name
        );
        Ok(Attempt::Again(Error::of(
            Error::Conflict,
            OPERATION,
            "RUN_AS",
            message,
        )))
    });
    read.map_err(|refused| match refused.error {
        error @ Error::Conflict(_) => error.because(
            "the service accepted the job and did not take over whom it runs as",
            "set Run as on the job's page by hand, then run this again",
        ),
        _ => refused,
    })
}

fn refusal(error: Error) -> StepError {
    if error.says("Cannot bind the service principal") {
        return error.because(
            "the signed-in identity lacks the role servicePrincipal.user on the service principal; manager and workspace admin do not include it",
            "add { role = \"servicePrincipal.user\", principal = … } for it to the roles of the grant step",
        );
    }
    if error.says("cannot be set as run_as") {
        return error.because(
            "the workspace has no such service principal, or not yet; run_as takes an application id, never a display name or an object id",
            "let the import step run before, and give run_as its application id",
        );
    }
    if error.says("does not exist or deactivated") {
        return error.because(
            "the service principal was deactivated in the workspace",
            "activate it in the workspace's settings",
        );
    }
    if error.says("an instance pool ID is provided") {
        return error.because(
            "the cluster of this job comes from an instance pool, which says the node type",
            "leave cluster.node_type out, or take the cluster out of the pool on the job's page",
        );
    }
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity may not make jobs, or may not manage this one",
            "give it the entitlement workspace-access, and CAN_MANAGE on the job if somebody else made it",
        ),
        _ => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_missing_role_is_told_apart_from_other_denials() {
        let denied = |message: &str| {
            let code = "PERMISSION_DENIED";
            refusal(Error::of(
                Error::Denied,
                "databricks/jobs.create",
                code,
                message.to_owned(),
            ))
        };
        let bind =
            denied("Cannot bind the service principal provided in 'run_as' field (x) to the job.");
        assert!(bind.help.unwrap().contains("grant step"));
        let unknown =
            denied("'x' cannot be set as run_as service principal, because it doesn't exist.");
        assert!(unknown.help.unwrap().contains("import step"));
    }

    #[test]
    fn a_node_type_beside_an_instance_pool_says_what_to_leave_out() {
        let text =
            "The field 'node_type_id' cannot be supplied when an instance pool ID is provided.";
        let (operation, code) = ("databricks/jobs.update", "INVALID_PARAMETER_VALUE");
        let refused = refusal(Error::of(Error::Invalid, operation, code, text.to_owned()));
        assert!(
            refused
                .help
                .unwrap()
                .contains("leave cluster.node_type out")
        );
    }

    #[test]
    fn a_choice_once_made_stays() {
        let present = |node_type: Option<&str>| jobs::NewCluster {
            spark_version: "15.4.x".to_owned(),
            node_type: node_type.map(str::to_owned),
            spark_conf: Vec::new(),
        };
        let wanted = Cluster {
            node_type: Some("big".to_owned()),
            spark_version: None,
        };
        let chosen = |wanted, node_type| {
            let (node_type, spark_version) = choice(wanted, Some(&present(node_type))).unwrap();
            assert_eq!(spark_version, "15.4.x");
            node_type
        };
        // None where an instance pool says it.
        for present in [Some("small"), None] {
            assert_eq!(chosen(Some(&wanted), present).as_deref(), Some("big"));
            assert_eq!(chosen(None, present).as_deref(), present);
        }
    }
}
