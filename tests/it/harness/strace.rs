//! System calls that fail when a test says so.

use std::process::Command;

/// What starts a server whose system calls fail as `inject` says, in strace's notation; each thread counts its own calls.
/// `None`, loudly, where strace is missing or may not trace.
pub fn strace(inject: &str) -> Option<Vec<String>> {
    // -D leaves the traced program the process that was started, so that it is killed and waited for like any other.
    let call = inject.split(':').next().unwrap_or_default();
    let traced = format!("trace={call}");
    let injected = format!("inject={inject}");
    let wrapper = ["strace", "-D", "-f", "--seccomp-bpf", "-qq", "-o", "/dev/null", "-e", &traced, "-e", &injected];
    let works = Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").status().is_ok_and(|status| status.success());
    if works {
        return Some(wrapper.map(str::to_owned).to_vec());
    }
    eprintln!("SKIPPED: strace does not work here, so failing system calls are NOT tested");
    None
}
