"""Zips, folders and layers: a content-addressed store, safe extraction, and what makes a deploy."""

from core.archives.deploys import check_unzipped_size, deploy_id
from core.archives.store import Archive, ArchiveStore

__all__ = ["Archive", "ArchiveStore", "check_unzipped_size", "deploy_id"]
