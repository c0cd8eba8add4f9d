//! Lanes run cells side by side, each in its own process, so that one cell's descriptors and threads are not counted for
//! another. The parent hands out the cells.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use serde_json::json;

use crate::cell::{Cell, Lane};
use crate::judge::Problem;
use crate::support::simulator;

/// The start of a line that is a lane's answer, among the test harness's output.
const ANSWER: &str = "cell: ";

/// The lane's side: reads cells, writes results.
pub fn serve() {
    let lane = Lane::new();
    for line in std::io::stdin().lines() {
        let problems = lane.run(&Cell::from_json(&line.unwrap()));
        let answer = json!(problems.iter().map(Problem::text).collect::<Vec<_>>());
        // In one write, and on its own line.
        std::io::stdout().write_all(format!("\n{ANSWER}{answer}\n").as_bytes()).unwrap();
    }
}

/// How many cells ran, and how many of them failed.
#[derive(Default)]
pub struct Count {
    pub run: AtomicUsize,
    pub red: AtomicUsize,
}

/// The parent's side: runs the cells in this order until time is up, and prints each problem.
pub fn run(cells: &[Cell], lanes: usize, until: Option<Instant>) -> Count {
    let (next, count) = (AtomicUsize::new(0), Count::default());
    let in_time = || until.is_none_or(|until| Instant::now() < until);
    std::thread::scope(|scope| {
        for _ in 0..lanes.min(cells.len()) {
            scope.spawn(|| {
                let mut lane = RemoteLane::start();
                while let Some(cell) = cells.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| in_time()) {
                    let problems = lane.ask(cell);
                    if !problems.is_empty() {
                        eprintln!("{cell}: {}", problems.join("; "));
                        count.red.fetch_add(1, Ordering::Relaxed);
                    }
                    count.run.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    count
}

struct RemoteLane {
    child: Child,
    answers: BufReader<std::process::ChildStdout>,
}

impl RemoteLane {
    fn start() -> RemoteLane {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_lane", "--ignored", "--nocapture", "--test-threads=1"])
            .env(simulator::IS_BUILT, "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        RemoteLane { child, answers }
    }

    fn ask(&mut self, cell: &Cell) -> Vec<String> {
        let asked = self.child.stdin.as_mut().unwrap().write_all(format!("{}\n", cell.to_json()).as_bytes());
        let answer = asked.ok().and_then(|()| {
            let lines = self.answers.by_ref().lines();
            lines.map_while(Result::ok).find_map(|l| l.strip_prefix(ANSWER).map(str::to_string))
        });
        let Some(answer) = answer else {
            // Its output went to standard error.
            let _ = self.child.wait();
            *self = RemoteLane::start();
            return vec![format!("the process of {cell} ended")];
        };
        serde_json::from_str(&answer).unwrap()
    }
}

impl Drop for RemoteLane {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}
