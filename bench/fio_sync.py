#!/usr/bin/env python3
"""fio doing what `duramen bench disk --sync datasync` does: writes of one size over a file that was
written before, an fdatasync after each. Prints the same keys.

    fio_sync.py DIR BATCH_BYTES SECONDS

Exit 2: usage, 4: fio.
"""
import json
import os
import subprocess
import sys
import tempfile

FILE_BYTES = 256_000_000


def measure(directory, batch_bytes, seconds):
    with tempfile.TemporaryDirectory(dir=directory, prefix="fio-") as folder:
        ran = subprocess.run(
            ["fio", "--name=sync", f"--directory={folder}", f"--size={FILE_BYTES}", "--rw=write",
             f"--bs={batch_bytes}", "--ioengine=psync", "--fdatasync=1", "--overwrite=1",
             "--time_based", f"--runtime={seconds}", "--output-format=json"],
            capture_output=True, text=True, check=False)
    if ran.returncode != 0:
        print(f"fio ended with {ran.returncode}: {ran.stderr.strip()}", file=sys.stderr)
        sys.exit(4)
    job = json.loads(ran.stdout)["jobs"][0]
    took = {part: job["sync"]["lat_ns"]["percentile"][f"{share:.6f}"] / 1000
            for part, share in (("p50_us", 50), ("p99_us", 99), ("p999_us", 99.9))}
    return {"bench": "fio", "batch_bytes": batch_bytes, "seconds": job["job_runtime"] / 1000,
            "syncs_per_s": job["write"]["total_ios"] * 1000 / job["job_runtime"], **took}


def main():
    if len(sys.argv) != 4 or not os.path.isdir(sys.argv[1]):
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        print(json.dumps(measure(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
    except FileNotFoundError:
        print("fio is not installed: apt-get install fio", file=sys.stderr)
        sys.exit(4)


if __name__ == "__main__":
    main()
