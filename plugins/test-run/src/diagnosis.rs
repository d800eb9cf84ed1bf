//! What the known messages of failed runs mean.

/// A fragment of the message, its cause, and what to do.
type Meaning = (&'static str, &'static str, &'static str);

/// The first fragment that fits decides, so the more precise ones stand before the general.
const MEANINGS: &[Meaning] = &[
    (
        "does not have access to Databricks Workspace",
        "the service principal lacks the entitlement workspace-access, its own or through a group",
        "add workspace-access to the entitlements of the grant step",
    ),
    (
        "not authorized to create clusters",
        "the service principal lacks the entitlement allow-cluster-create",
        "add allow-cluster-create to the entitlements of the grant step",
    ),
    (
        "Unable to access the notebook",
        "the notebook is gone, or the service principal may not read it",
        "run the job step again: it writes the notebook and gives the permission",
    ),
    (
        "does not have READ permission on scope",
        "the service principal may not read the secret scope",
        "add it with permission read to the acl of the scope step",
    ),
    (
        "Invalid permissions on the specified KeyVault",
        "AzureDatabricks may not read the Key Vault behind the scope",
        "run the scope step again; a new role takes up to ten minutes to work",
    ),
    (
        "Failed to fetch secrets referred to in Spark Conf",
        "a secret that the Spark configuration refers to could not be read",
        "check that the scope has the key, and that the service principal may read the scope",
    ),
    (
        "Secret does not exist with scope",
        "the scope has no secret of that name",
        "run the scope step again, or correct the reference",
    ),
    (
        "does not exist or deactivated",
        "the service principal was removed from the workspace or deactivated",
        "run the import step again, or activate it in the workspace's settings",
    ),
    (
        "AADSTS7000215",
        "the client secret is wrong: replaced, or the key id is stored in place of the value",
        "run the workflow again, which renews a secret that is not live",
    ),
    (
        "AADSTS7000222",
        "the client secret has expired",
        "run the workflow again, which renews a secret that is not live",
    ),
    (
        "AADSTS700016",
        "the tenant has no such application",
        "check tenant_id and client_id in adls",
    ),
    (
        "AADSTS7000112",
        "the service principal is disabled in Entra",
        "enable it under Enterprise applications in Entra",
    ),
    (
        "AADSTS90002",
        "there is no such tenant",
        "check tenant_id in adls",
    ),
    (
        "AADSTS",
        "Entra refused the sign-in of the service principal",
        "look up the AADSTS code in the message",
    ),
    (
        "AuthorizationPermissionMismatch",
        "the service principal has no data role on the storage account; Owner or Contributor is not enough",
        "assign it Storage Blob Data Reader or Contributor on the account",
    ),
    (
        "'Attach' permissions",
        "the service principal may not use the cluster",
        "run the job step again: it gives the job a cluster of its own",
    ),
    (
        "MAXIMUM_CONCURRENT_RUNS_REACHED",
        "another run of the job was under way",
        "wait for it to end, then run this again",
    ),
];

/// Meanings of the service's codes, when no message is known.
const CODES: &[Meaning] = &[
    (
        "RUN_EXECUTION_ERROR",
        "the notebook itself failed",
        "correct the notebook",
    ),
    (
        "MAX_CONCURRENT_RUNS_EXCEEDED",
        "another run of the job was under way",
        "wait for it to end, then run this again",
    ),
    (
        "USER_CANCELED",
        "somebody cancelled the run",
        "run this again",
    ),
    (
        "CLOUD_FAILURE",
        "Azure could not provide the cluster",
        "run this again later, or set another cluster.node_type",
    ),
    (
        "INVALID_CLUSTER_REQUEST",
        "the workspace refuses a cluster like this one",
        "set cluster.node_type and cluster.spark_version to what the workspace allows",
    ),
];

/// The cause of a run's end and what to do, by its code and by all that was said about it.
pub(crate) fn diagnose(code: &str, text: &str) -> (&'static str, &'static str) {
    let by_text = MEANINGS.iter().find(|meaning| text.contains(meaning.0));
    let known = by_text.or_else(|| CODES.iter().find(|meaning| meaning.0 == code));
    known.map_or(
        (
            "the service gives no reason that is known here",
            "look at the run's page",
        ),
        |meaning| (meaning.1, meaning.2),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_the_service_are_understood() {
        for (message, word) in [
            (
                "The user '0f-1' does not have access to Databricks Workspace",
                "workspace-access",
            ),
            (
                "Cause: PERMISSION_DENIED: You are not authorized to create clusters. Please contact",
                "allow-cluster-create",
            ),
            (
                "PERMISSION_DENIED: User 0f-1 does not have READ permission on scope sp-demo",
                "acl",
            ),
            (
                "AADSTS7000222: The provided client secret keys for app 'x' are expired.",
                "renews",
            ),
            ("AADSTS1: something new", "AADSTS code"),
            (
                "Invalid user: '0f-1' does not exist or deactivated",
                "import",
            ),
        ] {
            let (_, help) = diagnose("CLUSTER_ERROR", message);
            assert!(help.contains(word), "{message}: {help}");
        }
    }

    #[test]
    fn without_a_known_message_the_code_has_to_do() {
        assert_eq!(
            diagnose("RUN_EXECUTION_ERROR", "boom").1,
            "correct the notebook"
        );
        assert_eq!(
            diagnose("SOMETHING_NEW", "boom").1,
            "look at the run's page"
        );
    }
}
