//! criu's RPC as far as we speak it (`images/rpc.proto` of criu): requests are written, responses read, by hand, since
//! a protobuf library would be larger than all that is said. Never decides what to ask.

use super::error::CheckpointError;

/// Types of requests and responses (`criu_req_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Save and, unless told otherwise, end.
    Dump = 1,
    /// Bring back.
    Restore = 2,
    /// Save memory, and go on.
    PreDump = 4,
    /// criu has something to tell, and waits for an answer.
    Notify = 6,
    /// Can the kernel do it?
    FeatureCheck = 9,
    /// Which criu is it?
    Version = 10,
}

/// Numbers of the fields of `criu_opts`.
pub(crate) mod field {
    #![allow(missing_docs)]
    pub(crate) const IMAGES_DIR_FD: u32 = 1;
    pub(crate) const PID: u32 = 2;
    pub(crate) const LEAVE_RUNNING: u32 = 3;
    pub(crate) const EXT_UNIX_SK: u32 = 4;
    pub(crate) const TCP_ESTABLISHED: u32 = 5;
    pub(crate) const EVASIVE_DEVICES: u32 = 6;
    pub(crate) const SHELL_JOB: u32 = 7;
    pub(crate) const FILE_LOCKS: u32 = 8;
    pub(crate) const LOG_LEVEL: u32 = 9;
    pub(crate) const LOG_FILE: u32 = 10;
    pub(crate) const PAGE_SERVER: u32 = 11;
    pub(crate) const NOTIFY_SCRIPTS: u32 = 12;
    pub(crate) const ROOT: u32 = 13;
    pub(crate) const PARENT_IMG: u32 = 14;
    pub(crate) const TRACK_MEM: u32 = 15;
    pub(crate) const AUTO_DEDUP: u32 = 16;
    pub(crate) const WORK_DIR_FD: u32 = 17;
    pub(crate) const LINK_REMAP: u32 = 18;
    pub(crate) const EXT_MNT: u32 = 23;
    pub(crate) const MANAGE_CGROUPS: u32 = 24;
    pub(crate) const CG_ROOT: u32 = 25;
    pub(crate) const RST_SIBLING: u32 = 26;
    pub(crate) const INHERIT_FD: u32 = 27;
    pub(crate) const MANAGE_CGROUPS_MODE: u32 = 34;
    pub(crate) const EXTERNAL: u32 = 37;
    pub(crate) const EMPTY_NS: u32 = 38;
    pub(crate) const JOIN_NS: u32 = 39;
    pub(crate) const FREEZE_CGROUP: u32 = 44;
    pub(crate) const TCP_SKIP_IN_FLIGHT: u32 = 46;
    pub(crate) const LAZY_PAGES: u32 = 48;
    pub(crate) const ORPHAN_PTS_MASTER: u32 = 50;
    pub(crate) const CONFIG_FILE: u32 = 51;
    pub(crate) const LSM_PROFILE: u32 = 53;
    pub(crate) const LSM_MOUNT_CONTEXT: u32 = 63;
}

/// Fields of `criu_req`.
const TYPE: u32 = 1;
const OPTIONS: u32 = 2;
const NOTIFY_SUCCESS: u32 = 3;
const KEEP_OPEN: u32 = 4;
const FEATURES: u32 = 5;

/// A message under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// A number, an enum's value or a boolean.
    pub(crate) fn number(&mut self, field: u32, value: u64) {
        self.varint(u64::from(field) << 3);
        self.varint(value);
    }

    /// A boolean that is set.
    pub(crate) fn flag(&mut self, field: u32, value: bool) {
        if value {
            self.number(field, 1);
        }
    }

    /// A text.
    pub(crate) fn text(&mut self, field: u32, value: &str) {
        self.bytes(field, value.as_bytes());
    }

    /// A message of two texts: `ext_mount_map`, `cgroup_root`, `join_namespace`.
    pub(crate) fn pair(&mut self, field: u32, first: &str, second: &str) {
        let mut inner = Self::default();
        inner.text(1, first);
        inner.text(2, second);
        self.bytes(field, &inner.0);
    }

    /// A message of a text and a number: `inherit_fd`, `criu_page_server_info`.
    pub(crate) fn named(&mut self, field: u32, text: &str, number: u64) {
        let mut inner = Self::default();
        inner.text(1, text);
        inner.number(2, number);
        self.bytes(field, &inner.0);
    }

    fn bytes(&mut self, field: u32, value: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A request that is carried out with these options.
#[must_use]
pub(crate) fn request(kind: Kind, options: &Message) -> Vec<u8> {
    let mut request = Message::default();
    request.number(TYPE, kind as u64);
    request.bytes(OPTIONS, &options.0);
    request.0
}

/// A question after which the connection stays; `features` are numbers of fields of `criu_features`.
#[must_use]
pub(crate) fn question(kind: Kind, features: &[u32]) -> Vec<u8> {
    let mut request = Message::default();
    request.number(TYPE, kind as u64);
    request.number(KEEP_OPEN, 1);
    if !features.is_empty() {
        let mut wanted = Message::default();
        features.iter().for_each(|feature| wanted.number(*feature, 1));
        request.bytes(FEATURES, &wanted.0);
    }
    request.0
}

/// The answer to a notification.
#[must_use]
pub(crate) fn answer(is_done: bool) -> Vec<u8> {
    let mut request = Message::default();
    request.number(TYPE, Kind::Notify as u64);
    request.number(NOTIFY_SUCCESS, u64::from(is_done));
    request.0
}

/// What criu said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Response {
    /// Whether it worked.
    pub(crate) success: bool,
    /// The errno of what did not.
    pub(crate) errno: Option<i32>,
    /// Name and pid of a notification.
    pub(crate) notify: Option<(String, u32)>,
    /// Features that are there: numbers of fields of `criu_features`.
    pub(crate) features: Vec<u32>,
    /// As `major * 10000 + minor * 100 + sublevel`.
    pub(crate) version: Option<u64>,
}

/// One field: its number and what it holds.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Of a type that no field of ours has.
    Other,
}

impl Response {
    /// Reads a response.
    ///
    /// # Errors
    /// [`CheckpointError::Malformed`].
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CheckpointError> {
        let mut response = Self::default();
        let mut notice = None;
        for (number, value) in fields(bytes)? {
            match (number, value) {
                (2, Value::Number(success)) => response.success = success != 0,
                (5, Value::Bytes(inner)) => notice = Some(inner),
                (7, Value::Number(errno)) => response.errno = i32::try_from(errno).ok(),
                (8, Value::Bytes(inner)) => response.features = features(inner)?,
                (10, Value::Bytes(inner)) => response.version = Some(version(inner)?),
                _ => {}
            }
        }
        response.notify = notice.map(notification).transpose()?;
        Ok(response)
    }
}

fn notification(bytes: &[u8]) -> Result<(String, u32), CheckpointError> {
    let (mut script, mut pid) = (String::new(), 0);
    for (number, value) in fields(bytes)? {
        match (number, value) {
            (1, Value::Bytes(text)) => script = String::from_utf8_lossy(text).into_owned(),
            (2, Value::Number(number)) => {
                pid = u32::try_from(number).map_err(|_| CheckpointError::Malformed)?;
            }
            _ => {}
        }
    }
    Ok((script, pid))
}

fn features(bytes: &[u8]) -> Result<Vec<u32>, CheckpointError> {
    let there = fields(bytes)?.into_iter().filter(|(_, value)| matches!(value, Value::Number(1)));
    Ok(there.map(|(number, _)| number).collect())
}

fn version(bytes: &[u8]) -> Result<u64, CheckpointError> {
    let mut version = 0_u64;
    for (number, value) in fields(bytes)? {
        let weight = match number {
            1 => 10_000,
            2 => 100,
            4 => 1,
            _ => 0,
        };
        if let Value::Number(part) = value {
            version = version.saturating_add(part.saturating_mul(weight));
        }
    }
    Ok(version)
}

/// Every field of a message, in order.
fn fields(mut bytes: &[u8]) -> Result<Vec<(u32, Value<'_>)>, CheckpointError> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let tag = varint(&mut bytes)?;
        let number = u32::try_from(tag >> 3).map_err(|_| CheckpointError::Malformed)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut bytes)?),
            1 => take(&mut bytes, 8).map(|_| Value::Other)?,
            2 => {
                let length = varint(&mut bytes)?;
                Value::Bytes(take(&mut bytes, length)?)
            }
            5 => take(&mut bytes, 4).map(|_| Value::Other)?,
            _ => return Err(CheckpointError::Malformed),
        };
        fields.push((number, value));
    }
    Ok(fields)
}

fn varint(bytes: &mut &[u8]) -> Result<u64, CheckpointError> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let byte = take(bytes, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(CheckpointError::Malformed)
}

fn take<'a>(bytes: &mut &'a [u8], count: u64) -> Result<&'a [u8], CheckpointError> {
    let count = usize::try_from(count).map_err(|_| CheckpointError::Malformed)?;
    let (taken, rest) = bytes.split_at_checked(count).ok_or(CheckpointError::Malformed)?;
    *bytes = rest;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes as protoc has them: `echo 'type: DUMP opts { images_dir_fd: 300 pid: 7 }' | protoc --encode=criu_req`.
    #[test]
    fn a_request_is_what_protoc_makes_of_it() {
        let mut options = Message::default();
        options.number(field::IMAGES_DIR_FD, 300);
        options.number(field::PID, 7);
        options.flag(field::LEAVE_RUNNING, false);
        assert_eq!(request(Kind::Dump, &options), [8, 1, 18, 5, 8, 172, 2, 16, 7]);
        let mut options = Message::default();
        options.pair(field::EXT_MNT, "/a", "b");
        assert_eq!(request(Kind::Restore, &options), [8, 2, 18, 10, 186, 1, 7, 10, 2, 47, 97, 18, 1, 98]);
        assert_eq!(question(Kind::FeatureCheck, &[1]), [8, 9, 32, 1, 42, 2, 8, 1]);
        assert_eq!(answer(true), [8, 6, 24, 1]);
    }

    #[test]
    fn a_response_is_read_and_what_is_unknown_in_it_skipped() {
        let notify = [8, 6, 16, 1, 42, 8, 10, 4, 112, 111, 115, 116, 16, 9, 0xa5, 6, 1, 2, 3, 4];
        let response = Response::parse(&notify).expect("whole");
        assert!(response.success);
        assert_eq!(response.notify, Some(("post".to_owned(), 9)));
        let version = Response::parse(&[8, 10, 16, 1, 82, 6, 8, 4, 16, 1, 32, 1]).expect("whole");
        assert_eq!(version.version, Some(40_101));
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
            drop(Response::parse(&bytes));
        }
    }
}
