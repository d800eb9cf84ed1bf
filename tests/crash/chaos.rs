//! Two hundred runs, each in a cloud of its own of which a fifth of all requests fails: throttled,
//! refused before or after taking effect, cut, or answered by a replica that lags. Each run ends
//! as one in a quiet cloud does, if need be after having been gone on with.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::cloud::{self, Cloud};
use crate::stage::{Stage, newest, onboard, run_keys};

const RATE: f64 = 0.2;
/// Runs of one test.
const RUNS: u64 = 50;
/// Most of a run in chaos is waiting, so many go at once.
const AT_ONCE: usize = 8;
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
    let quiet = {
        let stage = Stage::new();
        let simulator = stage.set();
        stage.project.ok(&onboard());
        cloud::of(&simulator)
    };
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
                    resumed.fetch_add(one(&stage, seed, &quiet), Ordering::Relaxed);
                }
            });
        }
    });
    println!(
        "{RUNS} runs, gone on with {resumed:?} times, in {:?}",
        begun.elapsed()
    );
}

/// Runs once in the chaos of `seed`, and gives how often the run was gone on with.
fn one(stage: &Stage, seed: u64, quiet: &Cloud) -> usize {
    let simulator = stage.set();
    let project = &stage.project;
    simulator.control(
        "POST",
        "/__simulator/chaos",
        Some(&json!({ "rate": RATE, "seed": seed })),
    );
    let mut tries = 0;
    loop {
        let ran = match newest(project, "run") {
            None => project.run(&onboard()),
            Some((run, _)) => project.run(&["resume", &run]),
        };
        if ran.code() == 0 {
            break;
        }
        let said = format!(
            "seed {seed}: exit {}\n{}\n{}",
            ran.code(),
            ran.stdout(),
            ran.stderr()
        );
        match newest(project, "run") {
            // Nothing began: it could not sign in, or read who it is.
            None => assert_eq!(ran.code(), 3, "{said}"),
            Some((run, status)) => {
                assert_eq!((ran.code(), status.as_str()), (4, "failed"), "{said}");
                assert!(said.contains(&format!("lockkeeper resume {run}")), "{said}");
            }
        }
        tries += 1;
        if tries == PATIENCE {
            simulator.control("DELETE", "/__simulator/chaos", None);
        }
        assert!(tries <= PATIENCE, "{said}");
    }
    simulator.control("DELETE", "/__simulator/chaos", None);
    let found = cloud::of(&simulator);
    cloud::assert_same(&found, quiet, &format!("seed {seed}"));
    assert_eq!(run_keys(project), Vec::<String>::new(), "seed {seed}");
    tries
}
