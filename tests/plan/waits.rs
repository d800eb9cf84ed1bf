//! Waits that a service asks for are shown, honoured, and bounded by the step's own time.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::Project;
use crate::world::requests;

fn throttle(simulator: &crate::support::Simulator, seconds: u64, times: u64) {
    let fault = json!({
        "method": "POST",
        "path": "/api/2.2/jobs/create",
        "times": times,
        "action": { "throttle": { "retry_after": seconds } },
    });
    simulator.control("POST", "/__simulator/faults", Some(&fault));
}

#[test]
fn a_wait_that_a_service_asks_for_is_shown_and_kept() {
    let project = Project::new();
    let simulator = project.simulator(&[]);
    throttle(&simulator, 2, 1);
    let begun = Instant::now();
    let ran = project.ok(&["run", "onboard", "-i", "app_name=etl-demo"]);
    assert!(begun.elapsed() >= Duration::from_secs(2));
    let shown = "databricks/jobs.create waits 2.0 s: ";
    assert!(ran.stderr().contains(shown), "{}", ran.stderr());
    drop(simulator);
    let creates: Vec<_> = requests(&project)
        .into_iter()
        .filter(|request| {
            request["path"]
                .as_str()
                .unwrap()
                .starts_with("/api/2.2/jobs/create")
        })
        .map(|request| request["status"].as_u64().unwrap())
        .collect();
    assert_eq!(creates, [429, 200]);
}

#[test]
fn a_step_does_not_wait_beyond_its_own_time() {
    let project = Project::new();
    project.ok(&["init"]);
    let file = project.path().join("workflows/onboard.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let text = text.replace(
        "[steps.job]\nplugin = \"job\"\n",
        "[steps.job]\nplugin = \"job\"\ntimeout = \"20s\"\nretry = { max = 1 }\n",
    );
    assert!(text.contains("timeout = \"20s\""));
    std::fs::write(&file, text).unwrap();
    let simulator = project.simulator(&[]);
    throttle(&simulator, 600, 5);
    let begun = Instant::now();
    let (code, report) = project.json(&["run", "onboard", "-i", "app_name=etl-demo"]);
    assert!(begun.elapsed() < Duration::from_mins(2), "it waited");
    assert_eq!(code, 4, "{report:#}");
    let job = report["steps"]
        .as_array()
        .unwrap()
        .iter()
        .find(|step| step["id"] == "job")
        .unwrap();
    assert_eq!(job["error"]["class"], "throttled", "{job:#}");
    assert_eq!(job["error"]["code"], "LK9007", "{job:#}");
    assert_eq!(
        job["error"]["operation"], "databricks/jobs.create",
        "{job:#}"
    );
    // Once the service has time again, the run goes on.
    simulator.control("DELETE", "/__simulator/faults", None);
    project.ok(&["resume", report["run"].as_str().unwrap()]);
}
