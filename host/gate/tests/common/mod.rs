//! A simulator with a client of it, and the laws that operations are held to there.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lockkeeper_cloud::{
    Class as FailureClass, Cloud, Credentials, Endpoints, Failure, Method, Path, Request,
    SecretSource, SecretString, Service, Target,
};
use lockkeeper_gate::definition::Definition;
use lockkeeper_gate::{Class, Context, Inverse, Placeholders, Secrets, operations};
use lockkeeper_simulator::{Options, Profile, Running};
use serde_json::Value;

const PLACEHOLDERS: Placeholders<'static> = Placeholders {
    step: "step",
    position: 3,
};

/// A read: operation and arguments.
pub(crate) type Question = (&'static str, Value);

pub(crate) struct Clouds {
    _simulator: Running,
    _folder: tempfile::TempDir,
    cloud: Cloud,
    secrets: Secrets,
    calls: AtomicU64,
    tried: Mutex<HashSet<&'static str>>,
}

fn definition(name: &str) -> &'static dyn Definition {
    operations::find(name).unwrap_or_else(|| panic!("there is no operation {name}"))
}

impl Clouds {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let secret = "not-a-real-operator-secret".to_owned();
        let simulator = lockkeeper_simulator::start(Options {
            folder: folder.path().to_owned(),
            seal_key: [7; 32].into(),
            operator_secret: secret.clone().into(),
            profile: Profile::Instant,
            seed: 1,
            https_port: 0,
            http_port: 0,
        })
        .await
        .unwrap();
        let operator = simulator.operator();
        let target = Target {
            tenant_id: Some(operator.tenant_id),
            workspace: Some(simulator.workspace_url()),
            credentials: Credentials::ClientSecret {
                client_id: Some(operator.client_id),
                secret: Some(SecretSource::Value(SecretString::new(secret))),
            },
            endpoints: Some(Endpoints {
                resolve_to: simulator.https_address(),
                ca_pem: simulator.ca_pem().to_owned(),
            }),
            // The simulator needs no sparing.
            databricks_rate: std::num::NonZeroU32::new(1000),
            ..Target::default()
        };
        Self {
            _simulator: simulator,
            _folder: folder,
            cloud: Cloud::connect(target).await.unwrap(),
            secrets: Secrets::in_memory(),
            calls: AtomicU64::new(0),
            tried: Mutex::default(),
        }
    }

    fn mark(&self) -> String {
        format!("run/step#1/{}", self.calls.fetch_add(1, Ordering::Relaxed))
    }

    fn context<'a>(&'a self, mark: &'a str) -> Context<'a> {
        Context {
            cloud: &self.cloud,
            secrets: &self.secrets,
            mark,
        }
    }

    fn note(&self, name: &str) {
        self.tried.lock().unwrap().insert(definition(name).name());
    }

    pub(crate) fn tried(&self, name: &str) -> bool {
        self.tried.lock().unwrap().contains(name)
    }

    /// A handle of a new secret.
    pub(crate) async fn secret(&self, value: &str) -> Value {
        let name = self.mark();
        let secret = SecretString::new(value.to_owned());
        serde_json::to_value(self.secrets.keep(&name, secret).await.unwrap()).unwrap()
    }

    async fn attempt(&self, name: &str, arguments: &Value) -> Result<Value, Failure> {
        self.note(name);
        let mark = self.mark();
        definition(name).send(arguments, &self.context(&mark)).await
    }

    /// Sends a call.
    pub(crate) async fn send(&self, name: &str, arguments: Value) -> Value {
        self.attempt(name, &arguments)
            .await
            .unwrap_or_else(|failure| panic!("{name}: {failure}"))
    }

    /// Sends a read, and checks that what it observes is what a plan would answer from.
    pub(crate) async fn read(&self, (name, arguments): &Question) -> Value {
        let answer = self.send(name, arguments.clone()).await;
        if let Some(state) = definition(name).observed(arguments, &answer) {
            let planned = definition(name)
                .planned(arguments, state.as_ref(), &PLACEHOLDERS)
                .unwrap();
            assert_eq!(
                without_numbers(planned),
                without_numbers(answer.clone()),
                "{name}"
            );
        }
        answer
    }

    /// Does something that no operation does, and gives what the service answered.
    pub(crate) async fn elsewhere(
        &self,
        service: Service,
        method: Method,
        path: &'static str,
        body: Value,
    ) -> Value {
        let path = Path::new(path, &[]).unwrap();
        let request = Request::new(service, "test", method, path).json(body);
        self.cloud.send(&request).await.unwrap().body
    }

    /// The target, as a run's gate reaches it.
    pub(crate) fn cloud(&self) -> Cloud {
        self.cloud.clone()
    }

    /// Sends a call that fails, and checks that a plan says so too where the refusal is ours.
    pub(crate) async fn refused(&self, name: &str, arguments: Value) -> Failure {
        let failure = match self.attempt(name, &arguments).await {
            Err(failure) => failure,
            Ok(output) => panic!("{name} was not refused: {output}"),
        };
        if failure.service == "lockkeeper" && failure.class == FailureClass::Conflict {
            let checked = self.check(name, &arguments).await.unwrap_err();
            assert_eq!(checked.code, failure.code, "{name}");
        }
        failure
    }

    async fn check(&self, name: &str, arguments: &Value) -> Result<(), Failure> {
        let context = self.context("check");
        definition(name).check(arguments, &context).await
    }

    pub(crate) async fn state(&self, name: &str, arguments: &Value) -> Option<Value> {
        let state = definition(name)
            .state(arguments, &self.context("state"))
            .await;
        state.unwrap_or_else(|failure| panic!("state of {name}: {failure}"))
    }

    /// Writes, and checks that the state is what the call says it leaves and that the plan's
    /// answer to each read is the service's. Returns the state before, and the output.
    async fn write(
        &self,
        name: &str,
        arguments: &Value,
        reads: &[&Question],
    ) -> (Option<Value>, Value) {
        self.note(name);
        let definition = definition(name);
        let before = self.state(name, arguments).await;
        self.check(name, arguments).await.unwrap();
        let mark = self.mark();
        let output = definition
            .send(arguments, &self.context(&mark))
            .await
            .unwrap_or_else(|failure| panic!("{name}: {failure}"));
        let after = definition
            .after(arguments, before.as_ref(), &output)
            .unwrap();
        assert_eq!(self.state(name, arguments).await, after, "{name} left");
        if definition.class() == Class::Create {
            let found = definition
                .find(arguments, &self.context(&mark))
                .await
                .unwrap();
            assert_eq!(found.as_ref(), Some(&output), "{name} is found again");
        }
        let object = definition.object(arguments).unwrap();
        for (read, question) in reads {
            let reader = operations::find(read).unwrap();
            let asked = reader.object(question).unwrap();
            assert_eq!(
                (&asked.kind, &asked.key),
                (&object.kind, &object.key),
                "{read}, {name}"
            );
            let planned = reader
                .planned(question, after.as_ref(), &PLACEHOLDERS)
                .unwrap();
            let answer = self.read(&(read, question.clone())).await;
            assert_eq!(
                without_numbers(planned),
                without_numbers(answer),
                "{read} after {name}"
            );
        }
        (before, output)
    }

    /// Writes, and returns the output.
    pub(crate) async fn made(&self, name: &str, arguments: Value, reads: &[&Question]) -> Value {
        self.write(name, &arguments, reads).await.1
    }

    /// Writes, takes it back, and checks that the state is what it was.
    pub(crate) async fn there_and_back(&self, name: &str, arguments: Value, reads: &[&Question]) {
        let (before, output) = self.write(name, &arguments, reads).await;
        match definition(name)
            .inverse(&arguments, before.as_ref(), &output)
            .unwrap()
        {
            Inverse::Nothing => {}
            Inverse::Call(inverse, arguments) => {
                self.write(inverse, &arguments, &[]).await;
            }
            Inverse::Impossible(reason) => panic!("{name} cannot be taken back: {reason}"),
        }
        assert_eq!(
            self.state(name, &arguments).await,
            before,
            "{name} taken back"
        );
    }

    /// Writes what cannot be taken back.
    pub(crate) async fn for_good(&self, name: &str, arguments: Value, reads: &[&Question]) {
        let (before, output) = self.write(name, &arguments, reads).await;
        let inverse = definition(name)
            .inverse(&arguments, before.as_ref(), &output)
            .unwrap();
        assert!(
            matches!(inverse, Inverse::Impossible(_)),
            "{name}: {inverse:?}"
        );
    }

    /// Sends a call whose reply is lost, and reconciles it: nothing of it may be left.
    pub(crate) async fn sends_and_loses(&self, name: &str, arguments: Value) {
        let before = self.state(name, &arguments).await;
        let mark = self.mark();
        let context = self.context(&mark);
        definition(name).send(&arguments, &context).await.unwrap();
        assert_ne!(self.state(name, &arguments).await, before);
        assert_eq!(
            definition(name).find(&arguments, &context).await.unwrap(),
            None
        );
        assert_eq!(self.state(name, &arguments).await, before);
    }

    /// Sends a call twice and checks that it started one thing.
    pub(crate) async fn starts_once(&self, name: &str, arguments: Value) -> Value {
        let (_, first) = self.write(name, &arguments, &[]).await;
        let mark = self.mark();
        let again = definition(name)
            .send(&arguments, &self.context(&mark))
            .await
            .unwrap();
        assert_ne!(first, again, "another call is another start");
        let repeated = definition(name)
            .send(&arguments, &self.context(&mark))
            .await
            .unwrap();
        assert_eq!(repeated, again, "a repeated call is the same start");
        first
    }

    /// Reads until a field is true.
    pub(crate) async fn until(&self, name: &'static str, arguments: Value, field: &str) -> Value {
        let question = (name, arguments);
        for _ in 0..600 {
            let answer = self.read(&question).await;
            if answer[field] == true {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("{name} never said that it is {field}");
    }
}

/// An answer without the numbers of workspace objects, which no state holds.
fn without_numbers(mut answer: Value) -> Value {
    if answer.get("path").is_some()
        && let Some(fields) = answer.as_object_mut()
    {
        fields.remove("object_id");
    }
    answer
}
