//! The command line. Doc comments here are the help texts.

use std::path::{Path, PathBuf};

use clap::builder::BoolishValueParser;
use clap::{Args, Parser, Subcommand};
use figment::Figment;
use figment::providers::Serialized;
use footfall_ingest::MergeMode;
use serde::Serialize;

use super::cache_args::CacheArgs;
use super::care::{BackupCommand, VerifyArgs};
use super::compaction::{CompactArgs, CompactionArgs};
use super::ingest::IngestArgs;
use super::listen_args::ListenArgs;
use super::live::LiveArgs;
use super::log::{LogArgs, LogCommand};
use super::settings::{ImportFormat, SqlFormat, TimeUnit};
use super::view::ViewCommand;

/// Product analytics about users, not page views: Mixpanel-compatible, self-hosted, one binary.
#[derive(Debug, Parser)]
#[command(name = "footfall", version, arg_required_else_help = true)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server.
    Serve {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        listen: ListenArgs,
        #[command(flatten)]
        live: LiveArgs,
        #[command(flatten)]
        ingest: Box<IngestArgs>,
    },
    /// Run the server with a made-up shop to try things on; loads its events once.
    Demo {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        listen: ListenArgs,
        #[command(flatten)]
        live: LiveArgs,
        #[command(flatten)]
        ingest: Box<IngestArgs>,
        #[command(flatten)]
        demo: DemoArgs,
    },
    /// Exchange the running server for the program as it is on disk now, without a refused or failed request.
    Restart {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Create and list projects, and change their tokens; also while a server runs.
    #[command(subcommand)]
    Project(ProjectCommand),
    /// Load events from files, oldest day first. One that was broken off goes on when the same command is run again.
    Import {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        import: ImportArgs,
        /// Files and folders, `gs://bucket/prefix`, `s3://bucket/prefix`, `file:///…`, or `-` for standard input; each
        /// file plain, gzip or zstd. Of folders and prefixes all files are read, in the order of their names, but those
        /// whose name begins with a dot or an underscore.
        #[arg(required = true, value_name = "SOURCE")]
        sources: Vec<PathBuf>,
    },
    /// Merge a project's files to as few and as large ones as can be, and delete dead ones; also while a server runs.
    Compact {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        compact: CompactArgs,
    },
    /// Run one read-only SQL statement and print its rows.
    Sql {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        sql: SqlArgs,
        /// The statement, such as 'SELECT event, count(*) FROM events GROUP BY event'. In it, expr('…') is an expression
        /// over an event, as in the `where` and `on` of reports.
        query: String,
    },
    /// Keep results of statements by shard and day, and compute only what has changed; also while a server runs.
    #[command(subcommand)]
    View(ViewCommand),
    /// Show what is in a Parquet file of ours: encodings, order, event index, statistics, checksums.
    Inspect {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        output: OutputArgs,
        /// A file, or gs://bucket/path or s3://bucket/path.
        file: String,
    },
    /// Read everything stored and check it; changes nothing, also beside a server. Exit code 1 if something is damaged.
    Verify {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        engine: EngineArgs,
        #[command(flatten)]
        verify: VerifyArgs,
    },
    /// Make backups to a folder or bucket, check them, and restore one.
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Look into the log, and copy what is sound of a damaged one. Reads files only.
    #[command(subcommand)]
    Log(LogCommand),
}

#[derive(Debug, Subcommand)]
pub enum ProjectCommand {
    /// Create a project and print its credentials; the secrets cannot be read again later.
    Create {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        create: CreateArgs,
        name: String,
    },
    /// List all projects.
    List {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Give a project a new token; clients that still send the old one are no longer heard.
    RotateToken {
        #[command(flatten)]
        data: DataArgs,
        #[command(flatten)]
        output: OutputArgs,
        /// Name or id of the project.
        project: String,
    },
}

#[derive(Debug, Args, Serialize)]
pub struct DataArgs {
    /// TOML file with settings; flags and environment variables go before it.
    #[arg(long, env = "FOOTFALL_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    config: Option<PathBuf>,
    /// Folder of the log and, unless --store says otherwise, of everything else. [default: ./footfall-data]
    #[arg(long, env = "FOOTFALL_DATA_DIR", value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    data_dir: Option<PathBuf>,
    /// Where the tables live: file:///…, gs://bucket/prefix or s3://bucket/prefix. [default: {data-dir}/store]
    #[arg(long, env = "FOOTFALL_STORE", value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<url::Url>,
    /// What one request to a bucket may take. [default: 30, or what GOOGLE_TIMEOUT or AWS_TIMEOUT says]
    #[arg(long, env = "FOOTFALL_STORE_TIMEOUT", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    store_timeout: Option<u64>,
    /// How long a request to a bucket that fails is tried again. A bucket that has failed everything for so long is away:
    /// flushes wait, and what needs it is refused at once. [default: 15]
    #[arg(long, env = "FOOTFALL_STORE_PATIENCE", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    store_patience: Option<u64>,
    /// What to log, as in `info` or `warn,footfall_server=debug`. [default: what the server does, and what is wrong]
    #[arg(long, env = "FOOTFALL_LOG", value_name = "FILTER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    log: Option<String>,
}

#[derive(Debug, Args, Serialize)]
pub struct EngineArgs {
    /// Live rows of a project that start a flush to the tables.
    #[arg(long, env = "FOOTFALL_FLUSH_ROWS", value_name = "ROWS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flush_rows: Option<usize>,
    /// Memory of a project's live rows that starts a flush to the tables. [default: 256]
    #[arg(long, env = "FOOTFALL_FLUSH_MEMORY", value_name = "MIB")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flush_memory: Option<usize>,
    /// Age of the oldest live row that starts a flush.
    #[arg(long, env = "FOOTFALL_FLUSH_AGE", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    flush_age: Option<u64>,
    /// Shards of new projects; a project keeps the number it was created with.
    #[arg(long, env = "FOOTFALL_SHARDS", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<u16>,
    /// Threads that queries run on. [default: one per core]
    #[arg(long, env = "FOOTFALL_QUERY_THREADS", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    query_threads: Option<usize>,
    #[command(flatten)]
    compaction: CompactionArgs,
    #[command(flatten)]
    #[serde(flatten)]
    log: LogArgs,
    #[command(flatten)]
    #[serde(flatten)]
    cache: CacheArgs,
}

#[derive(Debug, Args, Serialize)]
pub struct DemoArgs {
    /// Customers of the made-up shop; counts when the demo is loaded, which happens once. [default: 42000, about 1.2 million events]
    #[arg(long, env = "FOOTFALL_USERS", value_name = "NUMBER")]
    #[serde(skip_serializing_if = "Option::is_none")]
    users: Option<u32>,
}

#[derive(Debug, Args, Serialize)]
pub struct CreateArgs {
    /// Time zone of the project's days, as in Europe/Berlin. [default: UTC]
    #[arg(long, env = "FOOTFALL_TIMEZONE", value_name = "TZ")]
    #[serde(skip_serializing_if = "Option::is_none")]
    timezone: Option<String>,
    /// How the ids of one user are joined: simplified, original or legacy. [default: simplified]
    #[arg(long, env = "FOOTFALL_MERGE", value_name = "MODE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    merge: Option<MergeMode>,
    /// Shards of the project.
    #[arg(long, env = "FOOTFALL_SHARDS", value_name = "NUMBER")]
    #[serde(skip)]
    shards: Option<u16>,
    #[command(flatten)]
    #[serde(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args, Serialize)]
pub struct OutputArgs {
    /// Print JSON and nothing else.
    #[arg(long, env = "FOOTFALL_JSON", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    json: Option<bool>,
}

#[derive(Debug, Args, Serialize)]
pub struct ImportArgs {
    /// Name or id of the project.
    #[arg(long, env = "FOOTFALL_PROJECT", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// Form of the files. [default: told from each file's name and content]
    #[arg(long, env = "FOOTFALL_FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<ImportFormat>,
    /// Which columns of CSV and Parquet files mean what: event, distinct_id, user_id, device_id, time, insert_id and
    /// properties (a JSON object, merged); `distinct_id=` says that there is none. The other columns are properties.
    /// [default: columns of these names, and timestamp for time]
    #[arg(long, env = "FOOTFALL_MAP", value_name = "TARGET=COLUMN,…", value_delimiter = ',')]
    #[serde(skip_serializing_if = "Vec::is_empty")]
    map: Vec<String>,
    /// What the numbers in the time column of CSV and Parquet files count. [default: s or ms, by their size]
    #[arg(long, env = "FOOTFALL_TIME_UNIT", value_name = "UNIT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    time_unit: Option<TimeUnit>,
    /// Name of all events in CSV and Parquet files that have no column for it.
    #[arg(long, env = "FOOTFALL_EVENT", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<String>,
    /// Load nothing, and exit with 1, if there is one bad record. [default: say which are bad and load the others]
    #[arg(long, env = "FOOTFALL_STRICT", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<bool>,
    /// Begin anew, whatever an earlier run of this import has done. Events that are there already are recognised.
    #[arg(long, env = "FOOTFALL_RESTART", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    #[arg(value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<bool>,
    #[command(flatten)]
    #[serde(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args, Serialize)]
pub struct SqlArgs {
    /// Name or id of the project.
    #[arg(long, env = "FOOTFALL_PROJECT", value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    project: Option<String>,
    /// Form of the result on standard output. [default: table]
    #[arg(long, env = "FOOTFALL_FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<SqlFormat>,
}

impl Command {
    pub fn config_file(&self) -> Option<&Path> {
        self.data().config.as_deref()
    }

    /// Whether only the settings are asked about.
    pub fn is_check(&self) -> bool {
        matches!(self, Self::Serve { listen, .. } | Self::Demo { listen, .. } if listen.is_check())
    }

    /// Lays what was given on the command line or in the environment over `figment`.
    pub fn merge_into(&self, figment: Figment) -> Figment {
        let figment = figment.merge(Serialized::globals(self.data()));
        match self {
            Self::Serve { engine, listen, live, ingest, .. } => figment
                .merge(Serialized::globals(engine))
                .merge(Serialized::globals(listen))
                .merge(Serialized::global("live", live))
                .merge(Serialized::global("ingest", ingest)),
            Self::Demo { engine, listen, live, ingest, demo, .. } => figment
                .merge(Serialized::globals(engine))
                .merge(Serialized::globals(listen))
                .merge(Serialized::global("live", live))
                .merge(Serialized::global("ingest", ingest))
                .merge(Serialized::global("demo", demo)),
            Self::Import { engine, import, .. } => {
                figment.merge(Serialized::globals(engine)).merge(Serialized::global("import", import))
            }
            Self::Sql { engine, sql, .. } => {
                figment.merge(Serialized::globals(engine)).merge(Serialized::global("sql", sql))
            }
            Self::Compact { engine, compact, .. } => {
                figment.merge(Serialized::globals(engine)).merge(Serialized::global("compact", compact))
            }
            Self::Restart { .. } => figment,
            Self::Project(ProjectCommand::Create { create, .. }) => {
                let figment = figment.merge(Serialized::global("project", create));
                match create.shards {
                    Some(shards) => figment.merge(Serialized::global("shards", shards)),
                    None => figment,
                }
            }
            Self::Project(ProjectCommand::List { output, .. } | ProjectCommand::RotateToken { output, .. }) => {
                figment.merge(Serialized::global("project", output))
            }
            Self::View(command) => command.merge_into(figment),
            Self::Inspect { output, .. } => figment.merge(Serialized::global("inspect", output)),
            Self::Verify { engine, verify, .. } => {
                figment.merge(Serialized::globals(engine)).merge(Serialized::global("verify", verify))
            }
            Self::Backup(command) => command.merge_into(figment),
            Self::Log(command) => command.merge_into(figment),
        }
    }

    fn data(&self) -> &DataArgs {
        match self {
            Self::Serve { data, .. }
            | Self::Demo { data, .. }
            | Self::Restart { data }
            | Self::Import { data, .. }
            | Self::Compact { data, .. }
            | Self::Sql { data, .. }
            | Self::Inspect { data, .. }
            | Self::Verify { data, .. } => data,
            Self::Backup(command) => command.data(),
            Self::Project(
                ProjectCommand::Create { data, .. }
                | ProjectCommand::List { data, .. }
                | ProjectCommand::RotateToken { data, .. },
            ) => data,
            Self::View(command) => command.data(),
            Self::Log(command) => command.data(),
        }
    }
}
