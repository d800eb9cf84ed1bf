//! A process is killed at every point of `onboard`, of its undo and of an adoption, one at a time; going on leads
//! to the very cloud that an undisturbed process leaves, and to a whole audit log.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use crate::audited::assert_audited;
use crate::cloud::{self, Cloud};
use crate::death::{self, Death};
use crate::stage::{self, Stage, entries, newest, onboard, run_keys};
use crate::support::{Project, Simulator};

/// How many tests share the points, so that they run side by side.
const SHARES: usize = 4;
/// How many points one test is at, at a time.
const AT_ONCE: usize = 2;

macro_rules! shares {
    ($($name:ident: $enumerate:ident $share:literal,)*) => {
        $(#[test] fn $name() { $enumerate($share); })*
    };
}

shares! {
    onboard_survives_every_crash_1_of_4: onboard_share 0,
    onboard_survives_every_crash_2_of_4: onboard_share 1,
    onboard_survives_every_crash_3_of_4: onboard_share 2,
    onboard_survives_every_crash_4_of_4: onboard_share 3,
    undo_survives_every_crash_1_of_4: undo_share 0,
    undo_survives_every_crash_2_of_4: undo_share 1,
    undo_survives_every_crash_3_of_4: undo_share 2,
    undo_survives_every_crash_4_of_4: undo_share 3,
    adopt_survives_every_crash_1_of_4: adopt_share 0,
    adopt_survives_every_crash_2_of_4: adopt_share 1,
    adopt_survives_every_crash_3_of_4: adopt_share 2,
    adopt_survives_every_crash_4_of_4: adopt_share 3,
}

fn onboard_share(share: usize) {
    let course = Course {
        stage: Stage::new,
        mode: "run",
        begin: |_| onboard().map(str::to_owned).to_vec(),
    };
    course.kill_everywhere(share);
}

fn undo_share(share: usize) {
    let course = Course {
        stage: Stage::onboarded,
        mode: "undo",
        begin: |project| {
            let (run, _) = newest(project, "run").unwrap();
            vec!["undo".to_owned(), run, "--yes".to_owned()]
        },
    };
    course.kill_everywhere(share);
}

fn adopt_share(share: usize) {
    let course = Course {
        stage: Stage::found,
        mode: "adopt",
        begin: stage::adopt,
    };
    course.kill_everywhere(share);
}

/// What is done, killed and gone on with.
struct Course {
    stage: fn() -> Stage,
    /// The mode of the run that it makes, as `runs list` calls it.
    mode: &'static str,
    /// The command line that begins it.
    begin: fn(&Project) -> Vec<String>,
}

impl Course {
    fn begin(&self, project: &Project) -> Vec<String> {
        (self.begin)(project)
    }

    /// The points of an undisturbed course, and the cloud that it leaves.
    fn undisturbed(&self) -> (Vec<Death>, Cloud) {
        let stage = (self.stage)();
        let simulator = stage.set();
        let project = &stage.project;
        let before = requests(&simulator).len();
        project.ok(&borrowed(&self.begin(project)));
        let (run, status) = newest(project, self.mode).unwrap();
        assert_eq!(status, "succeeded");
        let sent = requests(&simulator).split_off(before);
        (
            death::every(&entries(project, &run), &sent),
            cloud::of(&simulator),
        )
    }

    fn kill_everywhere(&self, share: usize) {
        let begun = Instant::now();
        let (deaths, undisturbed) = self.undisturbed();
        let mine: Vec<&Death> = deaths.iter().skip(share).step_by(SHARES).collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    let stage = (self.stage)();
                    while let Some(death) = mine.get(next.fetch_add(1, Ordering::Relaxed)) {
                        self.kill_at(&stage, death, &undisturbed);
                    }
                });
            }
        });
        println!(
            "{}: {} of {} points in {:?}",
            self.mode,
            mine.len(),
            deaths.len(),
            begun.elapsed()
        );
    }

    fn kill_at(&self, stage: &Stage, death: &Death, undisturbed: &Cloud) {
        let simulator = stage.set();
        let project = &stage.project;
        let begin = self.begin(project);
        death::die(project, &simulator, &borrowed(&begin), death);
        match newest(project, self.mode) {
            // It died before there was anything to go on with.
            None => {
                project.ok(&borrowed(&begin));
            }
            Some((_, status)) if status == "succeeded" => {
                assert_eq!(death.to_string(), "end:recorded");
            }
            Some((run, status)) => {
                assert_eq!(status, "interrupted", "{death}");
                let resumed = project.run(&["resume", &run]);
                let said = format!("{death}\n{}\n{}", resumed.stdout(), resumed.stderr());
                assert_eq!(resumed.code(), 0, "{said}");
            }
        }
        let (_, status) = newest(project, self.mode).unwrap();
        assert_eq!(status, "succeeded", "{death}");
        cloud::assert_same(&cloud::of(&simulator), undisturbed, &death.to_string());
        assert_eq!(run_keys(project), Vec::<String>::new(), "{death}");
        assert_audited(project, &death.to_string());
    }
}

fn requests(simulator: &Simulator) -> Vec<serde_json::Value> {
    let requests = simulator.control("GET", "/__simulator/requests", None);
    requests.as_array().unwrap().clone()
}

fn borrowed(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}
