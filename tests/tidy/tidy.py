#!/usr/bin/env python3
"""Holds the source tree against the rules of the house (rules.py).

Usage: tidy.py ROOT        exit 0 clean, 1 findings on stdout, 2 usage

What is over a limit of length when it is measured stands in ratchet.txt, one line each:
  function|parameters|file  PATH  NAME  VALUE
A line may only shrink: above its value is a finding, below it too (lower the number), and a line
for something that is within the limit has to go.
"""
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import rules  # noqa: E402

RATCHET = 'tests/tidy/ratchet.txt'


def read_ratchet(text):
    allowed = {}
    for line in text.split('\n'):
        line = line.split('#')[0].strip()
        if line:
            what, path, name, value = line.split()
            allowed[(what, path, name)] = int(value)
    return allowed


def lengths_by_ratchet(tree):
    allowed = read_ratchet(tree.text.get(RATCHET, ''))
    measured = {}
    for key, value, finding in rules.lengths(tree):
        if key not in measured or measured[key][0] < value:
            measured[key] = (value, finding)
    for key, (value, finding) in measured.items():
        if value > allowed.get(key, 0):
            yield finding
    for key, value in allowed.items():
        now = measured.get(key, (0, None))[0]
        if now < value:
            say = f'lower it to {now}' if now else 'take it out'
            yield rules.Finding('ratchet', RATCHET, 1, f'{" ".join(key)} {value} has shrunk: {say}')


def findings(root):
    tree = rules.Tree.read(root)
    found = [finding for rule in rules.RULES for finding in rule(tree)]
    return found + list(lengths_by_ratchet(tree)), len(tree.cxx)


def main(arguments):
    if len(arguments) != 1 or not os.path.isdir(arguments[0]):
        print(__doc__, file=sys.stderr)
        return 2
    found, files = findings(arguments[0])
    for finding in sorted(found, key=lambda one: (one.path, one.line)):
        print(finding)
    print(f'tidy: {files} C++ files, {len(found)} findings')
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
