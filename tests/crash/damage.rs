//! A disk that is full or takes no writes, and a journal that something else changed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::cloud::{self, Cloud};
use crate::death::{self, Death};
use crate::stage::{Stage, copy, newest, onboard};
use crate::support::{Project, Ran, Simulator};

pub(crate) const FAILED: i32 = 1;
const DAMAGED: i32 = 13;
/// Nobody in particular, and not root: root may write anywhere.
const NOBODY: u32 = 65534;

/// The requests that change something, one for each call: not tokens, nor reads, nor the end of a
/// client secret that could not be kept, which belongs to the call that issued it.
pub(crate) fn writes(simulator: &Simulator) -> Vec<String> {
    let requests = simulator.control("GET", "/__simulator/requests", None);
    let write = |request: &&Value| request["method"] != "GET" && request["service"] != "entra";
    let requests = requests.as_array().unwrap().iter().filter(write);
    let mut writes: Vec<String> = requests
        .map(|request| format!("{} {}", request["method"], request["path"]))
        .collect();
    writes
        .dedup_by(|next, write| next.contains("/removePassword") && write.contains("/addPassword"));
    writes
}

/// The intents in a run's record that let a request leave.
fn intents(project: &Project, run: &str) -> Vec<Value> {
    let entries = crate::stage::entries(project, run);
    entries.into_iter().filter(is_sent).collect()
}

/// Whether an entry is an intent that lets a request leave.
pub(crate) fn is_sent(entry: &Value) -> bool {
    entry["kind"] == "intent" && entry["value"]["sent"].is_object()
}

/// The program where no file may grow beyond `limit` half-kilobytes: what is written to a longer
/// one fails as it does on a full disk.
fn limited(project: &Project, limit: u32, arguments: &[&str]) -> Ran {
    let command = project.command(arguments);
    let mut shell = Command::new("sh");
    let script = format!("trap '' XFSZ; ulimit -f {limit}; exec \"$0\" \"$@\"");
    shell
        .args(["-c", &script])
        .arg(command.get_program())
        .args(command.get_args());
    shell.env_clear().current_dir(project.path());
    shell.envs(
        command
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?))),
    );
    Ran(shell.output().unwrap())
}

pub(crate) fn whole_cloud() -> Cloud {
    let stage = Stage::new();
    let simulator = stage.set();
    stage.project.ok(&onboard());
    cloud::of(&simulator)
}

#[test]
fn nothing_leaves_that_is_not_on_disk_when_the_disk_is_full() {
    let whole = whole_cloud();
    let stage = Stage::new();
    let project = &stage.project;
    let mut failures = 0;
    for limit in (16..1024).step_by(48) {
        let simulator = stage.set();
        let ran = limited(project, limit, &onboard());
        if ran.code() == 0 {
            break;
        }
        failures += 1;
        let said = format!("limit {limit}: exit {}\n{}", ran.code(), ran.stderr());
        assert_eq!(ran.code(), FAILED, "{said}");
        let names_the_file = ["journal.db", "audit.jsonl", "locks", "keys"];
        assert!(
            names_the_file.iter().any(|name| said.contains(name)),
            "{said}"
        );
        let run = newest(project, "run");
        let allowed = run
            .as_ref()
            .map_or_else(Vec::new, |(run, _)| intents(project, run));
        let sent = writes(&simulator);
        assert!(
            sent.len() <= allowed.len(),
            "{said}\n{sent:#?}\n{allowed:#?}"
        );
        assert!(
            sent.len() + 2 >= allowed.len(),
            "{said}\n{sent:#?}\n{allowed:#?}"
        );

        // There is space again.
        match run {
            None => project.ok(&onboard()),
            Some((run, _)) => project.ok(&["resume", &run]),
        };
        cloud::assert_same(&cloud::of(&simulator), &whole, &said);
    }
    assert!(failures >= 3, "the disk was full {failures} times");
}

#[test]
fn a_state_folder_that_takes_no_writes_stops_everything_before_it_starts() {
    let (stage, run) = interrupted();
    let project = &stage.project;
    let simulator = stage.set();
    let as_nobody = read_only(project);
    for arguments in [vec!["resume", run.as_str()], onboard().to_vec()] {
        let ran = as_nobody(&arguments);
        assert_eq!(ran.code(), FAILED, "{}", ran.stderr());
        let said = ran.stderr();
        assert!(said.contains(".lockkeeper"), "{said}");
        assert!(said.contains("next:") || said.contains("help:"), "{said}");
    }
    assert_eq!(writes(&simulator), Vec::<String>::new());
    writable(project);
}

/// What a state folder holds can be read where it takes no writes: a journal that was closed, and one
/// that a killed process left with its log.
#[test]
fn a_state_folder_that_takes_no_writes_shows_its_history() {
    let stage = Stage::new();
    let project = &stage.project;
    let log = project.state().join("journal.db-wal");
    for log_is_left in [false, true] {
        let simulator = stage.set();
        let death = Death::At("job#1:6:recorded".to_owned());
        death::die(project, &simulator, &onboard(), &death);
        drop(simulator);
        if !log_is_left {
            // Whoever reads it next brings it into one file.
            project.ok(&["runs", "list"]);
        }
        assert_eq!(log.exists(), log_is_left);
        let before = contents(&project.state());
        let as_nobody = read_only(project);
        let listed = as_nobody(&["runs", "list"]);
        assert_eq!(listed.code(), 0, "{}", listed.stderr());
        let run = listed
            .stdout()
            .lines()
            .nth(1)
            .unwrap_or_default()
            .to_owned();
        assert!(run.contains("interrupted, resumable"), "{run}");
        let id = run.split_whitespace().next().unwrap();
        let shown = as_nobody(&["runs", "show", id]);
        assert_eq!(shown.code(), 0, "{}", shown.stderr());
        assert!(shown.stdout().contains("✓ entra/applications.create"));
        assert!(shown.stdout().contains("job#1"), "{}", shown.stdout());
        writable(project);
        assert_eq!(
            contents(&project.state()),
            before,
            "reading changes nothing"
        );
    }
}

/// The files below a folder, and what is in them.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    each_below(folder, &mut |path| {
        if path.is_file() {
            found.insert(path.to_owned(), fs::read(path).unwrap());
        }
    });
    found
}

/// Takes everybody's leave to write below the state folder, and gives a way to run the program as
/// somebody to whom that matters.
fn read_only(project: &Project) -> impl Fn(&[&str]) -> Ran {
    // Compiled plugins are taken only from a folder of one's own.
    let cache = project.path().join("cache");
    copy(
        &Path::new(env!("CARGO_TARGET_TMPDIR")).join("compiled-plugins"),
        &cache,
    );
    fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).unwrap();
    each_below(project.path(), &mut |path| own(path, NOBODY));
    each_below(&project.state(), &mut |path| {
        own(path, own_uid());
        let mode = if path.is_dir() { 0o555 } else { 0o444 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    });
    move |arguments| {
        let mut command = project.command(arguments);
        command.env("LOCKKEEPER_CACHE", &cache);
        if own_uid() == 0 {
            command.uid(NOBODY).gid(NOBODY);
        }
        Ran(command.output().unwrap())
    }
}

/// So that the folder can be removed.
fn writable(project: &Project) {
    each_below(&project.state(), &mut |path| {
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    });
}

fn own_uid() -> u32 {
    fs::metadata("/proc/self").unwrap().uid()
}

/// Gives a file to a user, where this process may.
fn own(path: &Path, user: u32) {
    if own_uid() == 0 {
        std::os::unix::fs::chown(path, Some(user), None).unwrap();
    }
}

fn each_below(path: &Path, act: &mut dyn FnMut(&Path)) {
    act(path);
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            each_below(&entry.unwrap().path(), act);
        }
    }
}

/// A stage on which a run was interrupted, and that run's id.
fn interrupted() -> (Stage, String) {
    let stage = Stage::interrupted("job#1:6:recorded");
    let (run, status) = newest(&stage.project, "run").unwrap();
    assert_eq!(status, "interrupted");
    (stage, run)
}

/// How many lines of calls `runs show` gives, and its exit code and errors.
fn shown(project: &Project, run: &str) -> (usize, i32, String) {
    let ran = project.run(&["runs", "show", run]);
    let calls = ran
        .stdout()
        .lines()
        .filter(|line| line.contains('✓'))
        .count();
    (calls, ran.code(), ran.stderr())
}

#[test]
fn a_journal_cut_short_is_said_to_be_damaged() {
    let (stage, run) = interrupted();
    let project = &stage.project;
    let journal = project.state().join("journal.db");
    for part in [1, 2, 3] {
        let simulator = stage.set();
        let length = fs::metadata(&journal).unwrap().len();
        let file = fs::OpenOptions::new().write(true).open(&journal).unwrap();
        file.set_len(length * part / 4).unwrap();
        let resumed = project.run(&["resume", &run]);
        let said = format!("{part} of 4: {}", resumed.stderr());
        assert_eq!(resumed.code(), DAMAGED, "{said}");
        assert!(
            said.contains("cut short") && said.contains("next:"),
            "{said}"
        );
        assert_eq!(writes(&simulator), Vec::<String>::new(), "{said}");
    }
}

#[test]
fn a_flipped_bit_is_found_and_what_is_before_it_can_be_read() {
    let whole = whole_cloud();
    let (stage, run) = interrupted();
    let project = &stage.project;
    let journal = project.state().join("journal.db");
    let (all, code, _) = {
        let _simulator = stage.set();
        shown(project, &run)
    };
    assert_eq!(code, 0);
    let length = fs::metadata(&journal).unwrap().len();
    let mut found = 0;
    let mut partly_readable = 0;
    // An odd step, so that every part of a page is hit on one page or another.
    for at in (0..length).step_by(3001) {
        let simulator = stage.set();
        let mut bytes = fs::read(&journal).unwrap();
        bytes[usize::try_from(at).unwrap()] ^= 0x10;
        fs::write(&journal, bytes).unwrap();

        let (readable, code, shown) = shown(project, &run);
        let resumed = project.run(&["resume", &run]);
        let said = format!(
            "byte {at}: {code} {shown}\n{} {}",
            resumed.code(),
            resumed.stderr()
        );
        match resumed.code() {
            // The bit was in space that holds nothing.
            0 => cloud::assert_same(&cloud::of(&simulator), &whole, &said),
            DAMAGED => {
                found += 1;
                partly_readable += usize::from(0 < readable && readable < all);
                assert!(said.contains("next:"), "{said}");
                assert_eq!(writes(&simulator), Vec::<String>::new(), "{said}");
            }
            _ => panic!("neither damaged nor sound: {said}"),
        }
    }
    println!("{found} flips found, {partly_readable} left a part of the history readable");
    assert!(
        found > 10 && partly_readable > 0,
        "{found} found, {partly_readable} partly readable"
    );
}
