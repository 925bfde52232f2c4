"""Files on disk to passages in memory: which files, where they are cut, and what a second import changes."""

from ruvllm_mcp.ingest.importer import ImportReport as ImportReport
from ruvllm_mcp.ingest.importer import import_path as import_path
from ruvllm_mcp.ingest.importer import import_records as import_records
