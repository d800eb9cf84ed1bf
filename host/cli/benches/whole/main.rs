//! What a person waits for: whole processes of the release build, from start to end.
//!
//! `docs/benchmarks.md` says what is the same in what is compared.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    reason = "a bench that cannot go on panics, and prints what it found"
)]

mod measure;
mod plain;
mod script;
#[path = "../../../../tests/support/mod.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lockkeeper_journal::Store;
use measure::{Spread, memory, milliseconds, time};
use plain::PLAIN;
use support::{Project, Simulator};

/// How often each is measured.
const ROUNDS: usize = 25;
/// Every reply takes a tenth of a second, as from a service that is not on this machine.
const SLOW: &str = r#"{"path":"**","action":{"slow_drip":{"bytes_per_second":1000000}}}"#;
const APP: &str = "etl-demo";
const RUN: [&str; 4] = ["run", "onboard", "-i", "app_name=etl-demo"];

fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let first = arguments.next().unwrap_or_default();
    if first == PLAIN {
        let files: Vec<PathBuf> = arguments.map(PathBuf::from).collect();
        return plain::main(&files[0], &files[1], &files[2]);
    }
    println!(
        "\n{:<44} {:>9}  {:<18} target",
        "whole processes", "median", "middle half"
    );
    check();
    plan();
    beside_a_plain_program("", ROUNDS, &[], "<= 1.3");
    beside_a_plain_program(", replies after 0.1 s", 5, &["--fault", SLOW], "");
    peak_memory();
    journal_size();
    plugin_sizes();
}

fn row(what: &str, found: &Spread, unit: &str, target: &str) {
    let Spread { low, median, high } = found;
    let half = format!("{low:.2} to {high:.2}");
    println!("{what:<44} {median:>9.2}  {half:<18} {unit:<6} {target}");
}

fn repeated(mut once: impl FnMut() -> Duration) -> Spread {
    // What is kept between processes, compiled plugins first of all, is made by the first.
    once();
    let times: Vec<Duration> = (0..ROUNDS).map(|_| once()).collect();
    milliseconds(&times)
}

fn check() {
    let project = Project::new();
    let found = repeated(|| time(&mut project.command(&["check", "onboard"])));
    row("check onboard", &found, "ms", "< 50");
}

fn plan() {
    let project = Project::new();
    let _simulator = project.simulator(&[]);
    let arguments = ["plan", "onboard", "-i", "app_name=etl-demo"];
    let found = repeated(|| time(&mut project.command(&arguments)));
    row("plan onboard, simulator running", &found, "ms", "< 300");
}

/// A new project with a new cloud in a process of its own.
fn fresh(cloud: &[&str]) -> (Project, Simulator) {
    let project = Project::new();
    let simulator = project.simulator(cloud);
    (project, simulator)
}

/// The plain program, ready to send `script` to the simulator of `project`.
fn plain_program(project: &Project, script: &Path) -> Command {
    let mut keys = std::fs::read_dir(project.keys()).unwrap();
    let keys = keys.next().unwrap().unwrap().path();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .arg(PLAIN)
        .arg(script)
        .arg(project.state().join("simulator/serving.json"))
        .arg(keys.join("simulator-operator.key"))
        .env_clear();
    command
}

/// Each sends the same requests to a new cloud; which goes first alternates.
fn beside_a_plain_program(condition: &str, rounds: usize, cloud: &[&str], target: &str) {
    let lockkeeper = || {
        let (project, _simulator) = fresh(cloud);
        let elapsed = time(&mut project.command(&RUN));
        (
            elapsed,
            script::seen(&project.state().join("simulator"), APP),
        )
    };
    let (_, requests) = lockkeeper();
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("requests.json");
    std::fs::write(&script, serde_json::to_vec(&requests).unwrap()).unwrap();
    let plain = || {
        let (project, _simulator) = fresh(cloud);
        let elapsed = time(&mut plain_program(&project, &script));
        (
            elapsed,
            script::seen(&project.state().join("simulator"), APP),
        )
    };

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let (mine, other) = if round % 2 == 0 {
            let mine = lockkeeper();
            (mine, plain())
        } else {
            let other = plain();
            (lockkeeper(), other)
        };
        assert_eq!(mine.1, requests, "two runs send the same requests");
        assert_eq!(
            other.1, requests,
            "the plain program sends the same requests"
        );
        ours.push(mine.0);
        theirs.push(other.0);
    }
    let ratios = ours
        .iter()
        .zip(&theirs)
        .map(|(a, b)| a.as_secs_f64() / b.as_secs_f64());
    let what = format!("plain program, {} requests{condition}", requests.len());
    row(&what, &milliseconds(&theirs), "ms", "");
    row(
        "run onboard, the same requests",
        &milliseconds(&ours),
        "ms",
        "",
    );
    row(
        "  run onboard / plain program",
        &Spread::of(ratios.collect()),
        "times",
        target,
    );
}

fn peak_memory() {
    let peaks = (0..5).map(|_| memory(&mut Project::new().command(&RUN)));
    let found = Spread::of(peaks.collect());
    row(
        "peak memory of run onboard, own simulator",
        &found,
        "MB",
        "< 150",
    );
}

/// How much the journal grows with a run, for each of its calls.
fn journal_size() {
    let project = Project::new();
    let _simulator = project.simulator(&[]);
    let journal = project.state().join("journal.db");
    let run = |name: &str| {
        project.ok(&["run", "onboard", "-i", &format!("app_name={name}")]);
        std::fs::metadata(&journal).unwrap().len()
    };
    let first = run("first-app");
    let mut last = first;
    for n in 0..10 {
        last = run(&format!("app-{n}"));
    }
    let store = Store::open(&journal).unwrap();
    let calls = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(async {
            let run = &store
                .runs(lockkeeper_journal::RunFilter::default())
                .await
                .unwrap()
                .runs[0];
            let history = store.history(&run.id).await.unwrap();
            let is_call = |kind: &str| ["read", "intent"].contains(&kind);
            history
                .entries
                .iter()
                .filter(|entry| is_call(&entry.kind))
                .count()
        });
    #[allow(clippy::cast_precision_loss, reason = "file sizes are far below 2^52")]
    let bytes = (last - first) as f64 / 10.0 / calls as f64;
    println!("{:<44} {bytes:>9.0}  {:<18} bytes", "journal, per call", "");
}

fn plugin_sizes() {
    println!("\n{:<44} {:>9}  {:<18} target", "plugins", "kB", "");
    for plugin in lockkeeper_plugins::builtin() {
        #[allow(clippy::cast_precision_loss, reason = "file sizes are far below 2^52")]
        let size = plugin.component.len() as f64 / 1000.0;
        println!("{:<44} {size:>9.1}  {:<18} kB     < 250", plugin.name, "");
    }
}
