//! An open file.

use std::io;
use std::time::SystemTime;

use super::{Disk, Node, SimulatedFs, broken};
use crate::fs::{FileMeta, FsFile};

#[derive(Debug)]
pub(super) struct Handle {
    pub(super) disk: SimulatedFs,
    pub(super) node: u64,
    pub(super) id: u64,
    pub(super) epoch: u64,
}

impl Handle {
    fn call<T>(&self, work: impl FnOnce(&mut Disk) -> io::Result<T>) -> io::Result<T> {
        self.disk.call(|disk| if disk.epoch == self.epoch { work(disk) } else { Err(broken()) })
    }
}

impl FsFile for Handle {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.call(|disk| {
            disk.stale_read = disk.stale_read.saturating_sub(1);
            if disk.stale_read == 0 && std::mem::take(&mut disk.stale_planned) {
                return Err(io::ErrorKind::StaleNetworkFileHandle.into());
            }
            let data = &disk.node(self.node).data;
            let rest = data.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            Ok(count)
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.call(|disk| {
            let data = &mut disk.node(self.node).data;
            let end = offset as usize + bytes.len();
            data.resize(data.len().max(end), 0);
            data[offset as usize..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.call(|disk| {
            disk.node(self.node).data.resize(length as usize, 0);
            Ok(())
        })
    }

    fn set_modified(&self, _: SystemTime) -> io::Result<()> {
        self.call(|_| Ok(()))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.call_or(
            |disk| disk.node(self.node).condemned = true,
            |disk| {
                if disk.epoch != self.epoch {
                    return Err(broken());
                }
                let node = disk.node(self.node);
                if !node.condemned {
                    node.synced_data = node.data.clone();
                }
                Ok(())
            },
        )
    }

    fn sync_volume(&self) -> io::Result<()> {
        self.disk.call_or(
            |disk| disk.nodes.values_mut().for_each(Node::condemn),
            |disk| {
                if disk.epoch != self.epoch {
                    return Err(broken());
                }
                for node in disk.nodes.values_mut().filter(|node| !node.condemned) {
                    node.synced_data = node.data.clone();
                    node.synced_entries = node.entries.clone();
                    node.synced_modified = node.modified;
                }
                Ok(())
            },
        )
    }

    fn meta(&self) -> io::Result<FileMeta> {
        self.call(|disk| Ok(disk.meta(self.node)))
    }

    fn try_lock(&self) -> io::Result<bool> {
        self.call(|disk| {
            let owner = &mut disk.node(self.node).locked_by;
            Ok(*owner.get_or_insert(self.id) == self.id)
        })
    }

    fn unlock(&self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        if disk.epoch == self.epoch && disk.node(self.node).locked_by == Some(self.id) {
            disk.node(self.node).locked_by = None;
            assert!(
                !disk.network || disk.off || !disk.has_hidden_journal(),
                "another machine would not see the journal"
            );
        }
        Ok(())
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let _ = self.unlock();
    }
}
