//! Values: inputs bound, guards decided, templates filled in, what a plan cannot know.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on panics"
)]

mod common;

use std::collections::BTreeMap;

use lockkeeper_types::{Value, secret, unknown};
use lockkeeper_workflow::{Checked, Decision, Diagnostics, Plugins, Scope, Source, Workflow};
use serde_json::json;

const ONBOARD: &str = include_str!("golden/onboard.toml");

fn load(text: &str) -> Result<Checked, Diagnostics> {
    common::load(&Source::new("workflow.toml", text))
}

fn onboard() -> Workflow {
    let checked = load(ONBOARD).unwrap();
    assert_eq!(checked.warnings, []);
    checked.workflow
}

fn run() -> Value {
    json!({ "id": "7Q2K", "actor": "ana@contoso.example", "started_at": "2027-01-02T03:04:05Z", "target": "sim" })
}

fn target() -> Value {
    json!({ "name": "sim", "tenant_id": "00000000-0000-0000-0000-000000000001", "workspace_url": "https://adb.example" })
}

fn bind(workflow: &Workflow, given: &Value) -> Result<Value, Vec<&'static str>> {
    let given: BTreeMap<_, _> = given.as_object().unwrap().clone().into_iter().collect();
    workflow
        .bind_inputs(&given, &run(), &target())
        .map_err(|found| found.iter().map(|one| one.code).collect())
}

fn scope(workflow: &Workflow, given: &Value) -> Scope {
    Scope {
        inputs: bind(workflow, given).unwrap(),
        steps: BTreeMap::new(),
        target: target(),
        run: run(),
    }
}

fn with(workflow: &Workflow, step: &str, scope: &Scope) -> Value {
    let step = workflow.step(step).unwrap();
    let fixtures = common::Fixtures::new();
    let signature = fixtures.signature(&step.plugin).unwrap();
    workflow.evaluate_with(step, scope, signature).unwrap()
}

fn storage() -> Value {
    json!({
        "app_name": "demo",
        "storage": { "account": "lake", "vault_id": "/subscriptions/s", "vault_url": "https://v.example" },
    })
}

fn registered(client_secret: &Value) -> Value {
    json!({
        "app_id": "6f0e", "object_id": "1", "service_principal_id": "2",
        "client_secret": client_secret, "key_id": "3",
        "secret_expires": "2027-02-19T00:00:00Z", "created": true,
    })
}

#[test]
fn inputs_get_their_defaults_and_shapes() {
    let bound = bind(&onboard(), &json!({ "app_name": "demo" })).unwrap();
    assert_eq!(
        bound,
        json!({
            "app_name": "demo",
            "operator": "ana@contoso.example",
            "entitlements": ["workspace-access", "allow-cluster-create"],
            "secret_lifetime": 7_776_000,
            "storage": null,
        })
    );
    // What was bound may be bound again, as a resumed run does.
    let again = bind(&onboard(), &bound).unwrap();
    assert_eq!(again, bound);
}

#[test]
fn inputs_that_do_not_fit_are_all_named() {
    let workflow = onboard();
    let wrong = bind(
        &workflow,
        &json!({
            "app_name": "Not Allowed",
            "secret_lifetime": "400d",
            "entitlements": ["everything"],
            "storage": { "account": "LAKE", "vault_id": "/s", "vault_url": "https://v.example" },
            "colour": "green",
        }),
    );
    assert_eq!(
        wrong,
        Err(vec!["LK0201", "LK0209", "LK0209", "LK0209", "LK0209"])
    );
    assert_eq!(bind(&workflow, &json!({})), Err(vec!["LK0207"]));
    assert_eq!(
        bind(
            &workflow,
            &json!({ "app_name": "demo", "storage": { "account": "lake" } })
        ),
        Err(vec!["LK0204"])
    );
}

#[test]
fn text_from_the_command_line_becomes_a_value() {
    let workflow = onboard();
    let parse =
        |name: &str, text: &str| workflow.parse_input(name, text).map_err(|found| found.code);
    assert_eq!(parse("app_name", "demo"), Ok(json!("demo")));
    assert_eq!(parse("secret_lifetime", "1h30m"), Ok(json!(5_400)));
    assert_eq!(
        parse("entitlements", "workspace-access, databricks-sql-access"),
        Ok(json!(["workspace-access", "databricks-sql-access"]))
    );
    assert_eq!(
        parse("entitlements", "[\"workspace-access\"]"),
        Ok(json!(["workspace-access"]))
    );
    assert_eq!(parse("storage", "null"), Ok(Value::Null));
    assert_eq!(
        parse(
            "storage",
            "{ account = \"lake\", vault_id = \"/s\", vault_url = \"https://v.example\" }"
        ),
        parse(
            "storage",
            "{\"account\":\"lake\",\"vault_id\":\"/s\",\"vault_url\":\"https://v.example\"}"
        ),
    );
    assert_eq!(parse("entitlements", "everything"), Err("LK0209"));
    assert_eq!(parse("secret_lifetime", "soon"), Err("LK0209"));
    let unknown = workflow.parse_input("appname", "demo").unwrap_err();
    assert!(unknown.render(false).contains("`app_name`"), "{unknown}");
}

#[test]
fn numbers_that_do_not_fit_are_called_what_they_are() {
    let text = "lockkeeper = 1\n[workflow]\nname = \"n\"\n[inputs]\nf.type = \"f64\"\nn.type = \"s64\"\nu.type = \"u32\"\n";
    let workflow = lockkeeper_workflow::parse(&Source::new("n.toml", text)).unwrap();
    let parse = |name: &str, text: &str| {
        workflow
            .parse_input(name, text)
            .map_err(|found| found.message)
    };
    assert_eq!(parse("f", "-1.5e3"), Ok(json!(-1500.0)));
    for (name, text, wanted) in [
        ("f", "nan", "`nan` is no number to calculate with"),
        ("f", "-inf", "`-inf` is no number to calculate with"),
        ("f", "1e400", "1e400 is outside of `f64`"),
        ("f", "x", "`x` is not a number"),
        (
            "n",
            "9223372036854775808",
            "9223372036854775808 is outside of `s64`, which goes from -9223372036854775808 to 9223372036854775807",
        ),
        (
            "n",
            "-99999999999999999999",
            "-99999999999999999999 is outside of `s64`",
        ),
        (
            "u",
            "99999999999999999999",
            "99999999999999999999 is outside of `u32`",
        ),
        ("n", "1.5", "`1.5` is not a whole number"),
    ] {
        assert_eq!(
            parse(name, text),
            Err(format!("input `{name}`: {wanted}")),
            "{text}"
        );
    }
}

#[test]
fn no_input_gives_a_secret() {
    let workflow = load(
        r#"lockkeeper = 1
[workflow]
name = "x"
[inputs.password]
type = "secret"
[steps.keep]
plugin = "vault"
with.value = "${inputs.password}"
with.name = "password"
"#,
    )
    .unwrap()
    .workflow;
    let missing = workflow
        .bind_inputs(&BTreeMap::new(), &run(), &target())
        .unwrap_err();
    let given = workflow.parse_input("password", "not-a-real-secret");
    for wrong in [&missing[0], &given.unwrap_err()] {
        assert_eq!(
            wrong.help,
            ["no input can give a secret: take it from the step that makes it"]
        );
    }
}

#[test]
fn a_skipped_step_says_why_and_its_outputs_are_null() {
    let workflow = onboard();
    let mut scope = scope(&workflow, &json!({ "app_name": "demo" }));
    let step = workflow.step("scope").unwrap();
    assert_eq!(
        workflow.evaluate_when(step, &scope).unwrap(),
        Decision::Skip {
            reason: "inputs.storage is null".into()
        }
    );
    scope
        .steps
        .insert("register".into(), registered(&Value::Null));
    scope.steps.insert("scope".into(), Value::Null);
    scope.steps.insert(
        "job".into(),
        json!({ "id": "991", "url": "https://j.example", "created": true, "changed": [] }),
    );
    scope
        .steps
        .insert("test_run".into(), json!({ "output": "1" }));
    let outputs = workflow.evaluate_outputs(&scope).unwrap();
    assert_eq!(outputs.get("scope"), Some(&Value::Null));
    assert_eq!(outputs.get("test_output"), Some(&json!("1")));
    assert_eq!(
        with(&workflow, "job", &scope).get("adls"),
        Some(&Value::Null)
    );
    assert_eq!(
        with(&workflow, "register", &scope).get("secret"),
        Some(&Value::Null)
    );
    assert_eq!(
        workflow.evaluate_lock(&scope).unwrap().as_deref(),
        Some("onboard/demo")
    );
}

#[test]
fn guards_that_hold_let_their_records_through() {
    let workflow = onboard();
    let mut scope = scope(&workflow, &storage());
    scope.steps.insert(
        "register".into(),
        registered(&secret("register/client_secret")),
    );
    assert_eq!(
        workflow
            .evaluate_when(workflow.step("scope").unwrap(), &scope)
            .unwrap(),
        Decision::Run
    );
    assert_eq!(
        with(&workflow, "register", &scope)["secret"],
        json!({
            "lifetime": 7_776_000,
            "key_vault": { "vault_url": "https://v.example", "name": "client-secret" },
            "databricks_scope": null,
            "display_name": "lockkeeper 7Q2K",
        })
    );
    let scope_inputs = with(&workflow, "scope", &scope);
    assert_eq!(
        scope_inputs["secrets"][0]["value"],
        secret("register/client_secret")
    );
    scope
        .steps
        .insert("scope".into(), json!({ "name": "sp-demo" }));
    assert_eq!(
        with(&workflow, "job", &scope)["adls"]["client_secret"],
        "{{secrets/sp-demo/client-secret}}"
    );
}

#[test]
fn what_a_plan_cannot_know_stays_unknown() {
    let workflow = onboard();
    let mut scope = scope(&workflow, &json!({ "app_name": "demo" }));
    let app_id = unknown::placeholder("register", "app_id");
    let mut outputs = registered(&Value::Null);
    outputs["app_id"] = json!(app_id);
    scope.steps.insert("register".into(), outputs);
    assert_eq!(with(&workflow, "job", &scope)["run_as"], json!(app_id));
    let test_run = workflow.step("test_run").unwrap();
    let preview = json!({ "result": unknown::placeholder("test_run", "result"), "output": "1" });
    assert_eq!(
        workflow
            .evaluate_expect(test_run, &preview, &scope)
            .unwrap(),
        []
    );
}

#[test]
fn unknown_conditions_are_decided_as_far_as_possible() {
    let workflow = load(
        r#"
lockkeeper = 1
[workflow]
name = "decide"
[inputs.environment]
type    = "string"
default = "dev"
[steps.register]
plugin = "register"
with.display_name = "demo"
[steps.open]
plugin = "register"
when = "steps.register.app_id == 'a'"
with.display_name = "${steps.register.app_id + '-copy'}"
[steps.closed]
plugin = "register"
when = "steps.register.app_id == 'a' && inputs.environment == 'prod'"
with.display_name = "demo"
[steps.certain]
plugin = "register"
when = "steps.register.app_id == 'a' || inputs.environment == 'dev'"
with.display_name = "demo"
[steps.present]
plugin = "register"
when = "has(steps.register.key_id) && !(steps.register.key_id == null)"
with.display_name = "until ${steps.register.secret_expires != null ? string(steps.register.secret_expires) : 'never'}"
"#,
    )
    .unwrap()
    .workflow;
    let mut scope = scope(&workflow, &json!({}));
    let mut outputs = registered(&Value::Null);
    outputs["app_id"] = json!(unknown::placeholder("register", "app_id"));
    outputs["key_id"] = json!(unknown::placeholder("register", "key_id"));
    scope.steps.insert("register".into(), outputs);
    let decide = |step: &str| {
        workflow
            .evaluate_when(workflow.step(step).unwrap(), &scope)
            .unwrap()
    };
    assert_eq!(
        decide("open"),
        Decision::Unknown {
            step: "register".into()
        }
    );
    assert_eq!(
        decide("closed"),
        Decision::Skip {
            reason: "inputs.environment is dev".into()
        }
    );
    assert_eq!(decide("certain"), Decision::Run);
    assert_eq!(decide("present"), Decision::Run);
    let name = with(&workflow, "open", &scope)["display_name"].clone();
    assert_eq!(unknown::source_in(&name), Some("register"));
    assert_eq!(
        with(&workflow, "present", &scope)["display_name"],
        "until 2027-02-19T00:00:00Z"
    );
    assert_eq!(workflow.order()["open"], ["register"]);
}

#[test]
fn a_placeholder_stands_in_for_text_only() {
    let workflow = load(
        r#"lockkeeper = 1
[workflow]
name = "x"
[steps.register]
plugin = "register"
with.display_name = "demo"
[steps.job]
plugin = "job"
with.name = "demo"
with.notebook = { path = "/x", language = "sql", source = "SELECT 1" }
with.run_as = "${steps.register.app_id}"
[steps.job.with.adls]
when = "steps.register.app_id != ''"
account = "lake"
client_id = "${steps.register.app_id}"
tenant_id = "t"
client_secret = "s"
"#,
    )
    .unwrap()
    .workflow;
    let mut scope = scope(&workflow, &json!({}));
    let fixtures = common::Fixtures::new();
    let signature = fixtures.signature("job").unwrap();
    let undecided = |scope: &Scope| {
        let inputs = with(&workflow, "job", scope);
        (
            inputs["adls"].clone(),
            Workflow::undecided(&inputs, signature),
        )
    };
    let mut outputs = registered(&Value::Null);
    scope.steps.insert("register".into(), outputs.clone());
    assert_eq!(undecided(&scope).1, None);
    outputs["app_id"] = json!(unknown::placeholder("register", "app_id"));
    scope.steps.insert("register".into(), outputs);
    let (adls, after) = undecided(&scope);
    assert_eq!(unknown::source_in(&adls), Some("register"));
    assert_eq!(after.as_deref(), Some("register"), "`adls` is a record");
    // `run_as` alone is text, which a placeholder can stand in for.
    let mut inputs = with(&workflow, "job", &scope);
    inputs["adls"] = Value::Null;
    assert_eq!(unknown::source_in(&inputs["run_as"]), Some("register"));
    assert_eq!(Workflow::undecided(&inputs, signature), None);
}

#[test]
fn failed_expectations_show_the_values_in_them() {
    let workflow = onboard();
    let scope = scope(&workflow, &json!({ "app_name": "demo" }));
    let step = workflow.step("test_run").unwrap();
    let outputs = json!({ "result": "FAILED", "output": "1" });
    let failures = workflow.evaluate_expect(step, &outputs, &scope).unwrap();
    assert_eq!(failures.len(), 1);
    assert_eq!(failures[0].expression, "self.result == 'SUCCESS'");
    assert_eq!(
        failures[0].values,
        [("self.result".to_owned(), json!("FAILED"))]
    );
    let shown = failures[0].to_diagnostic(&workflow).render(false);
    assert!(shown.contains("self.result is `FAILED`"), "{shown}");
}

#[test]
fn expressions_without_a_value_say_which_and_why() {
    let workflow = load(
        "lockkeeper = 1\n[workflow]\nname = \"x\"\n[inputs.names]\ntype = \"list<string>\"\n\
         [steps.register]\nplugin = \"register\"\nwith.display_name = \"${inputs.names[0]}\"\n\
         with.secret = { lifetime = \"${duration('1h') + duration('30m')}\" }\n",
    )
    .unwrap()
    .workflow;
    let step = workflow.step("register").unwrap();
    let fixtures = common::Fixtures::new();
    let signature = fixtures.signature("register").unwrap();
    let good = scope(&workflow, &json!({ "names": ["demo"] }));
    let inputs = workflow.evaluate_with(step, &good, signature).unwrap();
    assert_eq!(inputs["display_name"], "demo");
    assert_eq!(inputs["secret"]["lifetime"], 5_400);
    let empty = scope(&workflow, &json!({ "names": [] }));
    let error = workflow.evaluate_with(step, &empty, signature).unwrap_err();
    assert_eq!(error.code, "LK9101");
    assert_eq!(&workflow.source.text[error.span.clone()], "inputs.names[0]");
}

#[test]
fn durations_in_text_are_written_as_people_write_them() {
    let workflow = load(
        "lockkeeper = 1\n[workflow]\nname = \"x\"\nlock = \"${inputs.length}/$${x}/${inputs.count}\"\n\
         [inputs.length]\ntype = \"duration\"\n[inputs.count]\ntype = \"u32\"\n",
    )
    .unwrap()
    .workflow;
    for length in [1_u64, 59, 60, 3_600, 86_400, 90_061, 7_776_000] {
        let scope = scope(&workflow, &json!({ "length": length, "count": 3 }));
        let lock = workflow.evaluate_lock(&scope).unwrap().unwrap();
        let (text, rest) = lock.split_once('/').unwrap();
        assert_eq!(workflow.parse_input("length", text).unwrap(), json!(length));
        assert_eq!(rest, "${x}/3");
    }
}

#[test]
fn findings_are_data_for_machines() {
    let found = load("lockkeeper = 1\n[workflow]\nname = \"x\"\nownerz = []\n").unwrap_err();
    assert_eq!(
        serde_json::to_value(&found.0[0]).unwrap(),
        json!({
            "code": "LK0102",
            "severity": "error",
            "message": "`[workflow]` has no key `ownerz`",
            "file": "workflow.toml",
            "span": { "line": 4, "column": 1, "byte_start": 37, "byte_end": 43 },
            "label": "unknown key",
            "labels": [],
            "notes": [],
            "help": [],
            "suggestions": [{
                "message": "a key with a similar name exists",
                "span": { "line": 4, "column": 1, "byte_start": 37, "byte_end": 43 },
                "replacement": "owners",
            }],
        })
    );
    assert!(found.0[0].render(true).contains('\u{1b}'));
}

#[test]
fn a_workflow_draws_and_describes_itself() {
    let workflow = onboard();
    let outline = lockkeeper_workflow::outline(&workflow);
    assert_eq!(outline.lines().next(), Some("1 register  register"));
    assert!(
        outline.contains("4 job       job       after register, grant, scope"),
        "{outline}"
    );
    let dot = lockkeeper_workflow::dot(&workflow);
    assert!(dot.contains("\"register\" -> \"import\""), "{dot}");
    assert!(dot.contains("style=dashed"), "{dot}");
    let page = lockkeeper_workflow::docs(&workflow, &common::Fixtures::new());
    assert!(
        page.contains("| `storage.account` | `string` | required |"),
        "{page}"
    );
    assert!(
        page.contains("lockkeeper run onboard -i app_name=…"),
        "{page}"
    );
}

#[test]
fn the_schema_completes_each_plugin() {
    let fixtures = common::Fixtures::new();
    let schema = lockkeeper_workflow::schema(
        fixtures
            .names()
            .iter()
            .filter_map(|name| fixtures.signature(name)),
    );
    let branches = schema["$defs"]["step"]["allOf"].as_array().unwrap();
    let job = branches
        .iter()
        .find(|branch| branch["if"]["properties"]["plugin"]["const"] == "job")
        .unwrap();
    let with = &job["then"]["properties"]["with"];
    assert_eq!(with["required"], json!(["name", "notebook", "run_as"]));
    assert!(with["properties"]["adls"]["anyOf"][0]["properties"]["when"].is_object());
}
