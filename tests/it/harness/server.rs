//! One server process on its own data directory and port, started and stopped in every way that happens to one.

use std::fs::{File, OpenOptions};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use super::api::Project;
use super::eventually::eventually;
use super::gcs::{BUCKET, GcsServer};
use super::process::{CliOutput, footfall, footfall_at, run_cli};
use super::s3::S3Server;

const READY_WITHIN: Duration = Duration::from_secs(60);
const STOPPED_WITHIN: Duration = Duration::from_secs(120);
/// Between two knocks at `/readyz`. The wait ends with the event, not with the pause.
const KNOCK_EVERY: Duration = Duration::from_millis(5);

/// How the process is started, beyond its data directory and port.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    env: Vec<(String, String)>,
    demo: bool,
    /// Runs in place of the binary under test.
    program: Option<PathBuf>,
    /// A listening socket that the test owns and passes on as systemd does.
    socket: Option<Arc<TcpListener>>,
    /// A program and its arguments that the server is started by.
    wrapper: Vec<String>,
}

impl ServerOptions {
    /// Nothing is flushed unless the server stops.
    pub fn never_flushing() -> Self {
        Self::default().env("FOOTFALL_FLUSH_ROWS", 100_000_000).env("FOOTFALL_FLUSH_AGE", 86_400)
    }

    /// A flush starts whenever a project has this many live rows.
    pub fn flushing_every(rows: usize) -> Self {
        Self::default().env("FOOTFALL_FLUSH_ROWS", rows).env("FOOTFALL_FLUSH_AGE", 86_400)
    }

    /// `footfall demo` in place of `footfall serve`.
    pub fn demo() -> Self {
        Self { demo: true, ..Self::default() }
    }

    /// The server is given its listening socket, which lives as long as these options.
    pub fn activated() -> Self {
        let socket = TcpListener::bind(("127.0.0.1", free_port())).expect("the port was free a moment ago");
        Self { socket: Some(Arc::new(socket)), ..Self::default() }
    }

    /// Runs the program at `path`, which is the binary under test, or leads to it.
    pub fn program(mut self, path: PathBuf) -> Self {
        self.program = Some(path);
        self
    }

    /// Starts the server by another program, such as strace, which leaves it the process that was started.
    pub fn under(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|part| (*part).to_owned()).collect();
        self
    }

    /// The tables are below `prefix` of this server's bucket.
    pub fn on_gcs(self, store: &GcsServer, prefix: &str) -> Self {
        self.envs(store.environment()).env("FOOTFALL_STORE", format!("gs://{BUCKET}/{prefix}"))
    }

    /// The tables are below `prefix` of this server's bucket.
    pub fn on_s3(self, store: &S3Server, prefix: &str) -> Self {
        self.envs(store.environment()).env("FOOTFALL_STORE", format!("s3://{}/{prefix}", store.bucket))
    }

    pub fn envs<'a>(self, variables: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        variables.into_iter().fold(self, |options, (name, value)| options.env(name, value))
    }

    pub fn env(mut self, name: &str, value: impl ToString) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.to_string()));
        self
    }
}

/// How a start came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    Ready,
    Ended(ExitStatus),
    /// Neither, in the time allowed.
    Stuck,
}

pub struct Server {
    home: TempDir,
    options: ServerOptions,
    port: u16,
    http: reqwest::Client,
    child: Option<Child>,
}

impl Server {
    /// Starts on an empty data directory and returns once `/readyz` says yes.
    pub async fn start(options: ServerOptions) -> Self {
        let mut server = Self::prepare(options);
        server.start_again().await;
        server
    }

    /// A server that has never run yet.
    pub fn prepare(options: ServerOptions) -> Self {
        Self {
            home: TempDir::with_prefix("footfall-it-").expect("a temporary directory"),
            port: options.socket.as_ref().map_or_else(free_port, |s| s.local_addr().expect("it is bound").port()),
            options,
            http: http_client(),
            child: None,
        }
    }

    /// Starts the process anew on the same directory and port.
    pub async fn start_again(&mut self) {
        self.spawn();
        self.ready().await;
    }

    /// A variable for the starts from here on; `None` takes it away.
    pub fn set_env(&mut self, name: &str, value: Option<&str>) {
        self.options.env.retain(|(known, _)| known != name);
        self.options.env.extend(value.map(|value| (name.to_owned(), value.to_owned())));
    }

    /// Starts the process and does not wait for it to be ready.
    pub fn spawn(&mut self) {
        assert!(self.child.is_none(), "one process at a time");
        let log = OpenOptions::new().create(true).append(true).open(self.log_path()).expect("the log file opens");
        let (mut command, input) = match &self.options.socket {
            Some(socket) => (passing_on_its_input(), Stdio::from(OwnedFd::from(socket.try_clone().expect("a copy")))),
            None => (wrapped(&self.options.wrapper, footfall_at(self.options.program.as_deref())), Stdio::null()),
        };
        let child = command
            .arg(if self.options.demo { "demo" } else { "serve" })
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--http", &format!("127.0.0.1:{}", self.port)])
            .envs(self.options.env.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(log.try_clone().expect("the log file is shared"))
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .expect("the binary starts");
        self.child = Some(child);
    }

    /// Waits until `/readyz` says yes.
    pub async fn ready(&mut self) {
        let start = self.start_ends(READY_WITHIN).await;
        assert_eq!(start, Start::Ready, "the server is not ready; its log ends:\n{}", self.log_tail());
    }

    /// Waits until a spawned process is ready or has ended, or until it has taken too long for either.
    pub async fn start_ends(&mut self, within: Duration) -> Start {
        let url = format!("{}/readyz", self.base());
        let knocking = async {
            loop {
                if let Ok(reply) = self.http.get(&url).send().await
                    && reply.status().is_success()
                {
                    return;
                }
                sleep(KNOCK_EVERY).await;
            }
        };
        tokio::select! {
            ready = timeout(within, knocking) => ready.map_or(Start::Stuck, |()| Start::Ready),
            status = self.child.as_mut().expect("started").wait() => {
                self.child = None;
                Start::Ended(status.expect("the process is reaped"))
            }
        }
    }

    /// SIGKILL: no farewell of any kind.
    pub async fn kill(&mut self) {
        let mut child = self.child.take().expect("a running server");
        child.start_kill().expect("the process can be killed");
        child.wait().await.expect("the process is reaped");
    }

    /// Waits until the process ends by itself; the signal that it died of, if it did.
    pub async fn died(&mut self, within: Duration) -> Option<i32> {
        let mut child = self.child.take().expect("a running server");
        let ended = timeout(within, child.wait()).await;
        let ended = ended.unwrap_or_else(|_| panic!("the process lives on; its log ends:\n{}", self.log_tail()));
        ended.expect("the process is reaped").signal()
    }

    /// SIGTERM, and the end that it promises: everything flushed, exit code 0.
    pub async fn stop(&mut self) {
        let code = self.terminate().await;
        assert_eq!(code, Some(0), "a clean stop ends with 0; the log ends:\n{}", self.log_tail());
        self.assert_no_panic();
    }

    /// Sends a signal, as in `TERM`.
    pub async fn signal(&self, name: &str) {
        let told = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().await;
        assert!(told.expect("kill is on the path").success(), "the signal was not delivered");
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("a running server")
    }

    /// The code with which the process ends by itself.
    pub async fn ended(&mut self) -> Option<i32> {
        let mut child = self.child.take().expect("a running server");
        let ended = timeout(STOPPED_WITHIN, child.wait()).await;
        ended.expect("the process ends").expect("the process is reaped").code()
    }

    /// Starts the next process before the running one is told to stop, and waits for both to have happened.
    pub async fn supersede(&mut self) {
        let mut old = self.child.take().expect("a running server");
        self.spawn();
        let pid = old.id().expect("a running process has an id").to_string();
        let told = Command::new("kill").args(["-TERM", &pid]).status().await.expect("kill is on the path");
        assert!(told.success(), "SIGTERM was not delivered");
        let ended = timeout(STOPPED_WITHIN, old.wait()).await.expect("it ends").expect("it is reaped");
        assert_eq!(ended.code(), Some(0), "a clean stop ends with 0; the log ends:\n{}", self.log_tail());
        self.ready().await;
    }

    /// `server.json`'s mark of the latest start; none while there is no server.
    pub fn start_mark(&self) -> Option<String> {
        let record = std::fs::read(self.data_dir().join("server.json")).ok()?;
        let record: serde_json::Value = serde_json::from_slice(&record).ok()?;
        Some(record["start"].as_str()?.to_owned())
    }

    /// SIGUSR2, and the successor that it promises: the same process, another start.
    pub async fn hand_over(&mut self) {
        let (pid, before) = (self.pid(), self.start_mark());
        self.signal("USR2").await;
        eventually("a successor comes", async || self.start_mark() != before).await;
        self.ready().await;
        assert_eq!(self.pid(), pid);
    }

    /// SIGTERM; the code with which it ends.
    pub async fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM").await;
        self.ended().await
    }

    /// A clean stop, so that all rows are in segments, and a start on them.
    pub async fn restart(&mut self) {
        self.stop().await;
        self.start_again().await;
    }

    /// The processes to come are started by nothing else.
    pub fn unwrap(&mut self) {
        self.options.wrapper.clear();
    }

    pub async fn cli(&self, args: &[&str]) -> CliOutput {
        run_cli(&self.data_dir(), &self.options.env, args).await
    }

    pub async fn create_project(&self, name: &str) -> Project {
        self.create_project_in(name, "UTC").await
    }

    pub async fn create_project_in(&self, name: &str, timezone: &str) -> Project {
        let output = self.cli(&["project", "create", name, "--timezone", timezone, "--json"]).await.succeeded();
        self.project(&output.json())
    }

    /// The project of which `footfall project create --json` printed this.
    pub fn project(&self, created: &serde_json::Value) -> Project {
        Project::from_created(created, self.base(), self.http.clone())
    }

    /// A project whose users are told by `$identify`, `$create_alias` and `$merge`.
    pub async fn create_original_project(&self, name: &str) -> Project {
        let output = self.cli(&["project", "create", name, "--merge", "original", "--json"]).await.succeeded();
        Project::from_created(&output.json(), self.base(), self.http.clone())
    }

    /// A request to this server that belongs to no project.
    pub fn request(&self, method: reqwest::Method, path_and_query: &str) -> reqwest::RequestBuilder {
        self.http.request(method, format!("{}{path_and_query}", self.base()))
    }

    /// Memory that the process holds now (its resident set).
    pub fn memory_bytes(&self) -> usize {
        let pid = self.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the process is ours");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells it");
        let kib: usize = line.trim().trim_end_matches(" kB").parse().expect("a number of KiB");
        kib << 10
    }

    pub fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.home.path().join("data")
    }

    /// Whether the tables are somewhere else than in the data directory.
    pub fn has_tables_elsewhere(&self) -> bool {
        self.options.env.iter().any(|(name, _)| name == "FOOTFALL_STORE")
    }

    /// The processes to come start on an empty data directory. The old one is gone.
    pub fn forget_data(&self) {
        assert!(self.child.is_none(), "no process has it");
        std::fs::remove_dir_all(self.data_dir()).expect("the data directory can be deleted");
    }

    /// A scratch place of this test that the server knows nothing of.
    pub fn scratch(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub fn log(&self) -> String {
        std::fs::read(self.log_path()).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// What it has logged until now may speak of panics: the test asked for one.
    pub fn forget_log(&self) {
        File::create(self.log_path()).expect("the log file is there");
    }

    pub fn assert_no_panic(&self) {
        let log = self.log();
        assert!(!log.contains("panicked at"), "the process panicked; the log ends:\n{}", self.log_tail());
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines = log.lines().collect::<Vec<_>>();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("server.log")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- server log of the failed test, last lines ---\n{}", self.log_tail());
            if std::env::var_os("FOOTFALL_KEEP").is_some() {
                self.home.disable_cleanup(true);
                eprintln!("--- kept: {}", self.home.path().display());
            }
        } else {
            self.assert_no_panic();
        }
    }
}

/// The binary under test with its standard input as descriptor 3 and the variables that systemd sets.
fn passing_on_its_input() -> Command {
    const PASS_ON: &str =
        r#"exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=footfall.socket exec "$@""#;
    let binary = footfall();
    let mut command = Command::new("sh");
    command.args(["-c", PASS_ON, "sh"]).arg(binary.as_std().get_program());
    for (name, _) in binary.as_std().get_envs() {
        command.env_remove(name);
    }
    command
}

/// Every Parquet file below a folder, checkpoints of the table's log apart.
pub fn parquet_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for path in entries.filter_map(Result::ok).map(|entry| entry.path()) {
            if path.is_dir() && !path.ends_with("_delta_log") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                found.push(path);
            }
        }
    }
    found
}

/// `bare`, started by `wrapper` if there is one.
fn wrapped(wrapper: &[String], bare: Command) -> Command {
    let [program, args @ ..] = wrapper else { return bare };
    let mut command = Command::new(program);
    command.args(args).arg(bare.as_std().get_program());
    for (name, _) in bare.as_std().get_envs() {
        command.env_remove(name);
    }
    command
}

/// A free port below the range that the kernel hands to outgoing connections: it stays ours while a server is down.
pub fn free_port() -> u16 {
    loop {
        let port = rand::random_range(10_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// Follows no redirect and unpacks nothing, so that a test sees what was sent.
fn http_client() -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .no_gzip()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(120))
        .build()
        .expect("a client without TLS needs nothing")
}
