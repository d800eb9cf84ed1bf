use std::collections::HashMap;
use std::num::NonZeroU32;

use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variables = variables
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Environment {
        variables: variables.collect::<HashMap<_, _>>(),
        home: None,
    }
}

fn toml(text: &str) -> Target {
    toml::from_str(text).unwrap()
}

const SERVICE_PRINCIPAL: [(&str, &str); 3] = [
    ("ARM_TENANT_ID", "t-1"),
    ("ARM_CLIENT_ID", "c-1"),
    ("ARM_CLIENT_SECRET", "not-a-real-secret"),
];

#[test]
fn every_kind_of_credentials_can_be_written() {
    let both = environment(&[
        ("MY_SECRET", "not-a-real-secret"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
    ]);
    let kind = |auth: &str| {
        let target = toml(&format!(
            "tenant_id = 't-1'\nworkspace = 'adb-1.2.azuredatabricks.net'\nauth = {auth}"
        ));
        resolve(target, &both).map(|(_, signer)| signer)
    };
    assert!(matches!(
        kind("{ kind = 'client-secret', client_id = 'c', secret = { env = 'MY_SECRET' } }").unwrap(),
        Signer::ClientSecret { secret, .. } if secret.expose() == "not-a-real-secret"
    ));
    assert!(matches!(
        kind("{ kind = 'oidc', client_id = 'c' }").unwrap(),
        Signer::WorkloadIdentity { .. }
    ));
    assert!(matches!(
        kind("{ kind = 'managed-identity' }").unwrap(),
        Signer::ManagedIdentity { client_id: None }
    ));
    assert!(matches!(
        kind("{ kind = 'azure-cli' }").unwrap(),
        Signer::AzureCli { tenant: Some(_) }
    ));
    assert!(matches!(
        kind("{ kind = 'databricks-pat', token = { env = 'MY_SECRET' } }").unwrap(),
        Signer::DatabricksPat { .. }
    ));
    assert!(matches!(
        kind("{ kind = 'databricks-oauth', client_id = 'c', secret = { env = 'MY_SECRET' } }")
            .unwrap(),
        Signer::DatabricksOauth { .. }
    ));
    let missing = kind("{ kind = 'databricks-oauth', client_id = 'c' }")
        .unwrap_err()
        .to_string();
    assert!(missing.contains("DATABRICKS_CLIENT_SECRET"), "{missing}");
}

#[test]
fn an_inline_secret_is_refused_and_not_repeated() {
    let text = "auth = { kind = 'client-secret', client_id = 'c', secret = 'not-a-real-secret' }";
    let error = toml::from_str::<Target>(text)
        .unwrap_err()
        .message()
        .to_owned();
    assert!(error.contains("must not be written inline"), "{error}");
    assert!(!error.contains("not-a-real"), "{error}");
}

#[test]
fn unknown_keys_are_errors() {
    assert!(toml::from_str::<Target>("tenant = 't'").is_err());
    assert!(
        toml::from_str::<Target>("auth = { kind = 'azure-cli', secret = { env = 'X' } }").is_err()
    );
    assert!(toml::from_str::<Target>("auth = { kind = 'password' }").is_err());
}

#[test]
fn the_file_goes_before_the_environment() {
    let environment = environment(
        &[
            SERVICE_PRINCIPAL.as_slice(),
            &[("DATABRICKS_HOST", "https://env.example")],
        ]
        .concat(),
    );
    let (target, signer) = resolve(
        toml("workspace = 'https://file.example'\ntenant_id = 't-file'"),
        &environment,
    )
    .unwrap();
    assert_eq!(target.workspace.as_deref(), Some("https://file.example"));
    assert!(
        matches!(signer, Signer::ClientSecret { tenant, client_id, .. } if tenant == "t-file" && client_id == "c-1")
    );
    let (target, _) = resolve(Target::default(), &environment).unwrap();
    assert_eq!(target.workspace.as_deref(), Some("https://env.example"));
}

#[test]
fn two_families_are_named() {
    let environment = environment(
        &[
            SERVICE_PRINCIPAL.as_slice(),
            &[("DATABRICKS_TOKEN", "not-a-real-token")],
        ]
        .concat(),
    );
    let error = resolve(Target::default(), &environment)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("databricks-pat (DATABRICKS_TOKEN), client-secret (ARM_CLIENT_SECRET)"),
        "{error}"
    );
    assert!(!error.contains("not-a-real"), "{error}");

    let chosen = toml("auth = { kind = 'client-secret' }");
    assert!(matches!(
        resolve(chosen, &environment).unwrap().1,
        Signer::ClientSecret { .. }
    ));
    let mut pinned = environment.clone();
    pinned
        .variables
        .insert("DATABRICKS_AUTH_TYPE".to_owned(), "pat".to_owned());
    assert!(matches!(
        resolve(Target::default(), &pinned).unwrap().1,
        Signer::DatabricksPat { .. }
    ));
}

#[test]
fn nothing_configured_means_the_azure_cli() {
    assert!(matches!(
        resolve(Target::default(), &environment(&[])).unwrap().1,
        Signer::AzureCli { tenant: None }
    ));
}

fn with_file(text: &str, variables: &[(&str, &str)]) -> (tempfile::TempDir, Environment) {
    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join(".databrickscfg"), text).unwrap();
    let environment = Environment {
        home: Some(home.path().to_owned()),
        ..environment(variables)
    };
    (home, environment)
}

const FILE: &str = "; a comment\n[DEFAULT]\nhost = https://default.example\ntoken = not-a-real-token\n\n# another\n[dev]\nhost=https://dev.example\nazure_tenant_id = t-2\nazure_client_id = c-2\nazure_client_secret = not-a-real-secret\n";

#[test]
fn profiles_are_read_by_name_or_when_nothing_else_is_configured() {
    let (_home, environment) = with_file(FILE, &[]);
    let (target, signer) = resolve(Target::default(), &environment).unwrap();
    assert_eq!(target.workspace.as_deref(), Some("https://default.example"));
    assert!(matches!(signer, Signer::DatabricksPat { .. }));

    let (target, signer) = resolve(toml("profile = 'dev'"), &environment).unwrap();
    assert_eq!(target.workspace.as_deref(), Some("https://dev.example"));
    assert!(matches!(signer, Signer::ClientSecret { tenant, .. } if tenant == "t-2"));

    let (_home, environment) = with_file(FILE, &[("DATABRICKS_HOST", "https://env.example")]);
    let (target, signer) = resolve(Target::default(), &environment).unwrap();
    assert_eq!(target.workspace.as_deref(), Some("https://env.example"));
    assert!(
        matches!(signer, Signer::AzureCli { .. }),
        "the default profile must not be read"
    );

    let (_home, environment) = with_file(
        FILE,
        &[
            ("DATABRICKS_CONFIG_PROFILE", "dev"),
            ("DATABRICKS_TOKEN", "not-a-real-token"),
        ],
    );
    let error = resolve(Target::default(), &environment)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("`azure_client_secret` of profile dev"),
        "{error}"
    );

    let error = resolve(toml("profile = 'prod'"), &environment)
        .unwrap_err()
        .to_string();
    assert!(error.contains("prod is not in"), "{error}");
}

#[test]
fn the_default_profile_can_be_chosen() {
    let (_home, environment) = with_file(
        &format!("{FILE}[__settings__]\ndefault_profile = dev\n"),
        &[],
    );
    assert_eq!(
        resolve(Target::default(), &environment)
            .unwrap()
            .0
            .workspace
            .as_deref(),
        Some("https://dev.example")
    );
}

#[test]
fn a_simulated_target_takes_nothing_from_the_environment() {
    let (_home, environment) = with_file(FILE, &SERVICE_PRINCIPAL);
    let endpoints = crate::target::Endpoints {
        resolve_to: ([127, 0, 0, 1], 1).into(),
        ca_pem: String::new(),
    };
    let simulated = |credentials| {
        let target = Target {
            endpoints: Some(endpoints.clone()),
            credentials,
            ..Target::default()
        };
        resolve(target, &environment)
    };
    let token = SecretSource::Value(SecretString::new("not-a-real-token".to_owned()));
    let (target, _) = simulated(Credentials::DatabricksPat { token: Some(token) }).unwrap();
    assert_eq!((target.workspace, target.tenant_id), (None, None));
    assert!(
        simulated(Credentials::Environment).is_err(),
        "the Azure CLI's token is a real one"
    );
    assert!(
        simulated(Credentials::ClientSecret {
            client_id: None,
            secret: None
        })
        .is_err()
    );
}

#[test]
fn secrets_from_files_lose_their_last_line_break() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("secret");
    std::fs::write(&path, "not-a-real-secret\n").unwrap();
    let nothing = environment(&[]);
    assert_eq!(
        open(&SecretSource::File(path), &nothing).unwrap().expose(),
        "not-a-real-secret"
    );
    assert!(
        open(&SecretSource::File(home.path().join("absent")), &nothing)
            .unwrap_err()
            .to_string()
            .contains("absent")
    );
    assert!(
        open(&SecretSource::Env("ABSENT".to_owned()), &nothing)
            .unwrap_err()
            .to_string()
            .contains("ABSENT")
    );
}

#[test]
fn clouds_and_rates() {
    let (target, _) = resolve(
        Target::default(),
        &environment(&[
            ("ARM_ENVIRONMENT", "usgovernment"),
            ("DATABRICKS_RATE_LIMIT", "7"),
        ]),
    )
    .unwrap();
    assert_eq!(
        (target.cloud, target.databricks_rate),
        (AzureCloud::UsGovernment, NonZeroU32::new(7))
    );
    assert!(
        resolve(
            Target::default(),
            &environment(&[("ARM_ENVIRONMENT", "mars")])
        )
        .is_err()
    );
    assert!(resolve(toml("tenant_id = 'a/b'"), &environment(&[])).is_err());
}
