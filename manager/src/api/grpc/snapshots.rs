//! The Snapshots service: request → noun → reply.

use knarr_proto::v1;
use knarr_proto::v1::snapshots_server::Snapshots as Service;
use tonic::{Request, Response, Status};

use super::pieces;
use super::replies::Replies;
use crate::snapshots::{Kind, Snapshot, Snapshots};

/// The service, on the noun.
pub(crate) struct SnapshotsService(pub(crate) Snapshots);

#[tonic::async_trait]
impl Service for SnapshotsService {
    type ListStream = Replies<v1::ListSnapshotsReply>;

    async fn list(&self, _: Request<v1::ListSnapshotsRequest>) -> Result<Response<Self::ListStream>, Status> {
        let snapshots = self.0.list().await?.into_iter().map(message);
        let replies = pieces::replies(snapshots, |snapshots| v1::ListSnapshotsReply { snapshots });
        Ok(Response::new(Box::pin(replies)))
    }

    async fn stat(
        &self,
        request: Request<v1::StatSnapshotRequest>,
    ) -> Result<Response<v1::StatSnapshotReply>, Status> {
        let snapshot = self.0.stat(&request.into_inner().key).await?;
        Ok(Response::new(v1::StatSnapshotReply { snapshot: Some(message(snapshot)) }))
    }

    async fn usage(
        &self,
        request: Request<v1::SnapshotUsageRequest>,
    ) -> Result<Response<v1::SnapshotUsageReply>, Status> {
        let usage = self.0.usage(&request.into_inner().key).await?;
        Ok(Response::new(v1::SnapshotUsageReply { size_bytes: usage.size_bytes, inodes: usage.inodes }))
    }

    async fn mounts(
        &self,
        request: Request<v1::SnapshotMountsRequest>,
    ) -> Result<Response<v1::SnapshotMountsReply>, Status> {
        let mounts = self.0.mounts(&request.into_inner().key).await?;
        let mounts = mounts.into_iter().map(|mount| v1::SnapshotMount {
            r#type: mount.kind.as_str().to_owned(),
            source: mount.source,
            options: mount.options,
        });
        Ok(Response::new(v1::SnapshotMountsReply { mounts: mounts.collect() }))
    }
}

fn message(snapshot: Snapshot) -> v1::Snapshot {
    let kind = match snapshot.kind {
        Kind::Committed => v1::SnapshotKind::Committed,
        Kind::Active => v1::SnapshotKind::Active,
    };
    v1::Snapshot {
        key: snapshot.key,
        parent: snapshot.parent.unwrap_or_default(),
        kind: kind.into(),
        created_at: Some(snapshot.created_at.into()),
        snapshotter: snapshot.snapshotter,
    }
}
