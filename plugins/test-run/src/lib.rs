//! Runs a job once, waits for its end and reads what its notebook gave.

#![allow(
    clippy::result_large_err,
    reason = "the error is the contract's own, and half as large on wasm32"
)]

mod bindings;
mod diagnosis;

use bindings::lockkeeper::databricks::jobs;
use bindings::{Guest, Inputs, Outputs};
use diagnosis::diagnose;
use lockkeeper_guest::types::{Duration, Error, Failure, RunId, StepError};
use lockkeeper_guest::{Attempt, SHORT, progress, timer, until};

struct TestRun;

/// Seconds to wait for a run: long enough for a cluster that starts slowly.
const PATIENCE: u64 = 3_600;

impl Guest for TestRun {
    fn run(inputs: Inputs) -> Result<Outputs, StepError> {
        let id = jobs::run_now(&inputs.job_id).map_err(refusal)?;
        let (run, waited) = end_of(&id)?;
        if run.outcome != "SUCCESS" {
            return Err(failure(&run));
        }
        let output = until(
            "the workspace gives the run's output",
            SHORT,
            || match jobs::get_output(&run.task) {
                Ok(output) => Ok(Attempt::Done(output)),
                Err(error) if error.is_missing() => Ok(Attempt::Again(error)),
                Err(error) => Err(error.into()),
            },
        )?;
        Ok(Outputs {
            run_id: run.id,
            result: run.outcome,
            output: output.result,
            truncated: output.truncated,
            url: run.url,
            waited: Duration { seconds: waited },
        })
    }
}

/// The run once it has ended, and the seconds waited for it. It is asked after 1, 1, 2, 3, 5, 7
/// and then every 10 seconds.
fn end_of(id: &RunId) -> Result<(jobs::Run, u64), StepError> {
    let (mut pause, mut waited) = (1, 0);
    loop {
        let run = jobs::get_run(id)?;
        if run.finished {
            return Ok((run, waited));
        }
        if waited >= PATIENCE {
            let message = format!("the run is still {} after {waited} s", run.state);
            return Err(Error::of(
                Error::Other,
                "databricks/jobs.get-run",
                "TIMED_OUT",
                message,
            )
            .because(
                "the cluster does not start, or the notebook does not end",
                format!(
                    "look at {}; the run goes on there until it is cancelled",
                    run.url
                ),
            ));
        }
        progress::report(&format!("{}, {waited} s", run.state));
        timer::sleep(Duration { seconds: pause });
        waited += pause;
        pause = (pause + pause.div_ceil(2)).min(10);
    }
}

/// Why a run did not succeed: what the service and the notebook said, and what that means.
fn failure(run: &jobs::Run) -> StepError {
    let mut message = format!("the run ended as {}: {}", run.outcome, run.message);
    let mut text = run.message.clone();
    // The output only adds to the reason; without it the run's own message has to do.
    if let Ok(output) = jobs::get_output(&run.task) {
        if !output.error.is_empty() && !message.contains(&output.error) {
            message.push_str(" — ");
            message.push_str(&output.error);
        }
        text.push_str(&output.error);
        text.push_str(&output.error_trace);
    }
    let (cause, help) = diagnose(&run.code, &text);
    let error = Error::Other(Failure {
        service: "databricks".to_owned(),
        operation: "databricks/jobs.get-run".to_owned(),
        status: 200,
        code: run.code.clone(),
        message,
        request_id: String::new(),
    });
    error.because(cause, format!("{help}; the run is at {}", run.url))
}

fn refusal(error: Error) -> StepError {
    match &error {
        Error::Denied(failure) if failure.service != "lockkeeper" => error.because(
            "the signed-in identity may not start this job",
            "give it CAN_MANAGE_RUN on the job",
        ),
        _ => error.into(),
    }
}
