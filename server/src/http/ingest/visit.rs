//! One request on its way through admission: received, given turns to compute in, counted wherever it ends.

use axum::extract::Request;
use axum::http::HeaderMap;
use axum::response::Response;
use footfall_engine::Arrival;
use footfall_ingest::{DecodeError, Form};

use super::body::{self, BodyError, NotReceived, Received, UnzipLimits};
use super::replies::{busy, not_received, not_stored};
use super::store::{Batch, NotStored, Storing, Stray, store};
use super::wire::{Encoding, Envelope, Params, Unpacked, Wrapping, client_address, unpack};
use super::{arrival_ms, peek};
use crate::admission::{Busy, Held, Pace, Tenant, Turn, until_it_waits};
use crate::ledger::{Kind, Receipt, Settled, Source};
use crate::state::AppState;

/// Times its own size that a zipped body holds, mostly: how long unzipping may take is not known before.
const UNZIP_RATIO_USUAL: usize = 10;

/// What a handler holds of a request while it works on it.
pub(super) struct Visit {
    state: AppState,
    source: Source,
    tenant: Tenant,
    /// Time of arrival, milliseconds since the epoch.
    pub now_ms: i64,
    /// Bytes to work on: what the body unzips to.
    bytes: usize,
    turn: Option<Turn>,
    /// Its place in memory, given back when the request is answered.
    _held: Held,
}

/// A request of an ingestion route, unpacked.
pub(super) struct Wire {
    pub headers: HeaderMap,
    pub params: Params,
    pub wrapping: Wrapping,
    pub form: Form,
    /// JSON text as bytes, or why there is none.
    pub text: Result<bytes::Bytes, DecodeError>,
    /// The client's address, as far as it is known.
    pub address: Option<String>,
}

impl Visit {
    /// Receives and unpacks a request within all limits, or answers why not.
    pub async fn receive(state: &AppState, route: &'static str, request: Request) -> Result<(Self, Wire), Response> {
        let intake = &state.intake;
        let (parts, body) = request.into_parts();
        let envelope = Envelope::of(&parts);
        let by_credentials = peek::by_credentials(state, &parts.headers, &envelope.query);
        let tenant_of = |prefix: &[u8]| by_credentials.unwrap_or_else(|| peek::by_token(state, &envelope, prefix));
        let received = body::read(&intake.admission, &intake.settings, &parts.headers, body, tenant_of).await;
        let now_ms = arrival_ms();
        let source = |tenant| Source { route, known: tenant != Tenant::Unknown };
        let Received { bytes: body, tenant, held } = match received {
            Ok(received) => received,
            Err(NotReceived { error, tenant, seen }) => {
                intake.ledger.count_request(source(tenant), seen);
                refuse(state, source(tenant), tenant, now_ms, error.reason());
                return Err(not_received(error, &intake.settings));
            }
        };
        intake.ledger.count_request(source(tenant), body.len());
        let limits =
            UnzipLimits { bytes_max: intake.settings.body_bytes_max, ratio_max: intake.settings.unzip_ratio_max.get() };
        let bytes = body.len();
        let work = if envelope.encoding == Encoding::Gzip { bytes.saturating_mul(UNZIP_RATIO_USUAL) } else { bytes };
        let unpacking = intake.admission.compute(None, tenant, work, move |_| {
            let mut held = held;
            let unpacked = unpack(&envelope, body, limits, |more| Ok(held.grow(more)?));
            (unpacked, held)
        });
        let ((unpacked, held), turn) = match unpacking.await {
            Ok((done, turn)) => (done, Some(turn)),
            Err(refused) => {
                refuse(state, source(tenant), tenant, now_ms, refused.reason());
                return Err(busy(refused));
            }
        };
        let Unpacked { params, wrapping, form, text } = unpacked.map_err(|error: BodyError| {
            refuse(state, source(tenant), tenant, now_ms, error.reason());
            not_received(error, &intake.settings)
        })?;
        let bytes = text.as_ref().map_or(bytes, |text| text.len());
        let address = client_address(&parts);
        let visit = Self { state: state.clone(), source: source(tenant), tenant, now_ms, bytes, turn, _held: held };
        Ok((visit, Wire { headers: parts.headers, params, wrapping, form, text, address }))
    }

    /// Runs work on the request's text in a turn of its tenant.
    pub async fn compute<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Pace<'_>) -> T + Send + 'static,
    ) -> Result<T, Busy> {
        let turn = self.turn.take();
        let (done, turn) = self.state.intake.admission.compute(turn, self.tenant, self.bytes, work).await?;
        self.turn = Some(turn);
        Ok(done)
    }

    /// Asks something that is known at once nearly always, and waits without a turn where it is not.
    pub async fn ask<F: Future>(&mut self, question: F) -> F::Output {
        until_it_waits(&mut self.turn, question).await
    }

    /// Counts a request that ends before its records are known.
    pub fn refuse(&self, reason: &'static str) {
        refuse(&self.state, self.source, self.tenant, self.now_ms, reason);
    }

    /// As [`Self::refuse`], for text that holds no records.
    pub fn refuse_undecodable(&self, error: DecodeError) {
        self.refuse(match error {
            DecodeError::Empty => "empty",
            DecodeError::InvalidJson => "invalid_json",
            DecodeError::TooManyRecords => "too_many_records",
        });
    }

    /// As [`Self::refuse`], with the reply.
    pub fn refuse_busy(&self, refused: Busy) -> Response {
        self.refuse(refused.reason());
        busy(refused)
    }

    /// Enters records into the books: from here on each ends somewhere.
    pub fn open(&self, kind: Kind, records: usize) -> Receipt {
        self.state.intake.ledger.receive(kind, records)
    }

    /// As [`Self::open`], from within work.
    pub fn opener(&self, kind: Kind) -> impl FnOnce(usize) -> Receipt + Send + use<> {
        let ledger = self.state.intake.ledger.clone();
        move |records| ledger.receive(kind, records)
    }

    /// Ends all records of a request at once.
    pub fn close(&self, mut receipt: Receipt, reason: &'static str) {
        let settled = Settled::rejected(reason, receipt.open());
        receipt.settle(None, &settled);
    }

    /// Stores the batches and settles everything. `Err` is the reply.
    pub async fn store(&mut self, mut receipt: Receipt, batches: Vec<Batch>, stray: Stray) -> Result<(), Response> {
        receipt.settle(None, &stray.settled);
        if let Tenant::Project(project) = self.tenant
            && !stray.settled.rejected.is_empty()
        {
            let refused = Settled { rejected: stray.settled.rejected, ..Settled::default() };
            self.state.intake.quality.add(project, self.now_ms, self.source.route, stray.observed, &refused);
        }
        if batches.is_empty() {
            return Ok(());
        }
        let storing = Storing {
            state: self.state.clone(),
            source: self.source,
            arrival: Arrival::from_source(self.source.route),
            now_ms: self.now_ms,
            bytes: self.bytes,
            rated: true,
        };
        match store(storing, self.turn.take(), receipt, batches).await {
            Ok(_) => Ok(()),
            Err(NotStored::Engine(error)) => Err(not_stored(&error)),
            Err(NotStored::Busy(refused)) => Err(busy(refused)),
        }
    }
}

fn refuse(state: &AppState, source: Source, tenant: Tenant, now_ms: i64, reason: &'static str) {
    state.intake.ledger.count_refused(source, reason);
    if let Tenant::Project(project) = tenant {
        state.intake.quality.add_refused_request(project, now_ms, source.route, reason);
    }
}
