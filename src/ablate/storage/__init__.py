"""What is read and written: checksums, atomic writing, typed content, paths."""
