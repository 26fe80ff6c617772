"""What users hand in: arrays, rows that stay on disk, files, batches; read, or refused in one sentence."""
