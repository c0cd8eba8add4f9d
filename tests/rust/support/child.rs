//! The half of a test that needs its own process: another test in the same program, which is otherwise ignored.

use std::path::Path;
use std::process::Command;

/// A command that runs the test `name` of this program.
pub fn child(name: &str) -> Command {
    as_last_words(Command::new(std::env::current_exe().unwrap()), name)
}

/// The same, started by another program.
pub fn child_of(mut program: Command, name: &str) -> Command {
    program.arg(std::env::current_exe().unwrap());
    as_last_words(program, name)
}

fn as_last_words(mut command: Command, name: &str) -> Command {
    command.args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"]);
    command
}

/// Runs the child. Returns whether its test passed, and its output.
pub fn outcome(mut child: Command) -> (bool, String) {
    let program = child.get_program().to_os_string();
    let output =
        child.output().unwrap_or_else(|e| panic!("{program:?}: {e}; tests/install-tools.sh installs it"));
    let told =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let came_to_its_end = told.contains("1 passed") || told.contains("1 failed");
    assert!(came_to_its_end, "{program:?} may lack a privilege, or the child has crashed:\n{told}");
    (output.status.success(), told)
}

/// Runs the child, whose test must pass, and returns its output.
pub fn held(child: Command) -> String {
    let (held, told) = outcome(child);
    assert!(held, "{told}");
    told
}

/// The same in a mount namespace where system files have other contents: pairs of path and content.
pub fn held_with_files(files: &[(&str, &str)], name: &str) -> String {
    let directory = std::env::temp_dir().join(format!("vsession-files-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    // A user other than root also needs a network namespace, where it may bind port 53.
    let (flags, first) = if mounts_as_root() { ("-m", "") } else { ("-rmn", "ip link set lo up && ") };
    let mounts: String =
        files.iter().map(|(path, _)| format!("mount --bind \"$1\" {path} && shift && ")).collect();
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", &format!("{first}{mounts}exec \"$@\""), "sh"]);
    for (number, (_, text)) in files.iter().enumerate() {
        let own = directory.join(number.to_string());
        std::fs::write(&own, text).unwrap();
        command.arg(own);
    }
    let told = held(child_of(command, name));
    let _ = std::fs::remove_dir_all(&directory);
    told
}

fn mounts_as_root() -> bool {
    Command::new("unshare").args(["-m", "true"]).output().is_ok_and(|o| o.status.success())
}

/// The same in a mount namespace where the directory `VSESSION_TEST_DISK` is a disk of this size.
pub fn held_on_a_disk(directory: &Path, bytes: usize, name: &str) -> String {
    let flags = if mounts_as_root() { "-m" } else { "-rm" };
    let mount = format!("mount -t tmpfs -o size={bytes} tmpfs \"$VSESSION_TEST_DISK\" && exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-c", &mount, "sh"]).env("VSESSION_TEST_DISK", directory);
    held(child_of(command, name))
}
