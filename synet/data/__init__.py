"""Data sets as YOLO takes them: yamls, images, labels, videos, calibration."""
