//! One record as bytes. The layout is drawn in the module above; this is the only place that knows it.

use super::Lsn;

/// Bytes in front of the payload.
pub(super) const RECORD_HEADER_BYTES: usize = 29;

/// The largest payload one record may carry.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// Kind of a record that stands for one that is lost; replay passes it over.
pub(crate) const LOST: u8 = 255;

const LEN: usize = 4;
const CRC: usize = 4;

/// A record as replay sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    pub lsn: Lsn,
    pub project: u32,
    pub kind: u8,
    pub payload: &'a [u8],
}

/// A record with the fields only recovery looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded<'a> {
    pub record: Record<'a>,
    pub epoch: u32,
    /// Place in its group, counted from 0.
    pub nth: u32,
}

impl Decoded<'_> {
    /// The first lsn of the group this record was synced with (L6).
    pub fn group_start(&self) -> u64 {
        self.record.lsn.0.saturating_sub(u64::from(self.nth))
    }

    pub fn encoded_len(&self) -> usize {
        RECORD_HEADER_BYTES + self.record.payload.len()
    }
}

pub(super) fn encode(out: &mut Vec<u8>, seed: u32, epoch: u32, nth: u32, record: Record<'_>) {
    let len = u32::try_from(record.payload.len()).expect("append refused a payload past PAYLOAD_BYTES_MAX");
    let start = out.len();
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&[0; CRC]);
    out.extend_from_slice(&record.lsn.0.to_le_bytes());
    out.extend_from_slice(&epoch.to_le_bytes());
    out.extend_from_slice(&nth.to_le_bytes());
    out.extend_from_slice(&record.project.to_le_bytes());
    out.push(record.kind);
    out.extend_from_slice(record.payload);
    let (head, body) = out[start..].split_at_mut(LEN + CRC);
    let crc = checksum(seed, len, body);
    head[LEN..].copy_from_slice(&crc.to_le_bytes());
}

/// The record at the start of `bytes`, or `None` if what is there is not a whole and sound one.
pub(super) fn decode(bytes: &[u8], seed: u32) -> Option<Decoded<'_>> {
    let prefix = Prefix::decode(bytes)?;
    let body_bytes = RECORD_HEADER_BYTES - LEN - CRC + usize::try_from(prefix.len).ok()?;
    let body = bytes.get(LEN + CRC..)?.get(..body_bytes)?;
    if checksum(seed, prefix.len, body) != prefix.crc {
        return None;
    }
    let payload = bytes.get(RECORD_HEADER_BYTES..LEN + CRC + body_bytes)?;
    let record = Record { lsn: Lsn(prefix.lsn), project: prefix.project, kind: prefix.kind, payload };
    Some(Decoded { record, epoch: prefix.epoch, nth: prefix.nth })
}

/// The fixed part, not yet verified: cheap enough to try at every byte of a damaged file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    len: u32,
    crc: u32,
    pub lsn: u64,
    pub epoch: u32,
    pub nth: u32,
    project: u32,
    kind: u8,
}

impl Prefix {
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        Some(Self {
            len: u32::from_le_bytes(take(&mut rest)?),
            crc: u32::from_le_bytes(take(&mut rest)?),
            lsn: u64::from_le_bytes(take(&mut rest)?),
            epoch: u32::from_le_bytes(take(&mut rest)?),
            nth: u32::from_le_bytes(take(&mut rest)?),
            project: u32::from_le_bytes(take(&mut rest)?),
            kind: u8::from_le_bytes(take(&mut rest)?),
        })
    }
}

/// Splits `N` bytes off the front.
pub(super) fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

fn checksum(seed: u32, len: u32, body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(seed, &len.to_le_bytes()), body)
}
