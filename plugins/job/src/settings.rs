//! The fields of a job that this plugin owns, and how one that is there differs.

use std::collections::BTreeSet;

use crate::bindings::lockkeeper::databricks::jobs::{Compute, Job, JobSettings, NewCluster};
use crate::bindings::{Adls, Inputs};

/// The fields for these inputs, with the node type and the Spark version of its cluster. Of the
/// cluster that the job has, Spark configuration that is not for storage stays.
pub(crate) fn settings(
    inputs: &Inputs,
    (node_type, spark_version): (Option<String>, String),
    present: Option<&NewCluster>,
) -> JobSettings {
    let lines = present.into_iter().flat_map(|cluster| &cluster.spark_conf);
    let others = lines.filter(|(key, _)| !key.starts_with(ADLS)).cloned();
    let storage = inputs.adls.as_ref().map(spark_conf).unwrap_or_default();
    JobSettings {
        name: inputs.name.clone(),
        notebook_path: inputs.notebook.path.clone(),
        run_as: inputs.run_as.clone(),
        compute: Compute::NewCluster(NewCluster {
            spark_version,
            node_type,
            spark_conf: others.chain(storage).collect(),
        }),
        tag: (crate::TAG.to_owned(), inputs.name.clone()),
    }
}

/// The cluster of its own that a job has.
pub(crate) fn cluster(job: &Job) -> Option<&NewCluster> {
    match &job.settings.compute {
        Compute::NewCluster(cluster) => Some(cluster),
        _ => None,
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
    match (&has.compute, &wanted.compute) {
        (Compute::NewCluster(has), Compute::NewCluster(wanted)) => {
            check("node_type", has.node_type == wanted.node_type);
            check("spark_version", has.spark_version == wanted.spark_version);
            let (has, wanted) = (&has.spark_conf, &wanted.spark_conf);
            check("spark_conf", sorted(has) == sorted(wanted));
        }
        _ => check("compute", false),
    }
    drift
}

fn sorted(conf: &[(String, String)]) -> BTreeSet<&(String, String)> {
    conf.iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::{Language, Notebook};
    use lockkeeper_guest::types::{ApplicationId, JobId};

    fn adls() -> Adls {
        Adls {
            account: "demo".to_owned(),
            client_id: ApplicationId {
                application_id: "app".to_owned(),
            },
            tenant_id: "tenant".to_owned(),
            client_secret: "{{secrets/sp/client-secret}}".to_owned(),
        }
    }

    /// What is wanted of a job on this cluster, with storage or without.
    fn wanted(adls: Option<Adls>, present: Option<&NewCluster>) -> JobSettings {
        let inputs = Inputs {
            name: "nightly".to_owned(),
            notebook: Notebook {
                path: "/Shared/x".to_owned(),
                language: Language::Sql,
                source: "SELECT 1".to_owned(),
            },
            run_as: ApplicationId {
                application_id: "app".to_owned(),
            },
            adls,
            cluster: None,
        };
        let choice = (Some("small".to_owned()), "15.4.x".to_owned());
        settings(&inputs, choice, present)
    }

    fn on(cluster: NewCluster) -> Job {
        Job {
            id: JobId {
                job_id: "1".to_owned(),
            },
            run_as_user_name: "app".to_owned(),
            url: String::new(),
            settings: JobSettings {
                compute: Compute::NewCluster(cluster),
                ..wanted(None, None)
            },
        }
    }

    #[test]
    fn the_five_lines() {
        let conf = spark_conf(&adls());
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
    fn lines_of_others_stay_and_are_no_drift() {
        let theirs = ("spark.speculation".to_owned(), "true".to_owned());
        let mut spark_conf: Vec<_> = spark_conf(&adls()).into_iter().rev().collect();
        spark_conf.push(theirs.clone());
        let mut cluster = NewCluster {
            spark_version: "15.4.x".to_owned(),
            node_type: Some("small".to_owned()),
            spark_conf,
        };
        let drift_of = |cluster: &NewCluster, adls| {
            let job = on(cluster.clone());
            drift(&job, &wanted(adls, super::cluster(&job)))
        };
        assert_eq!(drift_of(&cluster, Some(adls())), Vec::<String>::new());
        assert_eq!(drift_of(&cluster, None), ["spark_conf"]);
        let Compute::NewCluster(without) = wanted(None, Some(&cluster)).compute else {
            panic!("a job has a cluster of its own");
        };
        assert_eq!(without.spark_conf, [theirs]);
        cluster.spark_conf.remove(0);
        assert_eq!(drift_of(&cluster, Some(adls())), ["spark_conf"]);
    }

    #[test]
    fn a_job_on_other_compute_gets_a_cluster_of_its_own() {
        let mut job = on(NewCluster {
            spark_version: "15.4.x".to_owned(),
            node_type: Some("small".to_owned()),
            spark_conf: Vec::new(),
        });
        job.settings.compute = Compute::ExistingCluster("0101-000000-abcdefgh".to_owned());
        assert_eq!(drift(&job, &wanted(None, cluster(&job))), ["compute"]);
    }
}
