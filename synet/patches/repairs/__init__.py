"""What today's libraries broke in old code, mended."""
