#!/usr/bin/env python3
# How old and how large the newest file of each backup folder is, and how many files there are.
# Tells: backup_files, and of the newest file backup_age_seconds and backup_newest_bytes, each with the tag folder. An age below 0 is of a file from the future: a clock is wrong.
# Needs: python3, and the right to look into the folders. Copy it into scripts_enabled and name your own folders here.
import os
import sys
import time

FOLDERS = ["/var/backups"]

is_whole = True
for folder in FOLDERS:
    try:
        with os.scandir(folder) as entries:
            files = [entry.stat() for entry in entries if entry.is_file(follow_symlinks=False)]
    except OSError as error:
        print(f"{folder}: {error.strerror}", file=sys.stderr)
        is_whole = False
        continue
    # A tag ends at a blank.
    tag = "folder=" + folder.replace(" ", "_")
    print(f"backup_files {len(files)} backup stack {tag}")
    if files:
        newest = max(files, key=lambda file: file.st_mtime)
        print(f"backup_age_seconds {int(time.time() - newest.st_mtime)} backup stack {tag}")
        print(f"backup_newest_bytes {newest.st_size} backup stack {tag}")
sys.exit(0 if is_whole else 1)
