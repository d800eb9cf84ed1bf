//! The fields of a job that this plugin owns, and how one that is there differs.

use crate::bindings::lockkeeper::databricks::jobs::{Job, JobCluster, JobSettings};
use crate::bindings::{Adls, Inputs};

/// The fields for these inputs, with the node type and the Spark version of its cluster.
pub(crate) fn settings(
    inputs: &Inputs,
    (node_type, spark_version): (String, String),
) -> JobSettings {
    JobSettings {
        name: inputs.name.clone(),
        notebook_path: inputs.notebook.path.clone(),
        run_as: inputs.run_as.clone(),
        cluster: Some(JobCluster {
            spark_version,
            node_type,
            spark_conf: inputs.adls.as_ref().map(spark_conf).unwrap_or_default(),
        }),
        tag: (crate::TAG.to_owned(), inputs.name.clone()),
    }
}

const ADLS: &str = "fs.azure.account.";

/// The five lines with which Spark signs in to a storage account as a service principal.
fn spark_conf(adls: &Adls) -> Vec<(String, String)> {
    let endpoint = format!(
        "https://login.microsoftonline.com/{}/oauth2/token",
        adls.tenant_id
    );
    let lines = [
        ("auth.type", "OAuth"),
        (
            "oauth.provider.type",
            "org.apache.hadoop.fs.azurebfs.oauth2.ClientCredsTokenProvider",
        ),
        ("oauth2.client.id", &adls.client_id.application_id),
        ("oauth2.client.secret", &adls.client_secret),
        ("oauth2.client.endpoint", &endpoint),
    ];
    let key = |name| format!("{ADLS}{name}.{}.dfs.core.windows.net", adls.account);
    lines
        .map(|(name, value)| (key(name), value.to_owned()))
        .into()
}

/// What is to be put right, by name.
pub(crate) fn drift(job: &Job, wanted: &JobSettings) -> Vec<String> {
    let has = &job.settings;
    let mut drift = Vec::new();
    let mut check = |name: &str, same: bool| {
        if !same {
            drift.push(name.to_owned());
        }
    };
    check("notebook_path", has.notebook_path == wanted.notebook_path);
    check(
        "run_as",
        job.run_as_user_name == wanted.run_as.application_id,
    );
    match (&has.cluster, &wanted.cluster) {
        (Some(has), Some(wanted)) => {
            check("node_type", has.node_type == wanted.node_type);
            check("spark_version", has.spark_version == wanted.spark_version);
            check(
                "spark_conf",
                is_same_conf(&has.spark_conf, &wanted.spark_conf),
            );
        }
        (has, wanted) => check("cluster", has.is_none() == wanted.is_none()),
    }
    drift
}

/// Whether all wanted lines are there and none for storage besides; the rest is the service's own.
fn is_same_conf(has: &[(String, String)], wanted: &[(String, String)]) -> bool {
    let strange = |line: &(String, String)| line.0.starts_with(ADLS) && !wanted.contains(line);
    wanted.iter().all(|line| has.contains(line)) && !has.iter().any(strange)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lockkeeper_guest::types::ApplicationId;

    fn conf() -> Vec<(String, String)> {
        spark_conf(&Adls {
            account: "demo".to_owned(),
            client_id: ApplicationId {
                application_id: "app".to_owned(),
            },
            tenant_id: "tenant".to_owned(),
            client_secret: "{{secrets/sp/client-secret}}".to_owned(),
        })
    }

    #[test]
    fn the_five_lines() {
        let conf = conf();
        assert_eq!(conf.len(), 5);
        let value = |name: &str| {
            let key = format!("fs.azure.account.{name}.demo.dfs.core.windows.net");
            conf.iter().find(|line| line.0 == key).unwrap().1.as_str()
        };
        assert_eq!(value("auth.type"), "OAuth");
        assert_eq!(value("oauth2.client.id"), "app");
        assert_eq!(
            value("oauth2.client.secret"),
            "{{secrets/sp/client-secret}}"
        );
        assert_eq!(
            value("oauth2.client.endpoint"),
            "https://login.microsoftonline.com/tenant/oauth2/token"
        );
    }

    #[test]
    fn lines_of_the_service_are_no_drift() {
        let wanted = conf();
        let mut has: Vec<_> = conf().into_iter().rev().collect();
        has.push(("spark.master".to_owned(), "local[*]".to_owned()));
        assert!(is_same_conf(&has, &wanted));
        assert!(!is_same_conf(&has, &[]), "storage that should be gone");
        has.remove(0);
        assert!(!is_same_conf(&has, &wanted), "a line is missing");
    }
}
