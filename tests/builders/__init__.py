"""What several test files build: records, studies, runs, probes, and a strict reader of pages."""
