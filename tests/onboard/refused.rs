//! A step of the tutorial is missing, or a right: what Azure says to it, and what lockkeeper makes
//! of that. Rows of the references are named in front of each test.

use serde_json::Value;

use crate::cloud::{self, RERUN};
use crate::support::Project;

/// The operator: client id, and what gives it its rights in the seeded cloud.
pub const OPERATOR: &str = "0a0a0a0a-0000-4000-8000-000000000002";
const PLAIN: [&str; 4] = ["run", "onboard", "-i", "app_name=etl-demo"];

/// How a run has to fail.
pub struct Refusal<'a> {
    pub step: &'a str,
    pub operation: &'a str,
    pub status: Option<u16>,
    /// The service's code and a piece of its message.
    pub said: (&'a str, &'a str),
    pub cause: &'a str,
    pub help: &'a str,
    /// Steps that must not have begun.
    pub not_run: &'a [&'a str],
}

impl Refusal<'_> {
    /// Runs it and holds what happens against this: in the JSON document, on stderr, in the cloud.
    pub fn of(&self, project: &Project, arguments: &[&str]) {
        let seen = cloud::requests(project).len();
        let ran = project.run(&[arguments, &["--output", "json"]].concat());
        let document: Value = serde_json::from_str(&ran.stdout())
            .unwrap_or_else(|error| panic!("{error}\n{}\n{}", ran.stdout(), ran.stderr()));
        assert_eq!(ran.code(), 4, "{document:#}");
        assert_eq!(document["result"], "failed");
        assert_eq!(document["outputs"], serde_json::json!({}));
        let steps = document["steps"].as_array().unwrap();
        let step = |id: &str| steps.iter().find(|step| step["id"] == id).unwrap();
        let failed: Vec<_> = steps
            .iter()
            .filter(|step| step["result"] == "failed")
            .map(|s| &s["id"])
            .collect();
        assert_eq!(failed, [self.step], "{document:#}");
        let error = &step(self.step)["error"];
        let has = |name: &str, piece: &str| {
            let text = error[name].as_str().unwrap_or_default();
            assert!(text.contains(piece), "{name} has {piece:?}: {error:#}");
        };
        assert_eq!(error["operation"], self.operation, "{error:#}");
        assert_eq!(
            error["status"].as_u64(),
            self.status.map(u64::from),
            "{error:#}"
        );
        assert_eq!(error["service_code"], self.said.0, "{error:#}");
        has("message", self.said.1);
        has("cause", self.cause);
        has("help", self.help);
        for id in self.not_run {
            assert_eq!(step(id)["result"], "not-run", "{document:#}");
            let writes = match *id {
                "job" => "/jobs/create",
                "test_run" => "/jobs/run-now",
                "import" => "/ServicePrincipals",
                "scope" => "/secrets/scopes/create",
                "grant" => "/rule-sets",
                other => panic!("what does {other} write?"),
            };
            let requests = cloud::requests(project);
            let began = requests[seen..].iter().any(|request| {
                request["method"] != "GET" && request["path"].as_str().unwrap().contains(writes)
            });
            assert!(!began, "{id} began");
        }
        let stderr = ran.stderr();
        for piece in [
            &format!(
                "error[{}]: step `{}` failed: ",
                error["code"].as_str().unwrap(),
                self.step
            ),
            &format!("cause: {}", error["cause"].as_str().unwrap()),
            &format!("help: {}", error["help"].as_str().unwrap()),
            &format!(
                "next:  lockkeeper resume {}",
                document["run"].as_str().unwrap()
            ),
        ] {
            assert!(stderr.contains(piece), "{piece}\n{stderr}");
        }
    }
}

/// A project in which the main job has succeeded, and its job's id.
fn onboarded() -> (Project, String) {
    let project = Project::new();
    project.ok(&["init"]);
    project.write("workflows/rerun.toml", RERUN);
    let (code, document) = project.json(&PLAIN);
    assert_eq!(code, 0);
    let job = document["steps"][4]["outputs"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    (project, job)
}

fn application(cloud: &Value) -> String {
    let applications = cloud["entra"]["applications"].as_array().unwrap();
    let own = applications
        .iter()
        .find(|own| own["display_name"] == "etl-demo")
        .unwrap();
    own["app_id"].as_str().unwrap().to_owned()
}

/// What a run of the job says after `change`.
fn rerun(change: impl FnOnce(&mut Value), said: (&str, &str), cause: &str, help: &str) {
    let (project, job) = onboarded();
    cloud::change(&project, change);
    Refusal {
        step: "test_run",
        operation: "databricks/jobs.get-run",
        status: Some(200),
        said,
        cause,
        help,
        not_run: &[],
    }
    .of(&project, &["run", "rerun", "-i", &format!("job={job}")]);
}

/// What may only be late is waited for, at both places at the same time.
#[test]
fn principals_that_are_not_there() {
    std::thread::scope(|both| {
        both.spawn(without_import_the_job_cannot_run_as_it);
        both.spawn(an_id_that_entra_does_not_know_is_not_imported);
    });
}

/// 2f, before the service gets to say it.
fn without_import_the_job_cannot_run_as_it() {
    let project = cloud::edited(&[]);
    cloud::without_steps(&project, &["import", "grant"]);
    Refusal {
        step: "job",
        operation: "databricks/service-principals.find",
        status: None,
        said: (
            "UNKNOWN",
            "the workspace has no service principal of application",
        ),
        cause: "it was never added to the workspace",
        help: "let the import step run before",
        not_run: &["test_run"],
    }
    .of(&project, &PLAIN);
}

/// 1f, R26: the workspace itself would take an id that is nobody's.
fn an_id_that_entra_does_not_know_is_not_imported() {
    let project = Project::new();
    project.ok(&["init"]);
    project.write(
        "workflows/only.toml",
        "lockkeeper = 1\n[workflow]\nname = \"only\"\n[steps.import]\nplugin = \"import\"\nwith.application_id = \"99999999-0000-4000-8000-000000000000\"\n",
    );
    Refusal {
        step: "import",
        operation: "entra/service-principals.find",
        status: None,
        said: (
            "UNKNOWN",
            "Entra has no service principal of application 99999999",
        ),
        cause: "mistyped, an object id, or from another tenant",
        help: "give the application (client) id",
        not_run: &[],
    }
    .of(&project, &["run", "only"]);
    assert_eq!(cloud::writes(&project), [""; 0]);
}

/// 3a, 3b, 3c: the operator is manager and workspace admin, and that is not enough.
#[test]
fn without_the_user_role_the_job_cannot_be_bound() {
    let roles = r#"with.roles                = [{ role = "servicePrincipal.user", principal = "${inputs.operator}" }]"#;
    let project = cloud::edited(&[(roles, "with.roles = []")]);
    Refusal {
        step: "job",
        operation: "databricks/jobs.create",
        status: Some(403),
        said: (
            "PERMISSION_DENIED",
            "Cannot bind the service principal provided in 'run_as' field",
        ),
        cause: "lacks the role servicePrincipal.user",
        help: "to the roles of the grant step",
        not_run: &["test_run"],
    }
    .of(&project, &PLAIN);
}

/// 3a: the role is given, but to somebody else.
#[test]
fn the_role_of_another_does_not_help_the_caller() {
    let project = Project::new();
    Refusal {
        step: "job",
        operation: "databricks/jobs.create",
        status: Some(403),
        said: (
            "PERMISSION_DENIED",
            "must have 'servicePrincipal.user' role",
        ),
        cause: "manager and workspace admin do not include it",
        help: "servicePrincipal.user",
        not_run: &["test_run"],
    }
    .of(
        &project,
        &[&PLAIN[..], &["-i", "operator=ana@contoso.com"]].concat(),
    );
}

/// 2j
#[test]
fn without_workspace_access_the_run_fails() {
    let project = Project::new();
    Refusal {
        step: "test_run",
        operation: "databricks/jobs.get-run",
        status: Some(200),
        said: (
            "UNAUTHORIZED_ERROR",
            "does not have access to Databricks Workspace",
        ),
        cause: "lacks the entitlement workspace-access",
        help: "add workspace-access to the entitlements of the grant step",
        not_run: &[],
    }
    .of(
        &project,
        &[
            &PLAIN[..],
            &["-i", "entitlements=[\"allow-cluster-create\"]"],
        ]
        .concat(),
    );
}

/// 2k
#[test]
fn without_cluster_creation_the_run_fails() {
    let project = Project::new();
    Refusal {
        step: "test_run",
        operation: "databricks/jobs.get-run",
        status: Some(200),
        said: (
            "INVALID_CLUSTER_REQUEST",
            "You are not authorized to create clusters",
        ),
        cause: "lacks the entitlement allow-cluster-create",
        help: "add allow-cluster-create to the entitlements of the grant step",
        not_run: &[],
    }
    .of(
        &project,
        &[&PLAIN[..], &["-i", "entitlements=[\"workspace-access\"]"]].concat(),
    );
}

/// 5a: everybody may use /Shared, so that is taken away too.
#[test]
fn a_notebook_that_the_principal_cannot_read() {
    rerun(
        |cloud| {
            let acls = cloud["databricks"]["acls"].as_object_mut().unwrap();
            acls.retain(|object, _| !object.starts_with("notebooks/") && object != "directories/3");
        },
        (
            "RESOURCE_NOT_FOUND",
            "Unable to access the notebook \"/Shared/etl-demo/smoke\"",
        ),
        "the notebook is gone, or the service principal may not read it",
        "run the job step again",
    );
}

/// 5a
#[test]
fn a_notebook_that_is_gone() {
    rerun(
        |cloud| {
            let objects = cloud["databricks"]["objects"].as_object_mut().unwrap();
            assert!(objects.remove("/Shared/etl-demo/smoke").is_some());
        },
        (
            "RESOURCE_NOT_FOUND",
            "Either it does not exist, or the identity used to run this job",
        ),
        "the notebook is gone",
        "run the job step again: it writes the notebook",
    );
}

/// 7i
#[test]
fn a_principal_that_was_deactivated_after_binding() {
    rerun(
        |cloud| {
            let application = application(cloud);
            cloud::principal(cloud, &application)["active"] = false.into();
        },
        ("UNAUTHORIZED_ERROR", "does not exist or deactivated"),
        "removed from the workspace or deactivated",
        "activate it",
    );
}

/// 2m, seen by the step that would add it.
#[test]
fn a_deactivated_principal_stops_the_import() {
    let (project, _) = onboarded();
    cloud::change(&project, |cloud| {
        let application = application(cloud);
        cloud::principal(cloud, &application)["active"] = false.into();
    });
    Refusal {
        step: "import",
        operation: "databricks/service-principals.find",
        status: None,
        said: ("INACTIVE", "is deactivated in the workspace"),
        cause: "somebody deactivated the service principal",
        help: "activate it in the workspace's settings",
        not_run: &["grant", "job", "test_run"],
    }
    .of(&project, &PLAIN);
}

/// R09, seen before anything is asked of the token endpoint.
#[test]
fn a_disabled_principal_stops_the_registration() {
    let (project, _) = onboarded();
    cloud::change(&project, |cloud| {
        let application = application(cloud);
        let principals = &mut cloud["entra"]["service_principals"];
        cloud::member(principals, "app_id", &application)["enabled"] = false.into();
    });
    Refusal {
        step: "register",
        operation: "entra/service-principals.find",
        status: None,
        said: ("DISABLED", "the service principal is disabled"),
        cause: "somebody disabled the application in Entra",
        help: "Enterprise applications",
        not_run: &["import", "grant", "job", "test_run"],
    }
    .of(&project, &PLAIN);
}

/// R13
#[test]
fn without_the_graph_permission_nothing_is_registered() {
    let project = Project::new();
    cloud::seed(&project);
    cloud::change(&project, |cloud| {
        cloud["entra"]["app_role_assignments"] = serde_json::json!([]);
    });
    Refusal {
        step: "register",
        operation: "entra/applications.create",
        status: Some(403),
        said: (
            "Authorization_RequestDenied",
            "Insufficient privileges to complete the operation.",
        ),
        cause: "may not register applications",
        help: "Application.ReadWrite.OwnedBy",
        not_run: &["import", "grant", "job", "test_run"],
    }
    .of(&project, &PLAIN);
}

/// R16: the unique name of a deleted application stays taken, so it is restored.
#[test]
fn an_application_that_was_deleted_lately_is_brought_back() {
    let (project, _) = onboarded();
    let before = application(&cloud::state(&project));
    cloud::change(&project, |cloud| {
        let own = cloud::member(
            &mut cloud["entra"]["applications"],
            "display_name",
            "etl-demo",
        );
        own["deleted"] = serde_json::json!({ "at": own["created"], "seen": own["created"] });
    });
    let (code, document) = project.json(&PLAIN);
    assert_eq!(code, 0, "{document:#}");
    assert_eq!(document["outputs"]["application_id"], before);
    let mut cloud = cloud::state(&project);
    let own = cloud::member(
        &mut cloud["entra"]["applications"],
        "display_name",
        "etl-demo",
    );
    assert_eq!(own["deleted"], Value::Null);
}

/// 2a
#[test]
fn only_an_admin_adds_a_principal_to_the_workspace() {
    let project = Project::new();
    cloud::seed(&project);
    cloud::change(&project, |cloud| {
        let operator = cloud::principal(cloud, OPERATOR);
        operator["entitlements"] = serde_json::json!(["workspace-access"]);
        let id = operator["id"].as_u64().unwrap();
        for group in cloud["databricks"]["directory"]["groups"]
            .as_object_mut()
            .unwrap()
            .values_mut()
        {
            if group["display_name"] == "admins" || group["name"] == "admins" {
                let members = group["members"].as_array_mut().unwrap();
                members.retain(|member| member.as_u64() != Some(id) && member["id"] != id);
            }
        }
    });
    Refusal {
        step: "import",
        operation: "databricks/service-principals.create",
        status: Some(403),
        said: ("SCIM_403", "only accessible by admins"),
        cause: "only a workspace admin may add",
        help: "sign in as a workspace admin",
        not_run: &["grant", "job", "test_run"],
    }
    .of(&project, &PLAIN);
}

/// 1b, R04: the operator's own secret is wrong, so nobody is signed in and no run begins.
#[test]
fn a_wrong_secret_of_the_operator_exits_with_3() {
    let project = Project::new();
    let _simulator = project.simulator(&[]);
    let ran = project
        .command(&PLAIN)
        .env("LOCKKEEPER_KEYS", project.path().join("other-keys"))
        .output()
        .map(crate::support::Ran)
        .unwrap();
    assert_eq!(ran.code(), 3, "{}", ran.stderr());
    assert_eq!(ran.stdout(), "");
    assert!(
        ran.stderr().contains("cannot sign in to target `sim`"),
        "{}",
        ran.stderr()
    );
    assert!(ran.stderr().contains("AADSTS7000215"), "{}", ran.stderr());
    assert_eq!(project.json(&["runs", "list"]).1, serde_json::json!([]));
}
