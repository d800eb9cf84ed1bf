//! Two hundred runs, each in a cloud of its own of which a fifth of all requests fails: throttled,
//! refused before or after taking effect, cut, or answered by a replica that lags. In a tenth of the
//! clouds every write also travels as it does in Azure, and reads alternate between replicas until it
//! has arrived. Each run ends as one in a quiet cloud does, if need be after having been gone on with.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::cloud::{self, Cloud};
use crate::stage::{Stage, newest, onboard, run_keys};
use crate::support::Simulator;

const RATE: f64 = 0.2;
/// Runs of one test.
const RUNS: u64 = 50;
/// Most of a run in chaos is waiting, so many go at once.
const AT_ONCE: usize = 8;
/// One seed in so many has a cloud whose replicas lag behind each other. A vault's roles travel for
/// minutes there, so the run is one without a vault.
const FLAPPING: u64 = 10;
/// The same without storage.
const PLAIN: [&str; 4] = ["run", "onboard", "-i", "app_name=etl-demo"];
/// How often a run is gone on with in chaos, before the cloud is quiet.
const PATIENCE: usize = 4;

macro_rules! seeds {
    ($($name:ident: $first:literal,)*) => {
        $(#[test] fn $name() { survive($first); })*
    };
}

seeds! {
    chaos_of_seeds_0_to_49: 0,
    chaos_of_seeds_50_to_99: 50,
    chaos_of_seeds_100_to_149: 100,
    chaos_of_seeds_150_to_199: 150,
}

fn survive(first: u64) {
    let begun = Instant::now();
    let (quiet, quiet_plain) = (undisturbed(&onboard()), undisturbed(&PLAIN));
    let next = AtomicU64::new(first);
    let resumed = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                let stage = Stage::new();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + RUNS {
                        return;
                    }
                    let tries = if seed.is_multiple_of(FLAPPING) {
                        let profile = ["--profile", "flapping", "--seed", &seed.to_string()];
                        in_chaos(
                            &stage,
                            &stage.set_with(&profile),
                            seed,
                            &PLAIN,
                            &quiet_plain,
                        )
                    } else {
                        in_chaos(&stage, &stage.set(), seed, &onboard(), &quiet)
                    };
                    resumed.fetch_add(tries, Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{RUNS} runs, gone on with {resumed:?} times, in {:?}",
        begun.elapsed()
    );
}

/// What a run leaves in a cloud that does nothing unexpected.
fn undisturbed(arguments: &[&str]) -> Cloud {
    let stage = Stage::new();
    let simulator = stage.set();
    stage.project.ok(arguments);
    cloud::of(&simulator)
}

/// Runs once in the chaos of `seed`, and gives how often the run was gone on with.
fn in_chaos(
    stage: &Stage,
    simulator: &Simulator,
    seed: u64,
    arguments: &[&str],
    quiet: &Cloud,
) -> usize {
    simulator.control(
        "POST",
        "/__simulator/chaos",
        Some(&json!({ "rate": RATE, "seed": seed })),
    );
    through(stage, simulator, &format!("seed {seed}"), arguments, quiet)
}

/// Runs, and goes on as often as the run fails, which it has to do clearly; gives how often that was.
fn through(
    stage: &Stage,
    simulator: &Simulator,
    what: &str,
    arguments: &[&str],
    quiet: &Cloud,
) -> usize {
    let project = &stage.project;
    let mut tries = 0;
    loop {
        let ran = match newest(project, "run") {
            None => project.run(arguments),
            Some((run, _)) => project.run(&["resume", &run]),
        };
        if ran.code() == 0 {
            break;
        }
        let said = format!(
            "{what}: exit {}\n{}\n{}",
            ran.code(),
            ran.stdout(),
            ran.stderr()
        );
        match newest(project, "run") {
            // Nothing began: it could not ask who it is.
            None => assert_eq!(ran.code(), 1, "{said}"),
            Some((run, status)) => match ran.code() {
                // The run was there, and nothing of it was taken up again.
                1 => assert!(tries > 0 && said.contains("so nothing was run"), "{said}"),
                code => {
                    assert_eq!((code, status.as_str()), (4, "failed"), "{said}");
                    assert!(said.contains(&format!("lockkeeper resume {run}")), "{said}");
                }
            },
        }
        tries += 1;
        if tries == PATIENCE {
            simulator.control("DELETE", "/__simulator/chaos", None);
        }
        assert!(tries <= PATIENCE, "{said}");
    }
    simulator.control("DELETE", "/__simulator/chaos", None);
    let found = cloud::of(simulator);
    cloud::assert_same(&found, quiet, what);
    assert_eq!(run_keys(project), Vec::<String>::new(), "{what}");
    tries
}

/// Whether chaos makes a run fail is a matter of its seeds and of patience; a refusal that nobody tries
/// again does so for sure, early and late in a run.
#[test]
fn a_run_that_fails_is_gone_on_with() {
    let quiet = undisturbed(&PLAIN);
    let stage = Stage::new();
    let graph =
        json!({ "error": { "code": "Authorization_RequestDenied", "message": "Not now." } });
    let databricks = json!({ "error_code": "PERMISSION_DENIED", "message": "Not now." });
    for (method, path, body) in [
        ("GET", "/v1.0/applications**", &graph),
        (
            "POST",
            "/api/2.0/preview/scim/v2/ServicePrincipals",
            &databricks,
        ),
        ("POST", "/api/2.2/jobs/run-now", &databricks),
    ] {
        let simulator = stage.set();
        let refusal = json!({
            "method": method, "path": path, "times": 1,
            "action": { "status": { "status": 403, "body": body } },
        });
        simulator.control("POST", "/__simulator/faults", Some(&refusal));
        let what = format!("{method} {path} refused once");
        let tries = through(&stage, &simulator, &what, &PLAIN, &quiet);
        assert_eq!(tries, 1, "{what}: it failed, and then went on");
    }
}
