"""Files: checksums, atomic writing, typed content, paths."""
