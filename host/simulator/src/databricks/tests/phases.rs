//! How runs go on over time: phases, limits, queues, tasks that wait for others.

use super::*;

#[tokio::test]
async fn rows_7c_7d_idempotency() {
    let site = Site::start().await;
    site.notebook("/Shared/n", "SQL", "SELECT 1").await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", None))
        .await;
    let body = json!({"job_id": job, "idempotency_token": "t"});
    let run = || async { site.op("POST", "/api/2.2/jobs/run-now", body.clone()).await };
    let first = run().await.ok(200);
    assert_eq!(run().await.ok(200)["run_id"], first["run_id"]);
    let list = format!("/api/2.2/jobs/runs/list?job_id={job}");
    let runs = site.op("GET", &list, Value::Null).await.ok(200);
    assert_eq!(runs["runs"].as_array().unwrap().len(), 1);
    let cancel = json!({"run_id": first["run_id"]});
    site.op("POST", "/api/2.2/jobs/runs/cancel", cancel.clone())
        .await
        .ok(200);
    succeeded(&site.read_run(first["run_id"].as_i64().unwrap()).await);
    site.op("POST", "/api/2.2/jobs/runs/delete", cancel)
        .await
        .ok(200);
    assert_eq!(run().await.status, 400);
    let long = json!({"job_id": job, "idempotency_token": "x".repeat(65)});
    let got = site.op("POST", "/api/2.2/jobs/run-now", long).await;
    refused(&got, 400, "INVALID_PARAMETER_VALUE", "idempotency token");
}

#[tokio::test]
async fn row_7e_phases_limits_and_queue() {
    let site = Site::with(Profile::Typical).await;
    site.notebook("/Shared/n", "SQL", "SELECT 1").await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", None))
        .await;
    let first = site.start_run(&site.operator, job).await;
    let phase = |run: Value| {
        (
            text(&run["state"]["life_cycle_state"]),
            text(&run["status"]["state"]),
        )
    };
    let same = |name: &str| (name.to_owned(), name.to_owned());
    assert_eq!(phase(site.read_run(first).await), same("PENDING"));
    let second = site
        .read_run(site.start_run(&site.operator, job).await)
        .await;
    assert_eq!(second["state"]["life_cycle_state"], "SKIPPED");
    assert_eq!(
        second["state"]["result_state"],
        "MAXIMUM_CONCURRENT_RUNS_REACHED"
    );
    assert_eq!(
        second["status"]["termination_details"]["code"],
        "MAX_CONCURRENT_RUNS_EXCEEDED"
    );
    let queued = json!({"job_id": job, "queue": {"enabled": true}});
    let third = site
        .op("POST", "/api/2.2/jobs/run-now", queued)
        .await
        .ok(200);
    let third = third["run_id"].as_i64().unwrap();
    assert_eq!(phase(site.read_run(third).await), same("QUEUED"));
    let active = site
        .op(
            "POST",
            "/api/2.2/jobs/runs/delete",
            json!({ "run_id": first }),
        )
        .await;
    refused(&active, 400, "INVALID_STATE", "");
    site.cloud.pass(4);
    let running = site.read_run(first).await;
    assert_eq!(phase(running.clone()), same("RUNNING"));
    assert!(running["state"].get("result_state").is_none());
    site.cloud.pass(10);
    succeeded(&site.read_run(first).await);
    assert_eq!(phase(site.read_run(third).await), same("PENDING"));
    site.op(
        "POST",
        "/api/2.2/jobs/runs/cancel",
        json!({ "run_id": third }),
    )
    .await
    .ok(200);
    // Being cancelled takes as long as cleaning up.
    assert_eq!(phase(site.read_run(third).await), same("TERMINATING"));
    let still = json!({"job_id": job, "queue": {"enabled": true}});
    let fourth = site
        .op("POST", "/api/2.2/jobs/run-now", still)
        .await
        .ok(200);
    let fourth = fourth["run_id"].as_i64().unwrap();
    assert_eq!(phase(site.read_run(fourth).await), same("QUEUED"));
    let all = json!({"job_id": job, "all_queued_runs": true});
    site.op("POST", "/api/2.2/jobs/runs/cancel-all", all)
        .await
        .ok(200);
    let queued = site.read_run(fourth).await;
    assert_eq!(phase(queued.clone()), same("TERMINATED"));
    assert_eq!(queued["state"]["result_state"], "CANCELED");
    site.cloud.pass(2);
    let cancelled = site.read_run(third).await;
    assert_eq!(phase(cancelled.clone()), same("TERMINATED"));
    assert_eq!(cancelled["state"]["result_state"], "CANCELED");
    assert_eq!(cancelled["state"]["state_message"], "Run cancelled.");
    assert_eq!(
        cancelled["status"]["termination_details"]["code"],
        "USER_CANCELED"
    );
}

#[tokio::test]
async fn a_restart_does_not_touch_runs() {
    let site = Site::with(Profile::Typical).await;
    site.notebook("/Shared/n", "SQL", "SELECT 1").await;
    let job = site
        .job(&site.operator, notebook_job("/Shared/n", None))
        .await;
    let run = site.start_run(&site.operator, job).await;
    let cloud = site.cloud.restart(Profile::Typical).await;
    let operator = cloud.token(DATABRICKS).await;
    let site = Site { cloud, operator };
    site.cloud.pass(30);
    succeeded(&site.read_run(run).await);
}

#[tokio::test]
async fn row_7f_and_tasks_that_wait_for_others() {
    let site = Site::start().await;
    site.notebook("/Shared/n", "SQL", "SELECT 1").await;
    site.notebook("/Shared/bad", "SQL", "SELEC 1").await;
    let task = |key: &str, path: &str, on: &[&str], run_if: &str| {
        let on: Vec<Value> = on.iter().map(|key| json!({ "task_key": key })).collect();
        json!({"task_key": key, "depends_on": on, "run_if": run_if, "notebook_task": {"notebook_path": path}})
    };
    let settings = json!({"name": "many", "tasks": [
        task("good", "/Shared/n", &[], "ALL_SUCCESS"),
        task("bad", "/Shared/bad", &["good"], "ALL_SUCCESS"),
        task("upstream", "/Shared/n", &["bad"], "ALL_SUCCESS"),
        task("cleanup", "/Shared/n", &["bad"], "ALL_DONE"),
    ]});
    let job = site.job(&site.operator, settings).await;
    let run = site
        .read_run(site.start_run(&site.operator, job).await)
        .await;
    let result = |run: &Value, at: usize| text(&run["tasks"][at]["state"]["result_state"]);
    let results: Vec<String> = (0..4).map(|at| result(&run, at)).collect();
    assert_eq!(results, ["SUCCESS", "FAILED", "UPSTREAM_FAILED", "SUCCESS"]);
    assert_eq!(run["state"]["result_state"], "FAILED");
    let output = format!("/api/2.2/jobs/runs/get-output?run_id={}", run["run_id"]);
    let got = site.op("GET", &output, Value::Null).await;
    let fragment = "Retrieving the output of runs with multiple tasks is not supported";
    refused(&got, 400, "INVALID_PARAMETER_VALUE", fragment);

    site.notebook("/Shared/bad", "SQL", "SELECT 2").await;
    let body = json!({"run_id": run["run_id"], "rerun_all_failed_tasks": true});
    site.op("POST", "/api/2.2/jobs/runs/repair", body)
        .await
        .ok(200);
    let repaired = site.read_run(run["run_id"].as_i64().unwrap()).await;
    succeeded(&repaired);
    assert_eq!(
        repaired["repair_history"][0]["task_run_ids"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(repaired["tasks"][0]["run_id"], run["tasks"][0]["run_id"]);
}

#[tokio::test]
async fn failed_tasks_are_tried_again() {
    let site = Site::with(Profile::Typical).await;
    site.notebook("/Shared/bad", "SQL", "SELEC 1").await;
    let mut settings = notebook_job("/Shared/bad", None);
    let task = &mut settings["tasks"][0];
    task["max_retries"] = json!(2);
    task["min_retry_interval_millis"] = json!(60_000);
    let job = site.job(&site.operator, settings).await;
    let id = site.start_run(&site.operator, job).await;
    let first = site.read_run(id).await["tasks"][0].clone();
    assert_eq!(first["attempt_number"], 0);
    site.cloud.pass(30);
    let waiting = site.read_run(id).await;
    for state in [&waiting["state"], &waiting["tasks"][0]["state"]] {
        assert_eq!(state["life_cycle_state"], "WAITING_FOR_RETRY", "{waiting}");
        assert!(state.get("result_state").is_none(), "{waiting}");
    }
    assert_eq!(waiting["status"]["state"], "WAITING");
    site.cloud.pass(40);
    let second = site.read_run(id).await["tasks"][0].clone();
    assert_eq!(second["attempt_number"], 1);
    assert_ne!(second["run_id"], first["run_id"]);
    // The last attempt finds the notebook corrected.
    site.notebook("/Shared/bad", "SQL", "SELECT 1").await;
    site.cloud.pass(90);
    let last = site.read_run(id).await;
    assert_eq!(last["tasks"][0]["attempt_number"], 2);
    site.cloud.pass(30);
    succeeded(&site.read_run(id).await);
}

#[tokio::test]
async fn attempts_run_out_and_are_not_made_for_cancelled_runs() {
    let site = Site::start().await;
    site.notebook("/Shared/bad", "SQL", "SELEC 1").await;
    let with = |retries: i64| {
        let mut settings = notebook_job("/Shared/bad", None);
        settings["tasks"][0]["max_retries"] = json!(retries);
        settings
    };
    let job = site.job(&site.operator, with(3)).await;
    let (run, output) = site.run(job).await;
    assert_eq!(run["tasks"][0]["attempt_number"], 3);
    code_failed(&(run, output), "PARSE_SYNTAX_ERROR");

    let endless = site.job(&site.operator, with(-1)).await;
    let id = site.start_run(&site.operator, endless).await;
    for attempt in 1..4 {
        let run = site.read_run(id).await;
        assert!(run["tasks"][0]["attempt_number"].as_i64() >= Some(attempt));
        assert_eq!(run["status"]["state"], "WAITING", "{run}");
        site.cloud.pass(1);
    }
    let body = json!({ "run_id": id });
    site.op("POST", "/api/2.2/jobs/runs/cancel", body)
        .await
        .ok(200);
    site.cloud.pass(60);
    let run = site.read_run(id).await;
    assert_eq!(run["state"]["result_state"], "CANCELED", "{run}");
}
