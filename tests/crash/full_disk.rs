//! A disk that really is full: a small file system in memory, which the kernel lets nothing be written
//! to any more. It is mounted where only this test's processes see it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::cloud;
use crate::damage::{FAILED, is_sent, whole_cloud, writes};
use crate::stage::{Stage, onboard};
use crate::support::Project;

/// A shell with mounts of its own.
struct Room {
    shell: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// What a command in the room came to.
struct Came {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Room {
    /// In the environment in which the program runs in `project`. A user namespace lets anybody mount
    /// in it; where there is none, root may do it, and the mounts end with the shell either way.
    fn new(project: &Project) -> Option<Self> {
        let mut refusals = Vec::new();
        let how = ["-rm", "-m"].into_iter().find(|how| {
            let mut command = Command::new("unshare");
            command.args([how, "mount", "-t", "tmpfs", "none", "/mnt"]);
            let tried = command.output().unwrap();
            refusals.push(String::from_utf8_lossy(&tried.stderr).into_owned());
            tried.status.success()
        });
        let Some(how) = how else {
            // Only where nobody may, as in a container without the right: there the tests with a
            // limit on the size of files stand for this one.
            let refused =
                |said: &String| said.contains("not permitted") || said.contains("ermission denied");
            assert!(refusals.iter().all(refused), "{refusals:?}");
            return None;
        };
        let program = project.command(&[]);
        let mut shell = Command::new("unshare");
        shell.args([how, "sh"]).env_clear();
        let environment = program.get_envs();
        shell.envs(environment.filter_map(|(name, value)| Some((name, value?))));
        shell.env("PROGRAM", program.get_program());
        let mut shell = shell
            .current_dir(project.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Some(Self {
            stdin: shell.stdin.take().unwrap(),
            stdout: BufReader::new(shell.stdout.take().unwrap()),
            shell,
        })
    }

    fn run(&mut self, project: &Project, script: &str) -> Came {
        writeln!(self.stdin, "( {script} ) >room.out 2>room.err; echo $?").unwrap();
        let mut code = String::new();
        self.stdout.read_line(&mut code).unwrap();
        let text = |name: &str| std::fs::read_to_string(project.path().join(name)).unwrap();
        Came {
            code: code.trim().parse().unwrap(),
            stdout: text("room.out"),
            stderr: text("room.err"),
        }
    }

    fn ok(&mut self, project: &Project, script: &str) -> String {
        let came = self.run(project, script);
        assert_eq!(came.code, 0, "{script}\n{}{}", came.stdout, came.stderr);
        came.stdout
    }

    fn json(&mut self, project: &Project, arguments: &str) -> Value {
        let said = self.ok(project, &format!("\"$PROGRAM\" {arguments} --output json"));
        serde_json::from_str(&said).unwrap()
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// The state folder becomes the small disk, but for the simulator's part, which others write.
const MOUNT: &str = "set -e
mkdir small
mount -t tmpfs -o size=4m,mode=700 none small
mkdir small/simulator
mount --bind .lockkeeper/simulator small/simulator
mount --rbind small .lockkeeper";

#[test]
fn nothing_leaves_that_is_not_on_disk_when_the_kernel_says_that_it_is_full() {
    let whole = whole_cloud();
    let stage = Stage::new();
    let project = &stage.project;
    let mut failures = 0;
    for free in (8..4096).step_by(80) {
        let simulator = stage.set();
        let _ = std::fs::remove_dir(project.path().join("small"));
        let Some(mut room) = Room::new(project) else {
            eprintln!("no file system may be mounted here, so this disk cannot be filled");
            return;
        };
        room.ok(project, MOUNT);
        let fill =
            format!("cat /dev/zero >.lockkeeper/filler; truncate -s -{free}k .lockkeeper/filler");
        room.ok(project, &fill);
        let ran = room.run(project, &format!("\"$PROGRAM\" {}", onboard().join(" ")));
        if ran.code == 0 {
            break;
        }
        failures += 1;
        let said = format!("{free} kB free: exit {}\n{}", ran.code, ran.stderr);
        assert_eq!(ran.code, FAILED, "{said}");
        let names_the_file = ["journal.db", "audit.jsonl", "locks"];
        assert!(
            names_the_file.iter().any(|name| said.contains(name)),
            "{said}"
        );
        assert!(
            said.to_lowercase().contains("full") || said.contains("No space left"),
            "{said}"
        );
        let sent = writes(&simulator);

        // There is space again.
        room.ok(project, "rm .lockkeeper/filler");
        let runs = room.json(project, "runs list");
        let arguments = match runs.as_array().unwrap().first() {
            None => {
                assert_eq!(sent, Vec::<String>::new(), "{said}");
                onboard().join(" ")
            }
            Some(run) => {
                let id = run["id"].as_str().unwrap();
                let shown = room.json(project, &format!("runs show {id}"));
                let entries = shown["entries"].as_array().unwrap();
                let intents = entries.iter().filter(|entry| is_sent(entry)).count();
                assert!(sent.len() <= intents, "{said}\n{intents} of {sent:#?}");
                format!("resume {id}")
            }
        };
        room.ok(project, &format!("\"$PROGRAM\" {arguments}"));
        cloud::assert_same(&cloud::of(&simulator), &whole, &said);
    }
    assert!(failures >= 3, "the disk was full {failures} times");
}
