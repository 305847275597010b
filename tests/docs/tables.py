"""The tables of ids in docs/ (promises, scenarios, rules) and the tests that carry the ids.

tables.py --write keeps the column "shown by": for each id the suites with tests named after it, as
`Suite.ID_*`; what else stands in a cell (commands) stays.
"""
import os
import re
import sys

PAGES = ['docs/promises.md', 'docs/scenarios.md', 'docs/rules.md']
STATES = ['done', 'part', 'later']
ROW = re.compile(r'^\|\s*([A-Z]{1,2}\d+)\s*\|(.*)\|([^|]*)\|([^|]*)\|\s*$')
GLOB = re.compile(r'`(\w+)\.([A-Z]{1,2}\d+)_\*`')


def tests_by_id(root):
    """id -> suites with a test named after it."""
    found = {}
    for folder, folders, names in os.walk(os.path.join(root, 'tests')):
        folders.sort()
        for name in sorted(names):
            if not name.endswith(('.cc', '.h')):
                continue
            with open(os.path.join(folder, name), encoding='utf-8') as file:
                text = file.read()
            for suite, test in re.findall(
                    r'\b(?:TEST|TEST_F|TEST_P|RC_GTEST_PROP)\(\s*(\w+),\s*(\w+)', text):
                ids = re.match(r'((?:[A-Z]{1,2}\d+_)*)', test).group(1)
                for one in re.findall(r'[A-Z]{1,2}\d+', ids):
                    found.setdefault(one, set()).add(suite)
    return found


def rows(root):
    """(page, line number, id, state, shown by) of every row."""
    for page in PAGES:
        with open(os.path.join(root, page), encoding='utf-8') as file:
            for number, line in enumerate(file, 1):
                match = ROW.match(line)
                if match:
                    one, _, state, cell = (group.strip() for group in match.groups())
                    yield page, number, one, state, cell


def shown_by(old, one, suites):
    """The cell for `one`: its suites, then what was there beside suites."""
    other = [item.strip() for item in old.split(',') if item.strip() and not GLOB.search(item)]
    return ', '.join([f'`{suite}.{one}_*`' for suite in sorted(suites)] + other)


def write(root):
    tests = tests_by_id(root)
    for page in PAGES:
        path = os.path.join(root, page)
        with open(path, encoding='utf-8') as file:
            lines = file.read().split('\n')
        for at, line in enumerate(lines):
            match = ROW.match(line)
            if match:
                one, text, state, cell = (group.strip() for group in match.groups())
                cell = shown_by(cell, one, tests.get(one, ()))
                lines[at] = f'| {one} | {text} | {state} | {cell} |'.replace('|  |', '| |')
        with open(path, 'w', encoding='utf-8') as file:
            file.write('\n'.join(lines))


if __name__ == '__main__':
    if sys.argv[1:] != ['--write']:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    write(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
