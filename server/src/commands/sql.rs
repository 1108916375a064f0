//! `footfall sql`: one statement; standard output holds its result and nothing else.

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::util::pretty::pretty_format_batches;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::CommandError;
use super::backend::Backend;
use super::output::{Reader, print, write};
use crate::config::{Settings, SqlFormat};
use crate::encode::{Format, encoded};

type Pieces = BoxStream<'static, Result<Bytes, CommandError>>;

pub async fn run(query: &str, settings: &Settings) -> Result<(), CommandError> {
    let project = settings.sql.project.as_deref().ok_or_else(|| CommandError::usage("--project is missing"))?;
    let backend = Backend::open(settings).await?;
    let result = answer(&backend, project, query, settings.sql.format).await;
    backend.close().await?;
    result
}

async fn answer(backend: &Backend, project: &str, query: &str, form: SqlFormat) -> Result<(), CommandError> {
    let format = match form {
        SqlFormat::Json => Format::Json,
        SqlFormat::Csv => Format::Csv,
        // A table is laid out here, from the rows.
        SqlFormat::Arrow | SqlFormat::Table => Format::Arrow,
    };
    let mut pieces = ask(backend, project, query, format).await?;
    if form == SqlFormat::Table {
        return print_table(pieces).await;
    }
    while let Some(piece) = pieces.next().await {
        if write(&piece?)? == Reader::Gone {
            return Ok(());
        }
    }
    if form == SqlFormat::Json { print("") } else { Ok(()) }
}

async fn ask(backend: &Backend, project: &str, query: &str, format: Format) -> Result<Pieces, CommandError> {
    match backend {
        Backend::Server(server) => {
            let reply = server.sql(project, query, format.content_type()).await?;
            let pieces = stream::try_unfold(reply, |mut reply| async move {
                let piece = reply.chunk().await;
                let piece = piece.map_err(|_| CommandError::failed("the server broke the answer off"))?;
                Ok(piece.map(|piece| (piece, reply)))
            });
            Ok(pieces.boxed())
        }
        Backend::Engine { engine, .. } => {
            let project = backend.project(project).await?;
            let rows = engine.sql(project.id, query, &[]).await?;
            Ok(encoded(rows, format).await?.map(|piece| piece.map_err(CommandError::from)).boxed())
        }
    }
}

/// A table needs the widest cell of each column first, so all rows are read before the first is printed.
async fn print_table(mut pieces: Pieces) -> Result<(), CommandError> {
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await {
        bytes.extend_from_slice(&piece?);
    }
    let broken = |e: arrow::error::ArrowError| CommandError::failed(format!("the result cannot be read: {e}"));
    let reader = StreamReader::try_new(bytes.as_slice(), None).map_err(broken)?;
    let schema = reader.schema();
    let mut batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>().map_err(broken)?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema));
    }
    print(&pretty_format_batches(&batches).map_err(broken)?.to_string())
}
