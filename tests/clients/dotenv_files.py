"""An exported `.env` file as python-dotenv and a shell read it."""

import json
import os
import subprocess

from dotenv import dotenv_values

FILE = os.environ["FILE"]
with open(os.environ["EXPECTED"]) as file:
    expected = json.load(file)["settings"]
with open(FILE) as file:
    lines = file.read().splitlines()

# What no form of quoting means the same to every reader has a comment before it.
shells_only = {
    line.split("=")[0] for before, line in zip(lines, lines[1:]) if before.startswith("# The next line is for")
}
assert len(shells_only) == 7, sorted(shells_only)


def same(reader, found, keys):
    wrong = {key: (found.get(key), expected[key]) for key in keys if found.get(key) != expected[key]}
    assert not wrong, f"{reader}: {wrong}"


script = "set -a; . \"$FILE\"; unset FILE; env -0"
ran = subprocess.run(["sh", "-c", script], env={"PATH": os.environ["PATH"], "FILE": FILE}, capture_output=True, check=True)
shell = dict(entry.split("=", 1) for entry in ran.stdout.decode().split("\0") if entry)
same("sh", shell, expected)
os.environ["HOME"] = "/home/reader"
same("python-dotenv", dotenv_values(FILE), expected.keys() - shells_only)
